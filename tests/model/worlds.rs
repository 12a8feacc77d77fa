//! The small worlds.

use credd::domain::lease::Drift;

use crate::mutation::Mutation;
use crate::world::{Change, Limits, Rates, World};

const NOTHING: Limits = Limits {
    flights: 0,
    joins: 0,
    cuts: 0,
    restarts: 0,
    crashes: 0,
    resets: 0,
    moves: 0,
    beats: 0,
    sleeps: 0,
};

/// One sidecar and a fenced denial, and the clocks at their worst: the authority's
/// fast, the sidecar's slow.
const SMALLEST: World = World {
    mutation: Mutation::None,
    ticks: 3,
    commits: 2,
    changes: &[Change::Deny],
    in_steps: false,
    leases: &[1],
    drift: Drift::millionths(250_000),
    rates: Rates::of(5, 3),
    sidecars: 1,
    messages: [2; 3],
    outstanding: 1,
    slow_answers: false,
    lingering: false,
    relay: None,
    tenure: None,
    remembered: 2,
    limits: NOTHING,
    elsewhere: false,
};

/// One sidecar with several messages under way, whose connection is cut.
pub(crate) fn messages(more: u8) -> World {
    World {
        ticks: 4,
        leases: &[2],
        messages: [3 + u64::from(more); 3],
        outstanding: 2,
        slow_answers: true,
        lingering: true,
        limits: Limits { cuts: 1, ..NOTHING },
        ..SMALLEST
    }
}

/// Like [`messages`], with clocks that run wrong by so much.
pub(crate) fn drift(nodes: u32, sidecars: u32, more: u8) -> World {
    World {
        ticks: 8,
        leases: &[3],
        drift: Drift::millionths(500_000),
        rates: Rates::of(nodes, sidecars),
        messages: [2 + u64::from(more); 3],
        slow_answers: true,
        ..SMALLEST
    }
}

/// One sidecar, requests that ask and join, and changes that are undone and repeated.
pub(crate) fn requests(more: u8) -> World {
    World {
        commits: 4 + usize::from(more),
        changes: &[Change::Deny, Change::Retry, Change::Undo],
        ticks: 2,
        limits: Limits {
            flights: 2,
            joins: 1,
            ..NOTHING
        },
        ..SMALLEST
    }
}

/// One sidecar that forgets all but the last change, and whose stream can't be taken
/// up.
pub(crate) fn forgetful(more: u8) -> World {
    World {
        ticks: 2 + u64::from(more),
        commits: 4,
        changes: &[Change::Deny, Change::Undo, Change::Other],
        remembered: 1,
        limits: Limits {
            flights: 1,
            cuts: 1,
            resets: 1,
            ..NOTHING
        },
        ..SMALLEST
    }
}

/// One sidecar whose machine sleeps, and that is started anew.
pub(crate) fn sleep(more: u8) -> World {
    World {
        ticks: 4,
        leases: &[2],
        commits: 3,
        changes: &[Change::Deny, Change::Undo],
        messages: [2 + u64::from(more); 3],
        limits: Limits {
            flights: 1,
            restarts: 1,
            sleeps: 2,
            ..NOTHING
        },
        ..SMALLEST
    }
}

/// One sidecar and an authority that crashes, alone and with its machine, and that
/// grants shorter leases from then on.
pub(crate) fn crashes(more: u8) -> World {
    World {
        ticks: 4,
        commits: 3 + usize::from(more),
        changes: &[Change::Deny, Change::Retry, Change::Undo, Change::Other],
        in_steps: true,
        leases: &[2, 1],
        limits: Limits {
            crashes: 2,
            ..NOTHING
        },
        ..SMALLEST
    }
}

/// One sidecar, and a volume that is moved to another process while the one before
/// lives on.
pub(crate) fn moved(more: u8) -> World {
    World {
        ticks: 4,
        leases: &[1],
        // The process that lives on is slow, the one that waits for it fast.
        rates: Rates {
            nodes: [3, 5],
            sidecars: [3; 3],
        },
        tenure: Some(2),
        limits: Limits {
            cuts: 1,
            moves: 1,
            beats: 2 + more,
            ..NOTHING
        },
        elsewhere: true,
        ..SMALLEST
    }
}

/// Two sidecars whose connections are cut.
pub(crate) fn two(more: u8) -> World {
    World {
        sidecars: 2,
        limits: Limits {
            cuts: 1 + more,
            ..NOTHING
        },
        ..SMALLEST
    }
}

/// A relay and a sidecar that follows it, with a connection that is cut and may be made
/// elsewhere.
pub(crate) fn relay(more: u8) -> World {
    World {
        leases: &[2],
        ticks: 3 + u64::from(more),
        sidecars: 2,
        relay: Some(2),
        limits: Limits {
            flights: 1,
            cuts: 1,
            ..NOTHING
        },
        elsewhere: true,
        ..SMALLEST
    }
}

/// A relay and two sidecars that follow it.
pub(crate) fn relay_of_two(more: u8) -> World {
    World {
        sidecars: 3,
        messages: [2 + u64::from(more), 1, 1],
        limits: NOTHING,
        elsewhere: false,
        ..relay(0)
    }
}

/// A relay that is started anew.
pub(crate) fn relay_restarts(more: u8) -> World {
    World {
        limits: Limits {
            restarts: 1 + more,
            ..NOTHING
        },
        elsewhere: false,
        ..relay(0)
    }
}

/// A relay whose stream can't be taken up.
pub(crate) fn relay_resets(more: u8) -> World {
    World {
        ticks: 3 + u64::from(more),
        messages: [2; 3],
        limits: Limits {
            cuts: 1,
            resets: 1,
            ..NOTHING
        },
        ..relay(0)
    }
}

/// A relay that knows less than who comes to follow it.
pub(crate) fn relay_is_behind(more: u8) -> World {
    World {
        ticks: 1 + u64::from(more),
        messages: [0, 2, 0],
        limits: Limits {
            flights: 1,
            joins: 1,
            cuts: 2,
            resets: 1,
            ..NOTHING
        },
        ..relay(0)
    }
}

/// A relay whose messages are slow.
pub(crate) fn relay_is_slow(more: u8) -> World {
    World {
        ticks: 4 + u64::from(more),
        messages: [4, 1, 0],
        outstanding: 3,
        limits: NOTHING,
        elsewhere: false,
        ..relay(0)
    }
}

/// A relay, with clocks that run wrong by so much: the authority's, the relay's and
/// that of the sidecar.
pub(crate) fn relay_drift(rates: [u32; 3], more: u8) -> World {
    let [nodes, relays, sidecars] = rates;
    World {
        leases: &[3],
        relay: Some(3),
        drift: Drift::millionths(500_000),
        ticks: 4 + u64::from(more),
        rates: Rates {
            nodes: [nodes; 2],
            sidecars: [relays, sidecars, sidecars],
        },
        messages: [1 + u64::from(more); 3],
        limits: NOTHING,
        elsewhere: false,
        ..relay(0)
    }
}
