//! The verdict on what a client presented.

use std::time::Duration;

use super::credential::{ShownState, State};
use super::keyring::{Mac, Macs, SecretOf};
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
    /// From when on it is denied.
    pub expires_at: Option<Timestamp>,
    /// The number of its current secret.
    pub generation: Generation,
    /// The MAC of its current secret.
    pub mac: &'a Mac,
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
    /// The credential is of a tenant outside the audience.
    OutsideAudience,
}

/// Judges a well-formed claim to the credential that `found` describes, if
/// there is one.
///
/// Computes exactly one MAC, whatever is found, so that the time it takes tells
/// nothing about which credentials exist. The audience is looked at after it,
/// and its answer is that of a wrong secret.
pub fn judge(
    claim: &Claim,
    found: Option<Facts<'_>>,
    macs: &impl Macs,
    audience: Audience<'_>,
    now: Timestamp,
) -> Verdict {
    let named = found.filter(|f| f.kind == claim.kind && f.generation == claim.generation);
    let secret = SecretOf {
        kind: claim.kind,
        id: claim.id,
        generation: claim.generation,
        secret: &claim.secret,
    };
    let proven = macs.matches(&secret, named.as_ref().map(|facts| facts.mac));
    match named {
        None => Verdict::Invalid(Cause::Unknown),
        Some(_) if !proven => Verdict::Invalid(Cause::WrongSecret),
        Some(facts) if !audience.admits(facts.tenant) => Verdict::Invalid(Cause::OutsideAudience),
        Some(facts) => standing(facts.state, facts.expires_at, now),
    }
}

/// The verdict on a proven credential in this state.
#[must_use]
pub fn standing(state: State, expires_at: Option<Timestamp>, now: Timestamp) -> Verdict {
    match ShownState::of(state, expires_at, now) {
        ShownState::Active => Verdict::Active,
        ShownState::Locked => Verdict::Locked,
        ShownState::Revoked => Verdict::Revoked,
        ShownState::Expired => Verdict::Expired,
    }
}

/// How long an answer that was good at `now` may be kept: until the credential
/// expires, and no longer than `policy`.
#[must_use]
pub fn valid_for(expires_at: Option<Timestamp>, now: Timestamp, policy: Duration) -> Duration {
    expires_at.map_or(policy, |expiry| expiry.since(now).min(policy))
}

impl Audience<'_> {
    fn admits(&self, tenant: &str) -> bool {
        use super::names::Tenant;

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
            expires_at: None,
            generation: Generation::FIRST,
            mac,
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
        let at = |millis| standing(State::Active, Some(NOW), Timestamp::from_millis(millis));
        assert_eq!(at(999_999), Verdict::Active);
        assert_eq!(at(1_000_000), Verdict::Expired);
        assert_eq!(at(1_000_001), Verdict::Expired);
        assert_eq!(standing(State::Revoked, Some(NOW), NOW), Verdict::Revoked);
    }

    #[test]
    fn an_answer_is_never_kept_beyond_the_expiry() {
        let policy = Duration::from_mins(1);
        let expiry = |millis| Some(Timestamp::from_millis(NOW.as_millis() + millis));
        assert_eq!(valid_for(None, NOW, policy), policy);
        assert_eq!(
            valid_for(expiry(5_000), NOW, policy),
            Duration::from_secs(5)
        );
        assert_eq!(valid_for(expiry(90_000), NOW, policy), policy);
        assert_eq!(valid_for(expiry(-1), NOW, policy), Duration::ZERO);
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
