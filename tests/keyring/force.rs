//! Retiring a pepper on which something remains.

use super::*;
use crate::session::Session;
use v1::Verdict::{Active, Invalid, Revoked};

#[tokio::test(flavor = "multi_thread")]
async fn force_ends_exactly_what_remains_and_a_dry_run_tells_it_before() {
    let place = Place::new();
    let running = Running::start(place.path()).await;
    let (_, checker) = running.admin.issue_verifier("checker").await;
    let checker = Client::connect(running.address, &checker).await;
    let moved = populate(&running.admin, 1).await;
    let quiet = [
        calls::issue(&running.admin, "acme", "jo", "key-pair")
            .await
            .into(),
        imported(&running.admin, "basic").await,
        calls::issue(&running.admin, "acme", "tip", "kaspersky-tip")
            .await
            .into(),
    ];
    let locked: Subject = calls::issue(&running.admin, "acme", "jo", "basic")
        .await
        .into();
    running.admin.lock(&locked.id).await.unwrap();
    let mut pairs = Vec::new();
    for _ in 0..2 {
        let old = calls::issue(&running.admin, "acme", "jo", "api-token").await;
        let new = calls::rotated(&running.admin, &old.id, 3600).await;
        pairs.push((Subject::from(old), Subject::from(new)));
    }
    let [(old_quiet, new_used), (old_used, new_quiet)] = pairs.try_into().ok().unwrap();
    // Used before, by a service that would be hit.
    assert_all_active(&checker, &quiet[..1]).await;
    assert_all_active(&checker, std::slice::from_ref(&old_quiet)).await;
    let used = || async {
        let all = calls::everything(&running.admin, "acme").await;
        let used = all.iter().filter(|one| one.last_used_by == "credd:checker");
        used.count() == 2
    };
    until("the uses to be written", used).await;

    place.add("pepper");
    running.rotate_pepper(2).await.unwrap();
    assert_all_active(&running.admin, &moved).await;
    assert_all_active(&running.admin, &[new_used.clone(), old_used.clone()]).await;
    let checker_asks = verdict(&checker, &moved[0]).await;
    assert_eq!(checker_asks, Active);
    // Of both pairs one, the quiet ones, the locked one.
    running.until_remaining(1, 6).await;

    let dry = v1::RetirePepperRequest {
        force: true,
        dry_run: true,
        ..retire_pepper(1)
    };
    let would = running.retire_pepper(dry).await.unwrap();
    let impact = would.impact.unwrap();
    assert_eq!((impact.matched, impact.changed), (6, 6));
    let services: Vec<_> = impact
        .services
        .iter()
        .map(|one| (one.service.as_str(), one.credentials))
        .collect();
    assert_eq!(services, [("credd:checker", 2)]);
    assert_eq!(running.remaining(1).await, 6, "it wrote nothing");
    assert_eq!(verdict(&running.admin, &moved[0]).await, Active);
    let refused = running.retire_pepper(retire_pepper(1)).await.unwrap_err();
    assert_eq!(in_use(&refused).1, Some(6));
    let outdated = v1::RetirePepperRequest {
        force: true,
        expected_revision: Some(v1::Revision {
            number: 1,
            ..would.revision.clone().unwrap()
        }),
        ..retire_pepper(1)
    };
    let refused = running.retire_pepper(outdated).await.unwrap_err();
    assert_eq!(calls::reason(&refused), "REVISION_MISMATCH");
    assert_eq!(running.remaining(1).await, 6, "nothing ended");

    let force = v1::RetirePepperRequest {
        force: true,
        expected_revision: would.keyring.unwrap().revision,
        ..retire_pepper(1)
    };
    let done = running.retire_pepper(force.clone()).await.unwrap();
    let impact = done.impact.unwrap();
    assert_eq!((impact.matched, impact.changed), (6, 6));
    assert_eq!(impact.services.len(), 1);
    assert_eq!(running.pepper(1).await.state(), v1::KeyState::Retired);
    assert_eq!(running.remaining(1).await, 0);
    let again = running.retire_pepper(force).await.unwrap();
    assert_eq!(again.revision, done.revision);

    assert_all_active(&running.admin, &moved).await;
    for subject in quiet.iter().chain([&locked, &new_quiet]) {
        assert_eq!(verdict(&running.admin, subject).await, Revoked);
    }
    // With its credential.
    assert_eq!(verdict(&running.admin, &old_used).await, Revoked);
    assert_eq!(verdict(&running.admin, &new_used).await, Active);
    assert_eq!(
        verdict(&running.admin, &old_quiet).await,
        Invalid,
        "its overlap ended"
    );
    let revoked = calls::everything(&running.admin, "acme").await;
    let mut revoked: Vec<_> = revoked
        .iter()
        .filter(|one| one.state() == v1::CredentialState::Revoked)
        .map(|one| one.id.clone())
        .collect();
    revoked.sort();
    let mut expected: Vec<_> = quiet
        .iter()
        .chain([&locked, &new_quiet])
        .map(|one| one.id.clone())
        .collect();
    expected.sort();
    assert_eq!(revoked, expected);
    for id in &revoked {
        let change = running.admin.get(id).await.unwrap().last_change.unwrap();
        assert_eq!(
            (change.by.as_str(), change.reason.as_str()),
            ("credd:admin", "test")
        );
    }
    running.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_administrator_is_never_ended_by_force() {
    let place = Place::new();
    let running = Running::start(place.path()).await;
    // Somebody else may manage keys; the administrator is quiet.
    calls::put_role(&running.admin, "credd", "keeper", &["credd.operations.*"]).await;
    let keeper = calls::issue_caller(&running.admin, "keeper", &["keeper"]).await;
    place.add("pepper");
    let channel = channel(running.address).await;
    let mut operations = OperationsServiceClient::with_interceptor(channel, Bearer::new(&keeper));
    let rotate = v1::RotatePepperRequest {
        version: 2,
        ..Default::default()
    };
    operations.rotate_pepper(rotate).await.unwrap();
    for dry_run in [true, false] {
        let force = v1::RetirePepperRequest {
            force: true,
            dry_run,
            ..retire_pepper(1)
        };
        let refused = operations.retire_pepper(force).await.unwrap_err();
        assert_eq!(calls::reason(&refused), "LAST_ADMINISTRATOR");
    }
    // Who asks is not quiet.
    let status = operations
        .get_status(v1::GetStatusRequest {})
        .await
        .unwrap();
    let keyring = status.into_inner().keyring.unwrap();
    assert_eq!(keyring.peppers[0].remaining, 1);
    running.remaining(1).await;
    running.until_remaining(1, 0).await;
    running.retire_pepper(retire_pepper(1)).await.unwrap();
    running.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_fence_it_waits_for_a_session_to_apply_what_it_ends() {
    let place = Place::new();
    let running = Running::start(place.path()).await;
    let held: Subject = calls::issue(&running.admin, "acme", "jo", "api-token")
        .await
        .into();
    place.add("pepper");
    running.rotate_pepper(2).await.unwrap();
    // Whoever follows is on the new one.
    let (_, sidecar) = running.admin.issue_verifier("sidecar").await;
    let sidecar = Client::connect(running.address, &sidecar).await;
    running.until_remaining(1, 1).await;
    let mut session = Session::start(&sidecar).await;
    assert!(session.renew().await.lease.is_some());

    let request = v1::RetirePepperRequest {
        force: true,
        fence: true,
        ..retire_pepper(1)
    };
    let mut operations = running.operations.clone();
    let retiring = tokio::spawn(async move { operations.retire_pepper(request).await });
    let told = session.until_fenced().await;
    assert!(!retiring.is_finished());
    session.renew_as_of(told.revision.unwrap()).await.unwrap();
    let obeying = session.obey();
    let done = retiring.await.unwrap().unwrap().into_inner();
    let fence = done.fence.unwrap();
    assert_eq!((fence.acknowledged, fence.expired), (1, 0));
    assert!(fence.revision.unwrap().number >= done.revision.unwrap().number);
    assert_eq!(verdict(&running.admin, &held).await, Revoked);
    obeying.abort();
}
