//! The verdict on what a client presented.

use std::time::Duration;

use super::credential::State;
use super::keyring::{Mac, Macs, SecretOf};
use super::names::Tenant;
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
}

/// On whose behalf a question is asked: whose credentials may be found good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience<'a> {
    /// Those of this tenant.
    Tenant(&'a str),
    /// Those of any tenant but credd's own.
    AnyTenant,
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

/// How long an answer that was good at `now` may be kept: until the credential
/// expires, until the secret that was presented ends, and no longer than
/// `policy`.
#[must_use]
pub fn valid_for(
    expires_at: Option<Timestamp>,
    ends_at: Option<Timestamp>,
    now: Timestamp,
    policy: Duration,
) -> Duration {
    let end = expires_at.into_iter().chain(ends_at).min();
    end.map_or(policy, |end| end.since(now).min(policy))
}

impl Audience<'_> {
    /// Whether credentials of a tenant may be found good.
    #[must_use]
    pub fn admits(&self, tenant: &str) -> bool {
        match *self {
            Self::Tenant(named) => named == tenant && tenant != Tenant::CREDD,
            Self::AnyTenant => tenant != Tenant::CREDD,
            Self::Credd => tenant == Tenant::CREDD,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::domain::id::CredentialId;
    use crate::domain::keyring::{KeyVersion, Keyring};
    use crate::domain::secret::Secret;

    /// A keyring that counts.
    struct Counting {
        keyring: Keyring,
        count: Cell<u32>,
    }

    impl Macs for Counting {
        fn matches(&self, claim: &SecretOf<'_>, mac: Option<&Mac>) -> bool {
            self.count.set(self.count.get() + 1);
            self.keyring.matches(claim, mac)
        }
    }

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn counting() -> Counting {
        let key = [(KeyVersion(1), zeroize::Zeroizing::new([1; 32]))];
        Counting {
            keyring: Keyring::new(&key, &key).unwrap(),
            count: Cell::new(0),
        }
    }

    fn claim() -> Claim {
        Claim {
            kind: Kind::ApiToken,
            id: CredentialId::from_bytes([5; 16]),
            generation: Generation::FIRST,
            secret: Secret::new([6; 32]),
        }
    }

    fn mac_of(claim: &Claim, keyring: &Keyring) -> Mac {
        keyring.mac(&SecretOf {
            kind: claim.kind,
            id: claim.id,
            generation: claim.generation,
            secret: &claim.secret,
        })
    }

    fn facts(mac: &Mac) -> Facts<'_> {
        Facts {
            tenant: "acme",
            kind: Kind::ApiToken,
            state: State::Active,
            tenant_disabled: false,
            owner_disabled: false,
            expires_at: None,
            secret: Held {
                generation: Generation::FIRST,
                mac,
                imported: None,
            },
            overlap: None,
        }
    }

    /// The verdict on a claim, all in one.
    fn judge(
        claim: &Claim,
        found: Option<Facts<'_>>,
        macs: &impl Macs,
        audience: Audience<'_>,
        now: Timestamp,
    ) -> Verdict {
        let proof = prove(claim, found.as_ref(), macs, now, || {
            let admitted = found.is_some_and(|facts| audience.admits(facts.tenant));
            admitted.then_some(()).ok_or(Cause::OutsideAudience)
        });
        match (proof, found) {
            (Ok(_), Some(facts)) => facts.standing(now),
            (Ok(_), None) => unreachable!("nothing was found"),
            (Err(verdict), _) => verdict,
        }
    }

    #[test]
    fn every_well_formed_claim_costs_exactly_one_mac() {
        let macs = counting();
        let right = claim();
        let mac = mac_of(&right, &macs.keyring);
        let wrong = Claim {
            secret: Secret::new([7; 32]),
            ..claim()
        };
        let retired = Claim {
            generation: Generation::new(9),
            ..claim()
        };
        let acme = Audience::Tenant("acme");
        let globex = Audience::Tenant("globex");
        let locked = Facts {
            state: State::Locked,
            ..facts(&mac)
        };
        let cases = [
            (&right, Some(facts(&mac)), acme, Verdict::Active),
            (&right, None, acme, Verdict::Invalid(Cause::Unknown)),
            (
                &retired,
                Some(facts(&mac)),
                acme,
                Verdict::Invalid(Cause::Unknown),
            ),
            (
                &wrong,
                Some(facts(&mac)),
                acme,
                Verdict::Invalid(Cause::WrongSecret),
            ),
            (
                &wrong,
                Some(locked),
                acme,
                Verdict::Invalid(Cause::WrongSecret),
            ),
            (
                &right,
                Some(facts(&mac)),
                globex,
                Verdict::Invalid(Cause::OutsideAudience),
            ),
            (
                &right,
                Some(locked),
                globex,
                Verdict::Invalid(Cause::OutsideAudience),
            ),
            (&right, Some(locked), acme, Verdict::Locked),
        ];
        for (claim, found, audience, expected) in cases {
            macs.count.set(0);
            assert_eq!(judge(claim, found, &macs, audience, NOW), expected);
            assert_eq!(macs.count.get(), 1, "{expected:?}");
        }
    }

    #[test]
    fn a_state_is_told_only_to_one_who_holds_the_secret() {
        let macs = counting();
        let mac = mac_of(&claim(), &macs.keyring);
        let wrong = Claim {
            secret: Secret::new([7; 32]),
            ..claim()
        };
        for (state, told) in [
            (State::Active, Verdict::Active),
            (State::Locked, Verdict::Locked),
            (State::Revoked, Verdict::Revoked),
        ] {
            let found = Some(Facts {
                state,
                ..facts(&mac)
            });
            let audience = Audience::AnyTenant;
            assert_eq!(judge(&claim(), found, &macs, audience, NOW), told);
            assert_eq!(
                judge(&wrong, found, &macs, audience, NOW),
                Verdict::Invalid(Cause::WrongSecret)
            );
        }
    }

    #[test]
    fn a_credential_is_denied_from_the_moment_of_its_expiry() {
        let macs = counting();
        let mac = mac_of(&claim(), &macs.keyring);
        let expiring = Facts {
            expires_at: Some(NOW),
            ..facts(&mac)
        };
        let at = |millis| expiring.standing(Timestamp::from_millis(millis));
        assert_eq!(at(999_999), Verdict::Active);
        assert_eq!(at(1_000_000), Verdict::Expired);
        assert_eq!(at(1_000_001), Verdict::Expired);
    }

    #[test]
    fn of_several_reasons_to_deny_the_gravest_is_told() {
        let macs = counting();
        let mac = mac_of(&claim(), &macs.keyring);
        let mut denied = Facts {
            state: State::Revoked,
            tenant_disabled: true,
            owner_disabled: true,
            expires_at: Some(NOW),
            ..facts(&mac)
        };
        assert_eq!(denied.standing(NOW), Verdict::Revoked);
        denied.state = State::Locked;
        assert_eq!(denied.standing(NOW), Verdict::Locked);
        denied.state = State::Active;
        assert_eq!(denied.standing(NOW), Verdict::TenantDisabled);
        denied.tenant_disabled = false;
        assert_eq!(denied.standing(NOW), Verdict::OwnerDisabled);
        denied.owner_disabled = false;
        assert_eq!(denied.standing(NOW), Verdict::Expired);
        denied.expires_at = None;
        assert_eq!(denied.standing(NOW), Verdict::Active);
    }

    #[test]
    fn during_an_overlap_both_secrets_are_good_and_then_one() {
        let macs = counting();
        let second = Claim {
            generation: Generation::new(2),
            secret: Secret::new([8; 32]),
            ..claim()
        };
        let (old, new) = (
            mac_of(&claim(), &macs.keyring),
            mac_of(&second, &macs.keyring),
        );
        let rotated = Facts {
            secret: Held {
                generation: Generation::new(2),
                mac: &new,
                imported: None,
            },
            overlap: Some((facts(&old).secret, NOW)),
            ..facts(&old)
        };
        let before = Timestamp::from_millis(NOW.as_millis() - 1);
        let prove = |claim: &Claim, now| {
            macs.count.set(0);
            let proof = prove(claim, Some(&rotated), &macs, now, || Ok(()));
            assert_eq!(macs.count.get(), 1);
            proof
        };
        let proof = |number, ends_at| {
            Ok(Proof {
                generation: Generation::new(number),
                ends_at,
            })
        };
        assert_eq!(prove(&claim(), before), proof(1, Some(NOW)));
        assert_eq!(prove(&second, before), proof(2, None));
        assert_eq!(
            prove(&claim(), NOW),
            Err(Verdict::Invalid(Cause::Unknown)),
            "the overlap has ended"
        );
        assert_eq!(prove(&second, NOW), proof(2, None));
        let wrong = Claim {
            secret: Secret::new([9; 32]),
            ..claim()
        };
        assert_eq!(
            prove(&wrong, before),
            Err(Verdict::Invalid(Cause::WrongSecret))
        );
    }

    #[test]
    fn an_imported_secret_is_good_with_its_name_and_in_no_other_way() {
        let macs = counting();
        let sha256 = crate::domain::keyring::sha256(b"secret of another system");
        let mac = macs.keyring.mac_of_imported(Kind::Basic, &sha256);
        let imported = Facts {
            kind: Kind::Basic,
            secret: Held {
                generation: Generation::FIRST,
                mac: &mac,
                imported: Some("jo"),
            },
            ..facts(&mac)
        };
        let prove = |mac: &Mac, name| prove_imported(mac, name, Some(&imported), NOW, || Ok(()));
        assert!(prove(&mac, "jo").is_ok());
        assert!(prove(&mac, "mia").is_err());
        let other = macs.keyring.mac_of_imported(Kind::ApiToken, &sha256);
        assert!(prove(&other, "jo").is_err());
        // Whoever knows the SHA-256 of the secret holds no secret of credd's form.
        let claim = Claim {
            kind: Kind::Basic,
            secret: Secret::new(sha256),
            ..claim()
        };
        let native = super::prove(&claim, Some(&imported), &macs, NOW, || Ok(()));
        assert_eq!(native, Err(Verdict::Invalid(Cause::Unknown)));
    }

    #[test]
    fn an_answer_is_never_kept_beyond_the_expiry() {
        let policy = Duration::from_mins(1);
        let expiry = |millis| Some(Timestamp::from_millis(NOW.as_millis() + millis));
        let five = Duration::from_secs(5);
        assert_eq!(valid_for(None, None, NOW, policy), policy);
        assert_eq!(valid_for(expiry(5_000), None, NOW, policy), five);
        assert_eq!(valid_for(None, expiry(5_000), NOW, policy), five);
        assert_eq!(valid_for(expiry(5_000), expiry(9_000), NOW, policy), five);
        assert_eq!(valid_for(expiry(9_000), expiry(5_000), NOW, policy), five);
        assert_eq!(valid_for(expiry(90_000), None, NOW, policy), policy);
        assert_eq!(valid_for(expiry(-1), None, NOW, policy), Duration::ZERO);
    }

    #[test]
    fn credentials_of_credd_itself_are_good_for_credd_alone() {
        let macs = counting();
        let mac = mac_of(&claim(), &macs.keyring);
        let found = Some(Facts {
            tenant: "credd",
            ..facts(&mac)
        });
        let outside = Verdict::Invalid(Cause::OutsideAudience);
        for (audience, expected) in [
            (Audience::Credd, Verdict::Active),
            (Audience::AnyTenant, outside),
            (Audience::Tenant("credd"), outside),
            (Audience::Tenant("acme"), outside),
        ] {
            assert_eq!(judge(&claim(), found, &macs, audience, NOW), expected);
        }
        assert_eq!(
            judge(&claim(), Some(facts(&mac)), &macs, Audience::Credd, NOW),
            outside
        );
    }
}
