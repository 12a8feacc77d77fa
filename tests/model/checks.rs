//! What must always hold, and what must be possible.

use credd::domain::revision::Revision;
use stateright::{Model, Property};

use crate::actions::Action;
use crate::world::{Peer, RELAY, State, World};

/// Later than any commit.
const ALL: Revision = Revision::new(u64::MAX);

pub(crate) const NO_LATE_YES: &str = "no late yes";
pub(crate) const COVERED: &str = "no lease outlives its grantor's count";
pub(crate) const IN_TIME: &str = "every fence ends in time";
pub(crate) const ALWAYS: [&str; 3] = [NO_LATE_YES, COVERED, IN_TIME];

pub(crate) const FROM_CACHE: &str = "a yes from the cache";
pub(crate) const TO_JOINED: &str = "a yes to one who joined";
pub(crate) const FROM_RELAY: &str = "a yes from the cache of who follows a relay";
pub(crate) const BY_ACKNOWLEDGEMENT: &str = "a fence by acknowledgement";
pub(crate) const BY_EXPIRY: &str = "a fence by expiry";
pub(crate) const AFTER_RESTART: &str = "a fence after a restart";
pub(crate) const TAIL_LOST: &str = "a tail that is kept and then lost";

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.start()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.extend(World::actions(self, state));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        self.next(last, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NO_LATE_YES, |world: &Self, state| !world.is_late_yes(state)),
            Property::always(COVERED, World::leases_are_covered),
            Property::always(IN_TIME, |_: &Self, state: &State| {
                state.fences_end_in_time()
            }),
            Property::sometimes(FROM_CACHE, |world: &Self, state| {
                world.has_cached_yes(state, |_| true)
            }),
            Property::sometimes(FROM_RELAY, |world: &Self, state| {
                world.has_cached_yes(state, |at| state.follows_only_relay(at))
            }),
            Property::sometimes(TO_JOINED, |_: &Self, state: &State| {
                state.happened.joined_yes
            }),
            Property::sometimes(BY_ACKNOWLEDGEMENT, |_: &Self, state: &State| {
                state.happened.fence_by_acknowledgement
            }),
            Property::sometimes(BY_EXPIRY, |_: &Self, state: &State| {
                state.happened.fence_by_expiry
            }),
            Property::sometimes(AFTER_RESTART, |_: &Self, state: &State| {
                state.happened.fence_after_restart
            }),
            Property::sometimes(TAIL_LOST, |_: &Self, state: &State| {
                state.happened.tail_lost
            }),
        ]
    }
}

impl State {
    /// Whether no fence is open for longer than its bound. Those that are done have
    /// returned.
    fn fences_end_in_time(&self) -> bool {
        let nodes = self.nodes.iter().flatten();
        let mut open = nodes.flat_map(|node| node.fences.iter().map(|fence| (fence, node.bound)));
        open.all(|(fence, bound)| self.now < fence.since + bound)
    }

    /// Whether a node waits for any of these sessions: those of one sidecar, of a
    /// process of it.
    fn is_awaited(&self, node: usize, at: usize, is_process: impl Fn(u8) -> bool) -> bool {
        let Some(node) = &self.nodes[node] else {
            return false;
        };
        let mut sessions = node.grantor.behind(ALL);
        sessions.any(|(sidecar, process)| *sidecar == at && is_process(*process))
    }

    fn relay_waits_for(&self, at: usize) -> bool {
        let Some(relay) = &self.sidecars[RELAY].relay else {
            return false;
        };
        let session = (at, self.sidecars[at].process);
        relay.grantor().behind(ALL).any(|it| *it == session)
    }

    /// Whether a sidecar has its lease from the relay and from nobody else.
    fn follows_only_relay(&self, at: usize) -> bool {
        let stream = self.sidecars[at].stream.as_ref();
        stream.is_some_and(|stream| stream.to == Peer::Relay)
            && self.relay_waits_for(at)
            && !self.is_awaited(self.volume.owner, at, |_| true)
    }
}

impl World {
    /// Whether a request that arrives now gets, or the last one got, a yes from before
    /// a fence that had returned when it arrived.
    fn is_late_yes(&self, state: &State) -> bool {
        let cached = (0..self.sidecars).filter_map(|at| self.answer_from_cache(state, at));
        let nodes = (0..2).filter(|at| self.may_answer(state, *at));
        let judged = nodes.filter_map(|at| {
            let applied = state.nodes[at].as_ref()?.applied;
            Some(state.volume.judge(applied))
        });
        let mut answers = cached.chain(judged);
        state.happened.late_yes
            || answers.any(|answer| answer.is_yes && answer.revision < state.returned)
    }

    /// Whether whoever may return a fence waits for every lease that is held, or for
    /// the relay that granted it, which waits for it.
    fn leases_are_covered(&self, state: &State) -> bool {
        let owner = state.volume.owner;
        let Some(node) = &state.nodes[owner] else {
            return true;
        };
        if !node.is_quiet(self.nodes_clock(state, owner)) {
            return true;
        }
        let is_covered = |at: usize| {
            let process = state.sidecars[at].process;
            let relay = state.sidecars[RELAY].process;
            state.is_awaited(owner, at, |it| it == process)
                || (self.relay.is_some()
                    && at != RELAY
                    && ((state.relay_waits_for(at)
                        && state.is_awaited(owner, RELAY, |it| it == relay))
                        || state.is_awaited(owner, RELAY, |it| it < relay)))
        };
        let holds = |at: &usize| {
            let now = self.sidecars_clock(state, *at);
            state.sidecars[*at].holder.holds(now)
        };
        (0..self.sidecars).filter(holds).all(is_covered)
    }

    fn has_cached_yes(&self, state: &State, is_meant: impl Fn(usize) -> bool) -> bool {
        let mut sidecars = (0..self.sidecars).filter(|at| is_meant(*at));
        sidecars.any(|at| {
            let answer = self.answer_from_cache(state, at);
            answer.is_some_and(|answer| answer.is_yes)
        })
    }
}
