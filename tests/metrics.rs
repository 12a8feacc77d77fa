//! What a scraper of `/metrics` sees.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::io;

use credd::proto::v1;
use credd::proto::v1::issue_request::Expiry;
use support::metrics::{free_address, scrape};
use support::program::{Program, serve_everything};
use support::{Client, Server, config, read_token, soon, token_request};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

#[tokio::test]
async fn what_ends_in_seven_and_thirty_days_is_counted_and_listed() {
    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let mut config = config(directory.path());
    config.server.metrics_listen = Some(address);
    let server = Server::start_with(directory, config).await;
    for period in ["P1D", "P6D", "P8D", "P29D", "P31D", "P1Y"] {
        let request = v1::IssueRequest {
            label: period.to_owned(),
            expiry: Some(Expiry::Period(period.to_owned())),
            ..token_request("acme")
        };
        server.admin.issue(request).await.unwrap();
    }
    let (never, _) = server.admin.issue_token("acme").await;
    server.admin.lock(&never).await.unwrap();

    let text = scrape(address).await;
    for line in [
        "credd_credentials_expiring{within_days=\"7\"} 2",
        "credd_credentials_expiring{within_days=\"30\"} 4",
        "credd_credentials 8",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }

    let in_thirty_days = std::time::SystemTime::now() + std::time::Duration::from_hours(30 * 24);
    let filter = v1::CredentialFilter {
        tenant: "acme".to_owned(),
        expiring_before: Some(in_thirty_days.into()),
        ..Default::default()
    };
    let request = v1::ListRequest {
        filter: Some(filter),
        order: v1::ListOrder::Expiry.into(),
        ..Default::default()
    };
    let listed = server.admin.list(request).await.unwrap().credentials;
    let labels: Vec<_> = listed.iter().map(|c| c.label.as_str()).collect();
    assert_eq!(labels, ["P1D", "P6D", "P8D", "P29D"]);
    server.stop().await;
}

/// Waits until the other side has closed it.
async fn closed(stream: &mut TcpStream) {
    match soon("the end of a connection", stream.read_u8()).await {
        Ok(byte) => panic!("it says {byte}"),
        Err(error) => {
            let ends = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
            assert!(ends.contains(&error.kind()), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_to_metrics_holds_up_neither_a_scraper_nor_a_caller() {
    const DESCRIPTORS: usize = 256;

    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let few = format!("--nofile={DESCRIPTORS}:{DESCRIPTORS}");
    let mut command = serve_everything(&["prlimit", &few], directory.path());
    command.args(["--metrics-listen", &address.to_string()]);
    let (_program, services) = Program::serve(command);
    let mut silent = Vec::new();
    for _ in 0..2 * DESCRIPTORS {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let token = read_token(directory.path());
    let caller = soon("a client", Client::connect(services, &token)).await;
    let issued = soon("an answer", caller.issue(token_request("acme"))).await;
    issued.unwrap();
    soon("a scrape", scrape(address)).await;
    for stream in &mut silent {
        closed(stream).await;
    }
}
