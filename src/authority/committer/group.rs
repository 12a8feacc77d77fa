//! The commands of one commit: what they write, and what they are answered.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;

use super::{CommandError, Done, How, Job};
use crate::authority::audit::told::Told;
use crate::authority::caller::Origin;
use crate::authority::command::{Answer, Decision, Refusal};
use crate::authority::index::Index;
use crate::authority::record::audit::{self, AuditKey, AuditRecord};
use crate::authority::record::{Record, credential_key, fence_key, rekeyed_key};
use crate::domain::audit::{ChainNumber, Entry, Event, Head, Payload};
use crate::domain::random::{self, Random, RandomUnavailable};
use crate::domain::revision::Revision;
use crate::store::{Batch, Expect, Guard, Limits, Write};

/// Commands that are committed together.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) batch: Batch,
    pub(super) keys: HashSet<Bytes>,
    /// Whether somebody waits for a fence at it.
    pub(super) fenced: bool,
    /// Whether any of its commands depends on what it found.
    pub(super) looks: bool,
    /// Whether others commit to the store too.
    pub(super) is_shared: bool,
    /// The revision as of which it is decided.
    pub(super) as_of: Revision,
    /// What the audit log is told.
    told: Told,
    /// For each waiting command in turn: its answer; `None` if it has to wait
    /// for the next group.
    pub(super) decided: Vec<Option<Result<Decided, Refusal>>>,
}

/// A command that was decided.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) answer: Answer,
    pub(super) changes: bool,
    /// Whether the commit tells of it.
    pub(super) told: bool,
}

impl Group {
    /// Whether what a command writes, what is told of it, and what guards it fit in the
    /// batch.
    pub(super) fn has_room(
        &self,
        decision: &Decision,
        (events, guards): (&[Event], &[Guard]),
        limits: Limits,
    ) -> bool {
        // With what marks a fence, and the end of the audit log.
        let told = self.told.len() + events.len() + 1;
        let guarded = decision.writes.iter().map(|record| match record {
            Record::Credential(_, Some(_)) => 2,
            Record::Rekeyed(_, Some(_)) | Record::Keyring(_) | Record::Node(_, None) => 1,
            Record::Uses(_, Some(_)) => usize::from(self.is_shared),
            _ => 0,
        });
        let guards = guarded.sum::<usize>() + guards.len() + 1;
        self.batch.writes.len() + decision.writes.len() + told <= limits.writes
            && self.batch.guards.len() + guards <= limits.guards
    }

    pub(super) fn holds_any_key_of(&self, decision: &Decision) -> bool {
        let mut keys = decision.writes.iter().map(Record::key);
        keys.any(|key| self.keys.contains(&key))
    }

    pub(super) fn add(
        &mut self,
        decision: Decision,
        index: &Index,
        how: &How,
        events: Vec<Event>,
    ) -> Decided {
        let changes = !decision.writes.is_empty();
        let told = !events.is_empty();
        self.told.add(&how.origin, events);
        let deletes_rekeyed = decision.writes.iter().filter_map(|record| match record {
            Record::Rekeyed(id, None) => Some(*id),
            _ => None,
        });
        let deletes_rekeyed: HashSet<_> = deletes_rekeyed.collect();
        for record in decision.writes {
            let key = record.key();
            // What is deleted is the trace of a credential that was removed, which the
            // index does not have and nobody writes any more.
            let of = |id| {
                let (_, entry) = index.read(|index| index.credential(id));
                let expect = entry.map_or(Expect::Absent, |e| Expect::Revision(e.revision()));
                let key = credential_key(id);
                Guard { key, expect }
            };
            match &record {
                Record::Credential(id, Some(_)) | Record::Rekeyed(id, Some(_)) => {
                    self.batch.guards.push(of(*id));
                    if self.is_shared
                        && matches!(record, Record::Credential(..))
                        && !deletes_rekeyed.contains(id)
                    {
                        // Nor was anything made anew beside it that it would leave there.
                        self.batch.guards.push(Guard {
                            key: rekeyed_key(*id),
                            expect: Expect::Absent,
                        });
                    }
                }
                // Nor was it removed meanwhile: nobody would delete them.
                Record::Uses(id, Some(_)) if self.is_shared => {
                    self.batch.guards.push(of(*id));
                }
                Record::Keyring(_) => {
                    let (_, known) = index.read(|index| index.keyring());
                    let expect = known.map_or(Expect::Absent, |(_, at)| Expect::Revision(at));
                    let key = key.clone();
                    self.batch.guards.push(Guard { key, expect });
                }
                // Only if it has not beaten since.
                Record::Node(name, None) => {
                    let (_, known) = index.read(|index| index.node_revision(*name));
                    let expect = known.map_or(Expect::Absent, Expect::Revision);
                    let key = key.clone();
                    self.batch.guards.push(Guard { key, expect });
                }
                _ => (),
            }
            self.keys.insert(key.clone());
            self.batch.writes.push(Write {
                key,
                value: record.encode(),
            });
        }
        Decided {
            answer: decision.answer,
            changes,
            told,
        }
    }

    /// Marks the batch if it is fenced.
    pub(super) fn fence(&mut self) {
        if self.fenced {
            self.batch.writes.push(Write {
                key: fence_key(),
                value: Record::Fence.encode(),
            });
        }
    }

    /// Adds what is told of its commands to the batch, after the head of the audit
    /// log.
    pub(super) fn tell(
        &mut self,
        mut head: Head,
        random: &dyn Random,
    ) -> Result<(), RandomUnavailable> {
        let first = self.batch.writes.len();
        for event in self.told.take() {
            let payload = Payload {
                salt: random::bytes(random)?,
                bytes: audit::write_event(&event.fit()),
            };
            let entry = Entry::after(ChainNumber::FIRST, &head, self.batch.at, payload);
            head = entry.head();
            let record = AuditRecord {
                entry,
                revision: None,
            };
            self.batch.writes.push(Write {
                key: AuditKey::Entry(ChainNumber::FIRST, head.sequence).to_bytes(),
                value: Some(audit::write_entry(&record)),
            });
        }
        if let Some(write) = self.batch.writes.get(first) {
            // Nobody else has written on.
            self.batch.guards.push(Guard {
                key: write.key.clone(),
                expect: Expect::Absent,
            });
        }
        Ok(())
    }

    /// Has the batch refused if somebody else has changed anything that a command may
    /// depend on: all that is told of. There is one audit log, so that all changes come
    /// one after the other, and each is decided on what the one before it left.
    pub(super) fn guard(&mut self, head: Head) {
        let key = AuditKey::Entry(ChainNumber::FIRST, head.sequence + 1).to_bytes();
        let guards = &mut self.batch.guards;
        // A heartbeat waits for nobody.
        if self.looks && !self.batch.vital && !guards.iter().any(|guard| guard.key == key) {
            let expect = Expect::Absent;
            guards.push(Guard { key, expect });
        }
    }

    /// Refuses every command that was decided.
    pub(super) fn refuse(&mut self, refusal: &Refusal) {
        self.batch.writes.clear();
        self.batch.guards.clear();
        for decided in self.decided.iter_mut().flatten() {
            *decided = Err(refusal.clone());
        }
    }

    /// How many commands were decided.
    pub(super) fn commands(&self) -> usize {
        self.decided.iter().flatten().count()
    }

    /// Answers every command that was decided and leaves the others waiting.
    pub(super) fn answer(
        self,
        waiting: &mut VecDeque<Job>,
        committed: Result<Revision, &CommandError>,
    ) {
        let mut left = VecDeque::new();
        for decided in self.decided {
            let Some(job) = waiting.pop_front() else {
                break;
            };
            let Some(decided) = decided else {
                left.push_back(job);
                continue;
            };
            let answer = match (committed, decided) {
                (Err(error), _) => Err(error.clone()),
                (Ok(_), Err(refusal)) => Err(CommandError::Refused(refusal)),
                (
                    Ok(revision),
                    Ok(Decided {
                        answer,
                        changes,
                        told,
                    }),
                ) => {
                    if let (true, Origin::Call(call)) = (told, &job.how.origin) {
                        call.trace.set_told();
                    }
                    if let Some(fence) = job.how.fence.filter(|_| !job.how.dry) {
                        fence.note(revision);
                    }
                    Ok(Done {
                        answer,
                        revision,
                        changes,
                    })
                }
            };
            // Nobody waits for it any more: it was carried out all the same.
            let _ = job.answer.send(answer);
        }
        left.append(waiting);
        *waiting = left;
    }
}
