//! Certificates and authorities that are replaced while the server works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use credd::proto::v1;
use tokio::task::JoinSet;
use tokio_rustls::rustls::AlertDescription;

use crate::pki::{Authority, NOT_AFTER, Wanted};
use crate::support::metrics::{free_address, scrape};
use crate::support::{Client, soon, until};
use crate::tls::{Knocker, Pki, TlsServer, files};

/// Calls that go on until they are told to end.
#[derive(Default)]
struct Load {
    ends: AtomicBool,
    answered: AtomicUsize,
    connected: AtomicUsize,
}

impl Load {
    /// Calls over a connection that stands, with a Watch that would end with it.
    async fn over_one_connection(self: Arc<Self>, client: Client, token: String) {
        let mut watch = client.watch(v1::WatchRequest::default()).await.unwrap();
        let calls = async {
            while !self.ends.load(Ordering::SeqCst) {
                let answer = client.verify_token(&token).await.unwrap();
                assert_eq!(answer.verdict(), v1::Verdict::Active);
                self.answered.fetch_add(1, Ordering::SeqCst);
            }
        };
        let watched = async {
            loop {
                assert!(watch.message().await.unwrap().is_some(), "the Watch ended");
            }
        };
        tokio::select! {
            () = calls => (),
            () = watched => (),
        }
    }

    /// Calls of which each has a connection of its own.
    async fn over_many(self: Arc<Self>, knocker: Knocker, server: Arc<TlsServer>, token: String) {
        while !self.ends.load(Ordering::SeqCst) {
            let client = server.admin(&knocker).await;
            let answer = client.verify_token(&token).await.unwrap();
            assert_eq!(answer.verdict(), v1::Verdict::Active);
            self.connected.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Waits until more calls of both sorts were answered.
    async fn goes_on(&self) {
        for counter in [&self.answered, &self.connected] {
            let before = counter.load(Ordering::SeqCst);
            until("more answers", async || {
                counter.load(Ordering::SeqCst) > before + 3
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_certificates_are_rotated() {
    let mut pki = Pki::new();
    let server = Arc::new(TlsServer::start(pki.settings()).await);
    let knocker = pki.client();
    let (_, token) = server.admin(&knocker).await.issue_token("acme").await;

    let load = Arc::new(Load::default());
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let client = server.admin(&knocker).await;
        tasks.spawn(Arc::clone(&load).over_one_connection(client, token.clone()));
    }
    for _ in 0..2 {
        let many = (knocker.clone(), Arc::clone(&server), token.clone());
        tasks.spawn(Arc::clone(&load).over_many(many.0, many.1, many.2));
    }
    for _ in 0..5 {
        load.goes_on().await;
        let new = pki.rotate();
        until("the new certificate to be shown", async || {
            knocker.server_certificate(server.address).await == new.certificate_der
        })
        .await;
    }
    load.goes_on().await;
    load.ends.store(true, Ordering::SeqCst);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    Arc::into_inner(server).unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authorities_of_clients_are_rotated_and_connections_stand() {
    let mut pki = Pki::new();
    let server = TlsServer::start(pki.settings()).await;
    let old = pki.client();
    let standing = server.admin(&old).await;
    let mut watch = standing.watch(v1::WatchRequest::default()).await.unwrap();
    watch.message().await.unwrap().unwrap();

    let authority = Authority::new("the next clients");
    let new = pki.knocker(Some(authority.client("spiffe://credd.test/client")));
    let refusal = new.refusal(server.address).await;
    assert_eq!(refusal, AlertDescription::UnknownCA);

    let both = pki.clients.pem() + &authority.pem();
    pki.volume.swap(&files(&pki.server, &both));
    until("the new authority to be trusted", async || {
        new.connect(server.address).await.is_ok()
    })
    .await;
    old.connect(server.address).await.unwrap();

    pki.volume.swap(&files(&pki.server, &authority.pem()));
    until("the old authority to be trusted no more", async || {
        old.connect(server.address).await.is_err()
    })
    .await;
    let refusal = old.refusal(server.address).await;
    assert_eq!(refusal, AlertDescription::UnknownCA);
    new.connect(server.address).await.unwrap();

    let (id, _) = standing.issue_token("acme").await;
    let is_seen = async {
        let mut seen = String::new();
        while !seen.contains(&id) {
            seen = format!("{:?}", watch.message().await.unwrap().unwrap());
        }
    };
    soon("the event", is_seen).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_say_when_the_certificate_that_is_shown_ends() {
    let mut pki = Pki::new();
    let metrics = free_address();
    let server = TlsServer::start_with(pki.settings(), |mut config| {
        config.server.metrics_listen = Some(metrics);
        config
    })
    .await;
    let says = async |seconds: i64| {
        let line = format!("credd_tls_certificate_not_after_seconds {seconds}");
        scrape(metrics).await.lines().any(|found| found == line)
    };
    assert!(says(NOT_AFTER).await);
    pki.server = pki.servers.issue(Wanted {
        years: (2020, 2090),
        ..Wanted::server()
    });
    pki.volume.swap(&files(&pki.server, &pki.clients.pem()));
    // The first of January 2090.
    until("the gauge to follow", async || says(3_786_912_000).await).await;
    server.stop().await;
}
