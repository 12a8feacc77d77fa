//! What a change touches: how many credentials, and who used them lately.

use std::collections::HashMap;

use super::Authority;
use super::entry::Entry;
use super::list::{Filter, Order, Place, Whose};
use crate::domain::credential::{ShownState, Uses};
use crate::domain::names::{Principal, Role};
use crate::domain::time::Timestamp;
use crate::domain::token::Generation;

/// What a change touches, or would touch.
#[derive(Clone, Debug, Default)]
pub struct Impact {
    /// How many credentials it concerns.
    pub matched: u64,
    /// How many of them it changes.
    pub changed: u64,
    services: HashMap<Principal, (Timestamp, u64)>,
}

/// How many services are told.
const MOST_SERVICES: usize = 100;
/// How many credentials of an owner or a tenant are looked at for who used them.
const EXAMINED: usize = 20_000;

impl Impact {
    /// Adds a credential with these uses.
    pub fn add(&mut self, uses: &Uses, changed: bool) {
        self.add_of(uses, changed, |_| true);
    }

    /// Nobody loses anything by it.
    pub fn spare(&mut self) {
        self.services.clear();
    }

    /// Adds a credential of which some secrets end.
    pub fn add_of(&mut self, uses: &Uses, changed: bool, ends: impl Fn(Generation) -> bool) {
        self.matched += 1;
        self.changed += u64::from(changed);
        let mut services: HashMap<&Principal, Timestamp> = HashMap::new();
        for used in uses.iter().filter(|used| ends(used.generation)) {
            let at = services.entry(&used.by).or_insert(used.at);
            *at = (*at).max(used.at);
        }
        for (service, at) in services {
            let (latest, credentials) = self.services.entry(service.clone()).or_insert((at, 0));
            *latest = (*latest).max(at);
            *credentials += 1;
        }
    }

    /// The services that used them, the latest first: when, and how many of them.
    #[must_use]
    pub fn services(&self) -> Vec<(&Principal, Timestamp, u64)> {
        let services = self.services.iter();
        let mut services: Vec<_> = services
            .map(|(service, (at, credentials))| (service, *at, *credentials))
            .collect();
        services.sort_by_key(|(service, at, _)| (std::cmp::Reverse(*at), service.as_str()));
        services.truncate(MOST_SERVICES);
        services
    }
}

/// What credentials lose by a change of the directory.
#[derive(Clone, Debug)]
pub enum Loses {
    /// All that they may do.
    Everything,
    /// These roles of their owner.
    Roles(Vec<Role>),
    /// A part of what this role permits.
    PartOf(Role),
}

impl Authority {
    /// What it touches when the credentials of an owner or of a tenant that are
    /// good now lose something. Of many, not all are looked at for who used them.
    /// Takes time for each; blocks.
    #[must_use]
    pub fn impact_on(&self, whose: Whose, loses: &Loses) -> Impact {
        let filter = Filter {
            states: vec![ShownState::Active],
            unlisted: true,
            ..Filter::all(whose)
        };
        let mut impact = Impact::default();
        let mut after = Place::START;
        loop {
            let page = self.list(&filter, Order::Created, after, EXAMINED);
            for entry in &page.entries {
                if !self.is_hit(entry, loses) {
                    continue;
                }
                let examined = impact.matched < EXAMINED as u64;
                let uses = examined.then(|| entry.uses());
                impact.add(&uses.unwrap_or_default(), true);
            }
            match page.next {
                Some(next) => after = next,
                None => return impact,
            }
        }
    }

    fn is_hit(&self, entry: &Entry, loses: &Loses) -> bool {
        let (directory, names) = (self.index.directory(), self.index.names());
        let has = |role: &Role| {
            let mut roles = entry.roles(names).peekable();
            roles.peek().is_none() || roles.any(|held| held == role.as_str())
        };
        match loses {
            Loses::Everything => true,
            Loses::Roles(roles) => roles.iter().any(has),
            Loses::PartOf(role) => {
                let owner = directory.owner_record(entry.owner());
                owner.is_some_and(|owner| owner.record.roles.contains(role)) && has(role)
            }
        }
    }
}

impl Filter {
    /// All that belong to these, whatever their states but revoked.
    #[must_use]
    pub fn all(whose: Whose) -> Self {
        Self {
            whose,
            profile: None,
            kind: None,
            states: vec![ShownState::Active, ShownState::Locked, ShownState::Expired],
            label_prefix: String::new(),
            role: None,
            expiring_before: None,
            unused_since: None,
            unlisted: true,
        }
    }
}
