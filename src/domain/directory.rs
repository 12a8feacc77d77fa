//! Tenants, owners and roles, and the changes to them.

use super::names::{
    Description, DisplayName, Group, Owner, Principal, PrincipalName, Reason, Role, Tenant,
};
use super::permission::{CreddGrant, Grant};
use super::profile::Profile;
use super::time::Timestamp;

/// A tenant, as credd keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRecord {
    /// Its name for people.
    pub display_name: DisplayName,
    /// A longer text for people.
    pub description: Description,
    /// Whether all its credentials are denied.
    pub disabled: bool,
    /// The change that this record was written for.
    pub last_change: DirectoryChange,
}

/// An owner, as credd keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerRecord {
    /// Its name for people.
    pub display_name: DisplayName,
    /// The callers who are this owner.
    pub principals: Vec<PrincipalName>,
    /// Its groups, in order.
    pub groups: Vec<Group>,
    /// Its roles, sorted, none twice.
    pub roles: Vec<Role>,
    /// The group that was chosen as its default source.
    pub chosen_source: Option<Group>,
    /// Whether all its credentials are denied.
    pub disabled: bool,
    /// The change that this record was written for.
    pub last_change: DirectoryChange,
}

/// A role, as credd keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRecord {
    /// A longer text for people.
    pub description: Description,
    /// What it permits.
    pub permissions: Permissions,
    /// The change that this record was written for.
    pub last_change: DirectoryChange,
}

/// What a role permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// In a tenant: sorted, none twice.
    Tenant(Vec<Grant>),
    /// In credd's own tenant, on credd itself: sorted, none twice.
    Credd(Vec<CreddGrant>),
}

impl Permissions {
    /// Their texts.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let (tenant, credd) = match self {
            Self::Tenant(grants) => (grants.as_slice(), [].as_slice()),
            Self::Credd(grants) => ([].as_slice(), grants.as_slice()),
        };
        let tenant = tenant.iter().map(Grant::as_str);
        tenant.chain(credd.iter().map(CreddGrant::as_str))
    }
}

/// A version of a profile, as credd keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileRecord {
    /// The profile.
    pub profile: Profile,
    /// The change that this record was written for.
    pub last_change: DirectoryChange,
}

/// A change in the directory: what, when, by whom and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryChange {
    /// What was done.
    pub action: DirectoryAction,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Principal,
    /// Why.
    pub reason: Reason,
}

/// What can be done to a tenant, an owner, a role or a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DirectoryAction {
    /// It is created or replaced.
    Put,
    /// All its credentials are denied.
    Disable,
    /// They are what they were.
    Enable,
    /// It is deleted; its record stays, so that its name is not given again.
    Delete,
}

impl DirectoryChange {
    /// Whether it left nothing but a name that is not given again.
    #[must_use]
    pub const fn deleted(&self) -> bool {
        matches!(self.action, DirectoryAction::Delete)
    }
}

impl OwnerRecord {
    /// The group that is its source now: the chosen one, else its first.
    #[must_use]
    pub fn default_source(&self) -> Option<&Group> {
        self.chosen_source.as_ref().or_else(|| self.groups.first())
    }
}

/// An owner, by its tenant and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerRef {
    /// The tenant.
    pub tenant: Tenant,
    /// Its name.
    pub name: Owner,
}

/// A role, by its tenant and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleRef {
    /// The tenant.
    pub tenant: Tenant,
    /// Its name.
    pub name: Role,
}

impl Role {
    /// The roles that every tenant but credd's own has, and what they permit.
    pub const BUILT_IN: [(&'static str, &'static str); 2] =
        [("auditor", "*:read"), ("full-access", "*:*")];

    /// The roles of credd's own tenant, and what they permit.
    ///
    /// An administrator may do all but four things: show a secret again, unlock by
    /// hand what leaked, call in the name of others, and erase what the audit log
    /// says.
    pub const BUILT_IN_CREDD: [(&'static str, &'static [&'static str]); 3] = [
        (
            Self::ADMINISTRATOR,
            &[
                "credd.audit.read",
                "credd.bindings.*",
                "credd.credentials.import",
                "credd.credentials.issue",
                "credd.credentials.lock",
                "credd.credentials.read",
                "credd.credentials.report-leak",
                "credd.credentials.revoke",
                "credd.credentials.rotate",
                "credd.credentials.unlock",
                "credd.credentials.update",
                "credd.operations.*",
                "credd.owners.*",
                "credd.permissions.give",
                "credd.profiles.*",
                "credd.roles.*",
                "credd.tenants.*",
                "credd.verify",
                "credd.watch",
            ],
        ),
        (
            Self::AUDITOR,
            &[
                "credd.audit.read",
                "credd.bindings.read",
                "credd.credentials.read",
                "credd.operations.read",
                "credd.owners.read",
                "credd.profiles.read",
                "credd.roles.read",
                "credd.tenants.read",
            ],
        ),
        (
            Self::VERIFIER,
            &["credd.profiles.read", "credd.verify", "credd.watch"],
        ),
    ];
}
