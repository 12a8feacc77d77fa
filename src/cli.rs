//! The command line: what runs a server, and what asks one.
//!
//! ```text
//! Command -> Session (who asks whom) -> gRPC -> Printer -> standard output
//! ```
//!
//! Commands that ask a server say what they want in flags, make one message of the
//! contract of it, and show the answer; what is right and what is allowed is decided by
//! the server alone. Standard output has what was asked for and nothing else; all that is
//! said about it goes to standard error. No secret is an argument, where every user of the
//! machine can read it.

use std::process::ExitCode;

use clap::builder::Resettable;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::server::config::{self, Flags, OfLog};

mod audit;
mod backup;
mod binding;
mod change;
mod connection;
mod credential;
mod document;
mod expiry;
mod failure;
mod filter;
mod hints;
mod import;
mod interrupt;
mod issue;
mod json;
mod key;
mod leak;
mod output;
mod owner;
mod page;
mod pages;
mod profile;
mod role;
mod secret;
mod session;
mod show;
mod status;
mod stop;
mod table;
mod tenant;
mod terminal;
mod time;
mod token_pattern;
mod verify;
mod watch;

use audit::AuditCommand;
use backup::Backup;
use binding::BindingCommand;
use credential::{Get, List, Reveal, Rotate, Update};
use failure::{Done, Failure};
use import::Import;
use issue::Issue;
use key::KeyCommand;
use leak::ReportLeak;
use owner::OwnerCommand;
use profile::ProfileCommand;
use role::RoleCommand;
use session::{Asked, Group};
use status::ShowStatus;
use stop::{Lock, Revoke, Unlock};
use tenant::TenantCommand;
use token_pattern::TokenPattern;
use verify::Verify;
use watch::Watch;

/// A credential authority: issues, verifies and revokes API credentials over
/// gRPC.
#[derive(Debug, Parser)]
#[command(version, about, after_help = failure::EXIT_CODES)]
#[command(term_width = terminal::help_width())]
pub struct Cli {
    /// What to log, whatever is done.
    #[command(flatten)]
    pub log: Flags<OfLog>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// What asks a server.
    #[command(flatten)]
    Ask(Box<Ask>),
    /// What runs one, or works on its files.
    #[command(flatten)]
    Run(config::Command),
}

/// What asks a server, or needs none.
#[derive(Debug, Subcommand)]
pub enum Ask {
    /// Issues a credential, and shows its secret this once.
    Issue(Asked<Issue>),
    /// Shows credentials, without anything secret.
    Get(Asked<Get>),
    /// Lists credentials.
    List(Asked<List>),
    /// Changes what a credential says, its roles or its expiry.
    Update(Asked<Update>),
    /// Gives a credential a new secret, and shows it this once.
    Rotate(Asked<Rotate>),
    /// Shows a secret again, where its profile lets it be viewed.
    Reveal(Asked<Reveal>),
    /// Denies credentials for now.
    Lock(Asked<Lock>),
    /// Ends a lock.
    Unlock(Asked<Unlock>),
    /// Denies credentials for good.
    Revoke(Asked<Revoke>),
    /// Asks whether a secret is good. Ends with 3 if the verdict is not ACTIVE.
    Verify(Asked<Verify>),
    /// Prints every change as it is made, until it is interrupted.
    Watch(Asked<Watch>),
    /// Locks the credentials whose secrets were found where they should not be.
    ///
    /// What is read has one bare secret in a line, in UTF-8, with nothing beside it. Lines
    /// that are not text in UTF-8 are not looked at; if there are some, or no line at all,
    /// the command ends with 2.
    ReportLeak(Asked<ReportLeak>),
    /// Brings credentials from elsewhere.
    ImportCredentials(Asked<Import>),
    /// Owners: whom credentials belong to.
    Owner(Group<OwnerCommand>),
    /// Tenants: customers or product areas that see nothing of each other.
    Tenant(Group<TenantCommand>),
    /// Roles: named sets of permissions.
    Role(Group<RoleCommand>),
    /// Profiles: the rules by which credentials are issued and presented.
    Profile(Group<ProfileCommand>),
    /// Bindings: what gives a caller of credd a role.
    Binding(Group<BindingCommand>),
    /// The audit log: who did what, and whether the log is what it was.
    Audit(Group<AuditCommand>),
    /// The keys that a server works with. `credd keyring` makes them.
    Key(Group<KeyCommand>),
    /// Shows the state of the server.
    Status(Asked<ShowStatus>),
    /// Copies all that the server holds to a file, for `credd restore`.
    Backup(Asked<Backup>),
    /// Prints the regular expressions by which credd's secrets are found. Needs no server.
    TokenPattern(TokenPattern),
    /// Prints a script that completes commands and flags. Needs no server.
    Completions {
        /// Of which shell.
        shell: clap_complete::Shell,
    },
}

impl Cli {
    /// What this process was called with. A variable that is empty counts as one that is not
    /// set. Ends the process where it is not well put, or help was asked for.
    #[must_use]
    pub fn read() -> Self {
        let mut matches = without_empty(Self::command()).get_matches();
        Self::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.exit())
    }
}

/// A command that reads no variable of the command line which is empty.
fn without_empty(command: clap::Command) -> clap::Command {
    let is_empty = |argument: &clap::Arg| {
        let name = argument.get_env()?.to_str()?;
        let is_ours = config::OF_THE_COMMAND_LINE.contains(&name);
        Some(is_ours && std::env::var_os(name)?.is_empty())
    };
    let command = command.mut_args(|argument| match is_empty(&argument) {
        Some(true) => argument.env(Resettable::Reset),
        _ => argument,
    });
    command.mut_subcommands(without_empty)
}

impl Ask {
    /// Does it.
    #[must_use]
    pub fn run(self) -> ExitCode {
        // A thread beside this one hears of an interrupt while this one is held up.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let ended = match runtime {
            Ok(runtime) => {
                interrupt::listen(&runtime);
                let ended = runtime.block_on(self.dispatch());
                // A read from the terminal may be waiting that nobody needs any more.
                runtime.shutdown_background();
                ended
            }
            Err(error) => Err(Failure::Other(error.to_string())),
        };
        match ended {
            Ok(done) => done.code(),
            Err(failure) => failure.tell(),
        }
    }

    async fn dispatch(self) -> Result<Done, Failure> {
        match self {
            Self::Issue(asked) => session::asked(asked).await,
            Self::Get(asked) => session::asked(asked).await,
            Self::List(asked) => session::asked(asked).await,
            Self::Update(asked) => session::asked(asked).await,
            Self::Rotate(asked) => session::asked(asked).await,
            Self::Reveal(asked) => session::asked(asked).await,
            Self::Lock(asked) => session::asked(asked).await,
            Self::Unlock(asked) => session::asked(asked).await,
            Self::Revoke(asked) => session::asked(asked).await,
            Self::Verify(asked) => session::asked(asked).await,
            Self::Watch(asked) => session::asked(asked).await,
            Self::ReportLeak(asked) => session::asked(asked).await,
            Self::ImportCredentials(asked) => session::asked(asked).await,
            Self::Owner(group) => session::group(group).await,
            Self::Tenant(group) => session::group(group).await,
            Self::Role(group) => session::group(group).await,
            Self::Profile(group) => session::group(group).await,
            Self::Binding(group) => session::group(group).await,
            Self::Audit(group) => session::group(group).await,
            Self::Key(group) => session::group(group).await,
            Self::Status(asked) => session::asked(asked).await,
            Self::Backup(asked) => session::asked(asked).await,
            Self::TokenPattern(patterns) => patterns.run(),
            Self::Completions { shell } => completions(shell),
        }
    }
}

fn completions(shell: clap_complete::Shell) -> Result<Done, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "credd", &mut script);
    output::write(script)?;
    Ok(Done::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::config::OF_THE_COMMAND_LINE;

    #[test]
    fn no_two_flags_of_a_command_are_the_same() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_variable_of_a_command_is_known_to_the_server() {
        fn look(command: &clap::Command, found: &mut Vec<String>) {
            let variables = command.get_arguments().filter_map(clap::Arg::get_env);
            found.extend(variables.map(|name| name.to_string_lossy().into_owned()));
            command
                .get_subcommands()
                .for_each(|command| look(command, found));
        }
        let mut found = Vec::new();
        look(&Cli::command(), &mut found);
        for name in found {
            let is_known = OF_THE_COMMAND_LINE.contains(&name.as_str());
            assert!(is_known || name == "CREDD_CONFIG", "{name}");
        }
    }

    #[test]
    fn no_flag_takes_a_secret() {
        fn look(command: &clap::Command) {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                let is_secret = ["token", "secret", "password"]
                    .iter()
                    .any(|word| name.ends_with(word) && name != "resume_token");
                let is_switch = !argument.get_action().takes_values();
                assert!(!is_secret || is_switch, "{} {name}", command.get_name());
            }
            command.get_subcommands().for_each(look);
        }
        look(&Cli::command());
    }
}
