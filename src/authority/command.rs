//! What a change does: pure functions from what is known, a command and the
//! time to what is to be written and answered.

use std::sync::Arc;
use std::time::Duration;

use super::record::Record;
use crate::domain::credential::{Action, Change, Credential, LastUse, State, Stored, Transition};
use crate::domain::id::CredentialId;
use crate::domain::keyring::{Keyring, SecretOf};
use crate::domain::names::{Description, Label, Owner, Principal, Reason, Role, Tenant};
use crate::domain::revision::Revision;
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;
use crate::domain::token::{Generation, Kind};

/// A change that somebody asks for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Issues a credential.
    Issue(Box<Issue>),
    /// Locks, unlocks or revokes one.
    SetState(SetState),
    /// Records uses.
    RecordUses(Vec<(CredentialId, LastUse)>),
    /// Records what the keyring must hold.
    RecordKeyring(super::record::KeyChecks),
}

impl Command {
    /// The credential that it changes, if it is about one that is there.
    #[must_use]
    pub const fn subject(&self) -> Option<CredentialId> {
        match self {
            Self::SetState(set_state) => Some(set_state.id),
            Self::Issue(_) | Self::RecordUses(_) | Self::RecordKeyring(_) => None,
        }
    }
}

/// A credential to issue.
#[derive(Clone, Debug)]
pub struct Issue {
    /// The tenant.
    pub tenant: Tenant,
    /// The owner.
    pub owner: Owner,
    /// The shape.
    pub kind: Kind,
    /// A short name for people.
    pub label: Label,
    /// A longer text for people.
    pub description: Description,
    /// Its roles, sorted, none twice.
    pub roles: Vec<Role>,
    /// When it is to expire.
    pub expiry: Expiry,
    /// Its secret.
    pub secret: Secret,
    /// Its id.
    pub id: NewId,
    /// Who asks.
    pub by: Principal,
}

/// The id of a credential to issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewId {
    /// The next one, with these random bits.
    Next([u8; 8]),
    /// This one.
    Given(CredentialId),
}

/// When a credential is to expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Never.
    Never,
    /// At this moment.
    At(Timestamp),
    /// This long after its issue.
    After(Duration),
}

/// A change of a credential's state.
#[derive(Clone, Debug)]
pub struct SetState {
    /// The credential.
    pub id: CredentialId,
    /// Lock, unlock or revoke.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// Who asks.
    pub by: Principal,
}

/// What a command may look at. Whatever it looks at stays as it is until the
/// command's writes are committed, or the command is decided anew.
pub trait View {
    /// The credential of an id.
    fn credential(&self, id: CredentialId) -> Option<Known>;
    /// Whether there is a credential of this id.
    fn exists(&self, id: CredentialId) -> bool {
        self.credential(id).is_some()
    }
    /// Every credential of credd's own tenant.
    fn callers(&self) -> Vec<Known>;
}

/// A credential as a command sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "it is looked at and passed on, never kept"
)]
pub enum Known {
    /// As a commit left it.
    Committed(Stored),
    /// As a command before this one, in the same group, leaves it. Its commit
    /// has no revision yet.
    Pending(Arc<Credential>),
}

impl Known {
    /// The credential.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        match self {
            Self::Committed(stored) => &stored.credential,
            Self::Pending(credential) => credential,
        }
    }

    /// The credential and its revision, once the group was committed.
    #[must_use]
    pub fn at(self, group: Revision) -> Stored {
        match self {
            Self::Committed(stored) => stored,
            Self::Pending(credential) => Stored {
                credential: Arc::unwrap_or_clone(credential),
                revision: group,
            },
        }
    }
}

/// The surroundings of a decision.
#[derive(Debug)]
pub struct Context<'a> {
    /// The time.
    pub now: Timestamp,
    /// The keys.
    pub keyring: &'a Keyring,
    /// Ids for new credentials.
    pub ids: &'a mut IdSequence,
}

/// What a command writes and answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The records to write; none: what was asked for is so already.
    pub writes: Vec<Record>,
    /// The credential that the answer is about, as it is afterwards.
    pub answer: Option<Known>,
}

/// Why a command is not carried out. Nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No credential has that id.
    #[error("there is no credential {0}")]
    NotFound(CredentialId),
    /// The credential is revoked, and nothing ends that.
    #[error("credential {0} is revoked, which is final")]
    Revoked(CredentialId),
    /// A credential has that id already.
    #[error("there is a credential {0} already")]
    Exists(CredentialId),
    /// Without it nobody could manage credd.
    #[error("credential {0} is the last one that can administer credd")]
    LastAdministrator(CredentialId),
}

/// Decides a command.
///
/// # Errors
///
/// A [`Refusal`], if what is asked for can't be.
pub fn decide(
    view: &dyn View,
    command: &Command,
    context: &mut Context<'_>,
) -> Result<Decision, Refusal> {
    match command {
        Command::Issue(issue) => decide_issue(view, issue, context),
        Command::SetState(set_state) => decide_state(view, set_state, context.now),
        Command::RecordUses(uses) => Ok(decide_uses(view, uses)),
        Command::RecordKeyring(checks) => Ok(Decision {
            writes: vec![Record::Keyring(Some(checks.clone()))],
            answer: None,
        }),
    }
}

fn decide_issue(
    view: &dyn View,
    issue: &Issue,
    context: &mut Context<'_>,
) -> Result<Decision, Refusal> {
    let id = match issue.id {
        NewId::Next(entropy) => context.ids.next(context.now, entropy),
        NewId::Given(id) if view.exists(id) => return Err(Refusal::Exists(id)),
        NewId::Given(id) => {
            context.ids.skip_to(id);
            id
        }
    };
    let generation = Generation::FIRST;
    let credential = Credential {
        id,
        tenant: issue.tenant.clone(),
        owner: issue.owner.clone(),
        kind: issue.kind,
        label: issue.label.clone(),
        description: issue.description.clone(),
        roles: issue.roles.clone(),
        state: State::Active,
        state_set: None,
        created_at: context.now,
        created_by: issue.by.clone(),
        expires_at: match issue.expiry {
            Expiry::Never => None,
            Expiry::At(at) => Some(at),
            Expiry::After(ttl) => Some(context.now.checked_add(ttl).unwrap_or(Timestamp::MAX)),
        },
        generation,
        mac: context.keyring.mac(&SecretOf {
            kind: issue.kind,
            id,
            generation,
            secret: &issue.secret,
        }),
        last_change: Change {
            action: Action::Issue,
            at: context.now,
            by: issue.by.clone(),
            reason: Reason::trusted("".into()),
        },
    };
    Ok(Decision::write(credential))
}

fn decide_state(view: &dyn View, ask: &SetState, now: Timestamp) -> Result<Decision, Refusal> {
    let known = view.credential(ask.id).ok_or(Refusal::NotFound(ask.id))?;
    let credential = known.credential();
    match credential.state.on(ask.action) {
        Transition::Already => Ok(Decision {
            writes: Vec::new(),
            answer: Some(known),
        }),
        Transition::IsRevoked | Transition::Exists => Err(Refusal::Revoked(ask.id)),
        Transition::To(state) => {
            if state != State::Active && is_last_administrator(view, credential, now) {
                return Err(Refusal::LastAdministrator(ask.id));
            }
            let change = Change {
                action: ask.action,
                at: now,
                by: ask.by.clone(),
                reason: ask.reason.clone(),
            };
            Ok(Decision::write(credential.with_state(state, change)))
        }
    }
}

/// Whether nobody but the holder of `credential` could administer credd for
/// good: with a credential that is active and does not expire.
fn is_last_administrator(view: &dyn View, credential: &Credential, now: Timestamp) -> bool {
    let administers = |c: &Credential| {
        c.tenant.is_credd()
            && c.state == State::Active
            && !c.is_expired(now)
            && c.roles
                .iter()
                .any(|role| role.as_str() == Role::ADMINISTRATOR)
    };
    let remains =
        |c: &Credential| c.id != credential.id && administers(c) && c.expires_at.is_none();
    administers(credential)
        && !view
            .callers()
            .iter()
            .any(|known| remains(known.credential()))
}

fn decide_uses(view: &dyn View, uses: &[(CredentialId, LastUse)]) -> Decision {
    let writes = uses
        .iter()
        .filter(|(id, _)| view.exists(*id))
        .map(|(id, last_use)| Record::LastUse(*id, Some(last_use.clone())))
        .collect();
    Decision {
        writes,
        answer: None,
    }
}

impl Decision {
    fn write(credential: Credential) -> Self {
        let credential = Arc::new(credential);
        Self {
            writes: vec![Record::Credential(
                credential.id,
                Some(Arc::clone(&credential)),
            )],
            answer: Some(Known::Pending(credential)),
        }
    }
}

/// Gives out ids, each greater than the one before, whatever the clock does:
/// who pages through credentials in the order of their ids then misses none
/// that is issued meanwhile.
///
/// Ids of the same millisecond are told apart by a counter in the 12 bits after
/// the time (RFC 9562 section 6.2, method 1).
#[derive(Clone, Copy, Debug)]
pub struct IdSequence {
    millis: i64,
    counter: u16,
}

impl IdSequence {
    const COUNTER_END: u16 = 1 << 12;

    /// Ids greater than `greatest`.
    #[must_use]
    pub fn after(greatest: Option<CredentialId>) -> Self {
        let mut sequence = Self {
            millis: 0,
            counter: 0,
        };
        if let Some(greatest) = greatest {
            sequence.skip_to(greatest);
        }
        sequence
    }

    /// Makes all that follow greater than this one.
    fn skip_to(&mut self, id: CredentialId) {
        let bytes = id.as_bytes();
        let millis = bytes[..6]
            .iter()
            .fold(0, |millis, &byte| millis << 8 | i64::from(byte));
        let counter = u16::from(bytes[6] & 0x0f) << 8 | u16::from(bytes[7]);
        if (millis, counter) > (self.millis, self.counter) {
            (self.millis, self.counter) = (millis, counter);
        }
    }

    /// The next id, of a credential issued `now`.
    pub fn next(&mut self, now: Timestamp, entropy: [u8; 8]) -> CredentialId {
        if now.as_millis() > self.millis {
            self.millis = now.as_millis();
            self.counter = 0;
        } else {
            self.counter += 1;
            if self.counter == Self::COUNTER_END {
                self.millis += 1;
                self.counter = 0;
            }
        }
        let mut random = [0; 10];
        random[..2].copy_from_slice(&self.counter.to_be_bytes());
        random[2..].copy_from_slice(&entropy);
        let millis = u64::try_from(self.millis).unwrap_or_default();
        let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random);
        CredentialId::from_bytes(uuid.into_uuid().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::keyring::KeyVersion;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    /// What a command may look at, in a list.
    #[derive(Default)]
    struct Listed(Vec<Known>);

    impl View for Listed {
        fn credential(&self, id: CredentialId) -> Option<Known> {
            let mut known = self.0.iter();
            known.find(|known| known.credential().id == id).cloned()
        }

        fn callers(&self) -> Vec<Known> {
            let of_credd = |known: &&Known| known.credential().tenant.is_credd();
            self.0.iter().filter(of_credd).cloned().collect()
        }
    }

    fn keyring() -> Keyring {
        let key = [(KeyVersion(1), zeroize::Zeroizing::new([1; 32]))];
        Keyring::new(&key, &key).unwrap()
    }

    fn decide_on(view: &Listed, command: &Command) -> Result<Decision, Refusal> {
        let mut context = Context {
            now: NOW,
            keyring: &keyring(),
            ids: &mut IdSequence::after(None),
        };
        decide(view, command, &mut context)
    }

    fn id(n: u8) -> CredentialId {
        CredentialId::from_bytes([n; 16])
    }

    fn issue(new_id: NewId) -> Issue {
        Issue {
            tenant: Tenant::trusted("acme".into()),
            owner: Owner::trusted("jo".into()),
            kind: Kind::ApiToken,
            label: Label::trusted("test".into()),
            description: Description::trusted("".into()),
            roles: Vec::new(),
            expiry: Expiry::Never,
            secret: Secret::new([7; 32]),
            id: new_id,
            by: Principal::system(),
        }
    }

    fn issued(view: &Listed, issue: Issue) -> Credential {
        let decision = decide_on(view, &Command::Issue(Box::new(issue))).unwrap();
        decision.answer.unwrap().credential().clone()
    }

    fn credential(n: u8, state: State) -> Credential {
        Credential {
            state,
            ..issued(&Listed::default(), issue(NewId::Given(id(n))))
        }
    }

    fn administrator(n: u8, state: State, expires_at: Option<Timestamp>) -> Credential {
        Credential {
            tenant: Tenant::credd(),
            roles: vec![Role::trusted(Role::ADMINISTRATOR.into())],
            expires_at,
            ..credential(n, state)
        }
    }

    fn stored(credential: Credential, revision: u64) -> Known {
        Known::Committed(Stored {
            credential,
            revision: Revision::new(revision),
        })
    }

    fn set(n: u8, action: Action) -> Command {
        Command::SetState(SetState {
            id: id(n),
            action,
            reason: Reason::trusted("why".into()),
            by: Principal::trusted("credd:who".into()),
        })
    }

    const LATER: Option<Timestamp> = Some(Timestamp::from_millis(NOW.as_millis() + 1));

    #[test]
    fn every_action_on_every_state_is_decided_as_the_table_says() {
        use Action::{Lock, Revoke, Unlock};
        use State::{Active, Locked, Revoked};

        let to = |state| Ok(Some(state));
        let table = [
            (Active, Lock, to(Locked)),
            (Active, Unlock, Ok(None)),
            (Active, Revoke, to(Revoked)),
            (Locked, Lock, Ok(None)),
            (Locked, Unlock, to(Active)),
            (Locked, Revoke, to(Revoked)),
            (Revoked, Lock, Err(Refusal::Revoked(id(1)))),
            (Revoked, Unlock, Err(Refusal::Revoked(id(1)))),
            (Revoked, Revoke, Ok(None)),
        ];
        for (state, action, expected) in table {
            let before = credential(1, state);
            let view = Listed(vec![stored(before.clone(), 5)]);
            let decided = decide_on(&view, &set(1, action));
            let decided = decided.map(|decision| {
                let answer = decision.answer.unwrap().at(Revision::new(9));
                let Some(record) = decision.writes.first() else {
                    assert_eq!(answer.credential, before);
                    assert_eq!(
                        answer.revision,
                        Revision::new(5),
                        "the revision of the first"
                    );
                    return None;
                };
                assert_eq!(decision.writes.len(), 1);
                let Record::Credential(_, Some(written)) = record else {
                    panic!("{record:?}");
                };
                assert_eq!(**written, answer.credential);
                assert_eq!(answer.state_revision(), Revision::new(9));
                let Change {
                    action: done,
                    at,
                    by,
                    reason,
                } = &written.last_change;
                assert_eq!((*done, *at), (action, NOW));
                assert_eq!((by.as_str(), reason.as_str()), ("credd:who", "why"));
                Some(written.state)
            });
            assert_eq!(decided, expected, "{action:?} of {state:?}");
        }
        let unknown = decide_on(&Listed::default(), &set(1, Lock));
        assert_eq!(unknown, Err(Refusal::NotFound(id(1))));
    }

    #[test]
    fn the_last_who_can_administer_for_good_is_neither_locked_nor_revoked() {
        let is_refused = |others: Vec<Credential>, action| {
            let mut known = vec![stored(administrator(1, State::Active, None), 1)];
            known.extend(others.into_iter().map(|other| stored(other, 2)));
            let decided = decide_on(&Listed(known), &set(1, action));
            if let Err(refusal) = &decided {
                assert_eq!(*refusal, Refusal::LastAdministrator(id(1)));
            }
            decided.is_err()
        };
        let verifier = Credential {
            roles: vec![Role::trusted(Role::VERIFIER.into())],
            ..administrator(2, State::Active, None)
        };
        let of_another_tenant = Credential {
            tenant: Tenant::trusted("acme".into()),
            ..administrator(2, State::Active, None)
        };
        for action in [Action::Lock, Action::Revoke] {
            assert!(is_refused(vec![], action));
            assert!(is_refused(
                vec![administrator(2, State::Locked, None)],
                action
            ));
            assert!(is_refused(
                vec![administrator(2, State::Revoked, None)],
                action
            ));
            assert!(is_refused(
                vec![administrator(2, State::Active, LATER)],
                action
            ));
            assert!(is_refused(vec![verifier.clone()], action));
            assert!(is_refused(vec![of_another_tenant.clone()], action));
            assert!(!is_refused(
                vec![administrator(2, State::Active, None)],
                action
            ));
        }
        // One that cannot administer now is no loss.
        let locked = Listed(vec![stored(administrator(1, State::Locked, None), 1)]);
        assert!(decide_on(&locked, &set(1, Action::Revoke)).is_ok());
    }

    #[test]
    fn a_given_id_is_issued_once() {
        let view = Listed(vec![Known::Pending(credential(1, State::Revoked).into())]);
        let command = Command::Issue(Box::new(issue(NewId::Given(id(1)))));
        assert_eq!(decide_on(&view, &command), Err(Refusal::Exists(id(1))));
    }

    #[test]
    fn an_expiry_is_a_moment_or_a_time_after_the_issue() {
        let expires = |expiry| {
            let issue = Issue {
                expiry,
                ..issue(NewId::Given(id(1)))
            };
            issued(&Listed::default(), issue).expires_at
        };
        assert_eq!(expires(Expiry::Never), None);
        assert_eq!(expires(Expiry::At(NOW)), Some(NOW));
        assert_eq!(expires(Expiry::After(Duration::from_millis(1))), LATER);
        assert_eq!(expires(Expiry::After(Duration::MAX)), Some(Timestamp::MAX));
    }

    #[test]
    fn the_mac_is_that_of_the_secret_and_not_of_another() {
        use crate::domain::keyring::Macs as _;

        let credential = credential(1, State::Active);
        let matches = |secret: [u8; 32]| {
            let of = SecretOf {
                kind: credential.kind,
                id: credential.id,
                generation: credential.generation,
                secret: &Secret::new(secret),
            };
            keyring().matches(&of, Some(&credential.mac))
        };
        assert!(matches([7; 32]));
        assert!(!matches([8; 32]));
    }

    #[test]
    fn uses_are_recorded_of_credentials_that_exist() {
        let view = Listed(vec![stored(credential(1, State::Active), 1)]);
        let last_use = LastUse {
            at: NOW,
            by: Principal::system(),
        };
        let uses = vec![(id(1), last_use.clone()), (id(2), last_use.clone())];
        let decision = decide_on(&view, &Command::RecordUses(uses)).unwrap();
        assert_eq!(decision.writes, [Record::LastUse(id(1), Some(last_use))]);
    }

    proptest! {
        #[test]
        fn ids_rise_strictly_whatever_the_clock_does(
            greatest: Option<[u8; 16]>,
            times in prop::collection::vec((0_i64..3, any::<[u8; 8]>()), 1..50),
            begin in 0_i64..1 << 47,
        ) {
            // One that this sequence can have made.
            let greatest = greatest.map(|mut bytes| {
                bytes[0] &= 0x7f;
                bytes[6] = 0x70 | bytes[6] & 0x0f;
                bytes[8] = 0x80 | bytes[8] & 0x3f;
                CredentialId::from_bytes(bytes)
            });
            let mut ids = IdSequence::after(greatest);
            let mut last = greatest.unwrap_or(CredentialId::MIN);
            for (step, entropy) in times {
                let next = ids.next(Timestamp::from_millis(begin + step), entropy);
                prop_assert!(next > last, "{next} after {last}");
                last = next;
            }
        }
    }

    #[test]
    fn ids_rise_strictly_beyond_those_that_fit_in_a_millisecond() {
        let mut ids = IdSequence::after(None);
        let mut last = CredentialId::MIN;
        for n in 0..20_000_u32 {
            // The random part falls, so that it is no help.
            let next = ids.next(NOW, (u64::from(u32::MAX - n) << 32).to_be_bytes());
            assert!(next > last);
            last = next;
        }
    }
}
