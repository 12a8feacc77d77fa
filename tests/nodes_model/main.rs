//! Several nodes on one store as a model: every order of what two nodes, a sidecar of
//! each and the store between them can do, in worlds that are small, with the machines
//! of `credd::domain` themselves.
//!
//! - **The store** is one order of commits. Each node applies them one by one, when it
//!   gets to them, and may lag behind as far as it likes. A heartbeat is a commit that
//!   is sent, made and applied in steps of their own.
//! - **Time.** True time is counted in ticks. The clock of each process shows less or
//!   more of it, within what the leases allow for. Whoever does nothing between two
//!   ticks is paused.
//! - **What must hold** ([`world`]): no node, and no sidecar, says yes as of before a
//!   fenced denial whose fence has returned; and no fence is open for longer than a
//!   lease.
//! - **Each rule is needed**: the model breaks it around the machines, and finds a late
//!   yes. The same worlds hold unbroken.
//!
//! Sessions, their streams and what is cached are the subject of `tests/model`; here a
//! sidecar is a lease and a revision, and asks and is answered in as few steps as it can
//! be. `cargo test --test nodes_model -- --nocapture` prints how many states each world
//! has.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod step;
mod world;

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use world::{ALWAYS, BY_LEASE, BY_WORD, NO_LATE_YES, Rule, World, YES_AFTER};

/// Explores a world wholly.
#[track_caller]
fn holds(name: &str, world: World, possible: &[&'static str]) {
    let began = Instant::now();
    let checker = world.checker().threads(2).spawn_bfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    let seconds = began.elapsed().as_secs_f64();
    println!("{name}: {states} states, {depth} deep, {seconds:.1} s");
    for name in ALWAYS {
        if let Some(path) = checker.discovery(name) {
            panic!("not \"{name}\": {:?}", path.into_actions());
        }
    }
    for name in possible {
        assert!(checker.discovery(name).is_some(), "never \"{name}\"");
    }
}

/// Explores a world in which a rule is broken until what must always hold does not.
#[track_caller]
fn refuted(rule: Rule, world: World) {
    let began = Instant::now();
    let world = World {
        broken: Some(rule),
        ..world
    };
    let found = HasDiscoveries::AnyOf([NO_LATE_YES].into_iter().collect());
    let checker = world.checker().threads(2).finish_when(found);
    let checker = checker.spawn_bfs().join();
    let (states, seconds) = (checker.unique_state_count(), began.elapsed().as_secs_f64());
    let Some(path) = checker.discovery(NO_LATE_YES) else {
        panic!("without {rule:?} there is no late yes in {states} states");
    };
    let actions = path.into_actions();
    println!("without {rule:?}: {states} states, {seconds:.1} s: {actions:?}");
}

/// Two nodes, of which the second lags, and beats.
const LAGGING: World = World {
    broken: None,
    ticks: 5,
    lease: 2,
    rates: [5, 3, 3],
    beats: [0, 2],
    denials: 1,
    undone: 0,
    messages: 0,
    crashes: 0,
    burials: 0,
};

/// The same with a sidecar that has a lease from it.
const FOLLOWED: World = World {
    messages: 2,
    beats: [0, 1],
    ..LAGGING
};

/// A node is killed and started anew.
const RESTARTED: World = World {
    crashes: 1,
    beats: [0, 1],
    ..LAGGING
};

/// Two fences, and what was denied is good again between them.
const UNDONE: World = World {
    denials: 2,
    undone: 1,
    ..LAGGING
};

/// The first node removes the second's record.
const BURIED: World = World {
    burials: 1,
    ..LAGGING
};

/// Clocks at their worst: that of who waits fast, that of who is waited for slow.
const DRIFTING: World = World {
    lease: 5,
    ticks: 6,
    beats: [0, 1],
    ..LAGGING
};

#[test]
fn it_holds_while_clocks_run_wrong() {
    holds("drifting", DRIFTING, &[BY_WORD, BY_LEASE]);
}

#[test]
fn it_holds_while_a_node_lags() {
    holds("lagging", LAGGING, &[BY_WORD, BY_LEASE]);
}

#[test]
fn it_holds_while_a_node_that_lags_is_followed() {
    holds("followed", FOLLOWED, &[BY_WORD, BY_LEASE]);
}

#[test]
fn it_holds_while_a_node_is_started_anew() {
    holds("restarted", RESTARTED, &[BY_WORD, BY_LEASE]);
}

#[test]
fn it_holds_while_what_was_denied_is_good_again() {
    holds("undone", UNDONE, &[BY_WORD, BY_LEASE, YES_AFTER]);
}

#[test]
fn it_holds_while_records_are_removed() {
    holds("buried", BURIED, &[BY_WORD, BY_LEASE]);
}

#[test]
fn a_fence_that_does_not_wait_for_other_nodes_is_refuted() {
    refuted(Rule::WaitForPeers, LAGGING);
}

#[test]
fn a_fence_that_is_begun_before_the_change_is_applied_is_refuted() {
    refuted(Rule::FenceOnceApplied, LAGGING);
}

#[test]
fn a_wait_that_is_no_longer_than_the_lease_is_refuted() {
    refuted(Rule::DriftAtPeers, DRIFTING);
}

#[test]
fn a_node_that_tells_of_what_it_has_not_applied_is_refuted() {
    refuted(Rule::TellWhatIsApplied, LAGGING);
}

#[test]
fn a_node_that_tells_of_what_its_sessions_have_not_acknowledged_is_refuted() {
    refuted(Rule::TellWhatIsAcknowledged, FOLLOWED);
}

#[test]
fn a_nodes_lease_that_runs_from_when_its_heartbeat_was_made_is_refuted() {
    refuted(Rule::LeaseFromSend, LAGGING);
}

#[test]
fn a_nodes_lease_that_counts_before_its_heartbeat_is_applied_is_refuted() {
    refuted(Rule::LeaseOnceApplied, LAGGING);
}

#[test]
fn a_node_that_answers_without_a_lease_is_refuted() {
    refuted(Rule::AnswerWithLease, LAGGING);
}

#[test]
fn a_node_that_grants_leases_beyond_its_own_is_refuted() {
    refuted(Rule::GrantWithin, FOLLOWED);
}

#[test]
fn a_node_that_grants_leases_to_who_has_not_applied_what_another_has_fenced_is_refuted() {
    refuted(Rule::Floor, FOLLOWED);
}

#[test]
fn a_node_that_starts_without_looking_who_else_is_there_is_refuted() {
    refuted(Rule::SeeAtStart, RESTARTED);
}

#[test]
fn removing_the_record_of_a_node_that_has_beaten_since_is_refuted() {
    refuted(Rule::GuardedBurial, BURIED);
}
