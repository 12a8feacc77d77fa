//! `credd lock`, `unlock` and `revoke`: of credentials by their ids, or of all that have
//! something in common.

use clap::Args;

use super::change::{Fenced, Why, count};
use super::failure::{Done, Failure};
use super::filter::Filter;
use super::page::Page;
use super::session::{Run, Session};
use super::terminal::confirm;
use crate::proto::v1;
use crate::proto::v1::{lock_request, revoke_request};

/// Which credentials to lock.
#[derive(Debug, Args)]
pub struct Lock {
    #[command(flatten)]
    wanted: Wanted,
}

/// Which credentials to revoke.
#[derive(Debug, Args)]
pub struct Revoke {
    #[command(flatten)]
    wanted: Wanted,
}

/// Which credentials to deny.
#[derive(Debug, Args)]
struct Wanted {
    /// The id of a credential; may be repeated. Unset: all that match the flags below.
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// Asks nothing: all that match are meant.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    change: Fenced,
}

/// How a command is said.
#[derive(Clone, Copy, Debug)]
struct Words {
    do_it: &'static str,
    done: &'static str,
}

/// What an RPC answers that denies credentials.
struct Denied<T> {
    answer: T,
    impact: Option<v1::Impact>,
    fence: Option<v1::Fence>,
}

/// One or all that a filter matches.
enum Target {
    Id(String),
    Filter(v1::CredentialFilter),
}

impl Run for Lock {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        let words = Words {
            do_it: "lock",
            done: "locked",
        };
        let ask = async |target, dry_run, change: &Fenced| {
            let request = v1::LockRequest {
                target: Some(match target {
                    Target::Id(id) => lock_request::Target::CredentialId(id),
                    Target::Filter(filter) => lock_request::Target::Filter(filter),
                }),
                reason: change.guarded.why.reason.clone(),
                dry_run,
                expected_revision: change.guarded.expected(),
                fence: change.fence,
            };
            // One after the other, of how many is not known.
            let request = session.caller.long_request(request)?;
            let answer = session.ask(session.credentials().lock(request)).await?;
            Ok(Denied {
                impact: answer.impact.clone(),
                fence: answer.fence.clone(),
                answer,
            })
        };
        self.wanted.deny(session, words, ask).await
    }
}

impl Run for Revoke {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        let words = Words {
            do_it: "revoke",
            done: "revoked",
        };
        let ask = async |target, dry_run, change: &Fenced| {
            let request = v1::RevokeRequest {
                target: Some(match target {
                    Target::Id(id) => revoke_request::Target::CredentialId(id),
                    Target::Filter(filter) => revoke_request::Target::Filter(filter),
                }),
                reason: change.guarded.why.reason.clone(),
                dry_run,
                expected_revision: change.guarded.expected(),
                fence: change.fence,
            };
            let request = session.caller.long_request(request)?;
            let answer = session.ask(session.credentials().revoke(request)).await?;
            Ok(Denied {
                impact: answer.impact.clone(),
                fence: answer.fence.clone(),
                answer,
            })
        };
        self.wanted.deny(session, words, ask).await
    }
}

impl Wanted {
    async fn deny<T: prost::Message + prost::Name>(
        self,
        session: &Session,
        words: Words,
        ask: impl AsyncFn(Target, bool, &Fenced) -> Result<Denied<T>, Failure>,
    ) -> Result<Done, Failure> {
        let Words { do_it, done } = words;
        let change = &self.change;
        let dry_run = change.guarded.dry_run;
        let usage = |text: &str| Err(Failure::Usage(text.to_owned()));
        if self.ids.len() > 1 && change.guarded.expected_revision.is_some() {
            return usage("--expected-revision is that of one credential");
        }
        match (self.ids.is_empty(), self.filter.is_empty()) {
            (false, true) => {
                let mut answers = session.out.answers(self.ids.len() == 1);
                let all = each(&self.ids, async |id: String| {
                    let denied = ask(Target::Id(id.clone()), dry_run, change).await?;
                    answers.push(&denied.answer, &id, |page: &mut Page| {
                        page.done(dry_run, done, do_it, &id);
                        page.impact(denied.impact.as_ref());
                        page.fence(denied.fence.as_ref());
                    })
                })
                .await;
                return ended(all, answers.end());
            }
            (false, false) => return usage("give ids, or say what they have in common, not both"),
            (true, true) => {
                return usage(
                    "it is not said which credentials\nhint: give ids, or say what they have in \
                     common, such as --tenant and --owner",
                );
            }
            (true, false) => (),
        }
        let filter = || Target::Filter(self.filter.clone().into());
        if !dry_run && !self.yes {
            let asked = ask(filter(), true, change).await?;
            let would = asked.impact.map_or(0, |impact| impact.changed);
            let what = count(would, "credential", "credentials");
            confirm(&format!("{do_it} {what}?"), false)?;
        }
        let denied = ask(filter(), dry_run, change).await?;
        let v1::Impact {
            matched, changed, ..
        } = denied.impact.clone().unwrap_or_default();
        session.out.answer(&denied.answer, "", |page| {
            let what = count(changed, "credential", "credentials");
            page.done(
                dry_run,
                done,
                do_it,
                &format!("{what} of {matched} that match"),
            );
            page.impact(denied.impact.as_ref());
            page.fence(denied.fence.as_ref());
        })?;
        Ok(Done::Yes)
    }
}

/// Which credentials to unlock.
#[derive(Debug, Args)]
pub struct Unlock {
    /// Its id; several are unlocked one after the other.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    why: Why,
}

impl Run for Unlock {
    async fn run(self, session: &Session) -> Result<Done, Failure> {
        let mut answers = session.out.answers(self.ids.len() == 1);
        let all = each(&self.ids, async |id: String| {
            let request = session.caller.request(v1::UnlockRequest {
                credential_id: id.clone(),
                reason: self.why.reason.clone(),
            })?;
            let answer = session.ask(session.credentials().unlock(request)).await?;
            answers.push(&answer, &id, |page| page.line(format!("unlocked {id}")))
        })
        .await;
        ended(all, answers.end())
    }
}

/// Does something with each of several, also after one that was refused or whose answer
/// could not be printed; ends as the first of those did.
pub(super) async fn each(
    ids: &[String],
    mut one: impl AsyncFnMut(String) -> Result<(), Failure>,
) -> Result<Done, Failure> {
    if let [id] = ids {
        return one(id.clone()).await.map(|()| Done::Yes);
    }
    let mut first = None;
    for id in ids {
        match one(id.clone()).await {
            Ok(()) => (),
            Err(failure) if failure.is_of_one() => {
                first.get_or_insert(failure.code());
                failure.tell_of(id);
            }
            Err(failure) => return Err(failure),
        }
    }
    first.map_or(Ok(Done::Yes), |code| Err(Failure::Told(code)))
}

/// How several ended, and the list of them.
pub(super) fn ended(
    all: Result<Done, Failure>,
    list: Result<(), Failure>,
) -> Result<Done, Failure> {
    all.and_then(|done| list.map(|()| done))
}
