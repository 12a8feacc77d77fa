//! How much is looked at for a page.

use super::*;

/// Of these credentials one in a thousand is any of what a filter can name.
const CREDENTIALS: u32 = 30_000;
const LIMIT: usize = 10;
/// For a page of ten, however large the index.
const FEW: Effort = Effort {
    examined: LIMIT + 1,
    sorted: 40,
};

fn any_of() -> Filter {
    Filter {
        whose: Whose::All,
        profile: None,
        kind: None,
        states: ALL_STATES.to_vec(),
        label_prefix: String::new(),
        role: None,
        expiring_before: None,
        unused_since: None,
        unlisted: true,
    }
}

fn one_in_a_thousand() -> World {
    let mut world = World::new();
    let common = Credential {
        created_at: Timestamp::from_millis(0),
        expires_at: Some(Timestamp::from_millis(1000)),
        ..credential(CredentialId::MIN)
    };
    for n in 0..CREDENTIALS {
        let mut said = common.clone();
        match n % 1000 {
            1 => said.tenant = Tenant::trusted("globex".into()),
            2 => said.owner = Owner::trusted("mia".into()),
            3 => {
                said.profile = ProfileRef {
                    family: ProfileFamily {
                        scope: Scope::All,
                        name: ProfileName::trusted("misp".into()),
                    },
                    version: 1,
                };
            }
            4 => said.roles = vec![Role::trusted("reader".into())],
            5 => said.state = State::Locked,
            6 => said.expires_at = Some(Timestamp::from_millis(500)),
            _ => (),
        }
        world.issue(&Said(said));
    }
    world
}

/// With so little effort, a page that is full is one for which little was looked
/// at.
#[test]
fn a_page_for_an_indexed_filter_looks_at_few_of_many() {
    let world = one_in_a_thousand();
    let acme = Tenant::trusted("acme".into());
    let indexed = [
        Filter {
            whose: Whose::Tenant(Tenant::trusted("globex".into())),
            ..any_of()
        },
        Filter {
            whose: Whose::Owner(acme, Owner::trusted("mia".into())),
            ..any_of()
        },
        Filter {
            profile: Some(ProfileName::trusted("misp".into())),
            ..any_of()
        },
        Filter {
            role: Some(Role::trusted("reader".into())),
            ..any_of()
        },
        Filter {
            states: vec![ShownState::Locked, ShownState::Revoked],
            ..any_of()
        },
        Filter {
            expiring_before: Some(Timestamp::from_millis(600)),
            ..any_of()
        },
    ];
    for filter in indexed {
        for order in [Order::Created, Order::Expiry, Order::LastUsed] {
            let ask = Ask {
                filter: filter.clone(),
                order,
                effort: FEW,
            };
            let mut after = Some(Place::START);
            let mut pages = Vec::new();
            while let Some(place) = after.filter(|_| pages.len() < 10) {
                let page = world.page(&ask, place, LIMIT);
                pages.push(page.entries.len());
                after = page.next;
            }
            assert_eq!(pages, [LIMIT; 3], "{filter:?} by {order:?}");
        }
    }
}

#[test]
fn the_first_page_of_all_looks_at_few_in_any_order() {
    let world = one_in_a_thousand();
    for order in [Order::Created, Order::Expiry, Order::LastUsed] {
        let ask = Ask {
            filter: any_of(),
            order,
            effort: FEW,
        };
        let page = world.page(&ask, Place::START, LIMIT);
        assert_eq!(page.entries.len(), LIMIT, "{order:?}");
    }
}

#[test]
fn a_filter_that_few_pass_gives_short_pages_and_comes_to_an_end() {
    let mut world = World::new();
    let said = Said(credential(CredentialId::MIN));
    for _ in 0..EFFORT.examined * 2 + 100 {
        world.issue(&said);
    }
    let last = Said(Credential {
        label: Label::trusted("last".into()),
        ..said.0
    });
    world.issue(&last);
    let ask = Ask {
        filter: Filter {
            label_prefix: "last".to_owned(),
            ..any_of()
        },
        order: Order::Created,
        effort: EFFORT,
    };
    let mut after = Place::START;
    let mut pages = Vec::new();
    while pages.len() < 50_000 {
        let page = world.page(&ask, after, 1000);
        pages.push(page.entries.len());
        let Some(next) = page.next else { break };
        after = next;
    }
    assert_eq!(pages.iter().sum::<usize>(), 1);
    assert_eq!(pages.last(), Some(&1));
    assert!(pages.len() <= 3, "{pages:?}");
}
