//! Bindings, and the roles that principals have by them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::roles::{by_nobody, fixed};
use super::{Directory, Versioned};
use crate::authority::names::Interner;
use crate::domain::directory::{Permissions, RoleRecord};
use crate::domain::names::{Description, Role, Tenant};
use crate::domain::permission::CreddGrant;
use crate::domain::revision::Revision;
use crate::domain::rights::{Binding, BindingRecord, Held, Reach};

/// What the configuration adds to the directory: it is there while the process
/// runs, and no commit changes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configured {
    /// Roles of credd's own tenant.
    pub roles: Vec<ConfiguredRole>,
    /// Bindings.
    pub bindings: Vec<Binding>,
}

/// A role of credd's own tenant that is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredRole {
    /// Its name.
    pub name: Role,
    /// A longer text for people.
    pub description: Description,
    /// What it permits.
    pub permissions: Vec<CreddGrant>,
}

/// Every binding, and who has which roles by them.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    stored: BTreeMap<Binding, Versioned<BindingRecord>>,
    configured: BTreeSet<Binding>,
    /// Those that give something, of each principal.
    of: HashMap<Arc<str>, BTreeSet<Binding>, RandomState>,
    held: HashMap<Arc<str>, Arc<[Held]>, RandomState>,
}

impl Directory {
    /// Adds what is configured. Once, before anybody asks.
    pub fn configure(&self, configured: Configured, names: &Interner) {
        let Configured { roles, bindings } = configured;
        let mut by_name = BTreeMap::new();
        for role in roles {
            let ConfiguredRole {
                name,
                description,
                permissions,
            } = role;
            let record = fixed(description, Permissions::Credd(permissions));
            by_name.insert(Arc::clone(name.as_arc()), record);
        }
        let _ = self.configured_roles.set(by_name);
        {
            let mut known = self.bindings.write();
            for binding in bindings {
                let of = Arc::clone(binding.principal.as_arc());
                known.of.entry(of).or_default().insert(binding.clone());
                known.configured.insert(binding);
            }
        }
        self.look_up_roles(names);
    }

    /// The roles that a principal has on credd.
    #[must_use]
    pub fn held(&self, principal: &str) -> Option<Arc<[Held]>> {
        self.bindings.read().held.get(principal).cloned()
    }

    /// A binding, put or configured.
    #[must_use]
    pub fn binding(&self, binding: &Binding) -> Option<Versioned<BindingRecord>> {
        let known = self.bindings.read();
        if known.configured.contains(binding) {
            return Some(configured());
        }
        known.stored.get(binding).cloned()
    }

    /// Bindings that are there and come after this one, in order, among those that
    /// `admits` lets through.
    #[must_use]
    pub fn bindings_after(
        &self,
        after: Option<&Binding>,
        limit: usize,
        admits: impl Fn(&Binding) -> bool,
    ) -> Vec<(Binding, Versioned<BindingRecord>)> {
        use std::ops::Bound::{Excluded, Unbounded};

        let known = self.bindings.read();
        let from = (after.map_or(Unbounded, Excluded), Unbounded);
        let fixed = known.configured.range(from);
        let fixed = fixed
            .filter(|binding| admits(binding))
            .take(limit)
            .map(|binding| (binding.clone(), configured()));
        let stored = known.stored.range(from);
        let stored = stored
            .filter(|(binding, known_as)| {
                !known_as.record.last_change.deleted()
                    && !known.configured.contains(binding)
                    && admits(binding)
            })
            .take(limit)
            .map(|(binding, known_as)| (binding.clone(), known_as.clone()));
        let mut all: Vec<_> = fixed.chain(stored).collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all.truncate(limit);
        all
    }

    /// The bindings that give a role on all tenants.
    #[must_use]
    pub fn bound_everywhere(&self, role: &str) -> Vec<Binding> {
        let known = self.bindings.read();
        let all = known.of.values().flatten();
        all.filter(|binding| binding.reach == Reach::All && binding.role.as_str() == role)
            .cloned()
            .collect()
    }

    /// Whether a binding names a role of credd's own tenant.
    #[must_use]
    pub fn role_is_bound(&self, role: &str) -> bool {
        let known = self.bindings.read();
        let mut all = known.of.values().flatten();
        all.any(|binding| binding.role.as_str() == role)
    }

    pub(in crate::authority) fn put_binding(
        &self,
        binding: &Binding,
        record: Option<Arc<BindingRecord>>,
        revision: Revision,
        names: &Interner,
    ) {
        let mut known = self.bindings.write();
        let known = &mut *known;
        let principal = binding.principal.as_arc();
        let is_there = record
            .as_ref()
            .is_some_and(|record| !record.last_change.deleted());
        match record {
            Some(record) => {
                let record = Versioned { record, revision };
                known.stored.insert(binding.clone(), record);
            }
            None => {
                known.stored.remove(binding);
            }
        }
        let of = known.of.entry(Arc::clone(principal)).or_default();
        if is_there {
            of.insert(binding.clone());
        } else if !known.configured.contains(binding) {
            of.remove(binding);
        }
        if of.is_empty() {
            known.of.remove(principal);
        }
        self.look_up_roles_of(known, principal, names);
    }

    /// Looks up what each principal has, after a role of credd's own tenant has
    /// changed.
    pub(super) fn look_up_roles(&self, names: &Interner) {
        let mut known = self.bindings.write();
        let principals: Vec<_> = known.of.keys().cloned().collect();
        for principal in principals {
            self.look_up_roles_of(&mut known, &principal, names);
        }
    }

    fn look_up_roles_of(&self, known: &mut Bindings, principal: &Arc<str>, names: &Interner) {
        let of = known.of.get(principal).into_iter().flatten();
        let held: Arc<[Held]> = of
            .filter_map(|binding| {
                let record = self.role_on_credd(binding.role.as_str(), names)?;
                Some(Held::new(
                    binding.role.clone(),
                    binding.reach.clone(),
                    record,
                ))
            })
            .collect();
        if held.is_empty() {
            known.held.remove(principal);
        } else {
            known.held.insert(Arc::clone(principal), held);
        }
    }

    fn role_on_credd(&self, name: &str, names: &Interner) -> Option<Arc<RoleRecord>> {
        if let Some(record) = self.fixed_role(name, true) {
            return Some(Arc::clone(record));
        }
        let role = self.role(self.tenant(Tenant::CREDD, names)?, name, names)?;
        (!role.record.last_change.deleted()).then_some(role.record)
    }
}

/// What stands for the record of a binding that no commit wrote.
fn configured() -> Versioned<BindingRecord> {
    Versioned {
        record: Arc::new(BindingRecord {
            last_change: by_nobody(),
        }),
        revision: Revision::ZERO,
    }
}
