//! Each rule is needed: without it there is a late yes. That the same world holds with
//! all rules is shown in [`holds`](crate::holds).

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::checks::{COVERED, IN_TIME, NO_LATE_YES};
use crate::mutation::Mutation;
use crate::world::World;
use crate::worlds;

/// Explores a world in which a rule is broken until what must always hold does not.
#[track_caller]
fn refuted(name: &'static str, mutation: Mutation, world: World) {
    let began = Instant::now();
    let world = World { mutation, ..world };
    let found = HasDiscoveries::AnyOf([name].into_iter().collect());
    let checker = world.checker().threads(2).finish_when(found);
    let checker = checker.spawn_bfs().join();
    let (states, seconds) = (checker.unique_state_count(), began.elapsed().as_secs_f64());
    let Some(path) = checker.discovery(name) else {
        panic!("{mutation:?} does not refute \"{name}\" in {states} states");
    };
    let actions = path.into_actions();
    println!("{mutation:?} refutes \"{name}\": {states} states, {seconds:.1} s: {actions:?}");
}

// 1. Lease from send, counted on answer.

#[test]
fn a_lease_that_runs_from_the_receipt_is_refuted() {
    refuted(NO_LATE_YES, Mutation::LeaseFromReceipt, worlds::messages(0));
}

#[test]
fn a_lease_that_runs_before_it_is_granted_is_refuted() {
    refuted(
        NO_LATE_YES,
        Mutation::LeaseWithoutAnswer,
        worlds::messages(0),
    );
}

#[test]
fn clocks_that_are_taken_to_be_exact_is_refuted() {
    refuted(NO_LATE_YES, Mutation::NoDrift, worlds::drift(6, 2, 0));
}

#[test]
fn a_grantor_that_does_not_count_longer_is_refuted() {
    refuted(
        NO_LATE_YES,
        Mutation::NoDriftAtGrantor,
        worlds::drift(6, 2, 0),
    );
}

#[test]
fn a_holder_that_does_not_count_shorter_is_refuted() {
    refuted(
        NO_LATE_YES,
        Mutation::NoDriftAtHolder,
        worlds::drift(6, 2, 0),
    );
}

#[test]
fn a_clock_that_stops_in_sleep_is_refuted() {
    refuted(NO_LATE_YES, Mutation::ClockStopsInSleep, worlds::sleep(0));
}

// 2. The floor.

#[test]
fn a_fence_without_a_floor_is_refuted() {
    refuted(NO_LATE_YES, Mutation::NoFloor, worlds::messages(0));
}

#[test]
fn a_lease_below_the_floor_is_refuted() {
    refuted(NO_LATE_YES, Mutation::LeaseBelowFloor, worlds::messages(0));
}

#[test]
fn a_start_without_a_floor_is_refuted() {
    refuted(NO_LATE_YES, Mutation::NoFloorAtStart, worlds::crashes(0));
}

#[test]
fn a_relay_without_a_floor_is_refuted() {
    refuted(NO_LATE_YES, Mutation::NoFloorAtRelay, worlds::relay(0));
}

// 3. A session outlives its connection.

#[test]
fn a_session_that_ends_with_its_connection_is_refuted() {
    refuted(NO_LATE_YES, Mutation::ForgetOnCut, worlds::messages(0));
}

#[test]
fn a_connection_that_replaces_the_session_before_is_refuted() {
    refuted(NO_LATE_YES, Mutation::ReplaceOnConnect, worlds::messages(0));
}

#[test]
fn a_new_relay_that_takes_a_session_up_is_refuted() {
    refuted(
        NO_LATE_YES,
        Mutation::RelayTakesSessionUp,
        worlds::relay_restarts(0),
    );
}

// 4. The wait after a restart.

#[test]
fn a_restart_without_a_wait_is_refuted() {
    refuted(
        NO_LATE_YES,
        Mutation::NoWaitAfterRestart,
        worlds::crashes(0),
    );
}

#[test]
fn a_wait_for_the_configured_lease_only_is_refuted() {
    refuted(
        NO_LATE_YES,
        Mutation::WaitOnlyConfigured,
        worlds::crashes(0),
    );
}

#[test]
fn a_wait_for_leases_of_sessions_only_is_refuted() {
    refuted(NO_LATE_YES, Mutation::WaitOnlyForSessions, worlds::moved(0));
}

// 5. Entries are checked when read.

#[test]
fn an_entry_that_is_not_checked_is_refuted() {
    refuted(NO_LATE_YES, Mutation::UncheckedEntry, worlds::messages(0));
}

#[test]
fn an_entry_that_is_checked_only_when_it_arrives_is_refuted() {
    refuted(NO_LATE_YES, Mutation::CheckedOnArrival, worlds::requests(0));
}

#[test]
fn an_unchecked_answer_to_one_who_joined_is_refuted() {
    refuted(NO_LATE_YES, Mutation::UncheckedJoin, worlds::requests(0));
}

#[test]
fn forgetting_that_does_not_raise_the_level_is_refuted() {
    refuted(NO_LATE_YES, Mutation::NoLevel, worlds::forgetful(0));
}

#[test]
fn lost_continuity_without_a_reset_is_refuted() {
    refuted(NO_LATE_YES, Mutation::NoReset, worlds::forgetful(0));
}

#[test]
fn a_reset_that_keeps_the_lease_is_refuted() {
    refuted(
        NO_LATE_YES,
        Mutation::ResetKeepsLease,
        worlds::relay_is_behind(0),
    );
}

#[test]
fn an_answer_from_the_cache_without_a_lease_is_refuted() {
    refuted(NO_LATE_YES, Mutation::NoLease, worlds::messages(0));
}

// 6. Relays.

#[test]
fn a_relay_that_acknowledges_for_itself_only_is_refuted() {
    refuted(
        NO_LATE_YES,
        Mutation::RelayAcknowledgesOwn,
        worlds::relay(0),
    );
}

#[test]
fn a_relay_that_grants_longer_than_its_own_lease_is_refuted() {
    refuted(NO_LATE_YES, Mutation::RelayGrantsLonger, worlds::relay(0));
}

#[test]
fn a_relay_that_keeps_a_reset_to_itself_is_refuted() {
    refuted(
        NO_LATE_YES,
        Mutation::RelayKeepsReset,
        worlds::relay_resets(0),
    );
}

// 7. Answers that write nothing.

#[test]
fn a_repetition_without_a_fence_is_refuted() {
    refuted(NO_LATE_YES, Mutation::NoopWithoutFence, worlds::requests(0));
}

#[test]
fn a_repetition_of_what_is_not_durable_is_refuted() {
    refuted(NO_LATE_YES, Mutation::NoopBeforeDurable, worlds::crashes(0));
}

#[test]
fn a_repetition_of_what_is_not_applied_is_refuted() {
    refuted(NO_LATE_YES, Mutation::NoopBeforeApplied, worlds::crashes(0));
}

// 8. Acknowledgements.

#[test]
fn an_acknowledgement_of_what_is_not_applied_is_refuted() {
    refuted(
        NO_LATE_YES,
        Mutation::AcknowledgeBeforeApply,
        worlds::messages(0),
    );
}

// The store.

#[test]
fn a_change_that_is_applied_before_it_is_durable_is_refuted() {
    refuted(
        NO_LATE_YES,
        Mutation::ReturnBeforeDurable,
        worlds::crashes(0),
    );
}

#[test]
fn a_tail_that_is_served_before_it_is_synced_is_refuted() {
    refuted(NO_LATE_YES, Mutation::ServeUnsyncedTail, worlds::crashes(0));
}

// The process's own lease.

#[test]
fn a_node_that_answers_without_its_own_lease_is_refuted() {
    refuted(NO_LATE_YES, Mutation::AnswerWithoutTenure, worlds::moved(0));
}

#[test]
fn a_node_that_grants_longer_than_its_own_lease_is_refuted() {
    refuted(NO_LATE_YES, Mutation::GrantBeyondTenure, worlds::moved(0));
}

#[test]
fn a_nodes_lease_that_runs_from_the_return_is_refuted() {
    refuted(NO_LATE_YES, Mutation::TenureFromReturn, worlds::moved(0));
}

// What else must hold can fail, too.

#[test]
fn a_fence_without_a_floor_may_stay_open() {
    refuted(IN_TIME, Mutation::NoFloor, worlds::messages(0));
}

#[test]
fn a_lease_that_runs_from_the_receipt_may_outlive_its_grantors_count() {
    refuted(COVERED, Mutation::LeaseFromReceipt, worlds::messages(0));
}

#[test]
fn a_relay_that_grants_longer_leaves_leases_that_nobody_waits_for() {
    refuted(COVERED, Mutation::RelayGrantsLonger, worlds::relay(0));
}
