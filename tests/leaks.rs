//! `ReportLeak`: what was made up locks nothing, what is real is locked until it is
//! rotated.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/calls.rs"]
mod calls;
mod support;

use calls::{
    everything, fields, import, imported, issue, issue_caller, jo, put_owner, put_role, reason,
    refused, report, reported, rotate, rotate_request, rotated, verdict, verify,
};
use credd::domain::id::CredentialId;
use credd::domain::secret::Secret;
use credd::domain::token::{Generation, Kind, secret_text};
use credd::proto::v1;
use credd::proto::v1::LeakOutcome::{LastAdministrator, Locked, NotOurs, Revoked};
use credd::proto::v1::public_part::Part;
use support::{Client, Server, read_token};
use tonic::{Code, Status};

const PROFILES: [&str; 3] = ["api-token", "basic", "key-pair"];

/// Well-formed secrets with right checksums, of everything that is listed of a
/// credential, and texts that are listed.
fn forged(credential: &v1::Credential) -> Vec<String> {
    let id: CredentialId = credential.id.parse().unwrap();
    let mut texts = vec![credential.id.clone(), credential.label.clone()];
    for kind in Kind::ALL {
        for generation in [0, 1, 2, u32::MAX] {
            for bytes in [[0; 32], [0xff; 32], rand::random()] {
                let generation = Generation::new(generation);
                let text = secret_text(kind, id, generation, &Secret::new(bytes));
                texts.push(text.expose().to_owned());
            }
        }
    }
    let name = match credential.public_part.clone().and_then(|part| part.part) {
        Some(Part::TokenStart(name) | Part::Username(name) | Part::AccessKey(name)) => name,
        None => String::new(),
    };
    let rest = "0".repeat(85_usize.saturating_sub(name.len()));
    texts.extend([format!("{name}{rest}"), name]);
    texts
}

async fn unlock(client: &Client, id: &str) -> Result<v1::UnlockResponse, Status> {
    client.unlock(id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_up_from_what_is_listed_locks_nothing() {
    let server = Server::start().await;
    let admin = &server.admin;
    let mut held = Vec::new();
    for profile in PROFILES {
        held.push(issue(admin, "acme", "jo", profile).await);
    }
    held.push(rotated(admin, &held[0].id, 3600).await);
    for (profile, name) in [("api-token", ""), ("basic", "jo"), ("key-pair", "key")] {
        let secret = format!("a-secret-from-elsewhere-{profile}");
        let brought = imported(profile, name, &secret);
        import(admin, "acme", brought).await.unwrap();
    }
    let before = [
        everything(admin, "acme").await,
        everything(admin, "credd").await,
    ]
    .concat();
    let mut texts: Vec<String> = before.iter().flat_map(forged).collect();
    // A right secret that lost its last character, or is of another case.
    for held in &held {
        let secret = held.secret();
        texts.extend([
            secret[..84].to_owned(),
            secret.to_lowercase(),
            format!("{secret}0"),
        ]);
    }
    texts.retain(|text| !held.iter().any(|held| held.secret() == *text));
    for some in texts.chunks(1000) {
        let outcomes = reported(admin, some).await;
        assert!(outcomes.iter().all(|outcome| *outcome == NotOurs));
    }
    let after = [
        everything(admin, "acme").await,
        everything(admin, "credd").await,
    ]
    .concat();
    let states = |all: &[v1::Credential]| -> Vec<_> {
        let states = all.iter();
        states
            .map(|one| {
                (
                    one.id.clone(),
                    one.state(),
                    one.revision.clone(),
                    one.leaked_at,
                )
            })
            .collect()
    };
    assert_eq!(states(&before), states(&after));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_real_and_made_up_ones_are_told_apart_in_one_call() {
    let server = Server::start().await;
    let admin = &server.admin;
    let mut texts = Vec::new();
    let mut expected = Vec::new();
    let mut locked = Vec::new();
    for number in 0..200 {
        let held = issue(admin, "acme", "jo", PROFILES[number % 3]).await;
        let credential = admin.get(&held.id).await.unwrap();
        let current = match number % 4 {
            // Both secrets are good.
            0 => rotated(admin, &held.id, 3600).await,
            // The first is retired.
            1 => rotated(admin, &held.id, 0).await,
            _ => held.clone(),
        };
        let first = if number % 4 == 1 { NotOurs } else { Locked };
        texts.push(held.secret());
        expected.push(first);
        if number % 4 < 2 {
            // With the white space around it that stood there.
            texts.push(format!(" {}\n", current.secret()));
            expected.push(Locked);
        }
        while texts.len() < 5 * (number + 1) {
            let forgeries = forged(&credential);
            texts.push(forgeries[texts.len() % forgeries.len()].clone());
            expected.push(NotOurs);
        }
        locked.push(current);
    }
    assert_eq!(texts.len(), 1000);
    let dry = v1::ReportLeakRequest {
        secrets: texts.clone(),
        dry_run: true,
        ..Default::default()
    };
    let told = report(admin, dry).await.unwrap();
    let outcomes: Vec<_> = told.results.iter().map(v1::LeakResult::outcome).collect();
    assert!(outcomes == expected);
    assert_eq!(told.impact.unwrap().changed, 200);
    for held in &locked {
        assert_eq!(verdict(admin, held).await, v1::Verdict::Active);
    }
    assert!(reported(admin, &texts).await == expected);
    for held in &locked {
        assert_eq!(verdict(admin, held).await, v1::Verdict::Locked);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_and_a_repeated_report_write_nothing() {
    let server = Server::start().await;
    let admin = &server.admin;
    let held = issue(admin, "acme", "jo", "api-token").await;
    let before = admin.get(&held.id).await.unwrap();
    let mut request = v1::ReportLeakRequest {
        secrets: vec![held.secret()],
        reason: "a wiki".to_owned(),
        dry_run: true,
        fence: false,
    };
    let dry = report(admin, request.clone()).await.unwrap();
    assert_eq!(dry.results[0].outcome(), Locked);
    assert_eq!(dry.results[0].credential_id, held.id);
    assert_eq!(dry.revision, before.revision);
    assert_eq!(admin.get(&held.id).await.unwrap(), before);

    request.dry_run = false;
    report(admin, request.clone()).await.unwrap();
    let leaked = admin.get(&held.id).await.unwrap();
    assert_eq!(leaked.state(), v1::CredentialState::Locked);
    assert!(leaked.leaked_at.is_some());
    let change = leaked.last_change.clone().unwrap();
    assert_eq!(change.r#type(), v1::ChangeType::Leaked);
    assert_eq!(change.reason, "a wiki");

    let again = report(admin, request).await.unwrap();
    assert_eq!(again.results[0].outcome(), Locked);
    assert_eq!(again.impact.unwrap().changed, 0);
    assert_eq!(again.revision, leaked.revision);
    assert_eq!(admin.get(&held.id).await.unwrap(), leaked);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_secrets_are_locked_and_become_credds_own_by_a_rotation() {
    let server = Server::start().await;
    let admin = &server.admin;
    for (profile, name) in [("api-token", ""), ("basic", "jo"), ("key-pair", "key")] {
        let secret = format!("a-secret-from-elsewhere-{profile}");
        let brought = import(admin, "acme", imported(profile, name, &secret)).await;
        let id = brought.unwrap().id;
        let outcomes = reported(admin, &[secret.clone(), format!("{secret}0")]).await;
        assert_eq!(outcomes, [Locked, NotOurs]);
        let state = admin.get(&id).await.unwrap().state();
        assert_eq!(state, v1::CredentialState::Locked);
        let held = rotated(admin, &id, 0).await;
        assert_eq!(verdict(admin, &held).await, v1::Verdict::Active);
        assert_eq!(reported(admin, &[secret]).await, [NotOurs]);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_secret_is_one_credentials_of_whatever_kind() {
    let server = Server::start().await;
    let admin = &server.admin;
    let secret = "the-same-secret-in-two-places";
    let brought = import(admin, "acme", imported("api-token", "", secret)).await;
    let id = brought.unwrap().id;
    for (profile, name) in [("api-token", ""), ("basic", "jo"), ("key-pair", "key")] {
        let again = import(admin, "acme", imported(profile, name, secret)).await;
        let status = refused(again);
        assert_eq!(status.code(), Code::AlreadyExists);
        assert_eq!(reason(&status), "SECRET_EXISTS");
    }
    assert_eq!(reported(admin, &[secret.to_owned()]).await, [Locked]);
    let state = admin.get(&id).await.unwrap().state();
    assert_eq!(state, v1::CredentialState::Locked);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_may_import_the_same_secret_and_neither_learns_of_the_other() {
    let server = Server::start().await;
    let admin = &server.admin;
    let secret = "the-same-secret-of-two-tenants";
    let mut ids = Vec::new();
    for tenant in ["acme", "globex"] {
        let brought = import(admin, tenant, imported("api-token", "", secret)).await;
        ids.push(brought.unwrap().id);
    }
    let asked = async |tenant: &str| {
        let question = v1::VerifyRequest {
            presented: Some(v1::Presented {
                credential: Some(v1::presented::Credential::Token(secret.to_owned())),
            }),
            tenant: tenant.to_owned(),
            any_tenant: tenant.is_empty(),
            ..Default::default()
        };
        let answer = verify(admin, question).await;
        let identity = answer.identity.clone().unwrap_or_default();
        (answer.verdict(), identity.credential_id)
    };
    for (tenant, id) in ["acme", "globex"].iter().zip(&ids) {
        assert_eq!(asked(tenant).await, (v1::Verdict::Active, id.clone()));
    }
    // Whose it is would be a guess.
    assert_eq!(asked("").await, (v1::Verdict::Invalid, String::new()));
    let request = v1::ReportLeakRequest {
        secrets: vec![secret.to_owned()],
        reason: "found in a repository".to_owned(),
        ..Default::default()
    };
    let answer = report(admin, request).await.unwrap();
    let [result] = answer.results.try_into().unwrap();
    let others = result
        .others
        .iter()
        .map(|other| (other.outcome(), &other.credential_id));
    let mut locked: Vec<_> = others
        .chain([(result.outcome(), &result.credential_id)])
        .collect();
    locked.sort_unstable();
    ids.sort_unstable();
    assert_eq!(locked, [(Locked, &ids[0]), (Locked, &ids[1])]);
    for tenant in ["acme", "globex"] {
        assert_eq!(asked(tenant).await.0, v1::Verdict::Locked);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_rotation_without_overlap_lifts_the_lock_of_a_leak() {
    let server = Server::start().await;
    let token = issue_caller(&server.admin, "manager", &["administrator"]).await;
    let admin = &server.client(&token).await;
    for profile in PROFILES {
        let held = issue(admin, "acme", "jo", profile).await;
        assert_eq!(reported(admin, &[held.secret()]).await, [Locked]);
        assert_eq!(verdict(admin, &held).await, v1::Verdict::Locked);
        let status = refused(unlock(admin, &held.id).await);
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(reason(&status), "CREDENTIAL_LEAKED");
        let overlapping = rotate(admin, rotate_request(&held.id, 60)).await;
        assert_eq!(fields(&refused(overlapping)), ["overlap"]);
        assert_eq!(verdict(admin, &held).await, v1::Verdict::Locked);

        let next = rotated(admin, &held.id, 0).await;
        assert_eq!(verdict(admin, &next).await, v1::Verdict::Active);
        assert_eq!(verdict(admin, &held).await, v1::Verdict::Invalid);
        assert_eq!(admin.get(&held.id).await.unwrap().leaked_at, None);
        assert_eq!(reported(admin, &[held.secret()]).await, [NotOurs]);
        assert_eq!(verdict(admin, &next).await, v1::Verdict::Active);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leak_of_what_was_locked_by_hand_leaves_it_locked_after_the_rotation() {
    let server = Server::start().await;
    let admin = &server.admin;
    let held = issue(admin, "acme", "jo", "api-token").await;
    let since = admin.lock(&held.id).await.unwrap().revision;
    assert_eq!(reported(admin, &[held.secret()]).await, [Locked]);
    let next = rotated(admin, &held.id, 0).await;
    let credential = admin.get(&held.id).await.unwrap();
    assert_eq!(credential.state_revision, since);
    assert_eq!(verdict(admin, &next).await, v1::Verdict::Locked);
    unlock(admin, &held.id).await.unwrap();
    assert_eq!(verdict(admin, &next).await, v1::Verdict::Active);

    admin.revoke(&held.id).await.unwrap();
    assert_eq!(reported(admin, &[next.secret()]).await, [Revoked]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_with_the_permission_to_may_unlock_what_leaked() {
    let server = Server::start().await;
    let admin = &server.admin;
    let permissions = [
        "credd.credentials.unlock",
        "credd.credentials.unlock-leaked",
    ];
    put_role(admin, "credd", "releaser", &permissions).await;
    put_role(admin, "credd", "unlocker", &permissions[..1]).await;
    let held = issue(admin, "acme", "jo", "api-token").await;
    assert_eq!(reported(admin, &[held.secret()]).await, [Locked]);
    let unlocker = issue_caller(admin, "unlocker", &["unlocker"]).await;
    let status = refused(unlock(&server.client(&unlocker).await, &held.id).await);
    assert_eq!(reason(&status), "CREDENTIAL_LEAKED");
    let releaser = issue_caller(admin, "releaser", &["releaser"]).await;
    unlock(&server.client(&releaser).await, &held.id)
        .await
        .unwrap();
    assert_eq!(verdict(admin, &held).await, v1::Verdict::Active);
    assert_eq!(admin.get(&held.id).await.unwrap().leaked_at, None);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_unlocks_nothing_by_a_permission_elsewhere() {
    let server = Server::start().await;
    let admin = &server.admin;
    let permissions = [
        "credd.credentials.unlock",
        "credd.credentials.unlock-leaked",
    ];
    put_role(admin, "credd", "releaser", &permissions).await;
    put_owner(admin, jo()).await;
    let login = issue_caller(admin, "jo-login", &[]).await;
    admin.bind("credd:jo-login", "releaser", "other").await;
    let owner = server.client(&login).await;
    let [locked, leaked] = [
        issue(admin, "acme", "jo", "api-token").await,
        issue(admin, "acme", "jo", "api-token").await,
    ];
    admin.lock(&locked.id).await.unwrap();
    assert_eq!(reported(admin, &[leaked.secret()]).await, [Locked]);
    for held in [&locked, &leaked] {
        owner.get(&held.id).await.unwrap();
        refused(unlock(&owner, &held.id).await);
        assert_eq!(verdict(admin, held).await, v1::Verdict::Locked);
    }
    // The permission is good where it reaches.
    let elsewhere = issue(admin, "other", "jo", "api-token").await;
    admin.lock(&elsewhere.id).await.unwrap();
    unlock(&owner, &elsewhere.id).await.unwrap();
    assert_eq!(verdict(admin, &elsewhere).await, v1::Verdict::Active);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_may_report_their_own_secrets_and_nobody_elses() {
    let server = Server::start().await;
    let admin = &server.admin;
    put_owner(admin, jo()).await;
    let login = issue_caller(admin, "jo-login", &[]).await;
    let owner = server.client(&login).await;
    let theirs = issue(admin, "acme", "jo", "api-token").await;
    let others = [
        issue(admin, "acme", "ann", "api-token").await,
        issue(admin, "other", "jo", "api-token").await,
    ];
    let elsewhere = imported("api-token", "", "a-secret-from-elsewhere");
    import(admin, "other", elsewhere).await.unwrap();
    let texts = [
        theirs.secret(),
        others[0].secret(),
        others[1].secret(),
        login.clone(),
        read_token(server.directory.path()),
        "a-secret-from-elsewhere".to_owned(),
    ];
    let request = v1::ReportLeakRequest {
        secrets: texts.to_vec(),
        ..Default::default()
    };
    let told = report(&owner, request).await.unwrap();
    let outcomes: Vec<_> = told.results.iter().map(v1::LeakResult::outcome).collect();
    assert_eq!(
        outcomes,
        [Locked, NotOurs, NotOurs, NotOurs, NotOurs, NotOurs]
    );
    assert!(
        told.results[1..]
            .iter()
            .all(|result| result.credential_id.is_empty())
    );
    assert_eq!(told.impact.unwrap().matched, 1);
    for other in &others {
        assert_eq!(verdict(admin, other).await, v1::Verdict::Active);
    }
    assert_eq!(verdict(admin, &theirs).await, v1::Verdict::Locked);
    // And nobody without a permission who is no owner.
    let stranger = issue_caller(admin, "stranger", &[]).await;
    let stranger = server.client(&stranger).await;
    let request = v1::ReportLeakRequest {
        secrets: vec![others[0].secret()],
        ..Default::default()
    };
    let status = refused(report(&stranger, request).await);
    assert_eq!(status.code(), Code::PermissionDenied);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_administrator_is_not_locked() {
    let server = Server::start().await;
    let admin = &server.admin;
    let token = read_token(server.directory.path());
    assert_eq!(
        reported(admin, std::slice::from_ref(&token)).await,
        [LastAdministrator]
    );
    let held = issue(admin, "acme", "jo", "api-token").await;
    assert_eq!(
        reported(admin, &[held.secret(), token.clone()]).await,
        [Locked, LastAdministrator]
    );

    let second = issue_caller(admin, "second", &["administrator"]).await;
    let both = [token.clone(), second.clone()];
    let mut outcomes = reported(admin, &both).await;
    outcomes.sort_unstable_by_key(|outcome| *outcome as i32);
    assert_eq!(outcomes, [Locked, LastAdministrator]);
    let mut good = 0;
    for token in &both {
        let client = server.client(token).await;
        good += usize::from(client.list(v1::ListRequest::default()).await.is_ok());
    }
    assert_eq!(good, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_secret_that_stays_good_is_locked_although_another_ends_meanwhile() {
    let server = Server::start().await;
    let admin = &server.admin;
    for _ in 0..20 {
        let first = issue(admin, "acme", "jo", "api-token").await;
        let second = rotated(admin, &first.id, 600).await;
        let secrets = [first.secret(), second.secret()];
        let again = v1::RotateRequest {
            end_overlap: true,
            ..rotate_request(&first.id, 600)
        };
        let mut credentials = admin.credentials.clone();
        let (outcomes, _) = tokio::join!(reported(admin, &secrets), credentials.rotate(again));
        assert_eq!(outcomes[1], Locked);
        let state = admin.get(&first.id).await.unwrap().state();
        assert_eq!(state, v1::CredentialState::Locked);
    }
}
