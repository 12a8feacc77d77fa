//! Profiles: the rules by which a kind of credential is issued and presented.
//!
//! A profile is data. Those of well-known products are built in; administrators
//! add their own. What is put again under the same name is another version: a
//! credential keeps the version by which it was issued.

use std::time::Duration;

use super::expiry;
use super::header::HeaderRule;
use super::names::{DisplayName, Label, MAX_ROLES, ProfileName, Role, Tenant};
use super::token::Kind;

pub mod built_in;

/// The rules by which a kind of credential is issued and presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Who may use it.
    pub scope: Scope,
    /// Its name.
    pub name: ProfileName,
    /// Its name for people.
    pub display_name: DisplayName,
    /// The shape of its credentials.
    pub kind: Kind,
    /// The headers in which they are presented.
    pub headers: Vec<HeaderRule>,
    /// Whether their secrets can be shown again.
    pub visibility: Visibility,
    /// When they expire.
    pub expiry: expiry::Rule,
    /// How many an owner may have.
    pub multiplicity: Multiplicity,
    /// What must be given to issue one.
    pub required: Required,
    /// The label where none is given.
    pub default_label: Option<Label>,
    /// Which roles they may name.
    pub roles: RoleRule,
    /// Whether their owners may issue them.
    pub owner_may_issue: bool,
    /// The longest overlap of two secrets; zero: none.
    pub max_overlap: Duration,
    /// Whether they are kept off the common list.
    pub unlisted: bool,
}

/// The name of a profile within its scope: all its versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileFamily {
    /// Who may use it.
    pub scope: Scope,
    /// Its name.
    pub name: ProfileName,
}

/// A version of a profile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileRef {
    /// The profile.
    pub family: ProfileFamily,
    /// Its version: 1 for the first.
    pub version: u32,
}

/// Who may use a profile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Every tenant.
    All,
    /// This tenant.
    Tenant(Tenant),
}

impl Scope {
    /// The name of the tenant; empty for all.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::All => "",
            Self::Tenant(tenant) => tenant.as_str(),
        }
    }

    /// Whether a tenant may use it.
    #[must_use]
    pub fn admits(&self, tenant: &str) -> bool {
        match self {
            Self::All => true,
            Self::Tenant(own) => own.as_str() == tenant,
        }
    }
}

/// Whether a secret can be shown again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// It is shown when it is made, and kept nowhere.
    Once,
    /// It is kept sealed, and shown again on demand.
    Again,
}

/// How many credentials of a profile an owner may have that are neither revoked
/// nor expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Multiplicity {
    /// Any number.
    Many,
    /// One; another is refused.
    OneReject,
    /// One; another revokes it, in the same commit.
    OneReplace,
}

/// What must be given to issue a credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a field of its own")]
pub struct Required {
    /// The label.
    pub label: bool,
    /// The description.
    pub description: bool,
    /// The language.
    pub language: bool,
    /// The time zone.
    pub time_zone: bool,
}

/// Which roles credentials may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRule {
    /// These; empty: any.
    pub allowed: Vec<Role>,
    /// At least so many.
    pub least: usize,
    /// At most so many.
    pub most: usize,
}

impl Default for RoleRule {
    fn default() -> Self {
        Self {
            allowed: Vec::new(),
            least: 0,
            most: MAX_ROLES,
        }
    }
}

/// The most headers that a profile may list.
pub const MAX_HEADERS: usize = 8;
/// The most headers of all versions of a profile: whoever looks for its credentials
/// looks for them in all of these.
pub const MAX_ACCEPTED_HEADERS: usize = 32;
/// The most versions of a profile.
pub const MAX_VERSIONS: u32 = 1000;
/// The most periods to choose from that a profile may list.
pub const MAX_PERIODS: usize = 16;
/// The longest overlap that a profile may allow.
pub const MAX_OVERLAP: Duration = Duration::from_hours(90 * 24);

/// A rule that a profile breaks; reads as the end of "`FIELD` ...".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The field at fault, as the contract names it.
    pub field: String,
    /// What it must be.
    pub rule: String,
}

impl Profile {
    /// All its versions.
    #[must_use]
    pub fn family(&self) -> ProfileFamily {
        ProfileFamily {
            scope: self.scope.clone(),
            name: self.name.clone(),
        }
    }

    /// Whether its fields fit each other.
    ///
    /// # Errors
    ///
    /// Every rule that is broken.
    pub fn check(&self) -> Result<(), Vec<Broken>> {
        let mut broken = Vec::new();
        let mut require = |holds: bool, field: String, rule: &str| {
            if !holds {
                broken.push(Broken {
                    field,
                    rule: rule.to_owned(),
                });
            }
        };
        require(
            (1..=MAX_HEADERS).contains(&self.headers.len()),
            "headers".to_owned(),
            "must be 1 to 8",
        );
        for (at, header) in self.headers.iter().enumerate() {
            require(
                header.format.kind() == self.kind,
                format!("headers[{at}].format"),
                "must be one for credentials of this kind",
            );
            require(
                !self.headers[..at].contains(header),
                format!("headers[{at}]"),
                "must not stand twice",
            );
        }
        require(
            !(self.required.label && self.default_label.is_some()),
            "default_label".to_owned(),
            "must be empty where the label is required",
        );
        require(
            self.expiry.allowed.len() <= MAX_PERIODS,
            "expiry.allowed_periods".to_owned(),
            "must be at most 16",
        );
        require(
            self.max_overlap <= MAX_OVERLAP,
            "max_overlap".to_owned(),
            "must be at most 90 days",
        );
        let RoleRule {
            allowed,
            least,
            most,
        } = &self.roles;
        require(
            allowed.len() <= MAX_ROLES,
            "roles.allowed".to_owned(),
            "must be at most 16",
        );
        require(
            *most <= MAX_ROLES,
            "roles.most".to_owned(),
            "must be at most 16",
        );
        require(
            least <= most && (allowed.is_empty() || *least <= allowed.len()),
            "roles.least".to_owned(),
            "must not be more than `most`, nor more than are allowed",
        );
        if let Err(expiry::InvalidRule { field, rule }) = self.expiry.check() {
            let field = match field {
                "default" => "expiry.default_period",
                "maximum" => "expiry.max_period",
                "allowed" => "expiry.allowed_periods",
                _ => "expiry.never",
            };
            broken.push(Broken {
                field: field.to_owned(),
                rule: rule.to_owned(),
            });
        }
        if broken.is_empty() {
            Ok(())
        } else {
            Err(broken)
        }
    }
}
