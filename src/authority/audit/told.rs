//! What is told of a change, in the commit that makes it.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::authority::caller::{Call, Origin};
use crate::authority::command::{
    Answer, Command, Decision, DirectoryCommand, Import, Issue, PutProfile, What,
};
use crate::authority::committer::How;
use crate::authority::record::audit::AuditKey;
use crate::authority::record::{Record, audit};
use crate::domain::audit::{ChainNumber, Event, Head, KnownBy, MOST_CREDENTIALS, OK, Subject};
use crate::domain::credential::{Action, Credential};
use crate::domain::directory::OwnerRef;
use crate::domain::keyring::{KeyState, KnownKey};
use crate::domain::names::{Principal, Reason, Tenant};
use crate::domain::profile::ProfileFamily;
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::store::{Expect, Guard};

/// Records of the audit log whose payloads are to go.
#[derive(Clone, Debug)]
pub struct Erasure {
    /// The records, without them.
    pub records: Vec<audit::AuditRecord>,
    /// The commits that wrote them as they were read.
    pub written: Vec<Revision>,
    /// The tenant whose owner they named; empty: they named a caller.
    pub tenant: String,
    /// Why.
    pub reason: Reason,
}

/// The oldest part of the audit log, which is to go.
#[derive(Clone, Debug)]
pub struct Trimming {
    /// The records.
    pub sequences: RangeInclusive<u64>,
    /// The commit that wrote the first of them as it was read.
    pub written: Revision,
    /// Where the log begins then: the last of them.
    pub anchor: Head,
}

impl Erasure {
    pub(in crate::authority) fn writes(&self) -> Vec<Record> {
        let records = self.records.iter();
        let written = records.map(|record| {
            let key = AuditKey::Entry(ChainNumber::FIRST, record.entry.sequence);
            Record::Audit(key, Some(audit::write_entry(record)))
        });
        written.collect()
    }

    /// That the records are as they were read.
    pub(in crate::authority) fn guards(&self) -> Vec<Guard> {
        let written = self.sequences().zip(&self.written);
        written
            .map(|(sequence, written)| as_read(sequence, *written))
            .collect()
    }

    fn sequences(&self) -> impl Iterator<Item = u64> {
        self.records.iter().map(|record| record.entry.sequence)
    }

    /// The numbers of the records, those that follow one another together.
    fn numbers(&self) -> String {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for sequence in self.sequences() {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == sequence => *last = sequence,
                _ => ranges.push((sequence, sequence)),
            }
        }
        let shown = ranges.iter().map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        });
        shown.collect::<Vec<_>>().join(", ")
    }
}

/// That a record is as it was read.
fn as_read(sequence: u64, written: Revision) -> Guard {
    Guard {
        key: AuditKey::Entry(ChainNumber::FIRST, sequence).to_bytes(),
        expect: Expect::Revision(written),
    }
}

impl Trimming {
    /// That the log begins where it was read to begin.
    pub(in crate::authority) fn guards(&self) -> Vec<Guard> {
        vec![as_read(*self.sequences.start(), self.written)]
    }

    pub(in crate::authority) fn writes(&self) -> Vec<Record> {
        let chain = ChainNumber::FIRST;
        let gone = self.sequences.clone();
        let gone = gone.map(|sequence| Record::Audit(AuditKey::Entry(chain, sequence), None));
        let anchor = audit::write_anchor(&self.anchor);
        let anchor = Record::Audit(AuditKey::Anchor(chain), Some(anchor));
        gone.chain([anchor]).collect()
    }
}

/// What is told of a command that was decided; nothing, if it changed nothing, and
/// of what nobody would ask about.
pub(in crate::authority) fn told(
    how: &How,
    command: &Command,
    decision: &Decision,
    now: Timestamp,
) -> Vec<Event> {
    if let Command::RecordEvents(events) = command {
        return events.clone();
    }
    if decision.writes.is_empty() && !matches!(command, Command::Reveal(_)) {
        return Vec::new();
    }
    let by = match &how.origin {
        Origin::Call(call) => super::of_call(call, OK, now),
        Origin::Credd => match of_credd(command) {
            Some(action) => Event {
                principal: Principal::system().to_string(),
                known_by: KnownBy::System,
                ..Event::new(action, OK, now)
            },
            None => return Vec::new(),
        },
    };
    let event = Event {
        subject: subject(command, decision),
        reason: reason(command).map_or_else(String::new, ToString::to_string),
        count: count(command),
        details: details(command, &decision.writes),
        erased: match command {
            Command::EraseEvents(erasure) => erasure.sequences().collect(),
            _ => Vec::new(),
        },
        begins: match command {
            Command::TrimAudit(trimming) => Some(trimming.anchor),
            _ => None,
        },
        ..by
    };
    split(event)
}

/// What credd does of its own accord, if that is told.
const fn of_credd(command: &Command) -> Option<&'static str> {
    match command {
        Command::Remove(_) => Some("credd.retention"),
        Command::TrimAudit(_) => Some("credd.audit-retention"),
        Command::NoteKeys(_) => Some("credd.keyring"),
        Command::Restore(restore) => Some(restore.action()),
        Command::Upgrade(_) => Some("credd.upgrade"),
        Command::Issue(_)
        | Command::Import(_)
        | Command::SetState(_)
        | Command::Update(_)
        | Command::Rotate(_)
        | Command::Reveal(_)
        | Command::ReportLeak(_)
        | Command::Directory(_)
        | Command::EraseEvents(_)
        | Command::RotateKey(_)
        | Command::RetireKey(_)
        | Command::EndSecrets(_) => Some("credd.administrator"),
        Command::RecordUses(_)
        | Command::TellExpiry(_)
        | Command::Forget(..)
        | Command::Rekey(_)
        | Command::RecordEvents(_)
        | Command::Beat(..)
        | Command::Bury(_)
        | Command::Fence => None,
    }
}

fn count(command: &Command) -> u64 {
    match command {
        Command::Remove(ids) => ids.len() as u64,
        Command::TrimAudit(trimming) => trimming.sequences.clone().count() as u64,
        Command::EraseEvents(erasure) => erasure.records.len() as u64,
        _ => 1,
    }
}

fn reason(command: &Command) -> Option<&Reason> {
    match command {
        Command::Issue(issue) => Some(&issue.reason),
        Command::Import(import) => Some(&import.reason),
        Command::SetState(ask) => Some(&ask.reason),
        Command::Update(update) => Some(&update.reason),
        Command::Rotate(rotate) => Some(&rotate.reason),
        Command::Reveal(reveal) => Some(&reveal.reason),
        Command::ReportLeak(report) => Some(&report.reason),
        Command::Directory(command) => Some(&command.reason),
        Command::EraseEvents(erasure) => Some(&erasure.reason),
        Command::RotateKey(ask) => Some(&ask.reason),
        Command::RetireKey(ask) => Some(&ask.reason),
        Command::EndSecrets(ask) => Some(&ask.reason),
        Command::RecordUses(_)
        | Command::TellExpiry(_)
        | Command::Remove(_)
        | Command::Forget(..)
        | Command::NoteKeys(_)
        | Command::Rekey(_)
        | Command::RecordEvents(_)
        | Command::Restore(_)
        | Command::Upgrade(_)
        | Command::TrimAudit(_)
        | Command::Beat(..)
        | Command::Bury(_)
        | Command::Fence => None,
    }
}

fn subject(command: &Command, decision: &Decision) -> Subject {
    match command {
        Command::Issue(issue) => {
            let Issue {
                tenant,
                owner,
                profile,
                ..
            } = &**issue;
            Subject {
                tenant: tenant.to_string(),
                owner: owner.to_string(),
                profile: profile.to_string(),
                credentials: written(decision).map(|credential| credential.id).collect(),
                ..Subject::default()
            }
        }
        Command::Import(import) => {
            let Import { tenant, .. } = &**import;
            Subject {
                tenant: tenant.to_string(),
                credentials: written(decision).map(|credential| credential.id).collect(),
                ..Subject::default()
            }
        }
        Command::Directory(command) => of_directory(command),
        Command::EraseEvents(erasure) => Subject {
            tenant: erasure.tenant.clone(),
            ..Subject::default()
        },
        Command::Remove(ids) => Subject {
            credentials: ids.iter().take(MOST_CREDENTIALS).copied().collect(),
            ..Subject::default()
        },
        Command::Restore(restore) => match &decision.answer {
            Answer::Credential(known) => of_credential(known.credential()),
            _ => restore.subject(),
        },
        _ => match &decision.answer {
            Answer::Credential(known) => of_credential(known.credential()),
            Answer::Secret(with) => of_credential(with.credential.credential()),
            _ => Subject::default(),
        },
    }
}

fn of_credential(credential: &Credential) -> Subject {
    Subject {
        tenant: credential.tenant.to_string(),
        owner: credential.owner.to_string(),
        profile: credential.profile.family.name.to_string(),
        credentials: vec![credential.id],
        ..Subject::default()
    }
}

fn of_directory(command: &DirectoryCommand) -> Subject {
    let of_tenant = |tenant: &Tenant| Subject {
        tenant: tenant.to_string(),
        ..Subject::default()
    };
    let of_owner = |owner: &OwnerRef| Subject {
        owner: owner.name.to_string(),
        ..of_tenant(&owner.tenant)
    };
    let of_profile = |family: &ProfileFamily| Subject {
        tenant: command.what.reach().to_string(),
        profile: family.name.to_string(),
        ..Subject::default()
    };
    match &command.what {
        What::PutTenant(put) => of_tenant(&put.name),
        What::DisableTenant(tenant, _) | What::DeleteTenant(tenant) => of_tenant(tenant),
        What::PutOwner(put) => of_owner(&put.owner),
        What::DisableOwner(owner, _)
        | What::SetDefaultSource(owner, _)
        | What::DeleteOwner(owner) => of_owner(owner),
        What::PutRole(put) => Subject {
            role: put.role.name.to_string(),
            ..of_tenant(&put.role.tenant)
        },
        What::DeleteRole(role) => Subject {
            role: role.name.to_string(),
            ..of_tenant(&role.tenant)
        },
        What::PutProfile(PutProfile(profile)) => of_profile(&profile.family()),
        What::DeleteProfile(family) => of_profile(family),
        What::PutBinding(binding) | What::DeleteBinding(binding) => Subject {
            tenant: binding.reach.to_string(),
            role: binding.role.to_string(),
            principal: binding.principal.to_string(),
            ..Subject::default()
        },
    }
}

/// The credentials that a decision writes.
fn written(decision: &Decision) -> impl Iterator<Item = &Credential> {
    decision.writes.iter().filter_map(|record| match record {
        Record::Credential(_, Some(credential)) => Some(&**credential),
        _ => None,
    })
}

/// What is put, for people.
fn details(command: &Command, writes: &[Record]) -> String {
    let details: Vec<String> = match command {
        Command::EraseEvents(erasure) => vec![format!("records {}", erasure.numbers())],
        Command::TrimAudit(Trimming { sequences, .. }) => {
            vec![format!("records {}-{}", sequences.start(), sequences.end())]
        }
        Command::Restore(restore) => vec![restore.details()],
        Command::Upgrade(format) => vec![format!("records of format {format}")],
        // One is like another.
        Command::Remove(_) => Vec::new(),
        Command::Issue(_) => {
            let replaced = writes.iter().filter_map(|record| match record {
                Record::Credential(id, Some(credential))
                    if credential.last_change.action == Action::Revoke =>
                {
                    Some(format!("revokes {id}"))
                }
                _ => None,
            });
            writes
                .iter()
                .filter_map(of_record)
                .chain(replaced)
                .collect()
        }
        _ => writes.iter().filter_map(of_record).collect(),
    };
    details.join("; ")
}

/// What is told of a record that is put, if there is something.
pub(in crate::authority) fn of_record(record: &Record) -> Option<String> {
    let listed = |what: &str, names: Vec<String>| {
        (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")))
    };
    let texts = |names: &mut dyn Iterator<Item = String>| names.collect::<Vec<_>>();
    match record {
        Record::Credential(_, Some(credential)) => match credential.last_change.action {
            Action::Issue | Action::Import | Action::Update | Action::Rotate => {
                Some(of_secret(credential))
            }
            Action::Revoke
            | Action::Lock
            | Action::Unlock
            | Action::ReportLeak
            | Action::TellExpiry
            | Action::Remove => None,
        },
        Record::Owner(_, Some(record)) if !record.last_change.deleted() => {
            let parts = [
                listed(
                    "principals",
                    texts(&mut record.principals.iter().map(ToString::to_string)),
                ),
                listed(
                    "roles",
                    texts(&mut record.roles.iter().map(ToString::to_string)),
                ),
                listed(
                    "groups",
                    texts(&mut record.groups.iter().map(ToString::to_string)),
                ),
                record
                    .chosen_source
                    .as_ref()
                    .map(|source| format!("default source {source}")),
            ];
            Some(parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
        }
        Record::Role(_, Some(record)) if !record.last_change.deleted() => listed(
            "permissions",
            texts(&mut record.permissions.texts().map(str::to_owned)),
        ),
        Record::Profile(reference, Some(record)) if !record.last_change.deleted() => {
            Some(format!("version {}", reference.version))
        }
        Record::Keyring(Some(state)) => {
            let version = |key: &KnownKey| {
                let state = match key.state {
                    KeyState::Unused => "unused",
                    KeyState::Active => "active",
                    KeyState::Old => "old",
                    KeyState::Retired => "retired",
                };
                format!("{} ({state})", key.version)
            };
            let peppers = texts(&mut state.peppers.iter().map(version));
            let sealing = texts(&mut state.sealing.iter().map(version));
            Some(format!(
                "peppers {}; sealing keys {}",
                peppers.join(", "),
                sealing.join(", ")
            ))
        }
        _ => None,
    }
    .filter(|detail| !detail.is_empty())
}

/// What is told of a credential that got what it says.
pub(in crate::authority) fn of_secret(credential: &Credential) -> String {
    let generation = credential.secret.generation.number();
    let roles = credential.roles.iter().map(ToString::to_string);
    let roles = roles.collect::<Vec<_>>().join(", ");
    let expiry = credential.expires_at.map(Timestamp::as_millis);
    let overlap = credential.overlap.as_ref();
    let ends = overlap.map(|overlap| overlap.ends_at.as_millis());
    let parts = [
        Some(format!("secret {generation}")),
        (!roles.is_empty()).then(|| format!("roles {roles}")),
        expiry.map(|expiry| format!("expires at {expiry} ms")),
        ends.map(|ends| format!("overlap until {ends} ms")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// As many events as are needed to name all credentials.
fn split(event: Event) -> Vec<Event> {
    let all = &event.subject.credentials;
    if all.len() <= MOST_CREDENTIALS {
        return vec![event];
    }
    let parts = all.chunks(MOST_CREDENTIALS).map(|some| {
        let mut part = event.clone();
        part.subject.credentials = some.to_vec();
        part
    });
    parts.collect()
}

/// The events of one group, those of one call that are about the same together.
#[derive(Debug, Default)]
pub(in crate::authority) struct Told(Vec<(Option<Arc<Call>>, Event)>);

impl Told {
    /// Adds what is told of a command.
    pub(in crate::authority) fn add(&mut self, origin: &Origin, events: Vec<Event>) {
        let call = match origin {
            Origin::Call(call) => Some(call),
            Origin::Credd => None,
        };
        for event in events {
            if let (Some(call), Some((Some(before), last))) = (call, self.0.last_mut())
                && Arc::ptr_eq(call, before)
                && join(last, &event)
            {
                continue;
            }
            self.0.push((call.cloned(), event));
        }
    }

    /// How many events there are.
    pub(in crate::authority) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The events, in the order in which they came.
    pub(in crate::authority) fn take(&mut self) -> Vec<Event> {
        let events = std::mem::take(&mut self.0).into_iter();
        events.map(|(_, event)| event).collect()
    }
}

/// Takes an event into another, if they are alike but for their credentials.
fn join(into: &mut Event, event: &Event) -> bool {
    let (held, new) = (&into.subject.credentials, &event.subject.credentials);
    if new.is_empty() || held.len() + new.len() > MOST_CREDENTIALS {
        return false;
    }
    let with = |credentials: Vec<_>, event: &Event| Event {
        subject: Subject {
            credentials,
            ..event.subject.clone()
        },
        count: 1,
        details: String::new(),
        ..event.clone()
    };
    if with(Vec::new(), into) != with(Vec::new(), event) {
        return false;
    }
    into.subject.credentials.extend(new);
    into.count += event.count;
    true
}
