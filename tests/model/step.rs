//! What happens: the authority's part, and what an action leads to.

use std::time::Duration;

use credd::domain::lease::{BootTime, Fenced, Grantor, Holder, Peers, Tenure};
use credd::domain::revision::Revision;

use crate::actions::Action;
use crate::mutation::Mutation;
use crate::world::{
    Change, Entry, Fence, Happened, Node, OTHER, Peer, RELAY, SUBJECT, Sidecar, State, TICK, World,
    revision,
};

impl State {
    /// Whether one can connect to it.
    pub(crate) fn is_there(&self, peer: Peer) -> bool {
        self.applied(peer) > Revision::ZERO
    }

    /// What a peer has applied; zero if it is not there.
    pub(crate) fn applied(&self, peer: Peer) -> Revision {
        match peer {
            Peer::Node(at) => {
                let node = self.nodes[at].as_ref();
                node.map_or(Revision::ZERO, |node| revision(node.applied))
            }
            Peer::Relay => {
                let relay = self.sidecars.get(RELAY);
                relay.map_or(Revision::ZERO, |relay| relay.recent.applied())
            }
        }
    }
}

impl World {
    pub(crate) fn next(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        state.happened = Happened::default();
        self.act(&mut state, action)?;
        self.settle(&mut state);
        (state != *last).then_some(state)
    }

    fn act(&self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Tick { asleep } => {
                state.now += 1;
                if let Some(at) = asleep {
                    state.spent.sleeps += 1;
                    let stops = self.mutation == Mutation::ClockStopsInSleep;
                    state.sidecars[at].stood_still += u64::from(stops);
                }
            }
            Action::Change(change) => self.change(state, change)?,
            Action::Sync => self.sync(state)?,
            Action::Apply => self.apply(state)?,
            Action::Crash => {
                state.spent.crashes += 1;
                let at = state.volume.owner;
                state.nodes[at] = None;
                state.hang_up(Peer::Node(at));
            }
            Action::LosePower => {
                state.spent.crashes += 1;
                let at = state.volume.owner;
                state.happened.tail_lost = state.nodes[at].is_none();
                state.nodes[at] = None;
                state.hang_up(Peer::Node(at));
                state.volume.log.truncate(state.volume.durable);
            }
            Action::Start => self.start_node(state, state.volume.owner),
            Action::Move => {
                state.spent.moves += 1;
                state.volume.owner = 1;
                self.start_node(state, 1);
            }
            Action::Beat(at) => {
                state.spent.beats += 1;
                let now = self.nodes_clock(state, at);
                let node = state.nodes[at].as_mut()?;
                node.beat = Some((node.tenure.as_mut()?.begin(now), false));
            }
            Action::SyncBeat(at) => state.nodes[at].as_mut()?.beat.as_mut()?.1 = true,
            Action::EndBeat(at) => {
                let now = self.nodes_clock(state, at);
                let node = state.nodes[at].as_mut()?;
                let (mut sequence, _) = node.beat.take()?;
                let tenure = node.tenure.as_mut()?;
                if self.mutation == Mutation::TenureFromReturn {
                    sequence = tenure.begin(now);
                }
                tenure.synced(sequence);
            }
            Action::Connect { at, to, lost } => self.connect(state, at, to, lost)?,
            Action::Send(at) => self.send(state, at)?,
            Action::Receive(at) => {
                let session = (at, state.sidecars[at].process);
                let stream = state.sidecars[at].stream.as_mut()?;
                let (to, up) = (stream.to, stream.up.remove(0));
                let lease = self.renew(state, to, session, up)?;
                let stream = state.sidecars[at].stream.as_mut()?;
                stream.down.push((up.sequence, lease));
                if !self.slow_answers {
                    self.deliver(state, at)?;
                }
            }
            Action::ReceiveLate(at) => {
                let (to, session, up) = state.sidecars[at].late.take()?;
                self.renew(state, to, session, up)?;
            }
            Action::Deliver(at) => self.deliver(state, at)?,
            Action::Tell(at) => self.tell(state, at)?,
            Action::Cut { at, lingers } => self.cut(state, at, lingers)?,
            Action::Restart(at) => self.restart(state, at),
            Action::Ask(at) => state.ask(at),
            Action::Join(at) => state.join(at)?,
            Action::Judge { at, by } => self.judge(state, at, by)?,
            Action::Land(at) => self.land(state, at)?,
        }
        Some(())
    }

    /// A process starts on the volume, which it has from then on.
    pub(crate) fn start_node(&self, state: &mut State, at: usize) {
        let now = self.nodes_clock(state, at);
        let lease = self.lease(state.incarnations);
        state.incarnations += 1;
        let tenure = self.tenure.map(|ticks| TICK * ticks);
        let configured = match self.mutation {
            Mutation::WaitOnlyForSessions => lease,
            _ => lease.max(tenure.unwrap_or_default()),
        };
        let volume = &mut state.volume;
        let waits = match self.mutation {
            Mutation::NoWaitAfterRestart => Duration::ZERO,
            Mutation::WaitOnlyConfigured => volume.largest.min(configured),
            _ => volume.largest,
        };
        volume.largest = volume.largest.max(configured);
        let loaded = volume.log.len();
        if self.mutation != Mutation::ServeUnsyncedTail {
            volume.durable = loaded;
        }
        let floor = match self.mutation {
            Mutation::NoFloorAtStart => Revision::ZERO,
            _ => revision(loaded),
        };
        let drift = self.grantors_drift();
        let mut before = Peers::new(drift);
        if state.incarnations > 1 {
            before.seen(&(), revision(loaded), waits, Revision::ZERO, now);
        }
        let longest = drift.at_least(volume.largest) * if self.relay.is_some() { 2 } else { 1 };
        let tick = u128::from(self.rates.nodes[at]);
        state.nodes[at] = Some(Node {
            applied: loaded,
            grantor: Grantor::new(lease, drift, floor),
            before,
            fences: Vec::new(),
            bound: u64::try_from(longest.as_nanos().div_ceil(tick)).unwrap(),
            tenure: tenure.map(|length| Tenure::new(length, self.holders_drift())),
            beat: None,
        });
    }

    fn change(&self, state: &mut State, change: Change) -> Option<()> {
        if change == Change::Retry && self.is_answered_at_once(state)? {
            state.returned = state.returned.max(revision(state.volume.log.len()));
            return Some(());
        }
        let was_good = state.volume.log.last()?.is_good;
        let (is_good, changed) = match change {
            Change::Deny => (false, Some(SUBJECT)),
            Change::Retry => (false, None),
            Change::Undo => (true, Some(SUBJECT)),
            Change::Other => (was_good, Some(OTHER)),
        };
        let is_fenced = matches!(change, Change::Deny | Change::Retry);
        state.volume.log.push(Entry {
            is_good,
            is_fenced,
            changed,
        });
        match self.mutation {
            Mutation::ReturnBeforeDurable => self.apply(state)?,
            // It is shown at once, though it returns only when it is durable.
            Mutation::NoopBeforeDurable => {
                state.nodes[state.volume.owner].as_mut()?.applied += 1;
            }
            _ if !self.in_steps => {
                state.volume.durable = state.volume.log.len();
                self.apply(state)?;
            }
            _ => (),
        }
        Some(())
    }

    fn sync(&self, state: &mut State) -> Option<()> {
        let volume = &mut state.volume;
        let synced = &volume.log[volume.durable..];
        let is_fenced = synced.iter().any(|entry| entry.is_fenced);
        volume.durable = volume.log.len();
        let all = revision(volume.durable);
        if self.mutation == Mutation::NoopBeforeDurable && is_fenced {
            self.fence(state, all)?;
        }
        Some(())
    }

    /// Whether a repeated change is answered though nothing was written for it.
    fn is_answered_at_once(&self, state: &State) -> Option<bool> {
        let at = state.volume.owner;
        let node = state.nodes[at].as_ref()?;
        let (all, now) = (state.volume.log.len(), self.nodes_clock(state, at));
        let is_durable = state.volume.durable == all;
        let is_applied = node.applied == all;
        let is_settled = node.grantor.is_settled(revision(all)) && node.is_quiet(now);
        Some(match self.mutation {
            Mutation::NoopWithoutFence => is_durable && is_applied,
            Mutation::NoopBeforeDurable => is_settled && !is_durable,
            Mutation::NoopBeforeApplied => is_settled && is_durable && !is_applied,
            _ => false,
        })
    }

    /// The node that has the volume applies the next commit.
    fn apply(&self, state: &mut State) -> Option<()> {
        let node = state.nodes[state.volume.owner].as_mut()?;
        let entry = state.volume.log[node.applied];
        node.applied += 1;
        let applied = revision(node.applied);
        if entry.is_fenced {
            self.fence(state, applied)?;
        }
        Some(())
    }

    fn fence(&self, state: &mut State, revision: Revision) -> Option<()> {
        let (at, since) = (state.volume.owner, state.now);
        let now = self.nodes_clock(state, at);
        let node = state.nodes[at].as_mut()?;
        if self.mutation != Mutation::NoFloor {
            node.grantor.raise(revision);
        }
        node.fences.push(Fence {
            revision,
            id: node.grantor.fence(revision, now),
            before: node.before.fence(revision),
            since,
        });
        Some(())
    }

    /// Everybody looks at their clocks, and fences that are done return. The sooner
    /// they do, the more requests arrive after that.
    fn settle(&self, state: &mut State) {
        for at in [0, 1] {
            let now = self.nodes_clock(state, at);
            let Some(node) = &mut state.nodes[at] else {
                continue;
            };
            node.grantor.advance(now);
            let (grantor, before) = (&mut node.grantor, &node.before);
            let happened = &mut state.happened;
            let (returned, is_first) = (&mut state.returned, state.incarnations == 1);
            node.fences.retain(|fence| {
                let fenced = grantor.fenced(fence.id, now);
                let is_quiet = before.behind(&fence.before, now).next().is_none();
                let is_done = |fenced: &Fenced| fenced.awaited == 0 && is_quiet;
                let Some(fenced) = fenced.filter(is_done) else {
                    return true;
                };
                grantor.end(fence.id);
                *returned = (*returned).max(fence.revision);
                happened.fence_by_acknowledgement |= fenced.acknowledged > 0;
                happened.fence_by_expiry |= fenced.ran_out > 0;
                happened.fence_after_restart |= !is_first;
                false
            });
        }
        for at in 0..self.sidecars {
            let now = self.sidecars_clock(state, at);
            let sidecar = &mut state.sidecars[at];
            if let Some(relay) = &mut sidecar.relay {
                relay.acknowledged(sidecar.recent.applied(), now);
            }
            self.simplify(sidecar, now);
        }
    }

    /// Makes states equal from which the same can happen: a lease that is over is as
    /// good as none, and so is an answer that is refused for good.
    fn simplify(&self, sidecar: &mut Sidecar, now: BootTime) {
        let stream = sidecar.stream.as_ref();
        let asks = stream.is_some_and(|it| !(it.up.is_empty() && it.down.is_empty()));
        if !asks && !sidecar.holder.holds(now) {
            sidecar.holder = Holder::new(self.holders_drift());
        }
        if self.mutation == Mutation::None
            && let Some(kept) = sidecar.kept
            && !sidecar.recent.is_current(kept.revision, &[SUBJECT])
        {
            sidecar.kept = None;
        }
    }

    /// Whether a node may answer with a yes now.
    pub(crate) fn may_answer(&self, state: &State, at: usize) -> bool {
        let now = self.nodes_clock(state, at);
        let Some(node) = &state.nodes[at] else {
            return false;
        };
        let tenure = node.tenure.as_ref();
        tenure.is_none_or(|tenure| tenure.holds(now))
            || self.mutation == Mutation::AnswerWithoutTenure
    }

    /// Before when leases must end that a node grants.
    pub(crate) fn within(&self, node: &Node) -> Option<BootTime> {
        let tenure = node.tenure.as_ref();
        let tenure = tenure.filter(|_| self.mutation != Mutation::GrantBeyondTenure);
        tenure.map(Tenure::within)
    }
}
