//! TLS on both sides of a sidecar: between it and the authority, and at its own address.

use std::fs;
use std::net::SocketAddr;

use credd::proto::v1::Verdict;
use credd::proto::v1::verification_service_client::VerificationServiceClient;
use tempfile::TempDir;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error, Identity};

use crate::pki::{self, Pair, Wanted, dns};
use crate::real::{Authority, Sidecar};
use crate::support::metrics::{Scraped, free_address};
use crate::support::{Client, until, verify_token_request};
use crate::world::revoke_everywhere;

const SIDECAR: &str = "spiffe://credd.test/sidecar";

/// Who signs for servers and for clients, and the files of both.
struct Pki {
    servers: pki::Authority,
    clients: pki::Authority,
    directory: TempDir,
}

impl Pki {
    fn new() -> Self {
        let pki = Self {
            servers: pki::Authority::new("servers"),
            clients: pki::Authority::new("clients"),
            directory: tempfile::tempdir().unwrap(),
        };
        pki.write("servers.crt", &pki.servers.pem());
        pki.write("clients.crt", &pki.clients.pem());
        let server = pki.servers.issue(Wanted {
            names: vec![dns("localhost")],
            ..Wanted::server()
        });
        pki.write_pair("server", &server);
        pki.write_pair("client", &pki.clients.client(SIDECAR));
        pki
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn write_pair(&self, name: &str, pair: &Pair) {
        self.write(&format!("{name}.crt"), &pair.certificate);
        self.write(&format!("{name}.key"), &pair.key);
    }

    /// The arguments by which a server has TLS, and every client a certificate.
    fn serving(&self) -> Vec<String> {
        [
            ("--tls-certificate", "server.crt"),
            ("--tls-key", "server.key"),
            ("--tls-client-ca", "clients.crt"),
        ]
        .into_iter()
        .flat_map(|(flag, name)| [flag.to_owned(), self.path(name)])
        .chain(["--tls-require-client-certificate".to_owned()])
        .collect()
    }

    /// The arguments of a sidecar that trusts one authority and is known by a
    /// certificate.
    fn following(&self, trusts: &str, pair: &str) -> Vec<String> {
        [
            ("--authority-ca-file", trusts.to_owned()),
            ("--authority-certificate-file", format!("{pair}.crt")),
            ("--authority-key-file", format!("{pair}.key")),
        ]
        .into_iter()
        .flat_map(|(flag, name)| [flag.to_owned(), self.path(&name)])
        .collect()
    }

    /// An authority with TLS.
    fn authority(&self) -> Authority {
        let arguments = self.serving();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Authority::start_without_token(&arguments)
    }

    /// A connection of one who trusts `servers`, with a certificate or without.
    async fn channel(&self, address: SocketAddr, pair: Option<Pair>) -> Result<Channel, Error> {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.servers.pem()))
            .domain_name("localhost");
        if let Some(pair) = pair {
            tls = tls.identity(Identity::from_pem(&pair.certificate, &pair.key));
        }
        let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
        endpoint.tls_config(tls).unwrap().connect().await
    }

    /// The administrator of an authority, who has let the sidecar in.
    async fn admin(&self, authority: &Authority) -> Client {
        let pair = self.clients.client("spiffe://credd.test/operator");
        let channel = self.channel(authority.address, Some(pair)).await.unwrap();
        let admin = Client::over(channel, &authority.admin_token());
        admin.bind(SIDECAR, "verifier", "*").await;
        admin
    }
}

/// Where it is, by the name in its certificate.
fn url(address: SocketAddr) -> String {
    format!("https://localhost:{}", address.port())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_names_a_sidecar_to_its_authority_and_a_fence_waits_for_it() {
    let pki = Pki::new();
    let mut authority = pki.authority();
    let admin = pki.admin(&authority).await;
    let following = pki.following("servers.crt", "client");
    let sidecar = Sidecar::start(&url(authority.address), &following).await;
    sidecar.live().await;
    let (id, token) = admin.issue_token("acme").await;
    sidecar.keep(&token).await;
    until("its use to be known", || async {
        admin.get(&id).await.unwrap().last_used_by == SIDECAR
    })
    .await;
    let fence = revoke_everywhere(&admin, &id).await;
    assert_eq!((fence.acknowledged, fence.expired), (1, 0));
    assert_eq!(sidecar.verdict(&token).await, Verdict::Revoked);

    // One whose name is bound to nothing is let in, and told nothing.
    let (_, token) = admin.issue_token("acme").await;
    let stranger = pki.clients.client("spiffe://credd.test/stranger");
    pki.write_pair("stranger", &stranger);
    let following = pki.following("servers.crt", "stranger");
    let stranger = Sidecar::start(&url(authority.address), &following).await;
    until("the stranger to be refused", || async {
        stranger
            .program
            .output()
            .contains("refused by the authority")
    })
    .await;
    let refused = stranger.ask(&token).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(
        refused.message().contains("answers no questions"),
        "{refused:?}"
    );
    assert_eq!(stranger.count("sidecar_watches_total").await, 0);

    // One whose certificate nobody signed that the authority trusts is not let in.
    let forged = pki::Authority::new("others").client(SIDECAR);
    pki.write_pair("forged", &forged);
    let following = pki.following("servers.crt", "forged");
    let forged = Sidecar::start(&url(authority.address), &following).await;
    assert!(forged.is_unavailable(&token).await);
    assert_eq!(forged.count("sidecar_watches_total").await, 0);
    // Until it has one; files are read for each connection.
    pki.write_pair("forged", &pki.clients.client(SIDECAR));
    forged.live().await;
    assert_eq!(forged.verdict(&token).await, Verdict::Active);
    for sidecar in [sidecar, stranger, forged] {
        sidecar.stop(&[&token]);
    }
    authority.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_not_trusted_is_told_nothing_and_nobody_is_answered() {
    let pki = Pki::new();
    let mut authority = pki.authority();
    let admin = pki.admin(&authority).await;
    let (id, token) = admin.issue_token("acme").await;
    pki.write("trusted.crt", &pki::Authority::new("others").pem());
    let following = pki.following("trusted.crt", "client");
    let unknown = Sidecar::start(&url(authority.address), &following).await;
    // This one trusts whoever signed the certificate, in which another name stands.
    let by_address = format!("https://{}", authority.address);
    let following = pki.following("servers.crt", "client");
    let misnamed = Sidecar::start(&by_address, &following).await;
    for sidecar in [&unknown, &misnamed] {
        for _ in 0..3 {
            assert!(sidecar.is_unavailable(&token).await);
        }
        assert!(sidecar.has("sidecar_state{state=\"cold\"} 1").await);
        assert_eq!(sidecar.count("sidecar_watches_total").await, 0);
    }
    assert_eq!(admin.get(&id).await.unwrap().last_used_by, "");

    // Once it is trusted the first goes on by itself.
    pki.write("trusted.crt", &pki.servers.pem());
    unknown.live().await;
    assert_eq!(unknown.verdict(&token).await, Verdict::Active);
    assert!(misnamed.is_unavailable(&token).await);
    for sidecar in [unknown, misnamed] {
        sidecar.stop(&[&token]);
    }
    authority.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_with_tls_answers_those_who_have_a_certificate_and_is_followed_by_them() {
    let pki = Pki::new();
    let mut authority = pki.authority();
    let admin = pki.admin(&authority).await;
    let address = free_address();
    let listening = ["--sidecar-listen".to_owned(), address.to_string()];
    let following = pki.following("servers.crt", "client");
    let arguments = [&listening[..], &following, &pki.serving()].concat();
    let relay = Sidecar::start(&url(authority.address), &arguments).await;
    relay.live().await;
    let shown = Scraped::of(relay.metrics).await;
    assert!(shown.value("credd_tls_certificate_not_after_seconds") > 0.0);

    let (_, token) = admin.issue_token("acme").await;
    let verdict = async |pair| {
        let channel = pki.channel(address, pair).await?;
        let mut client = VerificationServiceClient::new(channel);
        let answer = client.verify(verify_token_request(&token)).await;
        Ok::<_, Error>(answer.map(|answer| answer.into_inner().verdict()))
    };
    let pair = pki.clients.client("spiffe://credd.test/anybody");
    assert_eq!(verdict(Some(pair)).await.unwrap().unwrap(), Verdict::Active);
    let forged = pki::Authority::new("others").client(SIDECAR);
    for pair in [None, Some(forged)] {
        // With TLS 1.3 a client learns only by its first call that it was refused.
        if let Ok(answer) = verdict(pair).await {
            assert_ne!(answer.unwrap_err().code(), Code::Ok);
        }
    }
    let plain = Endpoint::from_shared(format!("http://{address}")).unwrap();
    if let Ok(channel) = plain.connect().await {
        let mut client = VerificationServiceClient::new(channel);
        client
            .verify(verify_token_request(&token))
            .await
            .unwrap_err();
    }

    let following = pki.following("servers.crt", "client");
    let leaf = Sidecar::start(&url(address), &following).await;
    leaf.live().await;
    let (id, token) = admin.issue_token("acme").await;
    leaf.keep(&token).await;
    let fence = revoke_everywhere(&admin, &id).await;
    assert_eq!((fence.acknowledged, fence.expired), (1, 0), "of the relay");
    assert_eq!(leaf.verdict(&token).await, Verdict::Revoked);
    for sidecar in [leaf, relay] {
        sidecar.stop(&[&token]);
    }
    authority.stop();
}
