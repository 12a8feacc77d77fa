//! What there is, what can happen, and what must hold.

use std::time::Duration;

use credd::domain::lease::{
    Awaited, BootTime, Drift, FenceId, Grantor, Holder, Peers, Sequence, Tenure,
};
use credd::domain::revision::Revision;
use stateright::{Model, Property};

/// A rule that can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A fence waits for other nodes.
    WaitForPeers,
    /// It is begun once the change is applied where it is waited for.
    FenceOnceApplied,
    /// Who waits for a node counts longer than its lease is.
    DriftAtPeers,
    /// A node tells of what it has applied, not of what it knows to be there.
    TellWhatIsApplied,
    /// A node tells of what its sessions have acknowledged too.
    TellWhatIsAcknowledged,
    /// A node's lease runs from when its heartbeat was sent.
    LeaseFromSend,
    /// It counts once the heartbeat is applied.
    LeaseOnceApplied,
    /// A node answers yes with a lease alone.
    AnswerWithLease,
    /// No lease that it grants ends after its own.
    GrantWithin,
    /// A fenced commit of whomever raises the floor.
    Floor,
    /// A node that starts sees the records of others.
    SeeAtStart,
    /// A record is removed only if it is the one that was seen to be over.
    GuardedBurial,
}

/// How large the world is, and what may happen in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) broken: Option<Rule>,
    /// The last tick.
    pub(crate) ticks: u64,
    /// How long every lease is, in ticks.
    pub(crate) lease: u32,
    /// What the clocks of the nodes, and of the sidecars, show in four ticks.
    pub(crate) rates: [u32; 3],
    /// How many heartbeats each node makes after its first.
    pub(crate) beats: [u8; 2],
    /// How many fenced denials there are, and how often one is taken back.
    pub(crate) denials: u8,
    pub(crate) undone: u8,
    /// How many messages the sidecar of the second node sends.
    pub(crate) messages: u8,
    /// How often a node is killed, and how often a record is removed.
    pub(crate) crashes: u8,
    pub(crate) burials: u8,
}

pub(crate) const TICK: Duration = Duration::from_nanos(4);
const DRIFT: Drift = Drift::millionths(250_000);
/// The name of a run: which node, and which run of it.
pub(crate) type Name = (usize, u8);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) now: u64,
    pub(crate) log: Vec<Entry>,
    pub(crate) nodes: [Option<Node>; 2],
    pub(crate) runs: [u8; 2],
    pub(crate) sidecar: Sidecar,
    /// The greatest revision whose fence has returned.
    pub(crate) returned: usize,
    pub(crate) spent: Spent,
    /// Whether the last action ended a fence, by a node's word or by its lease.
    pub(crate) by_word: bool,
    pub(crate) by_lease: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Spent {
    pub(crate) beats: [u8; 2],
    pub(crate) denials: u8,
    pub(crate) undone: u8,
    pub(crate) messages: u8,
    pub(crate) crashes: u8,
    pub(crate) burials: u8,
}

/// A commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Entry {
    /// The credential is good, or is not from then on, and a node waits for the fence.
    Set { is_good: bool, by: Option<Name> },
    /// A heartbeat, which tells what is settled.
    Beat { of: Name, settled: usize },
    /// The record of a run is removed.
    Buried { of: Name },
}

/// A process of the authority.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) name: Name,
    pub(crate) applied: usize,
    pub(crate) tenure: Tenure,
    pub(crate) grantor: Grantor<u8>,
    pub(crate) peers: Peers<Name>,
    /// The heartbeat that is under way.
    pub(crate) beat: Option<Beat>,
    pub(crate) fences: Vec<Fence>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Beat {
    pub(crate) sequence: Sequence,
    pub(crate) settled: usize,
    /// The commit, once it was made.
    pub(crate) made: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fence {
    pub(crate) revision: usize,
    pub(crate) id: FenceId,
    pub(crate) peers: Awaited<Name>,
    pub(crate) since: u64,
}

/// One that follows the second node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sidecar {
    pub(crate) holder: Holder,
    pub(crate) applied: usize,
    /// A message that is under way: its number, and what was applied.
    pub(crate) sent: Option<(Sequence, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Tick,
    /// The first node commits a fenced denial, or that the credential is good again.
    Set(bool),
    /// A node applies the next commit.
    Apply(usize),
    /// A node begins a heartbeat, and the store makes it.
    Beat(usize),
    Make(usize),
    Kill(usize),
    Start(usize),
    /// A node removes the record of a run that it takes for over.
    Bury(usize, Name),
    /// The sidecar asks for a lease, and its message arrives and is answered.
    Send,
    Receive,
    /// It is told of the next commit.
    Tell,
}

pub(crate) const NO_LATE_YES: &str = "no late yes";
const IN_TIME: &str = "every fence ends in time";
pub(crate) const ALWAYS: [&str; 2] = [NO_LATE_YES, IN_TIME];

pub(crate) const BY_WORD: &str = "a fence by the word of another node";
pub(crate) const BY_LEASE: &str = "a fence by the end of another node's lease";
pub(crate) const YES_AFTER: &str = "a yes at another node after a fence";

/// The revision of so many commits.
pub(crate) const fn revision(commits: usize) -> Revision {
    Revision::new(commits as u64)
}

impl World {
    pub(crate) fn obeys(&self, rule: Rule) -> bool {
        self.broken != Some(rule)
    }

    pub(crate) const fn drift() -> Drift {
        DRIFT
    }

    pub(crate) fn lease(&self) -> Duration {
        TICK * self.lease
    }

    /// What the clock of a node shows; of the sidecar: 2.
    pub(crate) fn clock(&self, state: &State, of: usize) -> BootTime {
        BootTime::new(TICK / 4 * self.rates[of] * u32::try_from(state.now).unwrap())
    }

    /// Whether a node may say yes.
    fn may_say_yes(&self, state: &State, node: &Node) -> bool {
        let now = self.clock(state, node.name.0);
        node.tenure.holds(now) || !self.obeys(Rule::AnswerWithLease)
    }

    /// As of which commits somebody says yes who is asked now.
    fn yeses(&self, state: &State) -> impl Iterator<Item = usize> {
        let nodes = state.nodes.iter().flatten();
        let nodes = nodes.filter(|node| self.may_say_yes(state, node));
        let sidecar = &state.sidecar;
        let caches = sidecar.holder.holds(self.clock(state, 2));
        let asked = nodes.map(|node| node.applied);
        let asked = asked.chain(caches.then_some(sidecar.applied));
        let asked: Vec<_> = asked.filter(|applied| state.is_good(*applied)).collect();
        asked.into_iter()
    }

    fn fences_end_in_time(&self, state: &State) -> bool {
        let nodes = state.nodes.iter().flatten();
        let mut open = nodes.flat_map(|node| node.fences.iter().map(move |fence| (node, fence)));
        open.all(|(node, fence)| {
            let longest = World::drift().at_least(self.lease());
            let rate = u128::from(self.rates[node.name.0]);
            let bound = longest.as_nanos().div_ceil(rate);
            u128::from(state.now - fence.since) < bound
        })
    }
}

impl State {
    /// Whether the credential is good as of so many commits.
    pub(crate) fn is_good(&self, commits: usize) -> bool {
        let set = self.log[..commits].iter().rev();
        let mut set = set.filter_map(|entry| match entry {
            Entry::Set { is_good, .. } => Some(*is_good),
            _ => None,
        });
        set.next().unwrap()
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.start()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.possible(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        self.next(last, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NO_LATE_YES, |world: &Self, state: &State| {
                world.yeses(state).all(|as_of| as_of >= state.returned)
            }),
            Property::always(IN_TIME, |world: &Self, state: &State| {
                world.fences_end_in_time(state)
            }),
            Property::sometimes(BY_WORD, |_: &Self, state: &State| state.by_word),
            Property::sometimes(BY_LEASE, |_: &Self, state: &State| state.by_lease),
            Property::sometimes(YES_AFTER, |world: &Self, state: &State| {
                state.returned > 0 && world.yeses(state).next().is_some()
            }),
        ]
    }
}
