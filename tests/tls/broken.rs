//! Files that can't be used.

use std::path::Path;

use credd::server::config::LogDirectives;
use credd::server::process;
use credd::server::tls::{LoadError, Tls, TlsSettings};

use crate::log;
use crate::pki::{Pair, Wanted};
use crate::support::{config, until};
use crate::tls::{Pki, TlsServer, shown};

/// Whether an error is the expected one.
type Is = fn(&LoadError) -> bool;

const KEPT: &str = "what was loaded before stays";

/// Waits until it was warned of this file once more than `before`.
async fn warned(path: &Path, before: usize) {
    until("a warning", async || warnings(path) > before).await;
}

fn warnings(path: &Path) -> usize {
    log::count(&[KEPT, &shown(path)])
}

async fn shows(pki: &Pki, server: &TlsServer, pair: &Pair) -> bool {
    pki.client().server_certificate(server.address).await == pair.certificate_der
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_is_warned_of_and_what_was_loaded_before_stays() {
    log::keep();
    let mut pki = Pki::new();
    let server = TlsServer::start(pki.settings()).await;
    let first = pki.server.clone();
    let [certificate, key, ca] = ["tls.crt", "tls.key", "ca.crt"].map(|name| pki.volume.path(name));

    let cut = &first.certificate[..first.certificate.len() / 2];
    pki.volume.write("tls.crt", cut);
    warned(&certificate, 0).await;
    assert!(shows(&pki, &server, &first).await);
    pki.volume.write("tls.crt", &first.certificate);

    // A line that is broken so that a parser may want to show it.
    let secret = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49";
    let broken = format!("-----BEGIN PRIVATE KEY---{secret}\n{secret}\n");
    pki.volume.write("tls.key", &broken);
    warned(&key, 0).await;
    assert!(shows(&pki, &server, &first).await);
    pki.volume.write("tls.key", &first.key);

    pki.volume.write("ca.crt", "");
    warned(&ca, 0).await;
    assert!(shows(&pki, &server, &first).await);
    pki.volume.write("ca.crt", &pki.clients.pem());

    let second = pki.rotate();
    until("the next certificate to be shown", async || {
        shows(&pki, &server, &second).await
    })
    .await;
    assert_eq!(log::count(&[secret]), 0);
    let bytes = format!("{:?}", secret.as_bytes());
    assert_eq!(log::count(&[bytes.trim_matches(['[', ']'])]), 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_without_its_key_waits_for_it() {
    log::keep();
    let pki = Pki::new();
    let server = TlsServer::start(pki.settings()).await;
    let (first, second) = (pki.server.clone(), pki.servers.server());
    let key = pki.volume.path("tls.key");

    pki.volume.write("tls.crt", &second.certificate);
    until("a warning", async || {
        log::count(&[KEPT, &shown(&key), "is not that of the certificate"]) == 1
    })
    .await;
    assert!(shows(&pki, &server, &first).await);

    pki.volume.write("tls.key", &second.key);
    until("the new pair to be used", async || {
        shows(&pki, &server, &second).await
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_vanish_are_warned_of_and_found_again() {
    log::keep();
    let mut pki = Pki::new();
    let server = TlsServer::start(pki.settings()).await;
    let first = pki.server.clone();
    let certificate = pki.volume.path("tls.crt");
    pki.volume.swap(&[]);
    warned(&certificate, 0).await;
    assert!(shows(&pki, &server, &first).await);
    let second = pki.rotate();
    until("the next certificate to be shown", async || {
        shows(&pki, &server, &second).await
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_server_does_not_start_with_files_that_cannot_be_used() {
    let pki = Pki::new();
    let load = || Tls::load(pki.settings()).map(drop).unwrap_err();
    let good = [
        ("tls.crt", pki.server.certificate.clone()),
        ("tls.key", pki.server.key.clone()),
        ("ca.crt", pki.clients.pem()),
    ];
    assert!(Tls::load(pki.settings()).is_ok());

    let another = pki.servers.server();
    let expired = pki.servers.issue(Wanted {
        years: (2019, 2020),
        ..Wanted::server()
    });
    let not_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cases: [(&str, &str, Is); 8] = [
        ("tls.crt", "", |e| matches!(e, LoadError::NoCertificate(_))),
        ("tls.crt", &pki.server.key, |e| {
            matches!(e, LoadError::NoCertificate(_))
        }),
        ("tls.crt", not_der, |e| {
            matches!(e, LoadError::Unreadable { .. })
        }),
        ("tls.crt", &expired.certificate, |e| {
            matches!(e, LoadError::Expired { .. })
        }),
        ("tls.crt", &another.certificate, |e| {
            matches!(e, LoadError::Mismatch { .. })
        }),
        ("tls.key", "", |e| matches!(e, LoadError::NoKey(_))),
        ("ca.crt", "", |e| matches!(e, LoadError::NoCertificate(_))),
        ("ca.crt", not_der, |e| {
            matches!(e, LoadError::ClientCa { .. })
        }),
    ];
    for (n, (name, text, is)) in cases.into_iter().enumerate() {
        pki.volume.write(name, text);
        let error = load();
        assert!(is(&error), "case {n}: {error:?}");
        for (name, text) in &good {
            pki.volume.write(name, text);
        }
    }
    let no_authority = TlsSettings {
        client_ca: None,
        ..pki.settings()
    };
    let error = Tls::load(no_authority).map(drop).unwrap_err();
    assert!(matches!(error, LoadError::NoClientCa));
}

#[test]
fn tls_needs_no_leave_off_loopback() {
    let directory = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    let mut config = config(directory.path());
    config.server.listen = "0.0.0.0:0".parse().unwrap();
    config.tls = Some(TlsSettings {
        key: pki.volume.path("none"),
        ..pki.settings()
    });
    // It goes on to read files that are not there.
    let tls = process::serve(&config, &|| Ok(LogDirectives::info())).unwrap_err();
    assert!(tls.downcast_ref::<LoadError>().is_some(), "{tls}");
}
