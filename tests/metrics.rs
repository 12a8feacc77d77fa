//! What a scraper of `/metrics` sees.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use credd::proto::v1;
use credd::proto::v1::issue_request::Expiry;
use support::metrics::{free_address, scrape};
use support::{Server, config, token_request};

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
