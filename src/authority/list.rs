//! Credentials in the order of their issue, page by page.

use std::sync::Arc;

use super::Authority;
use super::entry::Entry;
use super::index::Reader;
use super::names::Symbol;
use crate::domain::credential::ShownState;
use crate::domain::id::CredentialId;
use crate::domain::names::{Owner, Tenant};
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;
use crate::domain::token::Kind;

/// The most credentials that are looked at for a page: a filter that few pass
/// gives short pages rather than a long wait.
const EXAMINED: usize = 20_000;

/// Which credentials to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Of which tenant and which of its owners.
    pub whose: Whose,
    /// Of which kind; `None`: of any.
    pub kind: Option<Kind>,
    /// In which states.
    pub states: Vec<ShownState>,
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

/// A page of credentials.
#[derive(Clone, Debug)]
pub struct Page {
    /// The credentials, in the order of their ids, which is that of their issue.
    pub entries: Vec<Arc<Entry>>,
    /// After which id the next page starts; `None`: this is the last.
    pub next: Option<CredentialId>,
    /// The revision as of which this is true.
    pub revision: Revision,
}

impl Authority {
    /// Up to `limit` credentials whose ids are greater than `after`.
    #[must_use]
    pub fn list(&self, filter: &Filter, after: CredentialId, limit: usize) -> Page {
        let now = self.now();
        let (revision, (entries, next)) = self
            .index()
            .read(|index| page(index, filter, after, limit, now));
        Page {
            entries,
            next,
            revision,
        }
    }
}

fn page(
    index: Reader<'_>,
    filter: &Filter,
    mut after: CredentialId,
    limit: usize,
    now: Timestamp,
) -> (Vec<Arc<Entry>>, Option<CredentialId>) {
    let Some(whose) = Found::of(&filter.whose, index) else {
        return (Vec::new(), None);
    };
    let mut page: Vec<Arc<Entry>> = Vec::new();
    let mut examined = 0;
    loop {
        // Twice as many each time: few pass, and looking for more costs
        // something for each tenant.
        let wanted = (limit + 1 - page.len()).max(examined).min(EXAMINED);
        let chunk = whose.following(index, after, wanted);
        let Some(last) = chunk.last() else {
            return (page, None);
        };
        after = last.id();
        examined += chunk.len();
        let exhausted = chunk.len() < wanted;
        page.extend(chunk.into_iter().filter(|entry| filter.admits(entry, now)));
        if page.len() > limit {
            page.truncate(limit);
            let next = page.last().map(|entry| entry.id());
            return (page, next);
        }
        if exhausted {
            return (page, None);
        }
        if examined >= EXAMINED {
            return (page, Some(after));
        }
    }
}

/// [`Whose`], with names that occur.
#[derive(Clone, Copy)]
enum Found {
    All,
    Tenant(Symbol, Option<Symbol>),
}

impl Found {
    /// `None`: a name occurs nowhere.
    fn of(whose: &Whose, index: Reader<'_>) -> Option<Self> {
        let find = |name: &str| index.names().find(name);
        Some(match whose {
            Whose::All => Self::All,
            Whose::Tenant(tenant) => Self::Tenant(find(tenant.as_str())?, None),
            Whose::Owner(tenant, owner) => {
                Self::Tenant(find(tenant.as_str())?, Some(find(owner.as_str())?))
            }
        })
    }

    fn following(self, index: Reader<'_>, after: CredentialId, limit: usize) -> Vec<Arc<Entry>> {
        match self {
            Self::All => index.of_all_tenants(after, limit),
            Self::Tenant(tenant, owner) => index.of_tenant(tenant, owner, after, limit),
        }
    }
}

impl Filter {
    fn admits(&self, entry: &Entry, now: Timestamp) -> bool {
        let state = ShownState::of(entry.state(), entry.expires_at(), now);
        self.kind.is_none_or(|kind| kind == entry.kind()) && self.states.contains(&state)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::authority::entry::tests::credential;
    use crate::authority::index::Index;
    use crate::domain::credential::{Credential, State};
    use crate::domain::revision::{ChainHash, Position};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const TENANTS: [&str; 3] = ["acme", "globex", "initech"];
    const OWNERS: [&str; 2] = ["jo", "mia"];
    const STATES: [State; 3] = [State::Active, State::Locked, State::Revoked];

    fn any_credential() -> impl Strategy<Value = Credential> {
        let indices = (0..3_usize, 0..2_usize, 0..3_usize, 0..3_usize);
        let expiry = proptest::option::of(0_i64..2_000_000);
        (1_u32.., indices, expiry).prop_map(|(n, (tenant, owner, kind, state), expiry)| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            bytes[12..].copy_from_slice(&n.to_be_bytes());
            Credential {
                tenant: Tenant::trusted(TENANTS[tenant].into()),
                owner: Owner::trusted(OWNERS[owner].into()),
                kind: Kind::ALL[kind],
                state: STATES[state],
                expires_at: expiry.map(Timestamp::from_millis),
                ..credential(CredentialId::from_bytes(bytes))
            }
        })
    }

    fn any_filter() -> impl Strategy<Value = Filter> {
        let tenant = |n: usize| Tenant::trusted(TENANTS[n].into());
        let whose = prop_oneof![
            Just(Whose::All),
            (0..3_usize).prop_map(move |n| Whose::Tenant(tenant(n))),
            (0..3_usize, 0..2_usize)
                .prop_map(move |(n, m)| Whose::Owner(tenant(n), Owner::trusted(OWNERS[m].into()))),
        ];
        let kind = proptest::option::of(prop::sample::select(Kind::ALL.to_vec()));
        let shown = [
            ShownState::Active,
            ShownState::Locked,
            ShownState::Revoked,
            ShownState::Expired,
        ];
        let states = prop::sample::subsequence(shown.to_vec(), 0..=4);
        (whose, kind, states).prop_map(|(whose, kind, states)| Filter {
            whose,
            kind,
            states,
        })
    }

    /// The same, told in the simplest way.
    fn passes(filter: &Filter, credential: &Credential) -> bool {
        let shown = match credential.state {
            State::Locked => ShownState::Locked,
            State::Revoked => ShownState::Revoked,
            State::Active if credential.is_expired(NOW) => ShownState::Expired,
            State::Active => ShownState::Active,
        };
        let is_whose = match &filter.whose {
            Whose::All => true,
            Whose::Tenant(tenant) => credential.tenant == *tenant,
            Whose::Owner(tenant, owner) => {
                credential.tenant == *tenant && credential.owner == *owner
            }
        };
        is_whose
            && filter.kind.is_none_or(|kind| kind == credential.kind)
            && filter.states.contains(&shown)
    }

    fn put(index: &Index, credential: &Credential) {
        let revision = index.applied().revision.next();
        let position = Position {
            revision,
            chain: ChainHash::default(),
        };
        index.apply(position, |writer| writer.put(credential, revision));
    }

    fn next_page(index: &Index, filter: &Filter, after: CredentialId, limit: usize) -> Page {
        let (revision, (entries, next)) =
            index.read(|index| page(index, filter, after, limit, NOW));
        Page {
            entries,
            next,
            revision,
        }
    }

    proptest! {
        /// Others issue while somebody pages: whatever was there at the
        /// beginning comes exactly once, in order, and nothing that the filter
        /// does not let through.
        #[test]
        fn all_that_was_there_is_listed_once_and_in_order(
            before in vec(any_credential(), 0..60),
            meanwhile in vec(any_credential(), 0..30),
            filter in any_filter(),
            limits in vec(1_usize..9, 1..5),
        ) {
            let index = Index::new();
            let mut there = std::collections::BTreeMap::new();
            for credential in before {
                there.insert(credential.id, credential.clone());
                put(&index, &credential);
            }
            // As `Writer::put` of the same id at a later revision: the last one.
            let expected: Vec<_> = there
                .values()
                .filter(|credential| passes(&filter, credential))
                .map(|credential| credential.id)
                .collect();
            let mut meanwhile = meanwhile.into_iter().filter(|new| !there.contains_key(&new.id));
            let mut listed: Vec<CredentialId> = Vec::new();
            let mut after = CredentialId::MIN;
            for limit in limits.iter().cycle() {
                let page = next_page(&index, &filter, after, *limit);
                prop_assert!(page.entries.len() <= *limit);
                prop_assert_eq!(page.revision, index.applied().revision);
                for entry in page.entries {
                    let stored = entry.to_stored(index.names()).credential;
                    prop_assert!(passes(&filter, &stored));
                    prop_assert!(listed.last().is_none_or(|last| *last < stored.id), "order");
                    listed.push(stored.id);
                }
                let Some(next) = page.next else { break };
                prop_assert!(next > after || after == CredentialId::MIN, "no progress");
                after = next;
                meanwhile.by_ref().take(3).for_each(|credential| put(&index, &credential));
            }
            listed.retain(|id| there.contains_key(id));
            prop_assert_eq!(listed, expected);
        }
    }

    #[test]
    fn a_filter_that_few_pass_gives_short_pages_and_comes_to_an_end() {
        let index = Index::new();
        let count = EXAMINED as u64 * 2 + 100;
        for n in 1..=count {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&n.to_be_bytes());
            // The index counts on random bits there.
            bytes[8..].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            let state = if n == count {
                State::Locked
            } else {
                State::Active
            };
            let credential = credential(CredentialId::from_bytes(bytes));
            put(
                &index,
                &Credential {
                    state,
                    ..credential
                },
            );
        }
        let filter = Filter {
            whose: Whose::All,
            kind: None,
            states: vec![ShownState::Locked],
        };
        let mut after = CredentialId::MIN;
        let mut pages = Vec::new();
        while pages.len() < 50_000 {
            let page = next_page(&index, &filter, after, 1000);
            pages.push(page.entries.len());
            let Some(next) = page.next else { break };
            after = next;
        }
        assert_eq!(pages.iter().sum::<usize>(), 1);
        assert_eq!(pages.last(), Some(&1));
        assert!(pages.len() <= 3, "{pages:?}");
    }
}
