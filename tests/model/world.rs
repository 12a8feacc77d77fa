//! What there is, and what can happen.

use std::time::Duration;

use credd::domain::lease::{BootTime, Drift, FenceId, Grantor, Holder, Sequence};
use credd::domain::recent::Recent;
use credd::domain::revision::Revision;

/// One rule of the protocol left out or broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// The protocol as it is.
    None,
    /// The lease runs from when its answer is received.
    LeaseFromReceipt,
    /// The lease runs as soon as it was asked for.
    LeaseWithoutAnswer,
    /// A fenced commit does not raise the floor.
    NoFloor,
    /// A session ends with its connection.
    ForgetOnCut,
    /// A restarted authority does not wait for the leases of before.
    NoWaitAfterRestart,
    /// A kept answer is not looked at when it is read.
    UncheckedEntry,
    /// Who joined a flight takes what it brings.
    UncheckedJoin,
    /// A message acknowledges what was received and not applied yet.
    AcknowledgeBeforeApply,
    /// The clocks are taken to be exact.
    NoDrift,
    /// A change that is there already is answered without a fence of its own.
    NoopWithoutFence,
    /// A stream that can't be taken up goes on as if nothing was missed.
    NoReset,
    /// A commit is acknowledged before it is durable.
    ReturnBeforeDurable,
}

/// How large the world is.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) mutation: Mutation,
    /// The last tick.
    pub(crate) ticks: u64,
    pub(crate) commits: usize,
    pub(crate) requests: u8,
    /// How many messages each sidecar may send.
    pub(crate) messages: u64,
    /// How often the authority may crash, and connections be cut.
    pub(crate) crashes: u8,
    pub(crate) cuts: u8,
    /// What the clocks of the authority and of the sidecars show in four ticks.
    pub(crate) rates: (u32, u32),
    pub(crate) sidecars: usize,
}

/// How long a lease is, in ticks.
const LEASE: u32 = 2;
/// What a clock that is right shows in a tick.
const TICK: Duration = Duration::from_nanos(4);
/// What the credential is called that everything is about.
const SUBJECT: u8 = 0;
/// How many changes a sidecar remembers.
const REMEMBERED: usize = 1;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    now: u64,
    /// Whether the credential is good after each commit, and whether it is fenced.
    log: Vec<Entry>,
    durable: usize,
    node: Option<Node>,
    incarnation: u8,
    pub(crate) sidecars: Vec<Sidecar>,
    /// The greatest revision whose fence has returned.
    returned: Revision,
    requests: u8,
    crashes: u8,
    cuts: u8,
    pub(crate) seen: Seen,
}

/// What has happened at least once.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is one thing that happened"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    /// A request that arrived after a fence returned got a yes from before it.
    pub(crate) late_yes: bool,
    pub(crate) cached_yes: bool,
    pub(crate) joined_yes: bool,
    pub(crate) fence_by_acknowledgement: bool,
    pub(crate) fence_by_expiry: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Entry {
    is_good: bool,
    fenced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    applied: usize,
    grantor: Grantor<Session>,
    quiet_from: BootTime,
    fence: Option<Fence>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Fence {
    revision: Revision,
    id: FenceId,
    since: u64,
}

/// A session: of which sidecar and which incarnation of the authority.
type Session = (usize, u8);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sidecar {
    holder: Holder,
    recent: Recent<u8>,
    stream: Option<Stream>,
    /// The answer that is kept: as of when, and whether it is a yes.
    kept: Option<(Revision, bool)>,
    flight: Option<Flight>,
    sent: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Stream {
    up: Vec<(Sequence, Revision)>,
    down: Vec<Down>,
    told: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Down {
    Reset(Revision),
    Commit(Revision),
    Answer(Sequence, Option<Duration>),
}

/// A question to the authority, and the requests that wait for its answer, the one
/// that began it first: each with what had returned when it arrived.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Flight {
    answer: Option<(Revision, bool)>,
    waiting: Vec<Revision>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Tick,
    /// Somebody asks for a fenced denial, or for its undoing.
    Deny,
    Undo,
    Sync,
    Apply,
    Return,
    /// With what was not durable, or without.
    Crash {
        keeps: bool,
    },
    Restart,
    Connect(usize),
    Send(usize),
    Receive(usize),
    Tell(usize),
    Deliver(usize),
    Cut(usize),
    Request(usize),
    Judge(usize),
    Land(usize),
}

const fn revision(commits: usize) -> Revision {
    Revision::new(commits as u64)
}

impl World {
    fn drift(&self) -> Drift {
        Drift::millionths(if self.mutation == Mutation::NoDrift {
            0
        } else {
            250_000
        })
    }

    fn clock(rate: u32, now: u64) -> BootTime {
        // The later the start, the less is rounded.
        BootTime::new(TICK / 4 * rate * u32::try_from(now).unwrap())
    }

    fn nodes_clock(&self, state: &State) -> BootTime {
        Self::clock(self.rates.0, state.now)
    }

    fn sidecars_clock(&self, state: &State) -> BootTime {
        Self::clock(self.rates.1, state.now)
    }

    fn start_node(&self, state: &State, loaded: usize, after_another: bool) -> Node {
        let now = self.nodes_clock(state);
        let waits = after_another && self.mutation != Mutation::NoWaitAfterRestart;
        let quiet_from = if waits {
            now + self.drift().at_least(TICK * LEASE)
        } else {
            now
        };
        Node {
            applied: loaded,
            grantor: Grantor::new(TICK * LEASE, self.drift(), revision(loaded), quiet_from),
            quiet_from,
            fence: None,
        }
    }

    pub(crate) fn start(&self) -> State {
        let sidecar = Sidecar {
            holder: Holder::new(self.drift()),
            recent: Recent::new(REMEMBERED),
            stream: None,
            kept: None,
            flight: None,
            sent: 0,
        };
        let mut state = State {
            now: 0,
            // The credential was issued.
            log: vec![Entry {
                is_good: true,
                fenced: false,
            }],
            durable: 1,
            node: None,
            incarnation: 0,
            sidecars: vec![sidecar; self.sidecars],
            returned: Revision::ZERO,
            requests: 0,
            crashes: 0,
            cuts: 0,
            seen: Seen::default(),
        };
        state.node = Some(self.start_node(&state, 1, false));
        state
    }

    pub(crate) fn actions(&self, state: &State) -> Vec<Action> {
        let mut actions = Vec::new();
        if state.now < self.ticks {
            actions.push(Action::Tick);
        }
        if let Some(node) = &state.node {
            if state.log.len() < self.commits {
                actions.push(Action::Deny);
                if state.log.last().is_some_and(|last| !last.is_good) {
                    actions.push(Action::Undo);
                }
            }
            if state.durable < state.log.len() {
                actions.push(Action::Sync);
            }
            if node.applied < state.durable {
                actions.push(Action::Apply);
            }
            if node.fence.is_some() {
                actions.push(Action::Return);
            }
            if state.crashes < self.crashes {
                actions.push(Action::Crash { keeps: true });
                if state.durable < state.log.len() {
                    actions.push(Action::Crash { keeps: false });
                }
            }
        } else {
            actions.push(Action::Restart);
        }
        for (at, sidecar) in state.sidecars.iter().enumerate() {
            match (&sidecar.stream, &state.node) {
                (None, Some(_)) => actions.push(Action::Connect(at)),
                (Some(stream), Some(node)) => {
                    if sidecar.sent < self.messages && stream.up.len() < 2 {
                        actions.push(Action::Send(at));
                    }
                    if !stream.up.is_empty() {
                        actions.push(Action::Receive(at));
                    }
                    if stream.told < node.applied {
                        actions.push(Action::Tell(at));
                    }
                    if state.cuts < self.cuts {
                        actions.push(Action::Cut(at));
                    }
                }
                _ => (),
            }
            if sidecar.stream.as_ref().is_some_and(|s| !s.down.is_empty()) {
                actions.push(Action::Deliver(at));
            }
            if state.requests < self.requests {
                actions.push(Action::Request(at));
            }
            if let Some(flight) = &sidecar.flight {
                match flight.answer {
                    None if state.node.is_some() => actions.push(Action::Judge(at)),
                    None => (),
                    Some(_) => actions.push(Action::Land(at)),
                }
            }
        }
        actions
    }

    pub(crate) fn next(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        self.act(&mut state, action)?;
        (state != *last).then_some(state)
    }

    #[allow(clippy::too_many_lines, reason = "a table of what each action does")]
    fn act(&self, state: &mut State, action: Action) -> Option<()> {
        let (nodes_now, sidecars_now) = (self.nodes_clock(state), self.sidecars_clock(state));
        match action {
            Action::Tick => state.now += 1,
            Action::Deny => {
                let is_there = state.log.last().is_some_and(|last| !last.is_good);
                if is_there && self.mutation == Mutation::NoopWithoutFence {
                    state.returned = revision(state.log.len());
                    return Some(());
                }
                // Where it is there already, this is the empty fenced commit.
                state.log.push(Entry {
                    is_good: false,
                    fenced: true,
                });
                if self.mutation == Mutation::ReturnBeforeDurable {
                    self.begin_fence(state, revision(state.log.len()));
                }
            }
            Action::Undo => state.log.push(Entry {
                is_good: true,
                fenced: false,
            }),
            Action::Sync => state.durable = state.log.len(),
            Action::Apply => {
                let entry = state.log[state.node.as_ref()?.applied];
                let node = state.node.as_mut()?;
                node.applied += 1;
                let applied = revision(node.applied);
                if entry.fenced && self.mutation != Mutation::ReturnBeforeDurable {
                    self.begin_fence(state, applied);
                }
            }
            Action::Return => {
                let node = state.node.as_mut()?;
                let Fence { revision, id, .. } = node.fence?;
                let fenced = node.grantor.fenced(id, nodes_now)?;
                if fenced.is_done {
                    node.grantor.end(id);
                    node.fence = None;
                    state.returned = state.returned.max(revision);
                    state.seen.fence_by_acknowledgement |= fenced.acknowledged > 0;
                    state.seen.fence_by_expiry |= fenced.ran_out > 0;
                }
            }
            Action::Crash { keeps } => {
                state.node = None;
                state.crashes += 1;
                if !keeps {
                    state.log.truncate(state.durable);
                }
                state.durable = state.log.len();
            }
            Action::Restart => {
                state.incarnation += 1;
                state.node = Some(self.start_node(state, state.durable, true));
                for sidecar in &mut state.sidecars {
                    sidecar.stream = None;
                    sidecar.holder.disconnected();
                }
            }
            Action::Connect(at) => {
                let applied = state.node.as_ref()?.applied;
                let sidecar = &mut state.sidecars[at];
                let mut stream = Stream {
                    up: Vec::new(),
                    down: Vec::new(),
                    told: usize::try_from(sidecar.recent.applied().number()).unwrap(),
                };
                if sidecar.recent.applied() == Revision::ZERO {
                    stream.down.push(Down::Reset(revision(applied)));
                    stream.told = applied;
                }
                sidecar.stream = Some(stream);
            }
            Action::Send(at) => {
                let sidecar = &mut state.sidecars[at];
                let sequence = sidecar.holder.send(sidecars_now);
                if self.mutation == Mutation::LeaseWithoutAnswer {
                    sidecar.holder.answered(sequence, Some(TICK * LEASE));
                }
                let stream = sidecar.stream.as_mut()?;
                let mut applied = sidecar.recent.applied();
                if self.mutation == Mutation::AcknowledgeBeforeApply {
                    for down in &stream.down {
                        if let Down::Commit(revision) | Down::Reset(revision) = down {
                            applied = applied.max(*revision);
                        }
                    }
                }
                stream.up.push((sequence, applied));
                sidecar.sent += 1;
            }
            Action::Receive(at) => {
                let session = (at, state.incarnation);
                let stream = state.sidecars[at].stream.as_mut()?;
                let (sequence, applied) = stream.up.remove(0);
                let grantor = &mut state.node.as_mut()?.grantor;
                grantor.advance(nodes_now);
                let lease = grantor.renew(&session, applied, applied, nodes_now, None);
                stream.down.push(Down::Answer(sequence, lease));
            }
            Action::Tell(at) => {
                let stream = state.sidecars[at].stream.as_mut()?;
                stream.told += 1;
                stream.down.push(Down::Commit(revision(stream.told)));
            }
            Action::Deliver(at) => {
                let sidecar = &mut state.sidecars[at];
                match sidecar.stream.as_mut()?.down.remove(0) {
                    Down::Reset(revision) if self.mutation == Mutation::NoReset => {
                        sidecar.recent.reset(Revision::ZERO);
                        sidecar.recent.apply(revision, []);
                    }
                    Down::Reset(revision) => sidecar.recent.reset(revision),
                    Down::Commit(revision) => sidecar.recent.apply(revision, [SUBJECT]),
                    Down::Answer(sequence, lease) => {
                        if self.mutation == Mutation::LeaseFromReceipt {
                            let late = sidecar.holder.send(sidecars_now);
                            sidecar.holder.answered(late, lease);
                        } else {
                            sidecar.holder.answered(sequence, lease);
                        }
                    }
                }
            }
            Action::Cut(at) => {
                state.cuts += 1;
                let sidecar = &mut state.sidecars[at];
                sidecar.stream = None;
                sidecar.holder.disconnected();
                if self.mutation == Mutation::ForgetOnCut {
                    let node = state.node.as_mut()?;
                    // As if all leases had run out; with one sidecar it has one.
                    node.grantor.advance(nodes_now + TICK * LEASE * 2);
                }
            }
            Action::Request(at) => {
                state.requests += 1;
                let arrived = state.returned;
                let kept = state.sidecars[at].kept;
                if let Some((revision, is_yes)) = kept
                    && self.may_use(&state.sidecars[at], revision, sidecars_now)
                {
                    state.seen.cached_yes |= is_yes;
                    state.seen.late_yes |= is_yes && revision < arrived;
                    return Some(());
                }
                let flight = &mut state.sidecars[at].flight;
                match flight {
                    Some(flight) => flight.waiting.push(arrived),
                    None => {
                        *flight = Some(Flight {
                            answer: None,
                            waiting: vec![arrived],
                        });
                    }
                }
            }
            Action::Judge(at) => {
                let applied = state.node.as_ref()?.applied;
                let is_good = state.log[applied - 1].is_good;
                state.sidecars[at].flight.as_mut()?.answer = Some((revision(applied), is_good));
            }
            Action::Land(at) => {
                let flight = state.sidecars[at].flight.take()?;
                let (revision, is_yes) = flight.answer?;
                let mut waiting = flight.waiting.into_iter();
                // The answer was made after the first had arrived.
                let first = waiting.next()?;
                state.seen.late_yes |= is_yes && revision < first;
                state.sidecars[at].kept = Some((revision, is_yes));
                let holds = self.may_use(&state.sidecars[at], revision, sidecars_now);
                if holds || self.mutation == Mutation::UncheckedJoin {
                    for arrived in waiting {
                        state.seen.joined_yes |= is_yes;
                        state.seen.late_yes |= is_yes && revision < arrived;
                    }
                } else if waiting.len() > 0 {
                    // They ask anew.
                    state.sidecars[at].flight = Some(Flight {
                        answer: None,
                        waiting: waiting.collect(),
                    });
                }
            }
        }
        Some(())
    }

    fn begin_fence(&self, state: &mut State, revision: Revision) {
        let (since, now) = (state.now, self.nodes_clock(state));
        let Some(node) = &mut state.node else {
            return;
        };
        if self.mutation != Mutation::NoFloor {
            node.grantor.raise(revision);
        }
        if let Some(earlier) = node.fence.take() {
            node.grantor.end(earlier.id);
        }
        let id = node.grantor.fence(revision, now);
        node.fence = Some(Fence {
            revision,
            id,
            since,
        });
    }

    fn may_use(&self, sidecar: &Sidecar, revision: Revision, now: BootTime) -> bool {
        sidecar.holder.holds(now)
            && (sidecar.recent.is_current(revision, &[SUBJECT])
                || self.mutation == Mutation::UncheckedEntry)
    }

    /// Whether every lease that is held is one that the authority waits for.
    pub(crate) fn leases_are_covered(&self, state: &State) -> bool {
        let Some(node) = &state.node else {
            return true;
        };
        let now = self.nodes_clock(state);
        let mut grantor = node.grantor.clone();
        grantor.advance(now);
        let held = state.sidecars.iter();
        let held = held.filter(|sidecar| sidecar.holder.holds(self.sidecars_clock(state)));
        now < node.quiet_from || held.count() <= grantor.len()
    }

    /// Whether no fence is open for longer than its bound: a lease, and that of an
    /// earlier incarnation.
    pub(crate) fn fences_end_in_time(&self, state: &State) -> bool {
        let Some(node) = &state.node else {
            return true;
        };
        let Some(Fence { id, since, .. }) = node.fence else {
            return true;
        };
        // By the slowest clock, which shows three quarters.
        let bound = u64::from(LEASE) * 5 / 3 + 1;
        let now = self.nodes_clock(state);
        let fenced = node.grantor.clone().fenced(id, now);
        state.now <= since + bound || fenced.is_some_and(|fenced| fenced.is_done)
    }
}
