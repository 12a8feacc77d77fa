//! What can happen, and what it leads to.

use std::time::Duration;

use credd::domain::lease::{Drift, Grantor, Holder, Peers, Tenure};
use credd::domain::revision::Revision;

use crate::world::{
    Action, Beat, Entry, Fence, Name, Node, Rule, Sidecar, Spent, State, World, revision,
};

impl World {
    /// Two nodes that have each beaten once, and a sidecar without a lease.
    pub(crate) fn start(&self) -> State {
        let issued = Entry::Set {
            is_good: true,
            by: None,
        };
        let mut state = State {
            now: 0,
            log: vec![issued],
            nodes: [None, None],
            runs: [0; 2],
            sidecar: Sidecar {
                holder: Holder::new(Self::drift()),
                applied: 1,
                sent: None,
            },
            returned: 0,
            spent: Spent::default(),
            by_word: false,
            by_lease: false,
        };
        for at in [0, 1] {
            self.start_node(&mut state, at);
            self.beat(&mut state, at).unwrap();
            Self::make(&mut state, at).unwrap();
        }
        for at in [0, 1, 0, 1] {
            let _ = self.apply(&mut state, at);
        }
        state.spent = Spent::default();
        state
    }

    pub(crate) fn possible(&self, state: &State, actions: &mut Vec<Action>) {
        let spent = &state.spent;
        if state.now < self.ticks {
            actions.push(Action::Tick);
        }
        for (at, node) in state.nodes.iter().enumerate() {
            let Some(node) = node else {
                actions.push(Action::Start(at));
                continue;
            };
            if at == 0 && state.is_good(state.log.len()) {
                if spent.denials < self.denials {
                    actions.push(Action::Set(false));
                }
            } else if at == 0 && spent.undone < self.undone {
                actions.push(Action::Set(true));
            }
            if node.applied < state.log.len() {
                actions.push(Action::Apply(at));
            }
            match node.beat {
                None if spent.beats[at] < self.beats[at] => actions.push(Action::Beat(at)),
                Some(Beat { made: None, .. }) => actions.push(Action::Make(at)),
                _ => (),
            }
            if spent.crashes < self.crashes {
                actions.push(Action::Kill(at));
            }
            if spent.burials < self.burials {
                let now = self.clock(state, at);
                let over = node.peers.over(now).map(|(name, _)| *name);
                actions.extend(over.map(|name| Action::Bury(at, name)));
            }
        }
        let followed = state.nodes[1].as_ref();
        let sidecar = &state.sidecar;
        let is_told = self.messages > 0;
        if is_told && followed.is_some_and(|node| sidecar.applied < node.applied) {
            actions.push(Action::Tell);
        }
        match sidecar.sent {
            None if spent.messages < self.messages => actions.push(Action::Send),
            Some(_) if followed.is_some() => actions.push(Action::Receive),
            _ => (),
        }
    }

    pub(crate) fn next(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        (state.by_word, state.by_lease) = (false, false);
        match action {
            Action::Tick => state.now += 1,
            Action::Set(is_good) => self.set(&mut state, 0, is_good)?,
            Action::Apply(at) => self.apply(&mut state, at)?,
            Action::Beat(at) => self.beat(&mut state, at)?,
            Action::Make(at) => {
                Self::make(&mut state, at)?;
                if !self.obeys(Rule::LeaseOnceApplied) {
                    let node = state.nodes[at].as_mut()?;
                    node.tenure.synced(node.beat?.sequence);
                }
            }
            Action::Kill(at) => {
                state.spent.crashes += 1;
                state.nodes[at] = None;
            }
            Action::Start(at) => self.start_node(&mut state, at),
            Action::Bury(at, name) => self.bury(&mut state, at, name)?,
            Action::Send => {
                state.spent.messages += 1;
                let now = self.clock(&state, 2);
                let sidecar = &mut state.sidecar;
                sidecar.sent = Some((sidecar.holder.send(now), sidecar.applied));
            }
            Action::Receive => self.receive(&mut state)?,
            Action::Tell => state.sidecar.applied += 1,
        }
        self.settle(&mut state);
        (state != *last).then_some(state)
    }

    fn start_node(&self, state: &mut State, at: usize) {
        let name = (at, state.runs[at]);
        state.runs[at] += 1;
        let loaded = state.log.len();
        let waits = if self.obeys(Rule::DriftAtPeers) {
            Self::drift()
        } else {
            Drift::millionths(0)
        };
        let mut node = Node {
            name,
            applied: loaded,
            tenure: Tenure::new(self.lease(), Self::drift()),
            grantor: Grantor::new(self.lease(), Self::drift(), revision(loaded)),
            peers: Peers::new(waits),
            beat: None,
            fences: Vec::new(),
        };
        let now = self.clock(state, at);
        if self.obeys(Rule::SeeAtStart) {
            for (entry, commits) in state.log.iter().zip(1..) {
                self.see(&mut node, *entry, commits, now);
            }
        }
        state.nodes[at] = Some(node);
    }

    /// A node sees what another says of itself.
    fn see(&self, node: &mut Node, entry: Entry, at: usize, now: credd::domain::lease::BootTime) {
        match entry {
            Entry::Beat { of, settled } if of != node.name => {
                let settled = revision(settled);
                node.peers
                    .seen(&of, revision(at), self.lease(), settled, now);
            }
            Entry::Buried { of } => node.peers.gone(&of),
            _ => (),
        }
    }

    fn set(&self, state: &mut State, at: usize, is_good: bool) -> Option<()> {
        let node = state.nodes[at].as_ref()?;
        let by = (!is_good).then_some(node.name);
        state.log.push(Entry::Set { is_good, by });
        if is_good {
            state.spent.undone += 1;
        } else {
            state.spent.denials += 1;
            if !self.obeys(Rule::FenceOnceApplied) {
                let made = state.log.len();
                self.fence(state, at, made)?;
            }
        }
        Some(())
    }

    fn fence(&self, state: &mut State, at: usize, commits: usize) -> Option<()> {
        let (now, since) = (self.clock(state, at), state.now);
        let node = state.nodes[at].as_mut()?;
        let peers = if self.obeys(Rule::WaitForPeers) {
            node.peers.fence(revision(commits))
        } else {
            Peers::new(Self::drift()).fence(revision(commits))
        };
        node.fences.push(Fence {
            revision: commits,
            id: node.grantor.fence(revision(commits), now),
            peers,
            since,
        });
        Some(())
    }

    fn apply(&self, state: &mut State, at: usize) -> Option<()> {
        let now = self.clock(state, at);
        let node = state.nodes[at].as_mut()?;
        let entry = *state.log.get(node.applied)?;
        node.applied += 1;
        let applied = node.applied;
        self.see(node, entry, applied, now);
        match entry {
            Entry::Set { by: Some(by), .. } => {
                if by == node.name || self.obeys(Rule::Floor) {
                    node.grantor.raise(revision(applied));
                }
                if by == node.name && self.obeys(Rule::FenceOnceApplied) {
                    self.fence(state, at, applied)?;
                }
            }
            Entry::Beat { of, .. } if of == node.name => {
                if let Some(beat) = node.beat.take_if(|beat| beat.made == Some(applied)) {
                    let mut sequence = beat.sequence;
                    if !self.obeys(Rule::LeaseFromSend) {
                        sequence = node.tenure.begin(now);
                    }
                    node.tenure.synced(sequence);
                }
            }
            _ => (),
        }
        Some(())
    }

    fn beat(&self, state: &mut State, at: usize) -> Option<()> {
        state.spent.beats[at] += 1;
        let (now, all) = (self.clock(state, at), state.log.len());
        let node = state.nodes[at].as_mut()?;
        node.grantor.advance(now);
        let floor = node.grantor.floor();
        let acknowledged = node.grantor.settled().map_or(floor, |it| it.min(floor));
        let settled = if !self.obeys(Rule::TellWhatIsApplied) {
            all
        } else if !self.obeys(Rule::TellWhatIsAcknowledged) {
            node.applied
        } else {
            usize::try_from(acknowledged.number()).unwrap()
        };
        node.beat = Some(Beat {
            sequence: node.tenure.begin(now),
            settled,
            made: None,
        });
        Some(())
    }

    fn make(state: &mut State, at: usize) -> Option<()> {
        let node = state.nodes[at].as_mut()?;
        let (of, beat) = (node.name, node.beat.as_mut()?);
        let settled = beat.settled;
        state.log.push(Entry::Beat { of, settled });
        beat.made = Some(state.log.len());
        Some(())
    }

    /// Removes a record; the store makes it at once, if it is the one that was seen.
    fn bury(&self, state: &mut State, at: usize, name: Name) -> Option<()> {
        state.spent.burials += 1;
        let node = state.nodes[at].as_ref()?;
        let now = self.clock(state, at);
        let (_, seen) = node.peers.over(now).find(|(over, _)| **over == name)?;
        let written = state
            .log
            .iter()
            .zip(1..)
            .filter_map(|(entry, at)| match entry {
                Entry::Beat { of, .. } if *of == name => Some(revision(at)),
                Entry::Buried { of } if *of == name => Some(Revision::ZERO),
                _ => None,
            });
        if self.obeys(Rule::GuardedBurial) && written.last()? != seen {
            return None;
        }
        state.log.push(Entry::Buried { of: name });
        Some(())
    }

    fn receive(&self, state: &mut State) -> Option<()> {
        let now = self.clock(state, 1);
        let (sequence, applied) = state.sidecar.sent.take()?;
        let node = state.nodes[1].as_mut()?;
        let within = self.obeys(Rule::GrantWithin).then(|| node.tenure.within());
        let applied = revision(applied);
        let lease = node
            .grantor
            .renew(&node.name.1, applied, applied, now, within);
        state.sidecar.holder.answered(sequence, lease);
        Some(())
    }

    /// Everybody looks at their clocks, and fences that are done return.
    fn settle(&self, state: &mut State) {
        for at in [0, 1] {
            let now = self.clock(state, at);
            let Some(node) = &mut state.nodes[at] else {
                continue;
            };
            node.grantor.advance(now);
            let (grantor, peers) = (&mut node.grantor, &node.peers);
            let (returned, word, lease) =
                (&mut state.returned, &mut state.by_word, &mut state.by_lease);
            node.fences.retain(|fence| {
                let is_awaited = grantor
                    .fenced(fence.id, now)
                    .is_none_or(|it| it.awaited > 0)
                    || peers.behind(&fence.peers, now).next().is_some();
                if is_awaited {
                    return true;
                }
                grantor.end(fence.id);
                *returned = (*returned).max(fence.revision);
                // Whoever would be waited for yet if no time had passed.
                let begun = credd::domain::lease::BootTime::new(Duration::ZERO);
                let by_lease = peers.behind(&fence.peers, begun).next().is_some();
                *lease |= by_lease;
                *word |= !by_lease && !peers.is_empty();
                false
            });
        }
    }
}
