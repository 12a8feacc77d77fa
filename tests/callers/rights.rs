//! What everybody may do, worked out permission by permission from what can be
//! listed, and not in the way in which the server does.

use std::collections::{BTreeMap, BTreeSet};

use credd::domain::permission::Permission;
use credd::proto::v1;

use crate::state::Everything;

/// Where permissions on credd reach: each tenant, one that is not there yet, and
/// the server.
pub(crate) const PLACES: [&str; 5] = ["acme", "globex", "credd", "later", "*"];
/// What a service of a tenant may ask for.
const ACTIONS: [&str; 4] = ["feeds:read", "feeds:write", "alerts:read", "alerts:write"];

/// One thing that somebody may do: a permission on credd in a place, or an action
/// in a tenant.
pub(crate) type Right = (String, String);
pub(crate) type Rights = BTreeSet<Right>;

/// The rights of everybody: of principals by name, of secrets by the id of the
/// credential and their number.
pub(crate) type Everybody = BTreeMap<String, Rights>;

/// What an owner may do with what is the owner's, but for seeing secrets again.
const AS_OWNER: [&str; 9] = [
    "credd.credentials.issue",
    "credd.credentials.read",
    "credd.credentials.update",
    "credd.credentials.rotate",
    "credd.credentials.lock",
    "credd.credentials.revoke",
    "credd.credentials.report-leak",
    "credd.owners.put",
    "credd.owners.read",
];

/// Whether somebody may give a right: it is theirs, there or in the whole tenant, or
/// they may give any of that tenant's.
pub(crate) fn may_give(own: &Rights, right: &Right) -> bool {
    let gives_any = (right.0.clone(), Permission::GiveAny.name().to_owned());
    let (tenant, _) = right.0.split_once('/').unwrap_or((&right.0, ""));
    own.contains(right)
        || own.contains(&(tenant.to_owned(), right.1.clone()))
        || (!right.1.starts_with("credd.") && own.contains(&gives_any))
}

/// The name of the secret that a credential has now.
fn secret(credential: &v1::Credential) -> String {
    let secrets = credential.secrets.iter();
    let number = secrets.map(|secret| secret.generation).max().unwrap();
    format!("{} {number}", credential.id)
}

/// Whether it is a right to see a secret again that was made just now. Who is an owner has
/// it with what is made later, too.
pub(crate) fn is_of_new_secret(before: &Everybody, (place, _): &Right) -> bool {
    let mut parts = place.splitn(3, '/').skip(2);
    parts
        .next()
        .is_some_and(|secret| !before.contains_key(secret))
}

impl Everything {
    /// Of those principals and of all credentials that are not revoked.
    pub(crate) fn everybody(&self, principals: &[&str]) -> Everybody {
        let principals = principals.iter();
        let mut all: Everybody = principals
            .map(|principal| ((*principal).to_owned(), self.of_principal(principal, &[])))
            .collect();
        for credential in &self.credentials {
            if credential.state() != v1::CredentialState::Revoked {
                all.insert(secret(credential), self.of_credential(credential));
            }
        }
        all
    }

    /// What who presents a credential may do.
    pub(crate) fn of_credential(&self, credential: &v1::Credential) -> Rights {
        let v1::Credential {
            tenant,
            owner,
            roles,
            ..
        } = credential;
        if tenant == "credd" {
            return self.of_principal(&format!("credd:{owner}"), roles);
        }
        let mut owners = self.owners.iter();
        let owner = owners.find(|one| one.tenant == *tenant && one.name == *owner);
        owner.map_or_else(Rights::new, |owner| self.of_owner(owner, roles))
    }

    /// What a principal may do, of its roles on credd by those that are named, if
    /// any are. Who is an owner of credd's own tenant can have its secrets, and so
    /// on.
    pub(crate) fn of_principal(&self, principal: &str, named: &[String]) -> Rights {
        let mut all = self.on_credd(principal, named);
        let mut known = vec![principal.to_owned()];
        let mut at = 0;
        while at < known.len() {
            let of = |owner: &&v1::Owner| owner.principals.contains(&known[at]);
            let owners: Vec<_> = self.owners.iter().filter(of).collect();
            for owner in owners {
                all.extend(self.of_owner(owner, &[]));
                all.extend(self.as_owner(owner));
                let caller = format!("credd:{}", owner.name);
                if owner.tenant == "credd" && !known.contains(&caller) {
                    all.extend(self.on_credd(&caller, &[]));
                    known.push(caller);
                }
            }
            at += 1;
        }
        all
    }

    fn on_credd(&self, principal: &str, named: &[String]) -> Rights {
        let is_named = |role: &String| named.is_empty() || named.contains(role);
        let bindings = self.bindings.iter();
        let bindings = bindings.filter(|one| one.principal == principal && is_named(&one.role));
        let mut all = Rights::new();
        for v1::Binding { role, tenant, .. } in bindings {
            let given = self.role("credd", role);
            let given = given.filter(|(pattern, name)| gives(pattern, name));
            for (_, name) in given {
                let places = PLACES
                    .iter()
                    .filter(|place| tenant == "*" || tenant == *place);
                all.extend(places.map(|place| ((*place).to_owned(), name.clone())));
            }
        }
        all
    }

    /// What an owner may do with what is the owner's: also to see each secret again
    /// that is kept for that.
    fn as_owner(&self, owner: &v1::Owner) -> Rights {
        let v1::Owner { tenant, name, .. } = owner;
        let place = format!("{tenant}/{name}");
        let always = AS_OWNER.iter();
        let always = always.map(|right| (place.clone(), (*right).to_owned()));
        let kept = self.credentials.iter().filter(|one| {
            let is_theirs = one.tenant == *tenant && one.owner == *name;
            is_theirs && one.viewable && one.state() != v1::CredentialState::Revoked
        });
        let reveal = "credd.credentials.reveal";
        let kept = kept.map(|one| (format!("{place}/{}", secret(one)), reveal.to_owned()));
        always.chain(kept).collect()
    }

    fn of_owner(&self, owner: &v1::Owner, named: &[String]) -> Rights {
        let is_named = |role: &&String| named.is_empty() || named.contains(role);
        let roles = owner.roles.iter().filter(is_named);
        let all = roles.flat_map(|role| self.role(&owner.tenant, role));
        let given = all.filter(|(pattern, action)| permits(pattern, action));
        given
            .map(|(_, action)| (owner.tenant.clone(), action))
            .collect()
    }

    /// What a role lists, with each thing that it may stand for.
    fn role(&self, tenant: &str, name: &str) -> impl Iterator<Item = (String, String)> {
        let mut roles = self.roles.iter();
        // Those of all tenants but credd's own are built in.
        let is_built_in = |one: &v1::Role| one.tenant.is_empty() && tenant != "credd";
        let of = |one: &v1::Role| one.tenant == tenant || is_built_in(one);
        let role = roles.find(|one| of(one) && one.name == name);
        let patterns = role
            .map(|role| role.permissions.clone())
            .unwrap_or_default();
        let things: Vec<String> = if tenant == "credd" {
            Permission::ALL
                .iter()
                .map(|one| one.name().to_owned())
                .collect()
        } else {
            ACTIONS.map(str::to_owned).to_vec()
        };
        patterns.into_iter().flat_map(move |pattern| {
            let each = things.clone().into_iter();
            each.map(move |thing| (pattern.clone(), thing))
        })
    }
}

/// Whether what a role of credd's own lists gives a permission.
fn gives(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.len() > start.len() && name.starts_with(start),
        None => pattern == name,
    }
}

/// Whether what a tenant's role lists permits an action.
fn permits(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (
        pattern.split_once(':').unwrap(),
        action.split_once(':').unwrap(),
    );
    let part = |pattern: &str, part: &str| pattern == "*" || pattern == part;
    part(pattern.0, action.0) && part(pattern.1, action.1)
}
