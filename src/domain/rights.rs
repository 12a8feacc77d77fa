//! What callers of credd may do: bindings give a principal a role, on one tenant
//! or on all.
//!
//! Nothing else gives a right on credd. A credential of credd's own tenant that
//! names roles narrows what its holder has to those roles; it adds nothing.

use std::fmt;
use std::sync::Arc;

use super::directory::{DirectoryChange, OwnerRef, Permissions, RoleRecord};
use super::names::{InvalidText, PrincipalName, Role, Tenant};
use super::permission::{CreddGrant, Grant, Permission, PermissionSet, covers};

/// Where a role is given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// On all tenants, credd's own among them, and on the server.
    All,
    /// On one tenant.
    Tenant(Tenant),
}

impl Reach {
    const ALL: &'static str = "*";

    /// Reads `*`, or the name of a tenant.
    ///
    /// # Errors
    ///
    /// [`InvalidText`], which says the rule.
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        match text {
            Self::ALL => Ok(Self::All),
            name => Tenant::parse(name)
                .map(Self::Tenant)
                .map_err(|_| InvalidText("must be the name of a tenant, or `*` for all of them")),
        }
    }

    /// `*`, or the name of the tenant.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::All => Self::ALL,
            Self::Tenant(tenant) => tenant.as_str(),
        }
    }

    /// Whether what is given here is given there too.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        *self == Self::All || self == other
    }

    /// Whether what is given here is given on a tenant.
    #[must_use]
    pub fn has(&self, tenant: &str) -> bool {
        match self {
            Self::All => true,
            Self::Tenant(named) => named.as_str() == tenant,
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A binding: it is all that it says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Binding {
    /// Where.
    pub reach: Reach,
    /// Who.
    pub principal: PrincipalName,
    /// The role of credd's own tenant that is given.
    pub role: Role,
}

/// What credd keeps of a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingRecord {
    /// The change that this record was written for.
    pub last_change: DirectoryChange,
}

/// A role that a principal has.
#[derive(Clone, Debug)]
pub struct Held {
    /// The role.
    pub role: Role,
    /// Where.
    pub reach: Reach,
    /// What it permits.
    pub record: Arc<RoleRecord>,
    /// The same, to look up.
    pub permissions: PermissionSet,
}

impl Held {
    /// A role that is given somewhere.
    #[must_use]
    pub fn new(role: Role, reach: Reach, record: Arc<RoleRecord>) -> Self {
        let permissions = PermissionSet::of(credd_grants(&record));
        Self {
            role,
            reach,
            record,
            permissions,
        }
    }
}

/// What a role permits on credd.
#[must_use]
pub fn credd_grants(role: &RoleRecord) -> &[CreddGrant] {
    match &role.permissions {
        Permissions::Credd(grants) => grants,
        Permissions::Tenant(_) => &[],
    }
}

/// What a role permits in its tenant.
#[must_use]
pub fn tenant_grants(role: &RoleRecord) -> &[Grant] {
    match &role.permissions {
        Permissions::Tenant(grants) => grants,
        Permissions::Credd(_) => &[],
    }
}

/// The tenants on which somebody may do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenants {
    /// All.
    All,
    /// These; may be none.
    Of(Vec<Tenant>),
}

impl Tenants {
    /// None.
    pub const NONE: Self = Self::Of(Vec::new());

    /// Those on which roles give a permission.
    #[must_use]
    pub fn with<'a>(held: impl Iterator<Item = &'a Held>, permission: Permission) -> Self {
        let mut tenants = Vec::new();
        for held in held.filter(|held| held.permissions.has(permission)) {
            match &held.reach {
                Reach::All => return Self::All,
                Reach::Tenant(tenant) if tenants.contains(tenant) => (),
                Reach::Tenant(tenant) => tenants.push(tenant.clone()),
            }
        }
        Self::Of(tenants)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Of(tenants) if tenants.is_empty())
    }

    /// Whether this tenant is one of them.
    #[must_use]
    pub fn has(&self, tenant: &str) -> bool {
        match self {
            Self::All => true,
            Self::Of(tenants) => tenants.iter().any(|named| named.as_str() == tenant),
        }
    }

    /// Whether they are all that is reached.
    #[must_use]
    pub fn include(&self, reach: &Reach) -> bool {
        match reach {
            Reach::All => *self == Self::All,
            Reach::Tenant(tenant) => self.has(tenant.as_str()),
        }
    }

    /// Whether these are among them.
    #[must_use]
    pub fn include_all(&self, others: &Self) -> bool {
        match others {
            Self::All => *self == Self::All,
            Self::Of(others) => others.iter().all(|tenant| self.has(tenant.as_str())),
        }
    }

    /// Those that are here and there.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        match (self, others) {
            (Self::All, other) | (other, Self::All) => other,
            (Self::Of(mut tenants), other) => {
                tenants.retain(|tenant| other.has(tenant.as_str()));
                Self::Of(tenants)
            }
        }
    }
}

/// What somebody has, and so may give.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    /// Roles on credd.
    pub held: Vec<Held>,
    /// As an owner: what the owner's roles permit in its tenant.
    pub own: Vec<(Tenant, Arc<RoleRecord>)>,
    /// The owners that they are.
    pub owners: Vec<OwnerRef>,
}

/// A right that is given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Given {
    /// Permissions on credd.
    Credd(Reach, CreddGrant),
    /// Permissions of a tenant's own services.
    Tenant(Tenant, Grant),
    /// A permission on what is an owner's, as that owner.
    Owner(OwnerRef, Permission),
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credd(Reach::All, grant) => write!(f, "`{grant}` on all tenants"),
            Self::Credd(reach, grant) => write!(f, "`{grant}` on the tenant {reach}"),
            Self::Tenant(tenant, grant) => write!(f, "`{grant}` in the tenant {tenant}"),
            Self::Owner(OwnerRef { tenant, name }, permission) => {
                let permission = permission.name();
                write!(
                    f,
                    "`{permission}` on what the owner {name} of the tenant {tenant} has"
                )
            }
        }
    }
}

impl Rights {
    /// Whether this is among them. A right is when one role gives the whole of it:
    /// `credd.*` is not there because all that is below it is.
    #[must_use]
    pub fn cover(&self, given: &Given) -> bool {
        match given {
            Given::Credd(reach, grant) => self.held.iter().any(|held| {
                held.reach.includes(reach)
                    && credd_grants(&held.record)
                        .iter()
                        .any(|own| own.covers(grant.as_str()))
            }),
            Given::Tenant(tenant, grant) => {
                let gives_any = self.held.iter().any(|held| {
                    held.reach.has(tenant.as_str()) && held.permissions.has(Permission::GiveAny)
                });
                let mut own = self.own.iter().filter(|(of, _)| of == tenant);
                gives_any
                    || own.any(|(_, role)| tenant_grants(role).iter().any(|own| covers(own, grant)))
            }
            Given::Owner(owner, permission) => {
                let mut held = self.held.iter();
                self.owners.contains(owner)
                    || held.any(|held| {
                        held.reach.has(owner.tenant.as_str()) && held.permissions.has(*permission)
                    })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::directory::DirectoryAction;
    use crate::domain::names::{Description, Owner, Principal, Reason};
    use crate::domain::time::Timestamp;

    fn tenant(name: &str) -> Tenant {
        Tenant::parse(name).unwrap()
    }

    fn on(name: &str) -> Reach {
        Reach::parse(name).unwrap()
    }

    fn record(permissions: Permissions) -> Arc<RoleRecord> {
        Arc::new(RoleRecord {
            description: Description::default(),
            permissions,
            last_change: DirectoryChange {
                action: DirectoryAction::Put,
                at: Timestamp::from_millis(0),
                by: Principal::system(),
                reason: Reason::parse("").unwrap(),
            },
        })
    }

    fn held(reach: &str, grants: &[&str]) -> Held {
        let grants = grants.iter().map(|grant| CreddGrant::parse(grant).unwrap());
        Held::new(
            Role::parse("role").unwrap(),
            on(reach),
            record(Permissions::Credd(grants.collect())),
        )
    }

    fn credd(reach: &str, grant: &str) -> Given {
        Given::Credd(on(reach), CreddGrant::parse(grant).unwrap())
    }

    fn in_tenant(name: &str, grant: &str) -> Given {
        Given::Tenant(tenant(name), Grant::parse(grant).unwrap())
    }

    #[test]
    fn a_reach_is_a_tenant_or_all() {
        assert_eq!(on("*"), Reach::All);
        assert_eq!(on("acme"), Reach::Tenant(tenant("acme")));
        for bad in ["", "**", "Acme", "a*", "acme "] {
            assert!(Reach::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Reach::All.includes(&on("acme")) && on("acme").includes(&on("acme")));
        assert!(!on("acme").includes(&Reach::All) && !on("acme").includes(&on("other")));
        assert!(on("*").has("acme") && on("acme").has("acme") && !on("acme").has("other"));
    }

    #[test]
    fn the_tenants_of_a_permission_are_those_of_the_roles_that_give_it() {
        let roles = [
            held("acme", &["credd.verify", "credd.watch"]),
            held("other", &["credd.verify"]),
            held("acme", &["credd.verify"]),
            held("*", &["credd.profiles.read"]),
        ];
        let with = |permission| Tenants::with(roles.iter(), permission);
        let both = Tenants::Of(vec![tenant("acme"), tenant("other")]);
        assert_eq!(with(Permission::Verify), both);
        assert_eq!(with(Permission::Watch), Tenants::Of(vec![tenant("acme")]));
        assert_eq!(with(Permission::ReadProfiles), Tenants::All);
        assert!(with(Permission::Issue).is_empty());
    }

    #[test]
    fn tenants_of_two_are_those_that_both_have() {
        let (a, b) = (tenant("a"), tenant("b"));
        let of = |tenants: &[&Tenant]| Tenants::Of(tenants.iter().copied().cloned().collect());
        assert_eq!(Tenants::All.and(Tenants::All), Tenants::All);
        assert_eq!(Tenants::All.and(of(&[&a])), of(&[&a]));
        assert_eq!(of(&[&a, &b]).and(of(&[&b])), of(&[&b]));
        assert_eq!(of(&[&a]).and(of(&[&b])), Tenants::NONE);
        assert!(of(&[&a, &b]).include_all(&of(&[&b])) && !of(&[&a]).include_all(&Tenants::All));
        assert!(Tenants::All.include(&Reach::All) && !of(&[&a]).include(&Reach::All));
        assert!(of(&[&a]).include(&on("a")) && !of(&[&a]).include(&on("b")));
    }

    #[test]
    fn who_has_a_right_has_what_is_below_it_where_it_reaches() {
        let rights = Rights {
            held: vec![
                held("acme", &["credd.credentials.*", "credd.verify"]),
                held("*", &["credd.watch"]),
            ],
            ..Rights::default()
        };
        for (given, covered) in [
            (credd("acme", "credd.credentials.issue"), true),
            (credd("acme", "credd.credentials.*"), true),
            (credd("acme", "credd.*"), false),
            (credd("other", "credd.credentials.issue"), false),
            (credd("*", "credd.credentials.issue"), false),
            (credd("other", "credd.watch"), true),
            (credd("*", "credd.watch"), true),
            (credd("acme", "credd.owners.put"), false),
            (in_tenant("acme", "feeds:read"), false),
        ] {
            assert_eq!(rights.cover(&given), covered, "{given}");
        }
    }

    #[test]
    fn permissions_of_a_tenant_are_given_by_its_owners_and_by_who_may_give_any() {
        let grants = [Grant::parse("feeds:*").unwrap()];
        let owner = Rights {
            held: vec![held("acme", &["credd.owners.put"])],
            own: vec![(tenant("acme"), record(Permissions::Tenant(grants.to_vec())))],
            ..Rights::default()
        };
        assert!(owner.cover(&in_tenant("acme", "feeds:read")));
        assert!(!owner.cover(&in_tenant("acme", "*:read")));
        assert!(!owner.cover(&in_tenant("other", "feeds:read")));
        let giver = Rights {
            held: vec![held("acme", &["credd.permissions.give"])],
            ..Rights::default()
        };
        assert!(giver.cover(&in_tenant("acme", "*:*")));
        assert!(!giver.cover(&in_tenant("other", "feeds:read")));
        assert!(!giver.cover(&credd("acme", "credd.verify")));
    }

    #[test]
    fn what_an_owner_may_is_given_by_the_owner_and_by_who_may_do_it_in_the_tenant() {
        let jo = |of: &str| OwnerRef {
            tenant: tenant(of),
            name: Owner::parse("jo").unwrap(),
        };
        let owner = Rights {
            owners: vec![jo("acme")],
            ..Rights::default()
        };
        let clerk = Rights {
            held: vec![held("acme", &["credd.credentials.rotate"])],
            ..Rights::default()
        };
        for (tenant, permission, of_owner, of_clerk) in [
            ("acme", Permission::Rotate, true, true),
            ("acme", Permission::Reveal, true, false),
            ("other", Permission::Rotate, false, false),
        ] {
            let given = Given::Owner(jo(tenant), permission);
            let covered = (owner.cover(&given), clerk.cover(&given));
            assert_eq!(covered, (of_owner, of_clerk), "{given}");
        }
    }
}
