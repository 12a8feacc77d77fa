//! Credentials in several orders, page by page.
//!
//! A page is read by walking the narrowest of the sets that the filter names, or
//! the order that was asked for, and leaving out what the filter does not let
//! through. A set that is small is sorted as a whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Authority;
use super::directory::{FamilyNumber, OwnerNumber, TenantNumber};
use super::entry::Entry;
use super::index::Reader;
use super::listing::{Listing, following};
use crate::domain::credential::{ShownState, State};
use crate::domain::id::CredentialId;
use crate::domain::names::{Owner, ProfileName, Role, Tenant};
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::domain::token::Kind;

/// How much is done for a page.
#[derive(Clone, Copy, Debug)]
struct Effort {
    /// The most credentials that are looked at: a filter that few pass gives short
    /// pages rather than a long wait.
    examined: usize,
    /// The most credentials that are sorted.
    sorted: usize,
}

const EFFORT: Effort = Effort {
    examined: 20_000,
    sorted: 5_000,
};

/// Which credentials to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Of which tenant and which of its owners.
    pub whose: Whose,
    /// Of which profile; `None`: of any.
    pub profile: Option<ProfileName>,
    /// Of which kind; `None`: of any.
    pub kind: Option<Kind>,
    /// In which states.
    pub states: Vec<ShownState>,
    /// With labels that begin so.
    pub label_prefix: String,
    /// That name this role.
    pub role: Option<Role>,
    /// That expire, or expired, before this.
    pub expiring_before: Option<Timestamp>,
    /// Issued before this and not used since.
    pub unused_since: Option<Timestamp>,
    /// Also those that are kept off the common list.
    pub unlisted: bool,
}

/// Whose credentials to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Everybody's.
    All,
    /// A tenant's.
    Tenant(Tenant),
    /// An owner's.
    Owner(Tenant, Owner),
}

/// In which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Of their issue.
    Created,
    /// Of their expiry, those without one last.
    Expiry,
    /// Of their last use, those without one first.
    LastUsed,
}

/// Where a credential stands in an [`Order`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Those of class 0 come first.
    pub class: u8,
    /// The time that the order goes by.
    pub at: Timestamp,
    /// The id, where the time is the same.
    pub id: CredentialId,
}

impl Place {
    /// Before all others.
    pub const START: Self = Self {
        class: 0,
        at: Timestamp::from_millis(i64::MIN),
        id: CredentialId::MIN,
    };

    const fn new(class: u8, at: Timestamp, id: CredentialId) -> Self {
        Self { class, at, id }
    }
}

const NO_TIME: Timestamp = Timestamp::from_millis(0);

impl Order {
    fn place(self, entry: &Entry) -> Place {
        let id = entry.id();
        match self {
            Self::Created => Place::new(0, NO_TIME, id),
            Self::Expiry => match entry.expires_at() {
                Some(expiry) => Place::new(0, expiry, id),
                None => Place::new(1, NO_TIME, id),
            },
            Self::LastUsed => match entry.last_used_at() {
                None => Place::new(0, NO_TIME, id),
                Some(used) => Place::new(1, used, id),
            },
        }
    }
}

/// A page of credentials.
#[derive(Clone, Debug)]
pub struct Page {
    /// The credentials, in order.
    pub entries: Vec<Arc<Entry>>,
    /// After which place the next page starts; `None`: this is the last.
    pub next: Option<Place>,
    /// The revision as of which this is true.
    pub revision: Revision,
}

impl Authority {
    /// Up to `limit` credentials that come after a place.
    #[must_use]
    pub fn list(&self, filter: &Filter, order: Order, after: Place, limit: usize) -> Page {
        let now = self.now();
        let (revision, (entries, next)) = self
            .index()
            .read(|index| page(index, filter, order, after, limit, now, EFFORT));
        Page {
            entries,
            next,
            revision,
        }
    }

    /// How many credentials a filter lets through. They are counted while others
    /// write. Takes time for each; blocks.
    #[must_use]
    pub fn count(&self, filter: &Filter) -> u64 {
        let mut count = 0;
        let mut after = Place::START;
        loop {
            let page = self.list(filter, Order::Created, after, EFFORT.examined);
            count += page.entries.len() as u64;
            match page.next {
                Some(next) => after = next,
                None => return count,
            }
        }
    }
}

fn page(
    index: Reader<'_>,
    filter: &Filter,
    order: Order,
    after: Place,
    limit: usize,
    now: Timestamp,
    effort: Effort,
) -> (Vec<Arc<Entry>>, Option<Place>) {
    let Some(found) = Found::of(filter, index) else {
        return (Vec::new(), None);
    };
    let admits = |entry: &Entry| found.admits(filter, entry, index, now);
    index.listing(|listing| {
        if let Some(ids) = found.few(filter, order, listing, index, effort.sorted) {
            sorted(&ids, index, order, after, limit, admits)
        } else {
            let after = filter.skip(order, after, now);
            let places = found.places(filter, order, after, listing, index);
            walked(places, index, order, limit, effort.examined, admits)
        }
    })
}

impl Filter {
    /// Where to begin after a place: those that have expired are not walked where
    /// none of them is let through.
    fn skip(&self, order: Order, after: Place, now: Timestamp) -> Place {
        let active_only = self.states == [ShownState::Active];
        if order == Order::Expiry && active_only {
            after.max(Place::new(0, now, CredentialId::MAX))
        } else {
            after
        }
    }
}

/// A page of these credentials, which are few.
fn sorted(
    ids: &[CredentialId],
    index: Reader<'_>,
    order: Order,
    after: Place,
    limit: usize,
    admits: impl Fn(&Entry) -> bool,
) -> (Vec<Arc<Entry>>, Option<Place>) {
    let found = ids.iter().filter_map(|&id| index.credential(id));
    let mut found: Vec<_> = found
        .map(|entry| (order.place(&entry), entry))
        .filter(|(place, entry)| *place > after && admits(entry))
        .collect();
    found.sort_unstable_by_key(|(place, _)| *place);
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(place, _)| *place);
    (found.into_iter().map(|(_, entry)| entry).collect(), next)
}

/// A page of the credentials at these places, which come in order.
fn walked(
    places: impl Iterator<Item = Place>,
    index: Reader<'_>,
    order: Order,
    limit: usize,
    most: usize,
    admits: impl Fn(&Entry) -> bool,
) -> (Vec<Arc<Entry>>, Option<Place>) {
    let mut page: Vec<Arc<Entry>> = Vec::new();
    let mut last = None;
    for (examined, place) in places.enumerate() {
        if examined == most {
            return (page, last);
        }
        // A place that is not its own is that of another class.
        let entry = index
            .credential(place.id)
            .filter(|entry| order.place(entry) == place && admits(entry));
        if let Some(entry) = entry {
            if page.len() == limit {
                let next = page.last().map(|entry| order.place(entry));
                return (page, next);
            }
            page.push(entry);
        }
        last = Some(place);
    }
    (page, None)
}

/// A [`Filter`] with names that occur.
struct Found {
    tenant: Option<TenantNumber>,
    owner: Option<OwnerNumber>,
    families: Option<Vec<FamilyNumber>>,
}

impl Found {
    /// `None`: a name occurs nowhere.
    fn of(filter: &Filter, index: Reader<'_>) -> Option<Self> {
        let (directory, names) = (index.directory(), index.names());
        let (tenant, owner) = match &filter.whose {
            Whose::All => (None, None),
            Whose::Tenant(tenant) => (Some(directory.tenant(tenant.as_str(), names)?), None),
            Whose::Owner(tenant, owner) => {
                let tenant = directory.tenant(tenant.as_str(), names)?;
                let owner = directory.owner(tenant, owner.as_str(), names)?;
                (Some(tenant), Some(owner))
            }
        };
        let families = filter
            .profile
            .as_ref()
            .map(|profile| directory.families_named(profile.as_str(), names));
        Some(Self {
            tenant,
            owner,
            families,
        })
    }

    /// The sets with the fewest members of those that a part of the filter names:
    /// together they have all that the filter lets through.
    fn narrowest<'a>(
        &self,
        filter: &Filter,
        listing: &'a Listing,
        index: Reader<'_>,
    ) -> Vec<&'a BTreeSet<CredentialId>> {
        let mut choices = vec![match self.owner {
            Some(owner) => listing.of_owner(owner),
            None => listing.of_tenant(self.tenant),
        }];
        if let Some(families) = &self.families {
            choices.push(listing.of_families(self.tenant, families));
        }
        if let Some(role) = &filter.role {
            choices.push(listing.of_role(self.tenant, role.as_str(), index.names()));
        }
        let states: Option<Vec<State>> = filter
            .states
            .iter()
            .map(|state| match state {
                ShownState::Locked => Some(State::Locked),
                ShownState::Revoked => Some(State::Revoked),
                ShownState::Active | ShownState::Expired => None,
            })
            .collect();
        if let Some(states) = states {
            choices.push(listing.in_states(self.tenant, &states));
        }
        choices
            .into_iter()
            .min_by_key(|sets| sets.iter().map(|set| set.len()).sum::<usize>())
            .unwrap_or_default()
    }

    /// The credentials that the filter may let through, if they are so few that
    /// they are sorted. Not where the narrowest set is in order already.
    fn few(
        &self,
        filter: &Filter,
        order: Order,
        listing: &Listing,
        index: Reader<'_>,
        most: usize,
    ) -> Option<Vec<CredentialId>> {
        let narrowest = self.narrowest(filter, listing, index);
        let count: usize = narrowest.iter().map(|set| set.len()).sum();
        if order != Order::Created && count <= most {
            return Some(following(narrowest, CredentialId::MIN).collect());
        }
        let before = filter.expiring_before?;
        if order == Order::Expiry || count <= most {
            return None;
        }
        let due = following(listing.expiring(self.tenant), BEFORE_ALL);
        let due = due.take_while(|(expiry, _)| *expiry < before);
        let due: Vec<_> = due.take(most + 1).map(|(_, id)| id).collect();
        (due.len() <= most).then_some(due)
    }

    /// The places after one at which there may be something that the filter lets
    /// through, in order.
    fn places<'a>(
        &self,
        filter: &Filter,
        order: Order,
        after: Place,
        listing: &'a Listing,
        index: Reader<'_>,
    ) -> Box<dyn Iterator<Item = Place> + 'a> {
        let narrowest = self.narrowest(filter, listing, index);
        // Where to begin in a class, if it is not past.
        let begins = |class| (after.class <= class).then_some(after.class == class);
        let ids = |class| {
            let from =
                begins(class).map(|within| if within { after.id } else { CredentialId::MIN });
            let ids = from.map(|from| following(narrowest, from));
            let ids = ids.into_iter().flatten();
            ids.map(move |id| Place::new(class, NO_TIME, id))
        };
        let timed = |class, sets, until: Option<Timestamp>| {
            let from = begins(class).map(|within| {
                if within {
                    (after.at, after.id)
                } else {
                    BEFORE_ALL
                }
            });
            let timed = from.map(|from| following(sets, from));
            let timed = timed.into_iter().flatten();
            timed
                .take_while(move |(at, _)| until.is_none_or(|until| *at < until))
                .map(move |(at, id)| Place::new(class, at, id))
        };
        match order {
            Order::Created => Box::new(ids(0)),
            Order::Expiry => {
                let sets = listing.expiring(self.tenant);
                let all_expire = count(&sets) == count(&listing.of_tenant(self.tenant));
                let expiring = timed(0, sets, filter.expiring_before);
                if all_expire || filter.expiring_before.is_some() {
                    Box::new(expiring)
                } else {
                    Box::new(expiring.chain(ids(1)))
                }
            }
            Order::LastUsed => {
                let sets = listing.used(self.tenant);
                let all_used = count(&sets) == count(&listing.of_tenant(self.tenant));
                let used = timed(1, sets, filter.unused_since);
                if all_used {
                    Box::new(used)
                } else {
                    Box::new(ids(0).chain(used))
                }
            }
        }
    }

    fn admits(&self, filter: &Filter, entry: &Entry, index: Reader<'_>, now: Timestamp) -> bool {
        let Filter {
            whose: _, // found
            profile: _,
            kind,
            states,
            label_prefix,
            role,
            expiring_before,
            unused_since,
            unlisted,
        } = filter;
        let directory = index.directory();
        let state = ShownState::of(entry.standing(), entry.expires_at(), now);
        let is_listed = || {
            let profile = directory.profile(entry.profile());
            !profile.is_some_and(|known| known.profile.unlisted)
        };
        self.tenant.is_none_or(|tenant| tenant == entry.tenant())
            && self.owner.is_none_or(|owner| owner == entry.owner())
            && kind.is_none_or(|kind| kind == entry.kind())
            && states.contains(&state)
            && match &self.families {
                Some(families) => families.contains(&directory.family_of(entry.profile())),
                None => *unlisted || is_listed(),
            }
            && role
                .as_ref()
                .is_none_or(|role| entry.roles(index.names()).any(|held| held == role.as_str()))
            && expiring_before
                .is_none_or(|before| entry.expires_at().is_some_and(|expiry| expiry < before))
            && unused_since.is_none_or(|since| {
                entry.created_at() < since && entry.last_used_at().is_none_or(|used| used < since)
            })
            && entry.label().starts_with(label_prefix.as_str())
    }
}

/// How many members sets have together.
fn count<T>(sets: &[&BTreeSet<T>]) -> usize {
    sets.iter().map(|set| set.len()).sum()
}

/// Before every credential in an order by time.
const BEFORE_ALL: (Timestamp, CredentialId) = (Timestamp::from_millis(i64::MIN), CredentialId::MIN);

#[cfg(test)]
mod tests;
