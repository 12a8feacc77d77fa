use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index as Pick, select, subsequence};

use super::*;
use crate::authority::entry::tests::credential;
use crate::authority::index::Index;
use crate::domain::credential::{Action, Credential, Use, Uses};
use crate::domain::directory::{DirectoryAction, DirectoryChange, ProfileRecord};
use crate::domain::names::{Label, Principal, Reason};
use crate::domain::profile::{Profile, ProfileFamily, ProfileRef, Scope, built_in};
use crate::domain::revision::{ChainHash, Position};
use crate::domain::token::Generation;

mod effort;

const NOW: Timestamp = Timestamp::from_millis(10);
/// Few times, so that many are the same.
const TIMES: std::ops::Range<i64> = 0..20;
const TENANTS: [&str; 3] = ["acme", "globex", "initech"];
const OWNERS: [&str; 2] = ["jo", "mia"];
const STATES: [State; 3] = [State::Active, State::Locked, State::Revoked];
const ROLES: [&str; 3] = ["reader", "read", "writer"];
const LABELS: [&str; 4] = ["a", "ab", "abc", "b"];
/// Built-in ones, of which one is kept off the common list, and one that each
/// tenant has of its own, in two versions.
const PROFILES: [&str; 3] = ["api-token", "misp", "own"];
const ALL_STATES: [ShownState; 4] = [
    ShownState::Active,
    ShownState::Locked,
    ShownState::Revoked,
    ShownState::Expired,
];

/// What a credential says, without its id.
#[derive(Clone, Debug)]
struct Said(Credential);

fn any_said() -> impl Strategy<Value = Said> {
    let whose = (select(TENANTS.to_vec()), select(OWNERS.to_vec()));
    let profile = (select(PROFILES.to_vec()), 1_u32..3);
    let kind = select(Kind::ALL.to_vec());
    let created_at = TIMES;
    (whose, profile, kind, created_at, any_change()).prop_map(
        |((tenant, owner), (name, version), kind, created_at, change)| {
            let scope = match name {
                "own" => Scope::Tenant(Tenant::trusted(tenant.into())),
                _ => Scope::All,
            };
            let family = ProfileFamily {
                scope,
                name: ProfileName::trusted(name.into()),
            };
            let version = if name == "own" { version } else { 1 };
            Said(change.of(&Credential {
                tenant: Tenant::trusted(tenant.into()),
                owner: Owner::trusted(owner.into()),
                profile: ProfileRef { family, version },
                kind,
                created_at: Timestamp::from_millis(created_at),
                ..credential(CredentialId::MIN)
            }))
        },
    )
}

/// What others may change.
#[derive(Clone, Debug)]
struct Changed {
    label: &'static str,
    roles: Vec<&'static str>,
    state: State,
    leaked: bool,
    expires_at: Option<i64>,
}

impl Changed {
    fn of(&self, before: &Credential) -> Credential {
        let roles = self.roles.iter();
        Credential {
            label: Label::trusted(self.label.into()),
            roles: roles.map(|role| Role::trusted((*role).into())).collect(),
            state: self.state,
            leaked_at: self.leaked.then_some(NOW),
            expires_at: self.expires_at.map(Timestamp::from_millis),
            ..before.clone()
        }
    }
}

fn any_change() -> impl Strategy<Value = Changed> {
    (
        select(LABELS.to_vec()),
        subsequence(ROLES.to_vec(), 0..=2),
        select(STATES.to_vec()),
        prop::bool::weighted(0.1),
        option::of(TIMES),
    )
        .prop_map(|(label, roles, state, leaked, expires_at)| Changed {
            label,
            roles,
            state,
            leaked,
            expires_at,
        })
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let tenant = |name: &str| Tenant::trusted(name.into());
    let whose = prop_oneof![
        3 => Just(Whose::All),
        2 => select(TENANTS.to_vec()).prop_map(move |name| Whose::Tenant(tenant(name))),
        1 => (select(TENANTS.to_vec()), select(OWNERS.to_vec()))
            .prop_map(move |(t, o)| Whose::Owner(tenant(t), Owner::trusted(o.into()))),
        1 => Just(Whose::Tenant(tenant("nobody"))),
    ];
    let profile = option::weighted(0.3, select(["none", "api-token", "misp", "own"].to_vec()));
    let states = prop_oneof![
        2 => Just(ALL_STATES.to_vec()),
        1 => subsequence(ALL_STATES.to_vec(), 0..=4),
        1 => Just(vec![ShownState::Locked, ShownState::Revoked]),
    ];
    (
        whose,
        profile,
        option::weighted(0.2, select(Kind::ALL.to_vec())),
        states,
        prop_oneof![3 => Just(""), 1 => select(vec!["a", "ab", "abcd"])],
        option::weighted(0.3, select(["nothing", "reader", "read"].to_vec())),
        option::weighted(0.3, TIMES),
        option::weighted(0.3, TIMES),
        any::<bool>(),
    )
        .prop_map(
            |(whose, profile, kind, states, prefix, role, expiring, unused, unlisted)| Filter {
                whose,
                profile: profile.map(|name| ProfileName::trusted(name.into())),
                kind,
                states,
                label_prefix: prefix.to_owned(),
                role: role.map(|role| Role::trusted(role.into())),
                expiring_before: expiring.map(Timestamp::from_millis),
                unused_since: unused.map(Timestamp::from_millis),
                unlisted,
            },
        )
}

/// What others do meanwhile; a pick is among the credentials that there are.
#[derive(Clone, Debug)]
enum Write {
    Issue(Box<Said>),
    Update(Pick, Changed),
    Revoke(Pick),
    Use(Pick, i64),
    Remove(Pick),
}

fn any_write() -> impl Strategy<Value = Write> {
    prop_oneof![
        2 => any_said().prop_map(|said| Write::Issue(Box::new(said))),
        2 => (any::<Pick>(), any_change()).prop_map(|(pick, change)| Write::Update(pick, change)),
        1 => any::<Pick>().prop_map(Write::Revoke),
        2 => (any::<Pick>(), TIMES).prop_map(|(pick, at)| Write::Use(pick, at)),
        1 => any::<Pick>().prop_map(Write::Remove),
    ]
}

/// The same, told in the simplest way.
fn passes(filter: &Filter, credential: &Credential, uses: &Uses) -> bool {
    let shown = match credential.standing() {
        State::Locked => ShownState::Locked,
        State::Revoked => ShownState::Revoked,
        State::Active if credential.is_expired(NOW) => ShownState::Expired,
        State::Active => ShownState::Active,
    };
    let is_whose = match &filter.whose {
        Whose::All => true,
        Whose::Tenant(tenant) => credential.tenant == *tenant,
        Whose::Owner(tenant, owner) => credential.tenant == *tenant && credential.owner == *owner,
    };
    let profile = &credential.profile.family.name;
    let is_of_profile = match &filter.profile {
        Some(wanted) => wanted == profile,
        None => filter.unlisted || profile.as_str() != "misp",
    };
    is_whose
        && is_of_profile
        && filter.kind.is_none_or(|kind| kind == credential.kind)
        && filter.states.contains(&shown)
        && credential.label.as_str().starts_with(&filter.label_prefix)
        && filter
            .role
            .as_ref()
            .is_none_or(|role| credential.roles.contains(role))
        && filter
            .expiring_before
            .is_none_or(|before| credential.expires_at.is_some_and(|expiry| expiry < before))
        && filter.unused_since.is_none_or(|since| {
            credential.created_at < since && uses.latest().is_none_or(|latest| latest.at < since)
        })
}

/// Where a credential belongs in an order.
fn place(order: Order, credential: &Credential, uses: &Uses) -> (bool, Option<Timestamp>) {
    match order {
        Order::Created => (false, None),
        Order::Expiry => (credential.expires_at.is_none(), credential.expires_at),
        Order::LastUsed => {
            let latest = uses.latest().map(|latest| latest.at);
            (latest.is_some(), latest)
        }
    }
}

/// An index, and in the simplest form what it holds.
struct World {
    index: Index,
    held: BTreeMap<CredentialId, (Credential, Uses)>,
    issued: u32,
}

impl World {
    fn new() -> Self {
        let world = Self {
            index: Index::new(),
            held: BTreeMap::new(),
            issued: 0,
        };
        for tenant in TENANTS {
            for version in [1, 2] {
                world.put_profile(tenant, version);
            }
        }
        world
    }

    fn apply(&self, apply: impl FnOnce(&mut crate::authority::index::Writer<'_>, Revision)) {
        let revision = self.index.applied().revision.next();
        let position = Position {
            revision,
            chain: ChainHash::default(),
        };
        self.index.apply(position, |writer| apply(writer, revision));
    }

    fn put_profile(&self, tenant: &str, version: u32) {
        let like = built_in::all().first().unwrap().profile.clone();
        let profile = Profile {
            scope: Scope::Tenant(Tenant::trusted(tenant.into())),
            name: ProfileName::trusted("own".into()),
            ..like
        };
        let reference = ProfileRef {
            family: profile.family(),
            version,
        };
        let record = ProfileRecord {
            profile,
            last_change: DirectoryChange {
                action: DirectoryAction::Put,
                at: NOW,
                by: Principal::system(),
                reason: Reason::trusted("".into()),
            },
        };
        self.apply(|writer, revision| {
            let (directory, names) = (writer.directory(), writer.names());
            directory.put_profile(&reference, Some(Arc::new(record)), revision, names);
        });
    }

    fn put(&mut self, credential: Credential) {
        self.apply(|writer, revision| writer.put(&credential, revision));
        let uses = self.held.get(&credential.id).map(|(_, uses)| uses.clone());
        let held = (credential, uses.unwrap_or_default());
        self.held.insert(held.0.id, held);
    }

    /// With a greater id than all before.
    fn issue(&mut self, said: &Said) -> CredentialId {
        self.issued += 1;
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&self.issued.to_be_bytes());
        bytes[12..].copy_from_slice(&self.issued.wrapping_mul(0x9e37_79b9).to_be_bytes());
        let id = CredentialId::from_bytes(bytes);
        self.put(Credential {
            id,
            ..said.0.clone()
        });
        id
    }

    fn use_it(&mut self, id: CredentialId, at: i64) {
        let Some((_, uses)) = self.held.get_mut(&id) else {
            return;
        };
        uses.add(Use {
            at: Timestamp::from_millis(at),
            by: Principal::system(),
            generation: Generation::FIRST,
        });
        let uses = uses.clone();
        self.apply(|writer, _| writer.set_uses(id, Some(uses)));
    }

    fn write(&mut self, write: &Write) {
        let ids: Vec<_> = self.held.keys().copied().collect();
        let pick = |pick: &Pick| (!ids.is_empty()).then(|| *pick.get(&ids));
        match write {
            Write::Issue(said) => {
                self.issue(said);
            }
            Write::Update(at, change) => {
                if let Some(id) = pick(at) {
                    self.put(change.of(&self.held[&id].0));
                }
            }
            Write::Revoke(at) => {
                if let Some(id) = pick(at) {
                    let before = self.held[&id].0.clone();
                    self.put(Credential {
                        state: State::Revoked,
                        ..before
                    });
                }
            }
            Write::Use(at, time) => {
                if let Some(id) = pick(at) {
                    self.use_it(id, *time);
                }
            }
            Write::Remove(at) => {
                if let Some((_, (mut gone, _))) =
                    pick(at).and_then(|id| self.held.remove_entry(&id))
                {
                    gone.last_change.action = Action::Remove;
                    self.apply(|writer, revision| writer.put(&gone, revision));
                }
            }
        }
    }

    fn page(&self, ask: &Ask, after: Place, limit: usize) -> Page {
        let Ask {
            filter,
            order,
            effort,
        } = ask;
        let (revision, (entries, next)) = self
            .index
            .read(|index| page(index, filter, *order, after, limit, NOW, *effort));
        Page {
            entries,
            next,
            revision,
        }
    }

    /// The places of all that pass.
    fn passing(&self, ask: &Ask) -> BTreeMap<CredentialId, (bool, Option<Timestamp>)> {
        let all = self.held.iter();
        all.filter(|(_, (credential, uses))| passes(&ask.filter, credential, uses))
            .map(|(id, (credential, uses))| (*id, place(ask.order, credential, uses)))
            .collect()
    }
}

/// What is listed.
#[derive(Clone, Debug)]
struct Ask {
    filter: Filter,
    order: Order,
    effort: Effort,
}

fn any_ask() -> impl Strategy<Value = Ask> {
    let orders = vec![Order::Created, Order::Expiry, Order::LastUsed];
    // From walking in small steps to sorting all there is.
    let effort = (
        prop_oneof![1_usize..6, Just(1000)],
        prop_oneof![0_usize..12, Just(1000)],
    );
    let effort = effort.prop_map(|(examined, sorted)| Effort { examined, sorted });
    (any_filter(), select(orders), effort).prop_map(|(filter, order, effort)| Ask {
        filter,
        order,
        effort,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever was there at the beginning, passes the filter all the time and
    /// keeps its place in the order comes exactly once, and in that order. In
    /// that of issue, so does what is issued meanwhile. Nothing comes that does
    /// not pass.
    #[test]
    fn while_others_write_each_that_keeps_its_place_is_listed_once_and_in_order(
        before in vec((any_said(), option::of(TIMES)), 0..40),
        meanwhile in vec(any_write(), 0..40),
        at_once in 1_usize..5,
        ask in any_ask(),
        limits in vec(1_usize..9, 1..5),
    ) {
        let mut world = World::new();
        for (said, used) in &before {
            let id = world.issue(said);
            if let Some(at) = used {
                world.use_it(id, *at);
            }
        }
        // Those that passed all the time, and those whose place moved.
        let mut throughout = world.passing(&ask);
        let mut places: BTreeMap<_, _> = all_places(&world, ask.order);
        let mut moved = BTreeSet::new();
        let mut meanwhile = meanwhile.iter();
        let mut listed: Vec<CredentialId> = Vec::new();
        let mut after = Place::START;
        for limit in limits.iter().cycle() {
            let page = world.page(&ask, after, *limit);
            prop_assert!(page.entries.len() <= *limit);
            prop_assert_eq!(page.revision, world.index.applied().revision);
            let passing = world.passing(&ask);
            for entry in &page.entries {
                let shown = passing.get(&entry.id());
                prop_assert!(shown.is_some(), "{} does not pass", entry.id());
                listed.push(entry.id());
            }
            let shown = page.entries.iter().map(|entry| (passing[&entry.id()], entry.id()));
            prop_assert!(shown.is_sorted_by(|a, b| a < b), "order");
            let Some(next) = page.next else { break };
            prop_assert!(next > after, "no progress");
            after = next;
            for write in meanwhile.by_ref().take(at_once) {
                world.write(write);
                let (passing, now) = (world.passing(&ask), all_places(&world, ask.order));
                throughout.retain(|id, _| passing.contains_key(id));
                for (id, place) in &now {
                    match places.get(id) {
                        Some(before) if before != place => {
                            moved.insert(*id);
                        }
                        None if ask.order == Order::Created => {
                            throughout.extend(passing.get_key_value(id).map(|(id, at)| (*id, *at)));
                        }
                        _ => (),
                    }
                }
                places.extend(now);
            }
        }
        listed.retain(|id| !moved.contains(id));
        let once: BTreeSet<_> = listed.iter().copied().collect();
        prop_assert_eq!(once.len(), listed.len(), "none comes twice");
        throughout.retain(|id, _| !moved.contains(id));
        let missed: Vec<_> = throughout.keys().filter(|id| !once.contains(id)).collect();
        prop_assert!(missed.is_empty(), "{:?} are missing", missed);
        // What kept its place came in its place.
        let in_order = listed.iter().map(|id| (places[id], *id));
        prop_assert!(in_order.is_sorted_by(|a, b| a < b), "order");
    }

    #[test]
    fn however_much_is_done_for_a_page_the_list_is_the_same(
        before in vec((any_said(), option::of(TIMES)), 0..60),
        ask in any_ask(),
    ) {
        let mut world = World::new();
        for (said, used) in &before {
            let id = world.issue(said);
            if let Some(at) = used {
                world.use_it(id, *at);
            }
        }
        let mut expected: Vec<_> = world.passing(&ask).into_iter().collect();
        expected.sort_by_key(|(id, place)| (*place, *id));
        let expected: Vec<_> = expected.into_iter().map(|(id, _)| id).collect();
        let mut listed = Vec::new();
        let mut after = Some(Place::START);
        while let Some(place) = after {
            let page = world.page(&ask, place, 3);
            listed.extend(page.entries.iter().map(|entry| entry.id()));
            prop_assert!(page.next.is_none_or(|next| next > place), "no progress");
            after = page.next;
        }
        prop_assert_eq!(listed, expected);
    }
}

fn all_places(world: &World, order: Order) -> BTreeMap<CredentialId, (bool, Option<Timestamp>)> {
    let all = world.held.iter();
    all.map(|(id, (credential, uses))| (*id, place(order, credential, uses)))
        .collect()
}
