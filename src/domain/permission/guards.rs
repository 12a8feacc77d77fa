//! The permissions that guard credd itself, one by one.

use super::CreddGrant;

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A permission that guards credd itself.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Permission {
            $($(#[$doc])* $name,)*
        }

        impl Permission {
            /// Every permission.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

permissions! {
    /// To issue credentials.
    Issue = "credd.credentials.issue",
    /// To see credentials.
    Read = "credd.credentials.read",
    /// To change what credentials say.
    Update = "credd.credentials.update",
    /// To give credentials new secrets.
    Rotate = "credd.credentials.rotate",
    /// To see secrets again that can be viewed.
    Reveal = "credd.credentials.reveal",
    /// To lock credentials.
    Lock = "credd.credentials.lock",
    /// To unlock credentials.
    Unlock = "credd.credentials.unlock",
    /// To unlock credentials that leaked.
    UnlockLeaked = "credd.credentials.unlock-leaked",
    /// To revoke credentials.
    Revoke = "credd.credentials.revoke",
    /// To report secrets that were found where they should not be.
    ReportLeak = "credd.credentials.report-leak",
    /// To bring credentials from elsewhere.
    Import = "credd.credentials.import",
    /// To put tenants.
    PutTenants = "credd.tenants.put",
    /// To see tenants.
    ReadTenants = "credd.tenants.read",
    /// To delete tenants.
    DeleteTenants = "credd.tenants.delete",
    /// To disable tenants and to enable them.
    DisableTenants = "credd.tenants.disable",
    /// To put owners.
    PutOwners = "credd.owners.put",
    /// To see owners.
    ReadOwners = "credd.owners.read",
    /// To delete owners.
    DeleteOwners = "credd.owners.delete",
    /// To disable owners and to enable them.
    DisableOwners = "credd.owners.disable",
    /// To put roles.
    PutRoles = "credd.roles.put",
    /// To see roles.
    ReadRoles = "credd.roles.read",
    /// To delete roles.
    DeleteRoles = "credd.roles.delete",
    /// To put profiles.
    PutProfiles = "credd.profiles.put",
    /// To see profiles.
    ReadProfiles = "credd.profiles.read",
    /// To delete profiles.
    DeleteProfiles = "credd.profiles.delete",
    /// To bind principals to roles.
    PutBindings = "credd.bindings.put",
    /// To see bindings.
    ReadBindings = "credd.bindings.read",
    /// To delete bindings.
    DeleteBindings = "credd.bindings.delete",
    /// To give permissions of a tenant's own services that the giver does not
    /// have: by roles, to owners, and with secrets.
    GiveAny = "credd.permissions.give",
    /// To call in the name of another principal, with the rights that both have.
    OnBehalfOf = "credd.on-behalf-of",
    /// To read the audit log and to check it.
    ReadAudit = "credd.audit.read",
    /// To erase what the audit log says of a person.
    EraseAudit = "credd.audit.erase",
    /// To see how the server is.
    ReadStatus = "credd.operations.read",
    /// To activate and to retire the server's keys.
    ManageKeys = "credd.operations.keys",
    /// To copy everything that the server holds, as it holds it.
    Backup = "credd.operations.backup",
    /// To ask whether a presented credential is good.
    Verify = "credd.verify",
    /// To follow what changes.
    Watch = "credd.watch",
}

impl Permission {
    /// What an owner may do with what is the owner's, without a role.
    pub const OF_OWNERS: [Self; 10] = [
        Self::Issue,
        Self::Read,
        Self::Update,
        Self::Rotate,
        Self::Reveal,
        Self::Lock,
        Self::Revoke,
        Self::ReportLeak,
        Self::PutOwners,
        Self::ReadOwners,
    ];
}

/// A set of permissions that guard credd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PermissionSet(u64);

// A permission is a bit of the set.
const _: () = assert!(Permission::ALL.len() <= u64::BITS as usize);

impl PermissionSet {
    /// What these grants give.
    #[must_use]
    pub fn of(grants: &[CreddGrant]) -> Self {
        let given = |permission: &&Permission| {
            let name = permission.name();
            grants.iter().any(|grant| grant.covers(name))
        };
        let bits = Permission::ALL
            .iter()
            .filter(given)
            .map(|given| bit(*given));
        Self(bits.fold(0, |all, bit| all | bit))
    }

    /// Whether a permission is in it.
    #[must_use]
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & bit(permission) != 0
    }
}

const fn bit(permission: Permission) -> u64 {
    1 << permission as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_its_grants_give() {
        let grants = ["credd.watch", "credd.bindings.*"];
        let grants = grants.map(|grant| CreddGrant::parse(grant).unwrap());
        let set = PermissionSet::of(&grants);
        for permission in Permission::ALL {
            let name = permission.name();
            let given = name == "credd.watch" || name.starts_with("credd.bindings.");
            assert_eq!(set.has(*permission), given, "{name}");
        }
        assert_eq!(PermissionSet::of(&[]), PermissionSet::default());
    }

    #[test]
    fn every_name_is_that_of_a_grant_and_none_stands_twice() {
        let mut names: Vec<_> = Permission::ALL.iter().map(|one| one.name()).collect();
        assert!(names.iter().all(|name| CreddGrant::parse(name).is_ok()));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Permission::ALL.len());
    }
}
