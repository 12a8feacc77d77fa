//! Profiles and their versions, and the headers that they list.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

use super::{Directory, FamilyCell, FamilyNumber, KnownProfile, ProfileCell, ProfileNumber};
use crate::authority::names::Interner;
use crate::domain::directory::ProfileRecord;
use crate::domain::header::{HeaderRule, HeaderRules};
use crate::domain::names::{ProfileName, Tenant};
use crate::domain::profile::{ProfileFamily, ProfileRef, Scope};
use crate::domain::revision::Revision;

impl Directory {
    /// The number of a version of a profile; a new one if it has none.
    pub(in crate::authority) fn number_of_profile(
        &self,
        profile: &ProfileRef,
        names: &Interner,
    ) -> ProfileNumber {
        if let Some(number) = self.find_profile(profile, names) {
            return number;
        }
        let family = self.number_of_family(&profile.family, names);
        let version = profile.version;
        let number = self
            .profiles
            .find_or_insert(&(family, version), || ProfileCell {
                family,
                version,
                known: OnceLock::new(),
            });
        let number = ProfileNumber(number);
        let versions = &self.families.get(family.0).versions;
        versions.write().insert(version, number);
        number
    }

    fn number_of_family(&self, family: &ProfileFamily, names: &Interner) -> FamilyNumber {
        let scope = match &family.scope {
            Scope::All => Interner::EMPTY,
            Scope::Tenant(tenant) => names.intern(tenant.as_arc()),
        };
        let name = names.intern(family.name.as_arc());
        let number = self.families.find_or_insert(&(scope, name), || FamilyCell {
            scope,
            name,
            versions: RwLock::default(),
        });
        FamilyNumber(number)
    }

    /// The number of a profile, if it has one.
    #[must_use]
    pub fn family(&self, scope: &str, name: &str, names: &Interner) -> Option<FamilyNumber> {
        let key = (names.find(scope)?, names.find(name)?);
        self.families.find(&key).map(FamilyNumber)
    }

    /// The profiles of this name, of whatever scope.
    #[must_use]
    pub fn families_named(&self, name: &str, names: &Interner) -> Vec<FamilyNumber> {
        let Some(name) = names.find(name) else {
            return Vec::new();
        };
        let found = self.families.iter().filter(|(_, cell)| cell.name == name);
        found.map(|(number, _)| FamilyNumber(number)).collect()
    }

    /// The profile that a version belongs to.
    #[must_use]
    pub fn family_of(&self, profile: ProfileNumber) -> FamilyNumber {
        self.profiles.get(profile.0).family
    }

    /// The name of a profile.
    #[must_use]
    pub fn family_name<'a>(&self, family: FamilyNumber, names: &'a Interner) -> &'a Arc<str> {
        names.resolve(self.families.get(family.0).name)
    }

    /// The tenant whose profile it is; empty: all tenants have it.
    #[must_use]
    pub fn family_scope<'a>(&self, family: FamilyNumber, names: &'a Interner) -> &'a Arc<str> {
        names.resolve(self.families.get(family.0).scope)
    }

    /// Which version of a profile it is.
    #[must_use]
    pub fn reference(&self, profile: ProfileNumber, names: &Interner) -> ProfileRef {
        let ProfileCell {
            family, version, ..
        } = self.profiles.get(profile.0);
        let FamilyCell { scope, name, .. } = self.families.get(family.0);
        ProfileRef {
            family: ProfileFamily {
                scope: if *scope == Interner::EMPTY {
                    Scope::All
                } else {
                    Scope::Tenant(Tenant::trusted(Arc::clone(names.resolve(*scope))))
                },
                name: ProfileName::trusted(Arc::clone(names.resolve(*name))),
            },
            version: *version,
        }
    }

    /// The number of a version of a profile, if it has one.
    #[must_use]
    pub fn find_profile(&self, profile: &ProfileRef, names: &Interner) -> Option<ProfileNumber> {
        let ProfileFamily { scope, name } = &profile.family;
        let family = self.family(scope.as_str(), name.as_str(), names)?;
        let found = self.profiles.find(&(family, profile.version));
        found.map(ProfileNumber)
    }

    /// A version of a profile; `None`: credentials name it, but it is not there.
    #[must_use]
    pub fn profile(&self, profile: ProfileNumber) -> Option<&Arc<KnownProfile>> {
        self.profiles.get(profile.0).known.get()
    }

    /// The latest version of a profile, which may be that it was deleted.
    #[must_use]
    pub fn latest(&self, family: FamilyNumber) -> Option<Arc<KnownProfile>> {
        let versions = self.families.get(family.0).versions.read();
        let mut known = versions
            .values()
            .rev()
            .filter_map(|&number| self.profile(number));
        known.next().cloned()
    }

    /// Every profile, by scope and name.
    #[must_use]
    pub fn all_families(&self, names: &Interner) -> BTreeMap<(Arc<str>, Arc<str>), FamilyNumber> {
        let families = self.families.iter().map(|(number, cell)| {
            let scope = Arc::clone(names.resolve(cell.scope));
            (
                (scope, Arc::clone(names.resolve(cell.name))),
                FamilyNumber(number),
            )
        });
        families.collect()
    }

    /// The first version of a profile that a credential names and that is not
    /// there.
    #[must_use]
    pub fn missing_profile(&self, names: &Interner) -> Option<ProfileRef> {
        let mut missing = self
            .profiles
            .iter()
            .filter(|(_, cell)| cell.known.get().is_none());
        let (number, _) = missing.next()?;
        Some(self.reference(ProfileNumber(number), names))
    }

    pub(in crate::authority) fn put_profile(
        &self,
        reference: &ProfileRef,
        record: Option<Arc<ProfileRecord>>,
        revision: Revision,
        names: &Interner,
    ) {
        // A version is written once and stays.
        let Some(record) = record else { return };
        let number = self.number_of_profile(reference, names);
        let known = KnownProfile {
            reference: reference.clone(),
            profile: record.profile.clone(),
            stored: Some((record.last_change.clone(), revision)),
        };
        let _ = self.profiles.get(number.0).known.set(Arc::new(known));
        self.collect_headers();
    }

    /// The headers in which credentials of this version of a profile or an earlier one
    /// are presented: its own first, then those that only earlier ones have.
    #[must_use]
    pub fn accepted_headers(&self, known: &KnownProfile, names: &Interner) -> Vec<HeaderRule> {
        let KnownProfile {
            reference,
            profile,
            stored: _,
        } = known;
        let ProfileFamily { scope, name } = &reference.family;
        let family = self.family(scope.as_str(), name.as_str(), names);
        let mut accepted = profile.headers.clone();
        let versions = family.map(|family| self.families.get(family.0).versions.read());
        let versions = versions.iter().flat_map(|versions| versions.iter());
        let earlier = versions
            .rev()
            .filter(|(version, _)| **version < reference.version);
        for earlier in earlier.filter_map(|(_, &number)| self.profile(number)) {
            for header in &earlier.profile.headers {
                if !accepted.contains(header) {
                    accepted.push(header.clone());
                }
            }
        }
        accepted
    }

    /// The headers in which the credentials of any profile are presented.
    #[must_use]
    pub fn headers(&self) -> Arc<HeaderRules> {
        Arc::clone(&self.headers.read())
    }

    pub(super) fn collect_headers(&self) {
        let known = self
            .profiles
            .iter()
            .filter_map(|(_, cell)| cell.known.get());
        let rules = known.flat_map(|known| known.profile.headers.iter().cloned());
        *self.headers.write() = Arc::new(rules.collect());
    }
}
