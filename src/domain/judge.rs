//! The verdict on what a client presented.

use std::time::Duration;

use super::credential::State;
use super::keyring::{KeyVersion, Mac, Macs, SecretOf};
use super::names::Tenant;
use super::rights::Tenants;
use super::time::Timestamp;
use super::token::{Claim, Generation, Kind, Malformed};

/// What must be known of a credential to judge a claim to it.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Its tenant.
    pub tenant: &'a str,
    /// Its shape.
    pub kind: Kind,
    /// Its state.
    pub state: State,
    /// Whether its tenant is disabled.
    pub tenant_disabled: bool,
    /// Whether its owner is disabled.
    pub owner_disabled: bool,
    /// From when on it is denied.
    pub expires_at: Option<Timestamp>,
    /// Its current secret.
    pub secret: Held<'a>,
    /// The secret before it, and when that ends.
    pub overlap: Option<(Held<'a>, Timestamp)>,
}

/// What must be known of a secret.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// Its number.
    pub generation: Generation,
    /// Its MAC.
    pub mac: &'a Mac,
    /// The username or access key of one that was made elsewhere (empty if its
    /// kind has none); `None`: it was made here.
    pub imported: Option<&'a str>,
}

/// A secret that was found to be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Which one.
    pub generation: Generation,
    /// When it ends, if it is not the current one.
    pub ends_at: Option<Timestamp>,
    /// The version of the pepper that its MAC is under.
    pub pepper: KeyVersion,
}

/// On whose behalf a question is asked: whose credentials may be found good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience<'a> {
    /// Those of this tenant.
    Tenant(&'a str),
    /// Those of any of these tenants but credd's own.
    AnyOf(&'a Tenants),
    /// Those of credd's own tenant: credd asks who calls it.
    Credd,
}

/// What is to be done with a client's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Let it through.
    Active,
    /// Deny it. The cause is for metrics and is never told to the client or
    /// the caller.
    Invalid(Cause),
    /// Deny it: the right secret of a locked credential.
    Locked,
    /// Deny it: the right secret of a revoked credential.
    Revoked,
    /// Deny it: the right secret of an expired credential.
    Expired,
    /// Deny it: the right secret, but the tenant is disabled.
    TenantDisabled,
    /// Deny it: the right secret, but the owner is disabled.
    OwnerDisabled,
    /// Deny it: the right secret of a credential that may not do what is asked.
    Forbidden,
}

/// Why a claim is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It is no text of credd's.
    Malformed(Malformed),
    /// No credential has that id, kind and generation.
    Unknown,
    /// The secret is not the credential's.
    WrongSecret,
    /// The credential is of a tenant or a profile outside the audience.
    OutsideAudience,
    /// The credential is not presented in this header.
    OtherHeader,
    /// Several tenants imported the secret, and the question names none of them.
    Ambiguous,
}

/// Judges a well-formed claim to the credential that `found` describes, if
/// there is one.
///
/// Computes exactly one MAC, whatever is found, so that the time it takes tells
/// nothing about which credentials exist. Whether the audience `admits` it is
/// looked at after that, and the answer is that of a wrong secret.
///
/// # Errors
///
/// The verdict on a claim that is not proven or not admitted.
pub fn prove(
    claim: &Claim,
    found: Option<&Facts<'_>>,
    macs: &impl Macs,
    now: Timestamp,
    admits: impl FnOnce() -> Result<(), Cause>,
) -> Result<Proof, Verdict> {
    let named = found
        .filter(|facts| facts.kind == claim.kind)
        .and_then(|facts| facts.secret_of(claim.generation, now))
        .filter(|(held, _)| held.imported.is_none());
    let secret = SecretOf {
        kind: claim.kind,
        id: claim.id,
        generation: claim.generation,
        secret: &claim.secret,
    };
    let proven = macs.matches(&secret, named.as_ref().map(|(held, _)| held.mac));
    let Some((held, ends_at)) = named else {
        return Err(Verdict::Invalid(Cause::Unknown));
    };
    if !proven {
        return Err(Verdict::Invalid(Cause::WrongSecret));
    }
    admits().map_err(Verdict::Invalid)?;
    Ok(Proof {
        generation: held.generation,
        ends_at,
        pepper: held.mac.pepper,
    })
}

/// The same for a secret that was made elsewhere, whose MAC is `mac` and which
/// was presented with `name`: the credential was found by it.
///
/// # Errors
///
/// The verdict on a claim that is not proven or not admitted.
pub fn prove_imported(
    mac: &Mac,
    name: &str,
    found: Option<&Facts<'_>>,
    now: Timestamp,
    admits: impl FnOnce() -> Result<(), Cause>,
) -> Result<Proof, Verdict> {
    let unknown = Verdict::Invalid(Cause::Unknown);
    let facts = found.ok_or(unknown)?;
    let running = facts.overlap.filter(|(_, ends_at)| *ends_at > now);
    let overlapping = running.map(|(held, ends_at)| (held, Some(ends_at)));
    let (held, ends_at) = std::iter::once((facts.secret, None))
        .chain(overlapping)
        .find(|(held, _)| held.imported.is_some() && held.mac == mac)
        .ok_or(unknown)?;
    if held.imported != Some(name) {
        return Err(Verdict::Invalid(Cause::WrongSecret));
    }
    admits().map_err(Verdict::Invalid)?;
    Ok(Proof {
        generation: held.generation,
        ends_at,
        pepper: held.mac.pepper,
    })
}

impl<'a> Facts<'a> {
    /// The secret of this number, if it is good at a time, and when it ends.
    fn secret_of(
        &self,
        generation: Generation,
        now: Timestamp,
    ) -> Option<(Held<'a>, Option<Timestamp>)> {
        if self.secret.generation == generation {
            return Some((self.secret, None));
        }
        let (held, ends_at) = self.overlap?;
        (held.generation == generation && ends_at > now).then_some((held, Some(ends_at)))
    }

    /// The name that goes with the imported secret of this MAC, if it has one.
    #[must_use]
    pub fn imported_name(&self, mac: &Mac) -> Option<&'a str> {
        let overlapping = self.overlap.map(|(held, _)| held);
        let mut held = std::iter::once(self.secret).chain(overlapping);
        held.find(|held| held.mac == mac)?.imported
    }

    /// Whether the secret of this number is good at a time.
    #[must_use]
    pub fn holds(&self, generation: Generation, now: Timestamp) -> bool {
        self.secret_of(generation, now).is_some()
    }

    /// The verdict on it, once it is proven.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Verdict {
        match self.state {
            State::Revoked => Verdict::Revoked,
            State::Locked => Verdict::Locked,
            State::Active if self.tenant_disabled => Verdict::TenantDisabled,
            State::Active if self.owner_disabled => Verdict::OwnerDisabled,
            State::Active if self.expires_at.is_some_and(|expiry| expiry <= now) => {
                Verdict::Expired
            }
            State::Active => Verdict::Active,
        }
    }
}

/// After how long a secret that was good at `now` is good no longer by itself: when its
/// credential expires, or the overlap in which it is good ends; `None`: never.
#[must_use]
pub fn ends_in(
    expires_at: Option<Timestamp>,
    ends_at: Option<Timestamp>,
    now: Timestamp,
) -> Option<Duration> {
    let end = expires_at.into_iter().chain(ends_at).min();
    end.map(|end| end.since(now))
}

impl Audience<'_> {
    /// Whether credentials of a tenant may be found good.
    #[must_use]
    pub fn admits(&self, tenant: &str) -> bool {
        match *self {
            Self::Tenant(named) => named == tenant && tenant != Tenant::CREDD,
            Self::AnyOf(tenants) => tenant != Tenant::CREDD && tenants.has(tenant),
            Self::Credd => tenant == Tenant::CREDD,
        }
    }
}

#[cfg(test)]
mod tests;
