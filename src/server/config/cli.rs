//! The commands that have a configuration. Their flags for settings come from the table
//! of settings.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::marker::PhantomData;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Args, FromArgMatches, Subcommand};

use super::check::{self, Settings};
use super::documented;
use super::problem::{Place, Problem, Problems};
use super::read::{File, Sources};
use super::settings;
use super::table::Setting;
use super::values::Form;
use crate::server::export::Wanted;
use crate::server::keyring_cli::KeyringCommand;
use crate::server::restore::Given;

/// What runs a server or a sidecar, or works on its files.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serves gRPC. On a loopback address the first start creates the data
    /// directory.
    Serve(Layers<OfServer>),
    /// Answers beside a service in the place of an authority that it follows: from
    /// what it keeps, or by asking.
    Sidecar(Layers<OfSidecar>),
    /// Creates the data directory, with a keyring, an empty store and the first
    /// administrator's token.
    Init {
        /// Creates it until this time alone (RFC 3339), and does nothing where there is a
        /// store: later an empty volume is no first start, but a lost one. For what
        /// starts again and again with the same arguments.
        #[arg(long, value_name = "TIME")]
        until: Option<jiff::Timestamp>,
        /// Where.
        #[command(flatten)]
        layers: Layers<OfStore>,
    },
    /// Restores a backup under a new store id. Nobody is answered before the
    /// revocations since the backup were given, or given up: with the backup, or
    /// later without it. The server must be stopped.
    Restore {
        /// What.
        #[command(flatten)]
        given: Given,
        /// Where.
        #[command(flatten)]
        layers: Layers<OfStore>,
    },
    /// Writes all that the store holds to a file, for `credd import`, and closes the
    /// store: nobody is answered from it any more. It must not be served; servers that
    /// have it open in etcd end.
    Export {
        /// What.
        #[command(flatten)]
        wanted: Wanted,
        /// Of what.
        #[command(flatten)]
        layers: Layers<OfStore>,
    },
    /// Makes a store of an export, under a new store id: so does a store move between
    /// an embedded one and etcd. Import an export once: of two stores each would say yes
    /// to what the other revoked.
    Import {
        /// The export. It goes where no store is: into an empty data directory, or one
        /// with nothing but the keyring; or into etcd, under a prefix with nothing.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// Where.
        #[command(flatten)]
        layers: Layers<OfStore>,
    },
    /// Changes the store as a whole.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Helps those who administer credd.
    #[command(subcommand)]
    Admin(Admin),
    /// Checks or shows what can be configured.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Makes, shows and extends a keyring file; needs no server.
    #[command(subcommand)]
    Keyring(KeyringCommand),
}

/// What can be done to a store as a whole.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Has records written in the newest format that this version of credd reads, once
    /// all servers run it. Until then they can be set back to the version before. A
    /// server with an embedded store must be stopped; with etcd they go on.
    Upgrade(Layers<OfStore>),
}

/// What helps those who administer credd.
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Makes another administrator and writes its token to the data directory,
    /// where nobody can administer credd any more. The server must be stopped.
    Recover(Layers<OfStore>),
}

/// What can be done with configurations.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Reads a configuration as `serve` and `sidecar` do, and says all that is wrong
    /// with it.
    Check(Layers<OfAll>),
    /// Prints a file with every setting, commented.
    Default,
}

/// What the command line says of a configuration: the file, and what is stronger
/// than the file.
#[derive(Clone, Debug, Args)]
pub struct Layers<S: Scope> {
    /// The file of the configuration. Unset: no file is read.
    #[arg(long, env = "CREDD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags<S>,
}

/// Settings that were given as flags: those of a scope.
#[derive(Clone, Debug)]
pub struct Flags<S> {
    given: Vec<(&'static str, String)>,
    scope: PhantomData<S>,
}

/// Which settings a command has flags for.
pub trait Scope {
    /// Whether the flags may stand before and after the command.
    const ANYWHERE: bool = false;

    /// Whether this is one of the settings.
    fn has(setting: &Setting) -> bool;
}

/// Of a server, but what to log.
#[derive(Clone, Debug)]
pub enum OfServer {}

/// Of a sidecar.
#[derive(Clone, Debug)]
pub enum OfSidecar {}

/// Every setting that has a flag, but what to log.
#[derive(Clone, Debug)]
pub enum OfAll {}

/// Where the store is, and what it may use.
#[derive(Clone, Debug)]
pub enum OfStore {}

/// Where the store is.
#[derive(Clone, Debug)]
pub enum OfPlace {}

/// What to log.
#[derive(Clone, Debug)]
pub enum OfLog {}

impl Scope for OfServer {
    fn has(setting: &Setting) -> bool {
        let is_of_sidecar = ["sidecar", "authority"].contains(&setting.section);
        !OfLog::has(setting) && !is_of_sidecar
    }
}

impl Scope for OfSidecar {
    fn has(setting: &Setting) -> bool {
        ["sidecar", "authority", "tls", "traces"].contains(&setting.section)
    }
}

impl Scope for OfAll {
    fn has(setting: &Setting) -> bool {
        !OfLog::has(setting)
    }
}

impl Scope for OfStore {
    fn has(setting: &Setting) -> bool {
        ["store", "etcd", "keyring"].contains(&setting.section)
    }
}

impl Scope for OfPlace {
    fn has(setting: &Setting) -> bool {
        setting.name() == "store.data_dir"
    }
}

impl Scope for OfLog {
    const ANYWHERE: bool = true;

    fn has(setting: &Setting) -> bool {
        setting.name() == "server.log"
    }
}

impl<S: Scope> Layers<S> {
    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    pub fn settings(&self, log: &Flags<OfLog>) -> Result<Settings, Problems> {
        let (file, unreadable) = match &self.config {
            None => (None, None),
            Some(path) => {
                let read = fs::read_to_string(path);
                let error = read.as_ref().err().map(io::Error::to_string);
                let (path, text) = (path.clone(), read.unwrap_or_default());
                (Some(File { path, text }), error)
            }
        };
        // A name that is not UTF-8 is that of no setting.
        let variables = env::vars_os().map(|(name, value)| {
            let name = name.to_string_lossy().into_owned();
            (name, value)
        });
        let variables = variables.collect();
        let flags = [self.flags.given.as_slice(), &log.given].concat();
        let read = check::settings(Sources {
            file: file.as_ref(),
            variables: &variables,
            flags: &flags,
        });
        let Some(error) = unreadable else { return read };
        let mut list = vec![Problem {
            place: Place::WholeFile,
            subject: String::new(),
            text: format!("can't be read: {error}"),
        }];
        list.extend(read.err().into_iter().flat_map(|problems| problems.list));
        Err(Problems {
            file: self.config.clone(),
            list,
        })
    }
}

impl ConfigCommand {
    /// Does it.
    #[must_use]
    pub fn run(&self, log: &Flags<OfLog>) -> ExitCode {
        let text = match self {
            Self::Default => documented::file(),
            Self::Check(layers) => match (layers.settings(log), &layers.config) {
                (Ok(_), Some(path)) => format!("{} is valid\n", path.display()),
                (Ok(_), None) => "flags and environment are valid; no file was named\n".to_owned(),
                (Err(problems), _) => {
                    eprintln!("{problems}");
                    return ExitCode::FAILURE;
                }
            },
        };
        match io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        }
    }
}

/// The settings of a scope, with their flags.
fn flags<S: Scope>() -> impl Iterator<Item = (&'static str, Setting)> {
    let sections = settings::all().into_iter();
    let settings = sections.flat_map(|section| section.settings);
    settings
        .filter(S::has)
        .filter_map(|setting| Some((setting.flag?, setting)))
}

impl<S: Scope> Args for Flags<S> {
    fn augment_args(mut command: clap::Command) -> clap::Command {
        for (flag, setting) in flags::<S>() {
            let mut arg = Arg::new(flag)
                .long(flag)
                .global(S::ANYWHERE)
                .help(documented::help(&setting))
                .value_name(setting.placeholder);
            if setting.form == Form::Boolean {
                arg = arg
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true");
            }
            command = command.arg(arg);
        }
        command
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl<S: Scope> FromArgMatches for Flags<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let value = |(flag, _)| Some((flag, matches.get_one::<String>(flag)?.clone()));
        Ok(Self {
            given: flags::<S>().filter_map(value).collect(),
            scope: PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
