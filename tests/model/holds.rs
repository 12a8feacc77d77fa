//! The protocol holds in each of the small worlds, and what should be possible is.

use std::time::Instant;

use stateright::{Checker, Model};

use crate::checks::{
    AFTER_RESTART, ALWAYS, BY_ACKNOWLEDGEMENT, BY_EXPIRY, FROM_CACHE, FROM_RELAY, TAIL_LOST,
    TO_JOINED,
};
use crate::world::World;
use crate::worlds;

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

/// By how much the worlds are larger than usual.
fn more() -> u8 {
    let more = std::env::var("CREDD_TEST_MODEL_MORE");
    more.map_or(0, |more| more.parse().expect("a small number"))
}

#[test]
fn it_holds_while_messages_are_slow_and_connections_are_cut() {
    holds(
        "messages",
        worlds::messages(more()),
        &[FROM_CACHE, BY_ACKNOWLEDGEMENT, BY_EXPIRY],
    );
}

#[test]
fn it_holds_while_requests_ask_and_join() {
    holds(
        "requests",
        worlds::requests(more()),
        &[FROM_CACHE, TO_JOINED, BY_ACKNOWLEDGEMENT, BY_EXPIRY],
    );
}

#[test]
fn it_holds_for_one_that_forgets_and_loses_continuity() {
    holds("forgetful", worlds::forgetful(more()), &[FROM_CACHE]);
}

#[test]
fn it_holds_while_a_machine_sleeps_and_a_sidecar_is_started_anew() {
    holds(
        "sleep",
        worlds::sleep(more()),
        &[FROM_CACHE, BY_ACKNOWLEDGEMENT, BY_EXPIRY],
    );
}

#[test]
fn it_holds_through_crashes_and_a_shorter_lease() {
    holds(
        "crashes",
        worlds::crashes(more()),
        &[FROM_CACHE, AFTER_RESTART, TAIL_LOST],
    );
}

#[test]
fn it_holds_when_the_volume_is_moved_from_a_process_that_lives_on() {
    holds("moved", worlds::moved(more()), &[FROM_CACHE, AFTER_RESTART]);
}

#[test]
fn it_holds_for_two_sidecars() {
    holds(
        "two",
        worlds::two(more()),
        &[FROM_CACHE, BY_ACKNOWLEDGEMENT, BY_EXPIRY],
    );
}

#[test]
fn it_holds_for_a_relay_and_who_follows_it() {
    holds(
        "relay",
        worlds::relay(more()),
        &[FROM_CACHE, FROM_RELAY, BY_ACKNOWLEDGEMENT, BY_EXPIRY],
    );
}

#[test]
fn it_holds_for_a_relay_and_two_who_follow_it() {
    holds(
        "relay of two",
        worlds::relay_of_two(more()),
        &[FROM_CACHE, FROM_RELAY, BY_ACKNOWLEDGEMENT, BY_EXPIRY],
    );
}

#[test]
fn it_holds_for_a_relay_that_is_started_anew() {
    holds(
        "relay restarts",
        worlds::relay_restarts(more()),
        &[FROM_CACHE, FROM_RELAY, BY_ACKNOWLEDGEMENT, BY_EXPIRY],
    );
}

#[test]
fn it_holds_for_a_relay_that_loses_continuity() {
    holds(
        "relay resets",
        worlds::relay_resets(more()),
        &[FROM_CACHE, FROM_RELAY, BY_ACKNOWLEDGEMENT, BY_EXPIRY],
    );
}

#[test]
fn it_holds_for_a_relay_that_knows_less_than_its_followers() {
    holds(
        "relay is behind",
        worlds::relay_is_behind(more()),
        &[FROM_CACHE, TO_JOINED],
    );
}

#[test]
fn it_holds_for_a_relay_whose_messages_are_slow() {
    holds(
        "relay is slow",
        worlds::relay_is_slow(more()),
        &[FROM_CACHE, FROM_RELAY, BY_ACKNOWLEDGEMENT, BY_EXPIRY],
    );
}

/// Of the authority and of a sidecar.
#[test]
fn it_holds_for_clocks_that_run_fast_and_slow() {
    for (node, sidecar) in [(2, 2), (2, 6), (6, 2), (6, 6)] {
        let name = format!("drift, {node} and {sidecar} for 4");
        let world = worlds::drift(node, sidecar, more());
        holds(&name, world, &[FROM_CACHE, BY_ACKNOWLEDGEMENT]);
    }
}

/// Of the authority, of a relay and of a sidecar that follows it.
#[test]
fn it_holds_for_clocks_of_a_relay_that_run_fast_and_slow() {
    for at in 0..8 {
        let [node, relay, sidecar] = [1, 2, 4].map(|bit| if at & bit == 0 { 2 } else { 6 });
        let name = format!("relay drift, {node}, {relay} and {sidecar} for 4");
        let world = worlds::relay_drift([node, relay, sidecar], more());
        holds(&name, world, &[FROM_CACHE, FROM_RELAY]);
    }
}
