//! What there is.

use std::time::Duration;

use credd::domain::lease::{
    Awaited, BootTime, Drift, FenceId, Grantor, Holder, Peers, Relay, Sequence, Tenure,
};
use credd::domain::recent::Recent;
use credd::domain::revision::Revision;

use crate::mutation::Mutation;

/// How large the world is, and what may happen in it.
#[allow(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) mutation: Mutation,
    /// The last tick.
    pub(crate) ticks: u64,
    /// How many commits there may be, with the one that issued the credential.
    pub(crate) commits: usize,
    pub(crate) changes: &'static [Change],
    /// Whether a commit is made durable and applied in steps of their own.
    pub(crate) in_steps: bool,
    /// The lease of each incarnation of the authority, in ticks; the last one's is
    /// that of all later ones.
    pub(crate) leases: &'static [u32],
    pub(crate) drift: Drift,
    pub(crate) rates: Rates,
    pub(crate) sidecars: usize,
    /// How many messages each sidecar may send.
    pub(crate) messages: [u64; 3],
    /// How many of them may be without an answer.
    pub(crate) outstanding: usize,
    /// Whether answers to them take time. Where they don't, a holder only has its lease
    /// the sooner.
    pub(crate) slow_answers: bool,
    /// Whether messages of a connection that was cut may yet arrive.
    pub(crate) lingering: bool,
    /// The lease that a relay grants, if the first sidecar is one, which the others
    /// follow at first.
    pub(crate) relay: Option<u32>,
    /// The lease of a process on its store; none: it needs none.
    pub(crate) tenure: Option<u32>,
    /// How many changes a sidecar remembers.
    pub(crate) remembered: usize,
    /// How often there is, in all:
    pub(crate) limits: Limits,
    /// Whether a sidecar may connect to another one than before.
    pub(crate) elsewhere: bool,
}

/// What the clocks show in four ticks of true time: four if they are right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// Of the authority, and of the process that the volume is moved to.
    pub(crate) nodes: [u32; 2],
    /// Of the sidecars.
    pub(crate) sidecars: [u32; 3],
}

impl Rates {
    /// One for all nodes, and one for all sidecars.
    pub(crate) const fn of(nodes: u32, sidecars: u32) -> Self {
        Self {
            nodes: [nodes; 2],
            sidecars: [sidecars; 3],
        }
    }
}

/// How often something may happen, or has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Limits {
    /// A question to the authority.
    pub(crate) flights: u8,
    /// A request that joins one.
    pub(crate) joins: u8,
    /// A connection is cut.
    pub(crate) cuts: u8,
    /// A sidecar is started anew.
    pub(crate) restarts: u8,
    /// The authority crashes, alone or with its machine.
    pub(crate) crashes: u8,
    /// A stream can't be taken up.
    pub(crate) resets: u8,
    /// The volume is moved to another process, while the one before lives on.
    pub(crate) moves: u8,
    /// Heartbeats of processes.
    pub(crate) beats: u8,
    /// Ticks for which a sidecar's machine sleeps.
    pub(crate) sleeps: u8,
}

/// A change that somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A fenced denial.
    Deny,
    /// The same once more: a fenced commit that changes nothing.
    Retry,
    /// The credential is good again.
    Undo,
    /// Another credential changes.
    Other,
}

/// What a clock that is right shows in a tick.
pub(crate) const TICK: Duration = Duration::from_nanos(4);
/// The credential that everything is about, and another one.
pub(crate) const SUBJECT: u8 = 0;
pub(crate) const OTHER: u8 = 1;
/// Which sidecar is the relay, if there is one.
pub(crate) const RELAY: usize = 0;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// True time.
    pub(crate) now: u64,
    pub(crate) volume: Volume,
    pub(crate) nodes: [Option<Node>; 2],
    pub(crate) sidecars: Vec<Sidecar>,
    /// The greatest revision whose fence has returned.
    pub(crate) returned: Revision,
    pub(crate) spent: Limits,
    /// How many processes of the authority there have been.
    pub(crate) incarnations: usize,
    /// What the last action did.
    pub(crate) happened: Happened,
}

/// What the last action did.
#[allow(clippy::struct_excessive_bools, reason = "each is one thing")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Happened {
    /// A request that arrived after a fence had returned got a yes from before it.
    pub(crate) late_yes: bool,
    pub(crate) joined_yes: bool,
    pub(crate) fence_by_acknowledgement: bool,
    pub(crate) fence_by_expiry: bool,
    pub(crate) fence_after_restart: bool,
    /// What an earlier process had served was not durable.
    pub(crate) tail_lost: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Volume {
    pub(crate) log: Vec<Entry>,
    /// How much of it a power loss leaves.
    pub(crate) durable: usize,
    /// The largest lease that was ever granted.
    pub(crate) largest: Duration,
    /// Which node has it.
    pub(crate) owner: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    /// Whether the credential is good from then on.
    pub(crate) is_good: bool,
    pub(crate) is_fenced: bool,
    pub(crate) changed: Option<u8>,
}

/// A process of the authority.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) applied: usize,
    pub(crate) grantor: Grantor<Session>,
    /// The processes before it, as one.
    pub(crate) before: Peers<()>,
    pub(crate) fences: Vec<Fence>,
    /// The longest for which a fence may be open, in ticks.
    pub(crate) bound: u64,
    pub(crate) tenure: Option<Tenure>,
    /// The heartbeat that is under way, and whether it is durable.
    pub(crate) beat: Option<(Sequence, bool)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fence {
    pub(crate) revision: Revision,
    pub(crate) id: FenceId,
    pub(crate) before: Awaited<()>,
    pub(crate) since: u64,
}

/// A session: of which sidecar, and which process of it.
pub(crate) type Session = (usize, u8);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sidecar {
    pub(crate) process: u8,
    pub(crate) holder: Holder,
    pub(crate) recent: Recent<u8>,
    pub(crate) relay: Option<Relay<Session>>,
    pub(crate) stream: Option<Stream>,
    /// A message of an earlier stream that was sent and may yet arrive.
    pub(crate) late: Option<(Peer, Session, Up)>,
    /// The answer that is kept.
    pub(crate) kept: Option<Answer>,
    pub(crate) flight: Option<Flight>,
    pub(crate) sent: u64,
    /// For how many ticks its clock stood still.
    pub(crate) stood_still: u64,
    /// As of when it was reset, for one who forgets wrongly.
    pub(crate) began: Revision,
}

/// Whom a sidecar follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Peer {
    Node(usize),
    Relay,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stream {
    pub(crate) to: Peer,
    pub(crate) up: Vec<Up>,
    /// Answers to messages.
    pub(crate) down: Vec<(Sequence, Option<Duration>)>,
    /// A Reset that comes before any commit.
    pub(crate) reset: Option<Revision>,
    /// The commits up to here were delivered. Those that the peer has applied since
    /// are on their way; they may overtake answers, and answers them.
    pub(crate) told: Revision,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Up {
    pub(crate) sequence: Sequence,
    pub(crate) applied: Revision,
    pub(crate) acknowledged: Revision,
}

/// As of when it is true, and whether it is a yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Answer {
    pub(crate) revision: Revision,
    pub(crate) is_yes: bool,
}

/// A question, and the requests that wait for its answer: the one that began it, and
/// the last one that joined it, each with what had returned when it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flight {
    pub(crate) answer: Option<Answer>,
    pub(crate) first: Revision,
    pub(crate) joined: Option<Revision>,
}

/// The revision of so many commits.
pub(crate) const fn revision(commits: usize) -> Revision {
    Revision::new(commits as u64)
}

/// How many commits a revision stands for.
pub(crate) fn commits(revision: Revision) -> usize {
    usize::try_from(revision.number()).unwrap()
}

impl Volume {
    /// What a node answers that has applied so much.
    pub(crate) fn judge(&self, applied: usize) -> Answer {
        Answer {
            revision: revision(applied),
            is_yes: self.log[applied - 1].is_good,
        }
    }
}

impl Node {
    /// Whether the leases of the processes before it are over.
    pub(crate) fn is_quiet(&self, now: BootTime) -> bool {
        self.before.over(now).count() == self.before.len()
    }
}

impl World {
    /// What the sidecars allow for.
    pub(crate) fn holders_drift(&self) -> Drift {
        match self.mutation {
            Mutation::NoDrift | Mutation::NoDriftAtHolder => Drift::millionths(0),
            _ => self.drift,
        }
    }

    /// What those who grant leases allow for.
    pub(crate) fn grantors_drift(&self) -> Drift {
        match self.mutation {
            Mutation::NoDrift | Mutation::NoDriftAtGrantor => Drift::millionths(0),
            _ => self.drift,
        }
    }

    pub(crate) fn nodes_clock(&self, state: &State, at: usize) -> BootTime {
        clock(self.rates.nodes[at], state.now)
    }

    pub(crate) fn sidecars_clock(&self, state: &State, at: usize) -> BootTime {
        let stood_still = state.sidecars[at].stood_still;
        clock(self.rates.sidecars[at], state.now - stood_still)
    }

    /// The lease that an incarnation grants.
    pub(crate) fn lease(&self, incarnation: usize) -> Duration {
        let at = incarnation.min(self.leases.len() - 1);
        TICK * self.leases[at]
    }

    /// An authority that issued a credential, and sidecars that follow it and keep
    /// the answer that it is good, without leases yet.
    pub(crate) fn start(&self) -> State {
        let issued = Entry {
            is_good: true,
            is_fenced: false,
            changed: Some(SUBJECT),
        };
        let volume = Volume {
            log: vec![issued],
            durable: 1,
            largest: Duration::ZERO,
            owner: 0,
        };
        let mut state = State {
            now: 0,
            volume,
            nodes: [None, None],
            sidecars: (0..self.sidecars).map(|at| self.sidecar(at, 0)).collect(),
            returned: Revision::ZERO,
            spent: Limits::default(),
            incarnations: 0,
            happened: Happened::default(),
        };
        self.start_node(&mut state, 0);
        if let Some(node) = &mut state.nodes[0]
            && let Some(tenure) = &mut node.tenure
        {
            let first = tenure.begin(BootTime::default());
            tenure.synced(first);
        }
        let first = revision(1);
        for (at, sidecar) in state.sidecars.iter_mut().enumerate() {
            sidecar.reset(first);
            sidecar.kept = Some(state.volume.judge(1));
            sidecar.stream = Some(Stream {
                to: self.first_peer(at),
                up: Vec::new(),
                down: Vec::new(),
                reset: None,
                told: first,
            });
        }
        state
    }

    /// Whom a sidecar follows if nothing is wrong.
    pub(crate) const fn first_peer(&self, at: usize) -> Peer {
        if self.relay.is_some() && at != RELAY {
            Peer::Relay
        } else {
            Peer::Node(0)
        }
    }

    /// A process of a sidecar that knows nothing.
    pub(crate) fn sidecar(&self, at: usize, process: u8) -> Sidecar {
        let relay = self.relay.filter(|_| at == RELAY);
        Sidecar {
            process,
            holder: Holder::new(self.holders_drift()),
            recent: Recent::new(self.remembered),
            relay: relay.map(|lease| Relay::new(TICK * lease, self.grantors_drift())),
            stream: None,
            late: None,
            kept: None,
            flight: None,
            sent: 0,
            stood_still: 0,
            began: Revision::ZERO,
        }
    }
}

/// What a clock shows.
fn clock(rate: u32, now: u64) -> BootTime {
    BootTime::new(TICK / 4 * rate * u32::try_from(now).unwrap())
}
