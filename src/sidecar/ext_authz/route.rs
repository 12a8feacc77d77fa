//! What a route needs, as its context extensions say:
//!
//! | name | value |
//! | --- | --- |
//! | `credd-permissions` | the permissions that a credential must have, `resource:action`, separated by commas, at most 16; or `none`: any good credential will do |
//! | `credd-tenant` | the tenant whose credentials are accepted; or `*`: any that the sidecar may ask about |
//! | `credd-profiles` | the profiles that are accepted, separated by commas, at most 16; without it: any |
//!
//! The first two are required. A route that lacks one, or that has one that can't be
//! read or another name that begins with `credd-`, lets nobody through: what was
//! forgotten or misspelt must not open it. Envoy merges the extensions of a route
//! with those of its virtual host, so that the tenant may stand there.

use std::collections::BTreeMap;

use crate::domain::names::{ProfileName, Tenant};
use crate::domain::permission::Needed;

/// What a route needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The tenant; `None`: any.
    pub tenant: Option<String>,
    /// The profiles; empty: any.
    pub profiles: Vec<String>,
    /// The permissions.
    pub permissions: Vec<String>,
}

/// What is wrong with the context extensions of a route; reads as a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unclear(pub &'static str);

const PREFIX: &str = "credd-";
const PERMISSIONS: &str = "credd-permissions";
const TENANT: &str = "credd-tenant";
const PROFILES: &str = "credd-profiles";

/// The most permissions, and the most profiles, that a question may name.
const MOST: usize = 16;

impl Route {
    /// Reads the context extensions of a route. Those of others are theirs.
    ///
    /// # Errors
    ///
    /// [`Unclear`], which says what is wrong.
    pub fn read(extensions: &BTreeMap<String, String>) -> Result<Self, Unclear> {
        let (mut permissions, mut tenant, mut profiles) = (None, None, None);
        for (name, value) in extensions {
            match name.as_str() {
                PERMISSIONS => permissions = Some(value),
                TENANT => tenant = Some(value),
                PROFILES => profiles = Some(value),
                name if name.starts_with(PREFIX) => {
                    return Err(Unclear("a context extension `credd-...` is unknown"));
                }
                _ => (),
            }
        }
        let permissions = permissions.ok_or(Unclear("`credd-permissions` is missing"))?;
        let tenant = tenant.ok_or(Unclear("`credd-tenant` is missing"))?;
        Ok(Self {
            tenant: read_tenant(tenant)?,
            profiles: profiles.map_or(Ok(Vec::new()), |profiles| read_profiles(profiles))?,
            permissions: read_permissions(permissions)?,
        })
    }
}

fn read_tenant(text: &str) -> Result<Option<String>, Unclear> {
    match text {
        "*" => Ok(None),
        name if Tenant::parse(name).is_ok() => Ok(Some(name.to_owned())),
        _ => Err(Unclear("`credd-tenant` is neither a tenant nor `*`")),
    }
}

fn read_permissions(text: &str) -> Result<Vec<String>, Unclear> {
    if text == "none" {
        return Ok(Vec::new());
    }
    list(text, |permission| Needed::parse(permission).is_ok()).ok_or(Unclear(
        "`credd-permissions` is neither `none` nor a list of at most 16 permissions",
    ))
}

fn read_profiles(text: &str) -> Result<Vec<String>, Unclear> {
    list(text, |profile| ProfileName::parse(profile).is_ok()).ok_or(Unclear(
        "`credd-profiles` is not a list of at most 16 profiles",
    ))
}

/// The items of a list, if there are some, not too many, and each is good.
fn list(text: &str, is_good: impl Fn(&str) -> bool) -> Option<Vec<String>> {
    let items: Vec<_> = text.split(',').map(str::trim).collect();
    let good = items.len() <= MOST && items.iter().all(|item| is_good(item));
    good.then(|| items.into_iter().map(str::to_owned).collect())
}
