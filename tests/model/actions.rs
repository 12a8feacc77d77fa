//! What can happen.

use crate::world::{Change, Peer, RELAY, State, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// True time goes on; the clock of the machine that sleeps meanwhile goes on too,
    /// if it is the right one. Whoever does nothing between two ticks is paused.
    Tick {
        asleep: Option<usize>,
    },
    /// Somebody asks for a change.
    Change(Change),
    /// The log is durable.
    Sync,
    /// The node applies the next durable commit.
    Apply,
    /// The process of the authority is killed. What it wrote is still there, but it is
    /// not durable.
    Crash,
    /// The machine of the authority loses power, whether the process was there or not:
    /// what is not durable is lost.
    LosePower,
    /// The authority is started on the volume.
    Start,
    /// Another process has the volume, while the one before lives on.
    Move,
    /// A node begins a heartbeat, it becomes durable, and the node learns of it.
    Beat(usize),
    SyncBeat(usize),
    EndBeat(usize),
    Connect {
        at: usize,
        to: Peer,
        /// The stream can't be taken up where the sidecar was.
        lost: bool,
    },
    /// A sidecar asks for a lease.
    Send(usize),
    /// Its message arrives.
    Receive(usize),
    /// A message of an earlier connection arrives.
    ReceiveLate(usize),
    /// The answer to the message arrives.
    Deliver(usize),
    /// A Reset or a commit arrives and is applied.
    Tell(usize),
    /// The connection is cut, and what was sent is lost or may yet arrive.
    Cut {
        at: usize,
        lingers: bool,
    },
    /// A sidecar is started anew.
    Restart(usize),
    /// A request arrives at a sidecar that has to ask, or joins one for whom it has
    /// asked.
    Ask(usize),
    Join(usize),
    /// Whoever was asked answers, and the answer arrives.
    Judge {
        at: usize,
        by: Peer,
    },
    Land(usize),
}

impl World {
    pub(crate) fn actions(&self, state: &State) -> Vec<Action> {
        let mut actions = Vec::new();
        if state.now < self.ticks {
            actions.push(Action::Tick { asleep: None });
            if state.spent.sleeps < self.limits.sleeps {
                let asleep = (0..self.sidecars).map(Some);
                actions.extend(asleep.map(|asleep| Action::Tick { asleep }));
            }
        }
        self.authoritys_actions(state, &mut actions);
        for at in 0..self.sidecars {
            self.streams_actions(state, at, &mut actions);
            self.requests_actions(state, at, &mut actions);
        }
        actions
    }

    fn authoritys_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let volume = &state.volume;
        let in_memory = volume.durable < volume.log.len();
        if let Some(node) = &state.nodes[volume.owner] {
            if volume.log.len() < self.commits {
                let is_good = volume.log.last().is_some_and(|last| last.is_good);
                let makes_sense = |change: &&Change| match change {
                    Change::Deny => is_good,
                    Change::Retry | Change::Undo => !is_good,
                    Change::Other => true,
                };
                let changes = self.changes.iter().filter(makes_sense);
                actions.extend(changes.map(|change| Action::Change(*change)));
            }
            if in_memory {
                actions.push(Action::Sync);
            }
            if node.applied < volume.durable {
                actions.push(Action::Apply);
            }
            if state.spent.crashes < self.limits.crashes {
                actions.push(Action::Crash);
            }
            if volume.owner == 0 && state.spent.moves < self.limits.moves {
                actions.push(Action::Move);
            }
        } else {
            actions.push(Action::Start);
        }
        if in_memory && state.spent.crashes < self.limits.crashes {
            actions.push(Action::LosePower);
        }
        for (at, node) in state.nodes.iter().enumerate() {
            match node.as_ref().and_then(|node| node.beat) {
                Some((_, false)) if volume.owner == at => actions.push(Action::SyncBeat(at)),
                Some((_, true)) => actions.push(Action::EndBeat(at)),
                None if node.is_some() && state.spent.beats < self.limits.beats => {
                    actions.push(Action::Beat(at));
                }
                _ => (),
            }
        }
    }

    fn streams_actions(&self, state: &State, at: usize, actions: &mut Vec<Action>) {
        let sidecar = &state.sidecars[at];
        if let Some((to, ..)) = sidecar.late
            && state.is_there(to)
        {
            actions.push(Action::ReceiveLate(at));
        }
        if state.spent.restarts < self.limits.restarts {
            actions.push(Action::Restart(at));
        }
        let Some(stream) = &sidecar.stream else {
            for to in [Peer::Node(0), Peer::Node(1), Peer::Relay] {
                let is_usual = match to {
                    Peer::Node(_) => self.first_peer(at) != Peer::Relay,
                    Peer::Relay => self.first_peer(at) == Peer::Relay,
                };
                let may = is_usual || (self.elsewhere && !(to == Peer::Relay && at == RELAY));
                if may && state.is_there(to) {
                    let lost = false;
                    actions.push(Action::Connect { at, to, lost });
                    if state.spent.resets < self.limits.resets {
                        let lost = true;
                        actions.push(Action::Connect { at, to, lost });
                    }
                }
            }
            return;
        };
        if sidecar.sent < self.messages[at]
            && stream.up.len() + stream.down.len() < self.outstanding
        {
            actions.push(Action::Send(at));
        }
        if !stream.up.is_empty() {
            actions.push(Action::Receive(at));
        }
        if !stream.down.is_empty() {
            actions.push(Action::Deliver(at));
        }
        if stream.reset.is_some() || stream.told < state.applied(stream.to) {
            actions.push(Action::Tell(at));
        }
        if state.spent.cuts < self.limits.cuts {
            actions.push(Action::Cut { at, lingers: false });
            if self.lingering && !stream.up.is_empty() {
                actions.push(Action::Cut { at, lingers: true });
            }
        }
    }

    fn requests_actions(&self, state: &State, at: usize, actions: &mut Vec<Action>) {
        let sidecar = &state.sidecars[at];
        let Some(flight) = &sidecar.flight else {
            let asks = state.spent.flights < self.limits.flights;
            if asks && self.answer_from_cache(state, at).is_none() {
                actions.push(Action::Ask(at));
            }
            return;
        };
        if state.spent.joins < self.limits.joins && flight.joined != Some(state.returned) {
            actions.push(Action::Join(at));
        }
        if flight.answer.is_some() {
            actions.push(Action::Land(at));
            return;
        }
        for node in [0, 1] {
            if self.may_answer(state, node) {
                let by = Peer::Node(node);
                actions.push(Action::Judge { at, by });
            }
        }
        if self.first_peer(at) == Peer::Relay && self.answer_from_cache(state, RELAY).is_some() {
            let by = Peer::Relay;
            actions.push(Action::Judge { at, by });
        }
    }
}
