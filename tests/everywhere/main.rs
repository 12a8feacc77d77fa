//! A fenced Revoke is final everywhere when it returns: real processes of an
//! authority, sidecars, one of them a relay, and the real Envoy, under a load of
//! requests with good credentials, while processes are stopped and killed and
//! connections cut.
//!
//! A recorder notes when each fenced Revoke returned. Whoever asks looks, before it
//! sends a request, whether that of the credential has; if so, no answer may be a yes.
//!
//! `CREDD_TEST_REVOKES` (40) credentials are revoked; hundreds by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod asking;
#[path = "../support/calls.rs"]
mod calls;
#[path = "../envoy/http.rs"]
mod http;
mod processes;
#[path = "../envoy/proxy.rs"]
mod proxy;
#[path = "../support/mod.rs"]
mod support;
mod trouble;
#[path = "../support/way.rs"]
mod way;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use asking::{Asker, Outcome, Recorder};
use credd::proto::v1;
use http::Service;
use processes::{Authority, Reach, Sidecar};
use proxy::Envoy;
use support::{revoke_request, tool};
use tonic::Code;
use trouble::Trouble;
use way::Way;

/// How long a lease of the authority's is.
const LEASE: Duration = Duration::from_millis(600);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_that_is_sent_after_a_fenced_revoke_returned_is_let_through() {
    let Some(envoy) = tool("CREDD_TEST_ENVOY") else {
        return;
    };
    let revokes = std::env::var("CREDD_TEST_REVOKES");
    let revokes: usize = revokes.map_or(40, |number| number.parse().unwrap());
    let authority = Authority::start(LEASE).await;
    let way = Way::to(authority.address()).await;
    let token = authority.token_file();
    let near = Sidecar::start(&way.url(), Some(&token)).await;
    let relay = Sidecar::start(&way.url(), Some(&token)).await;
    let far = Sidecar::start(&relay.url(), None).await;
    let service = Service::start().await;
    let envoy = Envoy::start(&envoy, near.socket(), service.address, &[]).await;

    let recorder = Arc::new(Recorder::issue(&authority.reach().client().await, revokes).await);
    let askers = [
        Asker::through_envoy(envoy.address),
        Asker::at_socket("near", near.socket()),
        Asker::at_socket("relay", relay.socket()),
        Asker::at_socket("far", far.socket()),
        Asker::at("authority", authority.address(), &token),
    ];
    let over = Arc::new(AtomicBool::new(false));
    let mut asking = Vec::new();
    for asker in askers {
        let asker = Arc::new(asker);
        for _ in 0..2 {
            let (asker, recorder) = (Arc::clone(&asker), Arc::clone(&recorder));
            let over = Arc::clone(&over);
            asking.push(tokio::spawn(async move {
                asker.ask_until(&over, &recorder).await;
                asker
            }));
        }
    }
    recorder.until_all_had(Outcome::Yes, 5).await;

    let admin = authority.reach();
    let trouble = Trouble {
        authority,
        way,
        sidecars: vec![near, relay, far],
    };
    let trouble = tokio::spawn(trouble.make_until(Arc::clone(&over)));
    let (mut acknowledged, mut expired) = (0, 0);
    for at in 0..revokes {
        let fence = revoke(&admin, recorder.id(at)).await;
        recorder.revoked(at);
        acknowledged += fence.acknowledged;
        expired += fence.expired;
        // Some requests for it, and for those that are good yet.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    over.store(true, Ordering::SeqCst);
    for one in asking {
        one.await.unwrap();
    }
    let trouble = trouble.await.unwrap();
    recorder.print();
    println!("{acknowledged} sessions acknowledged, {expired} leases ran out");
    assert_eq!(recorder.late(), Vec::<String>::new());
    // Nothing is shown by a test in which nobody was let through, or nobody in trouble.
    assert!(acknowledged > 0 && expired > 0);
    recorder.assert_all_said_yes_and_no();
    drop(trouble);
}

/// Revokes with a fence, whatever stands in the way of it.
async fn revoke(admin: &Reach, id: &str) -> v1::Fence {
    loop {
        let mut request = tonic::Request::new(v1::RevokeRequest {
            fence: true,
            ..revoke_request(id)
        });
        request.set_timeout(Duration::from_secs(20));
        let client = admin.client().await;
        match client.credentials.clone().revoke(request).await {
            Ok(answer) => return answer.into_inner().fence.unwrap(),
            // It was killed, is starting, or did not answer in time.
            Err(status) => assert!(
                !matches!(
                    status.code(),
                    Code::InvalidArgument | Code::NotFound | Code::PermissionDenied
                ),
                "{status:?}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
