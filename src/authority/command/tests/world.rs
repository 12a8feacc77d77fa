//! What commands look at, and a store for them.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::*;
use crate::authority::key_use::Needs;
use crate::authority::record::NEWEST_FORMAT;
use crate::domain::closed::Closed;
use crate::domain::header::HeaderRule;
use crate::domain::keyring::Mac;
use crate::domain::permission::{CreddGrant, Grant};
use crate::domain::rekeyed::Rekeyed;
use crate::domain::restored::Restored;
use crate::domain::rights::{Binding, BindingRecord, Held, Reach};

/// What a command may look at, in maps: a store of one command a commit.
pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) revision: Revision,
    pub(super) keyring: Keyring,
    ids: Cell<IdSequence>,
    pub(super) quotas: Quotas,
    pub(super) credentials: BTreeMap<CredentialId, Stored>,
    pub(super) uses: BTreeMap<CredentialId, Uses>,
    pub(super) requests: BTreeMap<RequestName, (Arc<RequestRecord>, Revision)>,
    pub(super) tenants: BTreeMap<Tenant, KnownRecord<TenantRecord>>,
    pub(super) owners: BTreeMap<OwnerRef, KnownRecord<OwnerRecord>>,
    pub(super) roles: BTreeMap<RoleRef, KnownRecord<RoleRecord>>,
    pub(super) profiles: BTreeMap<ProfileRef, Arc<KnownProfile>>,
    pub(super) bindings: BTreeMap<Binding, KnownRecord<BindingRecord>>,
    nodes: BTreeMap<Incarnation, Arc<Node>>,
    format: u8,
    closed: Option<Closed>,
    pub(super) keys: Option<(Arc<KeyringState>, Revision)>,
    pub(super) restored: Option<Arc<Restored>>,
    pub(super) rekeyed: BTreeMap<CredentialId, Arc<Rekeyed>>,
}

impl World {
    /// With nothing but what is built in.
    pub(super) fn new() -> Self {
        let profiles = built_in::all().iter().map(|built_in| {
            let reference = ProfileRef {
                family: built_in.profile.family(),
                version: built_in.version,
            };
            let known = KnownProfile {
                reference: reference.clone(),
                profile: built_in.profile.clone(),
                stored: None,
            };
            (reference, Arc::new(known))
        });
        Self {
            now: NOW,
            revision: Revision::new(100),
            keyring: keyring(&[1]),
            ids: Cell::new(IdSequence::after(None)),
            quotas: Quotas::default(),
            credentials: BTreeMap::new(),
            uses: BTreeMap::new(),
            requests: BTreeMap::new(),
            tenants: BTreeMap::new(),
            owners: BTreeMap::new(),
            roles: BTreeMap::new(),
            profiles: profiles.collect(),
            bindings: BTreeMap::new(),
            nodes: BTreeMap::new(),
            format: NEWEST_FORMAT,
            closed: None,
            keys: None,
            restored: None,
            rekeyed: BTreeMap::new(),
        }
    }

    /// What a command would do.
    pub(super) fn decide(&self, command: &Command) -> Result<Decision, Refusal> {
        let mut ids = self.ids.get();
        let mut context = Context {
            now: self.now,
            keyring: &self.keyring,
            random: &SystemRandom::new(),
            quotas: self.quotas,
            ids: &mut ids,
        };
        let decided = decide(self, command, &mut context);
        self.ids.set(ids);
        decided
    }

    pub(super) fn refusal(&self, command: &Command) -> Refusal {
        self.decide(command).unwrap_err()
    }

    /// The fields that are not what they should be.
    pub(super) fn wrong(&self, command: &Command) -> Vec<String> {
        match self.refusal(command) {
            Refusal::Invalid(wrong) => wrong.into_iter().map(|(field, _)| field).collect(),
            other => panic!("{other}"),
        }
    }

    /// Carries out a command.
    pub(super) fn run(&mut self, command: &Command) -> Result<Decision, Refusal> {
        let decision = self.decide(command)?;
        if !decision.writes.is_empty() {
            self.revision = self.revision.next();
        }
        for record in &decision.writes {
            self.write(record);
        }
        Ok(decision)
    }

    /// Carries out a command that is about one credential.
    pub(super) fn change(&mut self, command: &Command) -> Stored {
        let answer = self.run(command).unwrap().answer;
        let stored = answer.credential(self.revision).unwrap();
        assert_eq!(self.credentials.get(&stored.credential.id), Some(&stored));
        stored
    }

    pub(super) fn issue(&mut self, issue: Issue) -> Credential {
        self.change(&Command::Issue(Box::new(issue))).credential
    }

    pub(super) fn put(&mut self, credential: Credential) {
        self.write(&Record::Credential(
            credential.id,
            Some(Arc::new(credential)),
        ));
    }

    pub(super) fn credential(&self, n: u8) -> &Credential {
        &self.credentials[&id(n)].credential
    }

    pub(super) fn states(&self) -> Vec<State> {
        let all = self.credentials.values();
        all.map(|stored| stored.credential.standing()).collect()
    }

    pub(super) fn write(&mut self, record: &Record) {
        fn set<K: Ord + Clone, T>(
            map: &mut BTreeMap<K, KnownRecord<T>>,
            key: &K,
            record: Option<&Arc<T>>,
            revision: Revision,
        ) {
            let known = record.map(|record| KnownRecord {
                record: Arc::clone(record),
                revision: Some(revision),
            });
            set_or_remove(map, key, known);
        }
        fn set_or_remove<K: Ord + Clone, T>(map: &mut BTreeMap<K, T>, key: &K, value: Option<T>) {
            match value {
                Some(value) => map.insert(key.clone(), value),
                None => map.remove(key),
            };
        }
        let revision = self.revision;
        match record {
            Record::Credential(id, record) => {
                let stored = record.as_deref().map(|credential| Stored {
                    credential: credential.clone(),
                    revision,
                });
                set_or_remove(&mut self.credentials, id, stored);
            }
            Record::Uses(id, uses) => set_or_remove(&mut self.uses, id, uses.clone()),
            Record::Request(name, record) => {
                let record = record.clone().map(|record| (record, revision));
                set_or_remove(&mut self.requests, name, record);
            }
            Record::Tenant(key, record) => {
                set(&mut self.tenants, key, record.as_ref(), revision);
            }
            Record::Owner(key, record) => set(&mut self.owners, key, record.as_ref(), revision),
            Record::Role(key, record) => set(&mut self.roles, key, record.as_ref(), revision),
            Record::Profile(reference, record) => {
                let known = record.as_ref().map(|record| {
                    Arc::new(KnownProfile {
                        reference: reference.clone(),
                        profile: record.profile.clone(),
                        stored: Some((record.last_change.clone(), revision)),
                    })
                });
                set_or_remove(&mut self.profiles, reference, known);
            }
            Record::Binding(key, record) => {
                set(&mut self.bindings, key, record.as_ref(), revision);
            }
            Record::Keyring(state) => {
                self.keys = state.clone().map(|state| (state, revision));
            }
            // As the index does: it lays it over the credential.
            Record::Rekeyed(id, rekeyed) => {
                if let (Some(rekeyed), Some(stored)) = (rekeyed, self.credentials.get_mut(id)) {
                    let credential = &mut stored.credential;
                    credential.secret.mac = rekeyed.current.mac;
                    credential.sealed.clone_from(&rekeyed.sealed);
                    if let (Some(overlap), Some(previous)) =
                        (&mut credential.overlap, rekeyed.previous)
                    {
                        overlap.secret.mac = previous.mac;
                    }
                }
                set_or_remove(&mut self.rekeyed, id, rekeyed.clone());
            }
            Record::Node(name, node) => set_or_remove(&mut self.nodes, name, node.clone()),
            Record::Restored(restored) => self.restored.clone_from(restored),
            Record::Format(format) => self.format = *format,
            Record::Closed(closed) => self.closed = *closed,
            Record::Audit(..) | Record::Fence => (),
        }
    }

    /// An owner of `acme` with these roles, which are there.
    pub(super) fn put_owner(&mut self, name: &str, roles: &[&str]) {
        for role in roles {
            let put = PutRole {
                role: role_ref("acme", role),
                description: Description::default(),
                permissions: Permissions::Tenant(Vec::new()),
            };
            self.run(&directory_command(What::PutRole(put))).unwrap();
        }
        let put = PutOwner {
            roles: self::roles(roles),
            ..owner_of(name)
        };
        self.run(&directory_command(What::PutOwner(put))).unwrap();
    }

    /// Gives a principal a role on a tenant, or on all.
    pub(super) fn bind(&mut self, principal: &str, role: &str, reach: &str) {
        let what = What::PutBinding(binding(principal, role, reach));
        self.run(&directory_command(what)).unwrap();
    }

    /// A profile of one's own, for all tenants.
    pub(super) fn put_profile(&mut self, name: &str, rules: impl FnOnce(&mut Profile)) {
        let profile = profile(name, rules);
        let put = What::PutProfile(PutProfile(profile));
        self.run(&directory_command(put)).unwrap();
    }
}

pub(super) fn binding(principal: &str, role: &str, reach: &str) -> Binding {
    Binding {
        reach: Reach::parse(reach).unwrap(),
        principal: PrincipalName::parse(principal).unwrap(),
        role: Role::parse(role).unwrap(),
    }
}

impl View for World {
    fn closed(&self) -> Option<Closed> {
        self.closed
    }

    fn format(&self) -> u8 {
        self.format
    }

    fn too_old_for(&self, format: u8) -> usize {
        let nodes = self.nodes.values();
        nodes.filter(|node| node.format < format).count()
    }

    fn node_revision(&self, name: Incarnation) -> Option<Revision> {
        self.nodes.get(&name).map(|_| self.revision)
    }

    fn credential(&self, id: CredentialId) -> Option<Known> {
        self.credentials.get(&id).cloned().map(Known::Committed)
    }

    fn uses(&self, id: CredentialId) -> Uses {
        self.uses.get(&id).cloned().unwrap_or_default()
    }

    fn callers(&self) -> Vec<Known> {
        let all = self.credentials.values();
        all.filter(|stored| stored.credential.tenant.is_credd())
            .cloned()
            .map(Known::Committed)
            .collect()
    }

    fn of_owner(&self, owner: &OwnerRef, profile: &ProfileFamily) -> Vec<Known> {
        let all = self.credentials.values().filter(|stored| {
            let credential = &stored.credential;
            owner_ref_of(credential) == *owner && credential.profile.family == *profile
        });
        all.cloned().map(Known::Committed).collect()
    }

    fn shows_any(&self, owner: &OwnerRef) -> bool {
        let mut all = self.credentials.values().map(|stored| &stored.credential);
        all.any(|one| {
            owner_ref_of(one) == *owner && one.state != State::Revoked && one.sealed.is_some()
        })
    }

    fn count_of_tenant(&self, tenant: &Tenant) -> u64 {
        let all = self.credentials.values().map(|stored| &stored.credential);
        let live = all.filter(|one| one.tenant == *tenant && one.state != State::Revoked);
        live.count() as u64
    }

    fn count_of_owner(&self, owner: &OwnerRef) -> u64 {
        let all = self.credentials.values().map(|stored| &stored.credential);
        let live = all.filter(|one| owner_ref_of(one) == *owner && one.state != State::Revoked);
        live.count() as u64
    }

    fn holds_imported(&self, tenant: &Tenant, mac: &Mac) -> bool {
        let all = self.credentials.values().map(|stored| &stored.credential);
        all.filter(|credential| credential.tenant == *tenant)
            .map(|credential| &credential.secret)
            .any(|held| held.mac.tag == mac.tag && held.origin != Origin::Native)
    }

    fn requests_of(&self, id: CredentialId) -> Vec<(RequestName, Arc<RequestRecord>)> {
        let all = self.requests.iter();
        all.filter(|(_, (record, _))| record.credential == id)
            .map(|(name, (record, _))| (*name, Arc::clone(record)))
            .collect()
    }

    fn request(&self, name: &RequestName) -> Option<(Arc<RequestRecord>, Revision)> {
        self.requests.get(name).cloned()
    }

    fn keyring(&self) -> Option<(Arc<KeyringState>, Revision)> {
        self.keys.clone()
    }

    fn restored(&self) -> Option<Arc<Restored>> {
        self.restored.clone()
    }

    fn remaining(&self, kind: KeyKind, version: KeyVersion, now: Timestamp) -> Remaining {
        let all = self.credentials.values();
        let needs = all.map(|stored| Needs::of(&stored.credential));
        let secrets = needs.filter(|needs| match kind {
            KeyKind::Pepper => needs.pepper(version, now),
            KeyKind::Sealing => needs.sealing == Some(version),
        });
        let requests = self.requests.values();
        let requests = requests.filter(|(record, _)| {
            kind == KeyKind::Sealing && record.keys().any(|key| key == version)
        });
        Remaining {
            secrets: secrets.count() as u64,
            requests: requests.count() as u64,
        }
    }

    fn is_rekeyed(&self, id: CredentialId) -> bool {
        self.rekeyed.contains_key(&id)
    }

    fn held(&self, principal: &Principal) -> Vec<Held> {
        let bindings = self.bindings.iter().filter(|(binding, known)| {
            binding.principal.as_str() == principal.as_str() && !known.record.last_change.deleted()
        });
        let held = bindings.filter_map(|(binding, _)| {
            let role = self.role(&role_ref(Tenant::CREDD, binding.role.as_str()))?;
            let (role_name, reach) = (binding.role.clone(), binding.reach.clone());
            Some(Held::new(role_name, reach, role.record))
        });
        held.collect()
    }

    fn owners_of(&self, principal: &Principal) -> Vec<OwnerRef> {
        let owners = self.owners.iter().filter(|(_, known)| {
            let mut principals = known.record.principals.iter();
            principals.any(|one| one.as_str() == principal.as_str())
        });
        owners.map(|(owner, _)| owner.clone()).collect()
    }

    fn is_able(&self, owner: &OwnerRef) -> bool {
        let owner = self.owners.get(owner);
        owner.is_none_or(|known| !known.record.disabled)
    }

    fn binding(&self, binding: &Binding) -> Option<KnownRecord<BindingRecord>> {
        self.bindings.get(binding).cloned()
    }

    fn bound_everywhere(&self, role: &str) -> Vec<Binding> {
        let bindings = self.bindings.iter().filter(|(binding, known)| {
            binding.reach == Reach::All
                && binding.role.as_str() == role
                && !known.record.last_change.deleted()
        });
        bindings.map(|(binding, _)| binding.clone()).collect()
    }

    fn tenant(&self, tenant: &Tenant) -> Option<KnownRecord<TenantRecord>> {
        self.tenants.get(tenant).cloned()
    }

    fn owner(&self, owner: &OwnerRef) -> Option<KnownRecord<OwnerRecord>> {
        self.owners.get(owner).cloned()
    }

    fn role(&self, role: &RoleRef) -> Option<KnownRecord<RoleRecord>> {
        let name = role.name.as_str();
        let built_in = if role.tenant.is_credd() {
            let mut all = Role::BUILT_IN_CREDD.iter();
            let grants = all.find(|(of, _)| *of == name).map(|(_, grants)| grants);
            let grant = |grant: &&str| CreddGrant::parse(grant).unwrap();
            grants.map(|grants| Permissions::Credd(grants.iter().map(grant).collect()))
        } else {
            let mut all = Role::BUILT_IN.iter();
            let grant = all.find(|(of, _)| *of == name).map(|(_, grant)| grant);
            grant.map(|grant| Permissions::Tenant(vec![Grant::parse(grant).unwrap()]))
        };
        if let Some(permissions) = built_in {
            return Some(KnownRecord {
                record: Arc::new(RoleRecord {
                    description: Description::default(),
                    permissions,
                    last_change: put_by_nobody(),
                }),
                revision: Some(Revision::ZERO),
            });
        }
        self.roles.get(role).cloned()
    }

    fn profile(&self, profile: &ProfileRef) -> Option<Arc<KnownProfile>> {
        self.profiles.get(profile).cloned()
    }

    fn profile_for(&self, tenant: &Tenant, name: &ProfileName) -> Option<Arc<KnownProfile>> {
        let scopes = [Scope::Tenant(tenant.clone()), Scope::All];
        let mut latest = scopes.into_iter().filter_map(|scope| {
            let name = name.clone();
            self.latest(&ProfileFamily { scope, name })
        });
        latest.find(|known| !known.deleted())
    }

    fn latest(&self, profile: &ProfileFamily) -> Option<Arc<KnownProfile>> {
        let mut versions = self.profiles.values().rev();
        let latest = versions.find(|known| known.reference.family == *profile);
        latest.cloned()
    }

    fn accepted_headers(&self, known: &KnownProfile) -> Vec<HeaderRule> {
        let versions = self.profiles.values();
        let of_it = versions.filter(|other| {
            let (other, known) = (&other.reference, &known.reference);
            other.family == known.family && other.version <= known.version
        });
        let mut headers: Vec<_> = of_it
            .flat_map(|version| version.profile.headers.iter().cloned())
            .collect();
        headers.sort();
        headers.dedup();
        headers
    }

    fn profiles_named(&self, name: &ProfileName) -> Vec<Arc<KnownProfile>> {
        let families = self.profiles.keys().map(|reference| &reference.family);
        let mut families: Vec<_> = families.filter(|family| family.name == *name).collect();
        families.dedup();
        let latest = families
            .into_iter()
            .filter_map(|family| self.latest(family));
        latest.filter(|known| !known.deleted()).collect()
    }

    fn tenant_in_use(&self, tenant: &Tenant) -> bool {
        let mut all = self.credentials.values();
        let mut owners = self.owners.iter();
        all.any(|stored| stored.credential.tenant == *tenant)
            || owners.any(|(owner, known)| {
                owner.tenant == *tenant && !known.record.last_change.deleted()
            })
    }

    fn tenant_exists(&self, tenant: &Tenant) -> bool {
        let record = self.tenants.get(tenant);
        record.is_some_and(|known| !known.record.last_change.deleted())
            || self.tenant_in_use(tenant)
    }

    fn owner_in_use(&self, owner: &OwnerRef) -> bool {
        let mut all = self.credentials.values();
        all.any(|stored| owner_ref_of(&stored.credential) == *owner)
    }

    fn role_in_use(&self, role: &RoleRef) -> bool {
        let mut all = self.credentials.values().map(|stored| &stored.credential);
        let mut owners = self.owners.iter();
        all.any(|credential| {
            credential.tenant == role.tenant && credential.roles.contains(&role.name)
        }) || owners.any(|(owner, known)| {
            owner.tenant == role.tenant && known.record.roles.contains(&role.name)
        })
    }

    fn profile_in_use(&self, profile: &ProfileFamily) -> bool {
        let mut all = self.credentials.values();
        all.any(|stored| stored.credential.profile.family == *profile)
    }

    fn owner_named(&self, tenant: &Tenant, principal: &PrincipalName) -> Option<Owner> {
        let mut owners = self.owners.iter();
        let found = owners.find(|(owner, known)| {
            owner.tenant == *tenant && known.record.principals.contains(principal)
        });
        found.map(|(owner, _)| owner.name.clone())
    }
}
