//! The same request long after it was carried out.

use std::time::Duration;

use credd::proto::v1;

use crate::calls::{self, everything, refused, request_id, rotate, rotate_request};
use crate::clocked::{Clocked, Disk};
use crate::{assert_done, with_id};

const MILLISECOND: Duration = Duration::from_millis(1);
const ALMOST_TEN_MINUTES: Duration = Duration::from_millis(599_999);
const ALMOST_A_DAY: Duration = Duration::from_millis(86_399_999);

#[tokio::test(flavor = "multi_thread")]
async fn it_is_answered_for_ten_minutes_refused_for_a_day_and_then_forgotten() {
    let mut server = Clocked::start(Disk::at(1_800_000_000_000)).await;
    let request = with_id("api-token");
    let first = server.admin.issue(request.clone()).await.unwrap();
    let id = first.credential.clone().unwrap().id;
    let held = calls::issue(&server.admin, "other", "jo", "api-token").await;
    let rotation = v1::RotateRequest {
        request_id: request_id(),
        ..rotate_request(&held.id, 0)
    };
    let rotated = rotate(&server.admin, rotation.clone()).await.unwrap();

    server.clock.advance(ALMOST_TEN_MINUTES);
    server.sweep().await;
    let again = server.admin.issue(request.clone()).await.unwrap();
    assert!(again.secret == first.secret && again.revision == first.revision);
    let again = rotate(&server.admin, rotation.clone()).await.unwrap();
    assert!(again.secret == rotated.secret && again.revision == rotated.revision);

    server.clock.advance(MILLISECOND);
    for restart in [false, true] {
        if restart {
            server.clock.advance(ALMOST_A_DAY);
            server = server.restart().await;
        }
        server.sweep().await;
        assert_done(&refused(server.admin.issue(request.clone()).await), &id);
        assert_done(
            &refused(rotate(&server.admin, rotation.clone()).await),
            &held.id,
        );
        // Still, another request with that id is told that it is another.
        let mut other = request.clone();
        other.label = "else".to_owned();
        let status = refused(server.admin.issue(other).await);
        assert_eq!(calls::reason(&status), "REQUEST_ID_REUSED");
        assert_eq!(everything(&server.admin, "acme").await.len(), 1);
    }

    server.clock.advance(MILLISECOND);
    let anew = server.admin.issue(request).await.unwrap();
    assert_ne!(anew.credential.unwrap().id, id);
    assert!(anew.secret != first.secret);
    let anew = rotate(&server.admin, rotation).await.unwrap();
    assert!(anew.secret != rotated.secret);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_shown_again_of_what_has_expired() {
    let server = Clocked::start(Disk::at(1_800_000_000_000)).await;
    let mut request = with_id("api-token");
    request.expiry = Some(v1::issue_request::Expiry::Ttl(prost_types::Duration {
        seconds: 60,
        nanos: 0,
    }));
    let first = server.admin.issue(request.clone()).await.unwrap();
    server.clock.advance(Duration::from_mins(1));
    // It may be shown or not: it is good for nothing. It is not made anew.
    if let Ok(again) = server.admin.issue(request).await {
        assert!(again.secret == first.secret);
    }
    assert_eq!(everything(&server.admin, "acme").await.len(), 1);
    server.stop().await;
}
