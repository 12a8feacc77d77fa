//! What must always hold, what must be possible, and that each rule is needed.

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::world::{Action, Mutation, State, World};

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
            Property::always("no late yes", |_: &Self, state: &State| {
                !state.seen.late_yes
            }),
            Property::always("leases are covered", |world: &Self, state: &State| {
                world.leases_are_covered(state)
            }),
            Property::always("fences end in time", |world: &Self, state: &State| {
                world.fences_end_in_time(state)
            }),
            Property::sometimes("a yes from the cache", |_: &Self, state: &State| {
                state.seen.cached_yes
            }),
            Property::sometimes("a yes to one who joined", |_: &Self, state: &State| {
                state.seen.joined_yes
            }),
            Property::sometimes("a fence by acknowledgement", |_: &Self, state: &State| {
                state.seen.fence_by_acknowledgement
            }),
            Property::sometimes("a fence by expiry", |_: &Self, state: &State| {
                state.seen.fence_by_expiry
            }),
        ]
    }
}

const ALWAYS: [&str; 3] = ["no late yes", "leases are covered", "fences end in time"];

fn small(mutation: Mutation) -> World {
    World {
        mutation,
        ticks: 4,
        commits: 2,
        requests: 2,
        messages: 2,
        crashes: 0,
        cuts: 1,
        // The authority's clock runs fast, and the sidecars' slow.
        rates: (5, 3),
        sidecars: 1,
    }
}

#[test]
fn the_protocol_holds() {
    let checker = small(Mutation::None)
        .checker()
        .threads(2)
        .spawn_bfs()
        .join();
    println!(
        "{} states, depth {}",
        checker.unique_state_count(),
        checker.max_depth()
    );
    checker.assert_properties();
}

#[track_caller]
fn refuted(world: World) {
    let always = ALWAYS.into_iter().collect();
    let checker = world.checker();
    let checker = checker
        .finish_when(HasDiscoveries::AnyOf(always))
        .threads(2);
    let checker = checker.spawn_bfs().join();
    let found = ALWAYS.iter().find_map(|name| checker.discovery(name));
    let path = found.expect("a counterexample");
    println!(
        "{} states; {:?}",
        checker.unique_state_count(),
        path.into_actions()
    );
}

#[test]
fn a_lease_from_the_receipt_is_refuted() {
    refuted(small(Mutation::LeaseFromReceipt));
}
