use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::credential::HeldSecret;
use crate::domain::credential::{Action, Change, Origin, Set, State};
use crate::domain::directory::{DirectoryAction, DirectoryChange, Permissions};
use crate::domain::expiry::Wish;
use crate::domain::keyring::{KeyVersion, SecretOf};
use crate::domain::names::{
    Description, DisplayName, Label, Owner, Principal, PrincipalName, Reason, Role,
};
use crate::domain::profile::{Multiplicity, Profile, Required, Scope, built_in};
use crate::domain::random::SystemRandom;
use crate::domain::token::{Generation, Kind};

mod administrators;
mod directory;
mod escalation;
mod import;
mod issue;
mod keys;
mod leak;
mod multiplicity;
mod quota;
mod replay;
mod restore;
mod rotate;
mod state;
mod update;
mod upkeep;
mod world;

use world::World;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn keyring(versions: &[u8]) -> Keyring {
    let keys: Vec<_> = versions
        .iter()
        .map(|&n| (KeyVersion(n.into()), zeroize::Zeroizing::new([n; 32])))
        .collect();
    Keyring::new(&keys, &keys).unwrap()
}

fn put_by_nobody() -> DirectoryChange {
    DirectoryChange {
        action: DirectoryAction::Put,
        at: Timestamp::from_millis(0),
        by: Principal::system(),
        reason: Reason::trusted("".into()),
    }
}

fn id(n: u8) -> CredentialId {
    CredentialId::from_bytes([n; 16])
}

fn tenant(name: &str) -> Tenant {
    Tenant::parse(name).unwrap()
}

fn owner_ref(tenant: &str, name: &str) -> OwnerRef {
    OwnerRef {
        tenant: self::tenant(tenant),
        name: Owner::parse(name).unwrap(),
    }
}

fn owner_ref_of(credential: &Credential) -> OwnerRef {
    OwnerRef {
        tenant: credential.tenant.clone(),
        name: credential.owner.clone(),
    }
}

fn role_ref(tenant: &str, name: &str) -> RoleRef {
    RoleRef {
        tenant: self::tenant(tenant),
        name: Role::parse(name).unwrap(),
    }
}

fn roles(names: &[&str]) -> Vec<Role> {
    names
        .iter()
        .map(|name| Role::parse(name).unwrap())
        .collect()
}

fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

fn reason(text: &str) -> Reason {
    Reason::parse(text).unwrap()
}

fn who() -> Principal {
    Principal::trusted("credd:who".into())
}

fn after(time: Duration) -> Timestamp {
    NOW.checked_add(time).unwrap()
}

const DAY: Duration = Duration::from_hours(24);

/// A profile like `api-token`, which rules least.
fn profile(name: &str, rules: impl FnOnce(&mut Profile)) -> Profile {
    let like = built_in::all()
        .iter()
        .find(|built_in| built_in.profile.name.as_str() == built_in::API_TOKEN);
    let mut profile = Profile {
        name: ProfileName::parse(name).unwrap(),
        default_label: Some(label("default")),
        required: Required::default(),
        ..like.unwrap().profile.clone()
    };
    rules(&mut profile);
    assert_eq!(profile.check(), Ok(()));
    profile
}

/// Owner `jo` of `acme`, by `api-token`.
fn new(n: u8) -> Issue {
    Issue {
        tenant: tenant("acme"),
        owner: Owner::parse("jo").unwrap(),
        profile: ProfileName::parse(built_in::API_TOKEN).unwrap(),
        texts: Texts {
            label: Some(label("test")),
            ..Texts::default()
        },
        expiry: Wish::Unsaid,
        secret: Secret::new([n; 32]),
        id: NewId::Given(id(n)),
        request: None,
        reason: reason("why"),
        by: who(),
        as_owner: false,
        expected: None,
    }
}

/// The same by another profile.
fn new_by(profile: &str, n: u8) -> Issue {
    Issue {
        profile: ProfileName::parse(profile).unwrap(),
        ..new(n)
    }
}

fn issue_of(issue: Issue) -> Command {
    Command::Issue(Box::new(issue))
}

fn set_state(n: u8, set: Set) -> SetState {
    SetState {
        id: id(n),
        set,
        although_leaked: false,
        reason: reason("why"),
        by: who(),
        expected: None,
    }
}

fn set(n: u8, set: Set) -> Command {
    Command::SetState(set_state(n, set))
}

fn update(n: u8, changes: Changes) -> Update {
    Update {
        id: id(n),
        changes,
        reason: reason("why"),
        by: who(),
        as_owner: false,
        expected: None,
    }
}

fn update_of(n: u8, changes: Changes) -> Command {
    Command::Update(Box::new(update(n, changes)))
}

fn rotate(n: u8, secret: u8) -> Rotate {
    Rotate {
        id: id(n),
        secret: Secret::new([secret; 32]),
        overlap: Duration::ZERO,
        end_overlap: false,
        request: None,
        reason: reason("why"),
        by: who(),
        as_owner: false,
        expected: None,
    }
}

fn rotate_of(rotate: Rotate) -> Command {
    Command::Rotate(Box::new(rotate))
}

fn leak(n: u8, generation: u32) -> Command {
    Command::ReportLeak(ReportLeak {
        id: id(n),
        generation: Generation::new(generation),
        reason: reason("found"),
        by: who(),
    })
}

fn directory_command(what: What) -> Command {
    Command::Directory(Box::new(DirectoryCommand {
        what,
        reason: reason("why"),
        by: who(),
        expected: None,
    }))
}

/// An owner of `acme` without anything.
fn owner_of(name: &str) -> PutOwner {
    PutOwner {
        owner: owner_ref("acme", name),
        display_name: DisplayName::default(),
        principals: Vec::new(),
        groups: Vec::new(),
        roles: Vec::new(),
    }
}

/// Whether a secret is the one that is held.
fn is_held(world: &World, credential: &Credential, held: &HeldSecret, secret: u8) -> bool {
    let mac = world.keyring.mac(&SecretOf {
        kind: credential.kind,
        id: credential.id,
        generation: held.generation,
        secret: &Secret::new([secret; 32]),
    });
    mac == held.mac && held.origin == Origin::Native
}

proptest! {
    #[test]
    fn ids_rise_strictly_whatever_the_clock_does(
        greatest: Option<[u8; 16]>,
        times in prop::collection::vec((0_i64..3, any::<[u8; 8]>()), 1..50),
        begin in 0_i64..1 << 47,
    ) {
        // One that this sequence can have made.
        let greatest = greatest.map(|mut bytes| {
            bytes[0] &= 0x7f;
            bytes[6] = 0x70 | bytes[6] & 0x0f;
            bytes[8] = 0x80 | bytes[8] & 0x3f;
            CredentialId::from_bytes(bytes)
        });
        let mut ids = IdSequence::after(greatest);
        let mut last = greatest.unwrap_or(CredentialId::MIN);
        for (step, entropy) in times {
            let next = ids.next(Timestamp::from_millis(begin + step), entropy);
            prop_assert!(next > last, "{next} after {last}");
            last = next;
        }
    }
}

#[test]
fn ids_rise_strictly_beyond_those_that_fit_in_a_millisecond() {
    let mut ids = IdSequence::after(None);
    let mut last = CredentialId::MIN;
    for n in 0..20_000_u32 {
        // The random part falls, so that it is no help.
        let next = ids.next(NOW, (u64::from(u32::MAX - n) << 32).to_be_bytes());
        assert!(next > last);
        last = next;
    }
}
