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
        let wanted = limit + 1 - page.len();
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
