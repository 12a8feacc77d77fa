use proptest::prelude::*;

use super::*;
use crate::authority::record::tests::any_credential;
use crate::domain::keyring::KeyVersion;
use crate::domain::names::ProfileName;
use crate::domain::profile::{ProfileFamily, ProfileRef, Scope};

/// The profile with the fewest rules.
pub(in crate::authority) fn api_token() -> ProfileRef {
    ProfileRef {
        family: ProfileFamily {
            scope: Scope::All,
            name: ProfileName::trusted("api-token".into()),
        },
        version: 1,
    }
}

/// Some credential of this id.
pub(in crate::authority) fn credential(id: CredentialId) -> Credential {
    let at = Timestamp::from_millis(1000);
    Credential {
        id,
        tenant: Tenant::trusted("acme".into()),
        owner: Owner::trusted("jo".into()),
        profile: api_token(),
        kind: Kind::ApiToken,
        label: Label::trusted("test".into()),
        description: Description::trusted("".into()),
        roles: Vec::new(),
        attributes: Vec::new(),
        language: None,
        time_zone: None,
        state: State::Active,
        leaked_at: None,
        state_set: None,
        created_at: at,
        created_by: Principal::system(),
        expires_at: None,
        expiry_told: false,
        secret: HeldSecret {
            generation: Generation::FIRST,
            mac: Mac {
                pepper: KeyVersion(1),
                tag: [1; 32],
            },
            origin: Origin::Native,
        },
        overlap: None,
        retired: Vec::new(),
        sealed: None,
        last_change: Change {
            action: Action::Issue,
            at,
            by: Principal::system(),
            reason: Reason::trusted("".into()),
        },
    }
}

proptest! {
    #[test]
    fn an_entry_is_its_record(credential in any_credential(), revision in 1_u64..) {
        let names = Interner::new();
        let directory = Directory::new(&names);
        let revision = Revision::new(revision);
        let entry = Entry::new(&credential, revision, &names, &directory);
        let stored = entry.to_stored(&names, &directory);
        // One of another store's is none of this one's.
        let state_set = credential.state_set.map_or(revision, |set| set.min(revision));
        prop_assert_eq!(stored.state_revision(), state_set);
        let state_set = Some(state_set);
        prop_assert_eq!(stored, Stored { credential: Credential { state_set, ..credential }, revision });
    }
}

#[test]
fn a_use_is_reported_once_in_a_period_whatever_the_clock_does() {
    let names = Interner::new();
    let directory = Directory::new(&names);
    let entry = |revision| {
        let credential = credential(CredentialId::MIN);
        Entry::new(&credential, Revision::new(revision), &names, &directory)
    };
    let [web, batch] = ["web", "batch"].map(|name| names.intern(&name.into()));
    let first = entry(1);
    let claim = |entry: &Entry, generation, by, seconds: i64| {
        let now = Timestamp::from_millis(seconds * 1000);
        entry.claim_report(Generation::new(generation), by, now, 10)
    };
    let claims = |seconds| claim(&first, 1, web, seconds);
    assert!(claims(1000));
    assert!(!claims(1000) && !claims(1009));
    assert!(claims(1010));
    assert!(!claims(1005), "the clock went back a little");
    assert!(claims(500), "the clock went back far");
    // Each service and each secret counts for itself.
    assert!(claim(&first, 1, batch, 501) && claim(&first, 2, web, 501));
    assert!(!claim(&first, 1, batch, 502) && !claim(&first, 2, web, 502) && !claims(502));
    // The next record of the credential goes on from there.
    let next = entry(2);
    next.inherit_uses(&first);
    assert!(!claim(&next, 1, web, 505) && !claim(&next, 1, batch, 505));
    // However many services there are, each is heard.
    for service in 0..100 {
        let service = names.intern(&format!("service {service}").into());
        assert!(claim(&next, 1, service, 506));
    }
}
