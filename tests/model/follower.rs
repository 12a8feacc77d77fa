//! What happens: the sidecars' part.

use std::time::Duration;

use credd::domain::lease::Holder;
use credd::domain::recent::Recent;
use credd::domain::revision::Revision;

use crate::mutation::Mutation;
use crate::world::{
    Answer, Entry, Flight, Peer, RELAY, SUBJECT, Session, Sidecar, State, Stream, TICK, Up, World,
    commits,
};

impl State {
    /// A peer is gone, with all connections to it and all that was sent to it.
    pub(crate) fn hang_up(&mut self, peer: Peer) {
        for sidecar in &mut self.sidecars {
            if sidecar.stream.as_ref().is_some_and(|it| it.to == peer) {
                sidecar.stream = None;
                sidecar.holder.disconnected();
            }
            if sidecar.late.is_some_and(|(to, ..)| to == peer) {
                sidecar.late = None;
            }
        }
    }

    /// A request arrives at a sidecar that has to ask.
    pub(crate) fn ask(&mut self, at: usize) {
        self.spent.flights += 1;
        self.sidecars[at].flight = Some(Flight {
            answer: None,
            first: self.returned,
            joined: None,
        });
    }

    /// A request arrives at a sidecar that has asked for the same.
    pub(crate) fn join(&mut self, at: usize) -> Option<()> {
        self.spent.joins += 1;
        self.sidecars[at].flight.as_mut()?.joined = Some(self.returned);
        Some(())
    }
}

impl Sidecar {
    /// Continuity is lost: whatever changed up to a revision was missed.
    pub(crate) fn reset(&mut self, revision: Revision) {
        self.kept = None;
        self.recent.reset(revision);
        self.holder.give_up();
        self.began = revision;
        if let Some(relay) = &mut self.relay {
            relay.reset(revision);
        }
    }
}

impl World {
    pub(crate) fn connect(&self, state: &mut State, at: usize, to: Peer, lost: bool) -> Option<()> {
        let known = state.sidecars[at].recent.applied();
        let applied = state.applied(to);
        let reaches_back = match to {
            Peer::Node(_) => Revision::ZERO,
            Peer::Relay => state.sidecars[RELAY].recent.level(),
        };
        let lost = lost || known == Revision::ZERO || known < reaches_back;
        if lost && known > Revision::ZERO {
            state.spent.resets += 1;
        }
        if self.mutation == Mutation::ReplaceOnConnect {
            self.forget(state, to)?;
        }
        state.sidecars[at].stream = Some(Stream {
            to,
            up: Vec::new(),
            down: Vec::new(),
            reset: lost.then_some(applied),
            told: if lost { applied } else { known },
        });
        Some(())
    }

    pub(crate) fn send(&self, state: &mut State, at: usize) -> Option<()> {
        let now = self.sidecars_clock(state, at);
        let lease = self.lease(0);
        let to = state.sidecars[at].stream.as_ref()?.to;
        let received = state.applied(to);
        let sidecar = &mut state.sidecars[at];
        let sequence = sidecar.holder.send(now);
        if self.mutation == Mutation::LeaseWithoutAnswer {
            sidecar.holder.answered(sequence, Some(lease));
        }
        let mut applied = sidecar.recent.applied();
        if self.mutation == Mutation::AcknowledgeBeforeApply {
            applied = applied.max(received);
        }
        let acknowledged = match &mut sidecar.relay {
            Some(relay) if self.mutation != Mutation::RelayAcknowledgesOwn => {
                relay.acknowledged(applied, now)
            }
            _ => applied,
        };
        sidecar.sent += 1;
        sidecar.stream.as_mut()?.up.push(Up {
            sequence,
            applied,
            acknowledged,
        });
        Some(())
    }

    /// A message arrives at whom it was sent to.
    #[allow(clippy::option_option, reason = "whether it is there, and a lease")]
    pub(crate) fn renew(
        &self,
        state: &mut State,
        to: Peer,
        session: Session,
        up: Up,
    ) -> Option<Option<Duration>> {
        let acknowledged = up.acknowledged;
        let applied = match self.mutation {
            Mutation::LeaseBelowFloor => Revision::new(u64::MAX),
            _ => up.applied,
        };
        match to {
            Peer::Node(at) => {
                let now = self.nodes_clock(state, at);
                let node = state.nodes[at].as_mut()?;
                let within = self.within(node);
                let grantor = &mut node.grantor;
                Some(grantor.renew(&session, applied, acknowledged, now, within))
            }
            Peer::Relay => {
                let now = self.sidecars_clock(state, RELAY);
                let Sidecar { relay, holder, .. } = &mut state.sidecars[RELAY];
                let relay = relay.as_mut()?;
                if self.mutation == Mutation::RelayGrantsLonger {
                    let mut longer = Holder::new(self.drift);
                    let sequence = longer.send(now);
                    longer.answered(sequence, Some(TICK * 100));
                    return Some(relay.renew(&session, applied, acknowledged, now, &longer));
                }
                Some(relay.renew(&session, applied, acknowledged, now, holder))
            }
        }
    }

    pub(crate) fn deliver(&self, state: &mut State, at: usize) -> Option<()> {
        let now = self.sidecars_clock(state, at);
        let sidecar = &mut state.sidecars[at];
        let (sequence, lease) = sidecar.stream.as_mut()?.down.remove(0);
        if self.mutation == Mutation::LeaseFromReceipt {
            let late = sidecar.holder.send(now);
            sidecar.holder.answered(late, lease);
        } else {
            sidecar.holder.answered(sequence, lease);
        }
        Some(())
    }

    pub(crate) fn tell(&self, state: &mut State, at: usize) -> Option<()> {
        let State {
            sidecars, volume, ..
        } = state;
        let sidecar = &mut sidecars[at];
        let stream = sidecar.stream.as_mut()?;
        if let Some(revision) = stream.reset.take() {
            let is_told = match self.mutation {
                Mutation::NoReset => false,
                Mutation::RelayKeepsReset => stream.to != Peer::Relay,
                _ => true,
            };
            if is_told {
                let holder = sidecar.holder.clone();
                sidecar.reset(revision);
                if self.mutation == Mutation::ResetKeepsLease {
                    sidecar.holder = holder;
                }
            } else {
                sidecar.recent.apply(revision, []);
            }
            if at == RELAY && sidecar.relay.is_some() {
                pass_reset_on(state, revision);
            }
            return Some(());
        }
        let entry = *volume.log.get(commits(stream.told))?;
        stream.told = stream.told.next();
        let revision = stream.told;
        self.apply_commit(sidecar, revision, entry);
        Some(())
    }

    fn apply_commit(&self, sidecar: &mut Sidecar, revision: Revision, entry: Entry) {
        if self.mutation == Mutation::NoLevel && entry.changed.is_some() {
            // It forgets, and does not remember that it does.
            sidecar.recent = Recent::new(self.remembered);
            sidecar.recent.reset(sidecar.began);
        }
        sidecar.recent.apply(revision, entry.changed);
        if entry.is_fenced
            && self.mutation != Mutation::NoFloorAtRelay
            && let Some(relay) = &mut sidecar.relay
        {
            relay.fenced(revision);
        }
    }

    pub(crate) fn cut(&self, state: &mut State, at: usize, lingers: bool) -> Option<()> {
        state.spent.cuts += 1;
        let sidecar = &mut state.sidecars[at];
        let stream = sidecar.stream.take()?;
        sidecar.holder.disconnected();
        if lingers {
            let last = *stream.up.last()?;
            sidecar.late = Some((stream.to, (at, sidecar.process), last));
        }
        if self.mutation == Mutation::ForgetOnCut {
            self.forget(state, stream.to)?;
        }
        Some(())
    }

    /// A peer forgets its sessions, as if their leases had run out.
    fn forget(&self, state: &mut State, peer: Peer) -> Option<()> {
        let later = TICK * 1000;
        match peer {
            Peer::Node(at) => {
                let now = self.nodes_clock(state, at);
                state.nodes[at].as_mut()?.grantor.advance(now + later);
            }
            Peer::Relay => {
                let now = self.sidecars_clock(state, RELAY);
                let Sidecar { relay, recent, .. } = &mut state.sidecars[RELAY];
                relay.as_mut()?.acknowledged(recent.applied(), now + later);
            }
        }
        Some(())
    }

    pub(crate) fn restart(&self, state: &mut State, at: usize) {
        state.spent.restarts += 1;
        let before = &state.sidecars[at];
        let process = match self.mutation {
            Mutation::RelayTakesSessionUp => before.process,
            _ => before.process + 1,
        };
        let is_relay = before.relay.is_some();
        state.sidecars[at] = Sidecar {
            // What was sent may yet arrive, and the machine is the same.
            late: before.late,
            sent: before.sent,
            stood_still: before.stood_still,
            ..self.sidecar(at, process)
        };
        if is_relay {
            state.hang_up(Peer::Relay);
        }
    }

    /// What a sidecar would answer from its cache to a request that arrives now.
    pub(crate) fn answer_from_cache(&self, state: &State, at: usize) -> Option<Answer> {
        let kept = state.sidecars[at].kept;
        let reads = match self.mutation {
            Mutation::UncheckedEntry | Mutation::CheckedOnArrival => self.has_lease(state, at),
            _ => kept.is_some_and(|kept| self.is_good(state, at, kept)),
        };
        kept.filter(|_| reads)
    }

    /// Whether an answer may be given to who has not asked for it.
    fn is_good(&self, state: &State, at: usize, answer: Answer) -> bool {
        let recent = &state.sidecars[at].recent;
        self.has_lease(state, at) && recent.is_current(answer.revision, &[SUBJECT])
    }

    fn has_lease(&self, state: &State, at: usize) -> bool {
        let now = self.sidecars_clock(state, at);
        state.sidecars[at].holder.holds(now) || self.mutation == Mutation::NoLease
    }

    pub(crate) fn judge(&self, state: &mut State, at: usize, by: Peer) -> Option<()> {
        let answer = match by {
            Peer::Node(node) => state.volume.judge(state.nodes[node].as_ref()?.applied),
            Peer::Relay => self.answer_from_cache(state, RELAY)?,
        };
        state.sidecars[at].flight.as_mut()?.answer = Some(answer);
        Some(())
    }

    pub(crate) fn land(&self, state: &mut State, at: usize) -> Option<()> {
        let flight = state.sidecars[at].flight.take()?;
        let answer = flight.answer?;
        let is_late = |arrived| answer.is_yes && answer.revision < arrived;
        // It was asked for after the first had arrived, and needs no look.
        state.happened.late_yes |= is_late(flight.first);
        let is_good = self.is_good(state, at, answer);
        if self.mutation != Mutation::CheckedOnArrival || is_good {
            state.sidecars[at].kept = Some(answer);
        }
        let Some(joined) = flight.joined else {
            return Some(());
        };
        if is_good || self.mutation == Mutation::UncheckedJoin {
            state.happened.joined_yes |= answer.is_yes;
            state.happened.late_yes |= is_late(joined);
        } else {
            state.sidecars[at].flight = Some(Flight {
                answer: None,
                first: joined,
                joined: None,
            });
        }
        Some(())
    }
}

/// A relay that was reset has missed commits, and can't tell them.
fn pass_reset_on(state: &mut State, revision: Revision) {
    let streams = state
        .sidecars
        .iter_mut()
        .filter_map(|it| it.stream.as_mut());
    for stream in streams.filter(|it| it.to == Peer::Relay && it.told < revision) {
        stream.reset = Some(revision);
        stream.told = revision;
    }
}
