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
        let audience = Audience::AnyOf(&Tenants::All);
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
            pepper: KeyVersion(1),
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
fn a_secret_ends_with_its_credential_or_with_its_overlap() {
    let expiry = |millis| Some(Timestamp::from_millis(NOW.as_millis() + millis));
    let five = Duration::from_secs(5);
    assert_eq!(ends_in(None, None, NOW), None);
    for (expires_at, ends_at) in [
        (expiry(5_000), None),
        (None, expiry(5_000)),
        (expiry(5_000), expiry(9_000)),
        (expiry(9_000), expiry(5_000)),
    ] {
        assert_eq!(ends_in(expires_at, ends_at, NOW), Some(five));
    }
    assert_eq!(ends_in(expiry(-1), None, NOW), Some(Duration::ZERO));
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
        (Audience::AnyOf(&Tenants::All), outside),
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
