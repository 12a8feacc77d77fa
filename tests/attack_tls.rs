//! Attacks on TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, dead_code, missing_docs, clippy::pedantic)]
#[path = "support/pki.rs"]
mod pki;
mod support;
#[path = "support/tls.rs"]
mod tls;

use std::time::Duration;

use credd::proto::v1;
use pki::Authority;
use support::*;
use tls::{Pki, TlsServer, files};

/// Whose authority is no longer trusted is no longer known, on whatever connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_an_authority_that_was_removed_names_nobody() {
    let mut pki = Pki::new();
    let server = TlsServer::start(pki.settings()).await;
    let knocker = pki.client();
    let admin = server.admin(&knocker).await;
    admin.bind("spiffe://credd.test/client", "administrator", "*").await;
    let channel = knocker.channel(server.address).await.unwrap();
    let mut thief = v1::directory_service_client::DirectoryServiceClient::new(channel);
    thief.list_tenants(v1::ListTenantsRequest::default()).await.unwrap();
    // The authority was stolen: another takes its place.
    let others = Authority::new("other clients");
    let pair = pki.server.clone();
    pki.volume.swap(&files(&pair, &others.pem()));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let new = knocker.channel(server.address).await;
    let refused = match new { Err(_) => true, Ok(c) => v1::directory_service_client::DirectoryServiceClient::new(c).list_tenants(v1::ListTenantsRequest::default()).await.is_err() };
    assert!(refused, "a new connection");
    let still = thief.put_binding(v1::PutBindingRequest { principal: "dns:evil.example".into(), role: "administrator".into(), tenant: "*".into(), ..Default::default() }).await;
    assert!(still.is_err(), "the old connection still administers credd");
}
