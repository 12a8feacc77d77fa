//! What is noted of calls that changed nothing, and of uses that were denied.

use std::sync::Arc;

use super::{Suspect, of_call};
use crate::authority::Authority;
use crate::authority::caller::{Call, Caller};
use crate::authority::entry::Entry;
use crate::authority::verify::{Answer, Question};
use crate::domain::audit::{Event, KnownBy, OK, Subject};
use crate::domain::judge::{Audience, Cause, Verdict};
use crate::domain::token::{Claim, Presented};

/// What a verdict says beside itself, for the audit log.
#[derive(Clone, Debug)]
pub enum Aside {
    /// The right secret of this credential was denied.
    Denied(Arc<Entry>),
    /// Not a good secret of this credential; perhaps one that was.
    Suspect(Arc<Entry>, Box<Claim>),
}

impl Aside {
    /// What there is to say of a claim to a credential. `None` for most.
    #[must_use]
    pub(in crate::authority) fn of(
        verdict: Verdict,
        entry: Option<Arc<Entry>>,
        claim: impl FnOnce() -> Option<Claim>,
    ) -> Option<Self> {
        match verdict {
            Verdict::Locked
            | Verdict::Revoked
            | Verdict::Expired
            | Verdict::TenantDisabled
            | Verdict::OwnerDisabled => entry.map(Self::Denied),
            Verdict::Invalid(Cause::Unknown | Cause::WrongSecret) => {
                let entry = entry.filter(|entry| entry.has_earlier_secrets())?;
                Some(Self::Suspect(entry, Box::new(claim()?)))
            }
            Verdict::Active
            | Verdict::Forbidden
            | Verdict::Invalid(
                Cause::Malformed(_)
                | Cause::OutsideAudience
                | Cause::OtherHeader
                | Cause::Ambiguous,
            ) => None,
        }
    }
}

/// Whose request it was that presented a credential, as the service said that asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Client<'a> {
    /// The client's address.
    pub address: &'a str,
    /// An id of its request.
    pub request_id: &'a str,
}

impl Authority {
    /// Notes that a call was answered and that no commit tells of it: it changed
    /// nothing, or, with another `outcome` than [`OK`], was refused.
    pub fn note_call(&self, call: &Call, outcome: &str) {
        let event = of_call(call, outcome, self.now());
        self.audit().note(Event {
            subject: call.trace.subject(),
            dry_run: call.trace.is_dry(),
            ..event
        });
    }

    /// Notes that a call was refused before it was let in. `caller` may not be known.
    pub fn note_refusal(&self, event: Event, caller: Option<&Caller>) {
        let event = match caller {
            Some(caller) => Event {
                principal: caller.party.principal.to_string(),
                on_behalf_of: caller
                    .on_behalf_of
                    .as_ref()
                    .map_or_else(String::new, |user| user.principal.to_string()),
                known_by: super::known_by(&caller.party),
                ..event
            },
            None => event,
        };
        self.audit().note(event);
    }

    /// Notes the use of a credential of credd's own by which no caller is known: of
    /// one that is denied, or of a secret that is retired. Returns whether there is
    /// something to note; if not, it is a stranger's.
    #[must_use]
    pub fn note_caller(&self, token: &str, event: &Event) -> bool {
        let question = Question::of(Presented::Token(token), Audience::Credd);
        let (answer, _) = self.judge(&question);
        let mut event = event.clone();
        let denied = match &answer.aside {
            Some(Aside::Denied(entry)) => Some(entry),
            _ => None,
        };
        if let Some(entry) = denied {
            let names = self.index().names();
            let symbol = self.index().directory().principal(entry.owner(), names);
            event.principal = names.resolve(symbol).to_string();
            event.known_by = KnownBy::Credential(entry.id());
        }
        let is_denied = denied.is_some();
        self.note_aside(&answer, event);
        is_denied
    }

    /// Notes the use of a credential, if it was denied although the secret is the
    /// right one, and looks, later, whether it was one that is retired.
    pub fn note_use(&self, call: &Call, answer: &Answer, client: Client<'_>) {
        if answer.aside.is_none() {
            return;
        }
        let mut event = of_call(call, OK, self.now());
        client.address.clone_into(&mut event.client_address);
        client.request_id.clone_into(&mut event.client_request_id);
        self.note_aside(answer, event);
    }

    fn note_aside(&self, answer: &Answer, mut event: Event) {
        match &answer.aside {
            None => (),
            Some(Aside::Denied(entry)) => {
                event.subject = self.subject_of(entry);
                verdict_name(answer.verdict).clone_into(&mut event.outcome);
                self.audit().note(event);
            }
            Some(Aside::Suspect(entry, claim)) => {
                event.subject = self.subject_of(entry);
                self.audit().suspect(Suspect {
                    entry: Arc::clone(entry),
                    claim: (**claim).clone(),
                    event: Box::new(event),
                });
            }
        }
    }

    /// What an event says of a credential.
    #[must_use]
    pub fn subject_of(&self, entry: &Entry) -> Subject {
        let (directory, names) = (self.index().directory(), self.index().names());
        let profile = directory.reference(entry.profile(), names);
        Subject {
            tenant: directory.tenant_name(entry.tenant(), names).to_string(),
            owner: directory.owner_name(entry.owner(), names).to_string(),
            profile: profile.family.name.to_string(),
            credentials: vec![entry.id()],
            ..Subject::default()
        }
    }
}

const fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Active => OK,
        Verdict::Invalid(_) => "INVALID",
        Verdict::Locked => "LOCKED",
        Verdict::Revoked => "REVOKED",
        Verdict::Expired => "EXPIRED",
        Verdict::TenantDisabled => "TENANT_DISABLED",
        Verdict::OwnerDisabled => "OWNER_DISABLED",
        Verdict::Forbidden => "FORBIDDEN",
    }
}
