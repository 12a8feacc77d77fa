//! What `GetStatus` says, and to whom.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_status_says_what_runs_where_and_since_when() {
    let place = Place::new();
    let running = Running::start(place.path()).await;
    let first = running.status().await;
    assert_eq!(first.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(first.credentials, 1);
    let revision = first.revision.unwrap();
    assert_eq!(first.store_id, revision.store_id);
    let keyring = first.keyring.unwrap();
    assert!(keyring.revision.unwrap().number > 0);
    assert_eq!((keyring.peppers.len(), keyring.sealing_keys.len()), (1, 1));
    for check in [&keyring.peppers[0].check, &keyring.sealing_keys[0].check] {
        assert_eq!(check.len(), 64);
    }
    calls::issue(&running.admin, "acme", "jo", "api-token").await;
    let second = running.status().await;
    assert_eq!(second.credentials, 2);
    assert!(second.revision.unwrap().number > revision.number);
    assert_eq!(second.started_at, first.started_at);
    running.stop();
    let running = Running::start(place.path()).await;
    let third = running.status().await;
    assert_eq!(third.store_id, first.store_id);
    let seconds = |at: Option<prost_types::Timestamp>| {
        let at = at.unwrap();
        (at.seconds, at.nanos)
    };
    assert!(seconds(third.started_at) > seconds(first.started_at));
    running.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_permission_is_needed_on_all_tenants() {
    let place = Place::new();
    let running = Running::start(place.path()).await;
    let admin = &running.admin;
    calls::put_role(admin, "credd", "reader", &["credd.operations.read"]).await;
    calls::put_role(admin, "credd", "keeper", &["credd.operations.keys"]).await;
    let reader = calls::issue_caller(admin, "reader", &["reader"]).await;
    let keeper = calls::issue_caller(admin, "keeper", &["keeper"]).await;
    admin.bind("credd:local", "reader", "acme").await;
    admin.bind("credd:local", "keeper", "acme").await;
    let local = calls::issue(admin, "credd", "local", "api-token")
        .await
        .secret();
    for (token, may_read, may_change) in [
        (&reader, true, false),
        (&keeper, false, true),
        (&local, false, false),
    ] {
        let channel = channel(running.address).await;
        let mut operations = OperationsServiceClient::with_interceptor(channel, Bearer::new(token));
        let read = operations.get_status(v1::GetStatusRequest {}).await;
        assert_eq!(read.is_ok(), may_read);
        let dry = v1::RotatePepperRequest {
            version: 1,
            dry_run: true,
            ..Default::default()
        };
        let rotated = operations.rotate_pepper(dry).await;
        assert_eq!(rotated.is_ok(), may_change);
        let retired = operations.retire_sealing_key(retire_sealing(9)).await;
        let reason = calls::reason(&retired.unwrap_err());
        let expected = if may_change {
            "KEY_NOT_FOUND"
        } else {
            "PERMISSION_MISSING"
        };
        assert_eq!(reason, expected);
    }
    running.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_named() {
    let place = Place::new();
    let running = Running::start(place.path()).await;
    let mut operations = running.operations.clone();
    let wrong = v1::RetirePepperRequest {
        version: 0,
        reason: "a\u{7}".to_owned(),
        expected_revision: Some(v1::Revision {
            store_id: "another".to_owned(),
            number: 1,
        }),
        ..Default::default()
    };
    let refused = operations.retire_pepper(wrong).await.unwrap_err();
    let named = ["version", "reason", "expected_revision.store_id"];
    assert_eq!(calls::fields(&refused), named);
    let unloaded = running.rotate_pepper(2).await.unwrap_err();
    assert_eq!(calls::reason(&unloaded), "KEY_NOT_LOADED");
    assert!(
        unloaded.message().contains("pepper version 2"),
        "{unloaded}"
    );
    let unloaded = running.rotate_sealing(2).await.unwrap_err();
    assert!(
        unloaded.message().contains("sealing version 2"),
        "{unloaded}"
    );
    let unknown = running.retire_pepper(retire_pepper(2)).await.unwrap_err();
    assert_eq!(calls::reason(&unknown), "KEY_NOT_FOUND");
    running.stop();
}
