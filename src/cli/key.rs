//! `credd key`.

use anstyle::Style;
use clap::{Args, Subcommand};

use super::change::{Guarded, count};
use super::failure::{Done, Failure};
use super::page::Page;
use super::session::{Run, Session};
use super::show::word;
use super::table::{Cell, Column};
use super::terminal::{BAD, GOOD, confirm};
use crate::proto::v1;
use crate::server::keyring_cli::KindArg;

/// What can be done with the keys of a server.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Lists the versions of the keys, and what remains on each.
    List,
    /// Makes a version the active one.
    Rotate(Rotate),
    /// Says that a version is needed no more.
    Retire(Retire),
}

/// Which key.
#[derive(Debug, Args)]
struct Which {
    /// Which kind of key.
    #[arg(value_enum, value_name = "KIND")]
    kind: KindArg,
    /// The number of the version.
    #[arg(value_name = "VERSION")]
    version: u32,
}

impl Which {
    fn text(&self) -> String {
        let kind = match self.kind {
            KindArg::Pepper => "pepper",
            KindArg::Sealing => "sealing key",
        };
        format!("version {} of the {kind}", self.version)
    }
}

/// Which version to make the active one.
#[derive(Debug, Args)]
pub struct Rotate {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    change: Guarded,
}

/// Which version to retire.
#[derive(Debug, Args)]
pub struct Retire {
    #[command(flatten)]
    which: Which,
    /// Ends what remains on it: secrets that nobody has presented since, and requests that
    /// are remembered. Ask with --dry-run first.
    #[arg(long)]
    force: bool,
    /// Asks nothing.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    change: Guarded,
    /// Returns only when no cache says yes any more where the change says no; of a pepper.
    #[arg(long)]
    fence: bool,
}

impl Run for KeyCommand {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        match self {
            Self::List => {
                let request = session.caller.request(v1::GetStatusRequest {})?;
                let answer = session
                    .ask(session.operations().get_status(request))
                    .await?;
                let keyring = answer.keyring.unwrap_or_default();
                session
                    .out
                    .view(&keyring, &names(&keyring), |page| keys(&keyring, page))?;
            }
            Self::Rotate(rotate) => rotate.run(session).await?,
            Self::Retire(retire) => retire.run(session).await?,
        }
        Ok(Done::Yes)
    }
}

impl Rotate {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self { which, change } = self;
        let text = which.text();
        let Which { kind, version } = which;
        let (expected_revision, dry_run) = (change.expected(), change.dry_run);
        let reason = change.why.reason;
        let tell = |page: &mut Page| page.done(dry_run, "activated", "activate", &text);
        let name = version.to_string();
        match kind {
            KindArg::Pepper => {
                let request = session.caller.request(v1::RotatePepperRequest {
                    version,
                    reason,
                    dry_run,
                    expected_revision,
                })?;
                let answer = session
                    .ask(session.operations().rotate_pepper(request))
                    .await?;
                session.out.answer(&answer, &name, tell)
            }
            KindArg::Sealing => {
                let request = session.caller.request(v1::RotateSealingKeyRequest {
                    version,
                    reason,
                    dry_run,
                    expected_revision,
                })?;
                let answer = session
                    .ask(session.operations().rotate_sealing_key(request))
                    .await?;
                session.out.answer(&answer, &name, tell)
            }
        }
    }
}

impl Retire {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        match self.which.kind {
            KindArg::Pepper => self.pepper(session).await,
            KindArg::Sealing => self.sealing_key(session).await,
        }
    }

    async fn pepper(self, session: &Session) -> Result<(), Failure> {
        let Self {
            which,
            force,
            yes,
            change,
            fence,
        } = self;
        let mut request = v1::RetirePepperRequest {
            version: which.version,
            force,
            expected_revision: change.expected(),
            reason: change.why.reason,
            dry_run: true,
            fence,
        };
        if force && !yes && !change.dry_run {
            let asked = session.caller.long_request(request.clone())?;
            let asked = session
                .ask(session.operations().retire_pepper(asked))
                .await?;
            let would = asked.impact.map_or(0, |impact| impact.changed);
            let what = count(would, "credential", "credentials");
            let question = format!("end the secrets of {what} with {}?", which.text());
            confirm(&question, false)?;
        }
        request.dry_run = change.dry_run;
        let request = session.caller.long_request(request)?;
        let answer = session
            .ask(session.operations().retire_pepper(request))
            .await?;
        session
            .out
            .answer(&answer, &which.version.to_string(), |page| {
                page.done(change.dry_run, "retired", "retire", &which.text());
                let v1::Impact { changed, .. } = answer.impact.clone().unwrap_or_default();
                let what = count(changed, "credential", "credentials");
                if force {
                    page.done(
                        change.dry_run,
                        "ended",
                        "end",
                        &format!("secrets of {what}"),
                    );
                }
                page.impact(answer.impact.as_ref());
                page.fence(answer.fence.as_ref());
            })
    }

    async fn sealing_key(self, session: &Session) -> Result<(), Failure> {
        let Self {
            which,
            force,
            yes: _,
            change,
            fence,
        } = self;
        if fence {
            let text = "no cache says yes by a sealing key: --fence is of a pepper";
            return Err(Failure::Usage(text.to_owned()));
        }
        let request = session.caller.long_request(v1::RetireSealingKeyRequest {
            version: which.version,
            force,
            expected_revision: change.expected(),
            reason: change.why.reason,
            dry_run: change.dry_run,
        })?;
        let answer = session
            .ask(session.operations().retire_sealing_key(request))
            .await?;
        session
            .out
            .answer(&answer, &which.version.to_string(), |page| {
                page.done(change.dry_run, "retired", "retire", &which.text());
                if force {
                    let what = count(answer.forgotten_requests, "request", "requests");
                    page.done(change.dry_run, "forgot", "forget", &what);
                }
            })
    }
}

const COLUMNS: &[Column] = &[
    Column::new("KEY", 7, 0),
    Column::new("VERSION", 7, 0),
    Column::new("STATE", 7, 0),
    Column::new("LOADED", 6, 1),
    Column::new("REMAINING", 9, 2),
    Column::new("CHECK", 12, 3),
];

/// The keys, as a table.
pub(super) fn keys(keyring: &v1::KeyringStatus, page: &mut Page) {
    let peppers = keyring.peppers.iter().map(|it| {
        let facts = [
            "pepper".to_owned(),
            it.version.to_string(),
            it.remaining.to_string(),
        ];
        row(facts, it.state(), it.loaded, &it.check)
    });
    let sealing = keyring.sealing_keys.iter().map(|it| {
        let facts = [
            "sealing".to_owned(),
            it.version.to_string(),
            it.remaining.to_string(),
        ];
        row(facts, it.state(), it.loaded, &it.check)
    });
    page.table(COLUMNS, peppers.chain(sealing).collect());
}

fn row(facts: [String; 3], state: v1::KeyState, is_loaded: bool, check: &str) -> Vec<Cell> {
    let [kind, version, remaining] = facts;
    let plain = Style::new();
    let is_missing = !is_loaded && state != v1::KeyState::Retired;
    vec![
        Cell::from(kind),
        Cell::from(version),
        Cell::new(
            word(state.as_str_name(), "KEY_STATE_"),
            if state == v1::KeyState::Active {
                GOOD
            } else {
                plain
            },
        ),
        Cell::new(
            if is_loaded { "yes" } else { "no" },
            if is_missing { BAD } else { plain },
        ),
        Cell::from(remaining),
        Cell::from(check),
    ]
}

fn names(keyring: &v1::KeyringStatus) -> String {
    let peppers = keyring
        .peppers
        .iter()
        .map(|it| format!("pepper {}", it.version));
    let sealing = keyring
        .sealing_keys
        .iter()
        .map(|it| format!("sealing {}", it.version));
    peppers.chain(sealing).collect::<Vec<_>>().join("\n")
}
