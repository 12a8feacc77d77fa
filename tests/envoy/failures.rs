//! What clients read while something is down: never a yes.

use std::sync::Arc;

use crate::beside::Beside;
use crate::http::get;
use crate::support::until;
use crate::{World, header};

#[tokio::test(flavor = "multi_thread")]
async fn without_the_authority_nobody_gets_through() {
    // Also not where Envoy would let through what it takes for a failure.
    for allow in ["false", "true"] {
        let allow = format!("failure_mode_allow: {allow}");
        let Some(world) = World::start_with(&[("failure_mode_allow: false", &allow)]).await else {
            return;
        };
        let held = world.issue("api-token").await;
        assert_eq!(world.get("/whoami", &[header(&held)]).await.status, 200);

        let World { server, .. } = world;
        server.stop().await;
        let served = world.service.served();
        let envoy = world.envoy.address;
        for _ in 0..3 {
            let headers = [header(&held)];
            let answer = get(envoy, "/whoami", &headers).await;
            assert_eq!(answer.status, 503, "{answer:?}");
            assert_eq!(answer.reason(), "UNAVAILABLE");
            assert_eq!(answer.header("www-authenticate"), None);
        }
        assert_eq!(get(envoy, "/whoami", &[]).await.status, 401);
        assert_eq!(world.service.served(), served);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_sidecar_nobody_gets_through_until_it_is_back() {
    let Some(world) = World::start().await else {
        return;
    };
    let socket = world.socket();
    let held = world.issue("api-token").await;
    let headers = [header(&held)];
    let status = async || get(world.envoy.address, "/whoami", &headers).await.status;
    assert_eq!(status().await, 200);

    world.beside.stop(&socket).await;
    let served = world.service.served();
    for _ in 0..3 {
        assert_eq!(status().await, 503);
    }
    assert_eq!(world.service.served(), served);

    let back = Beside::serve(&socket, Arc::clone(&world.verifier));
    until("Envoy to find the sidecar", || async {
        status().await == 200
    })
    .await;
    back.stop(&socket).await;
}
