//! Nothing stands in a backup by which anybody could call, or make a keyring.

use std::fs;

use credd::proto::v1;

use crate::calls::{issue, request_id};
use crate::place::Place;
use crate::secrets::Needles;
use crate::support::{token_of, token_request};

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_key_stands_in_a_backup() {
    let place = Place::new();
    let server = place.serve().await;
    let admin = &server.admin;
    let mut needles = Needles::default();
    needles.add_secret(&server.token);
    // Shown once, shown again, and of every shape.
    for profile in [
        "api-token",
        "misp",
        "eset-taxii",
        "tenable-io",
        "kaspersky-tip",
    ] {
        let held = issue(admin, "acme", "ann", profile).await;
        needles.add_secret(&held.secret());
    }
    // Kept for who sends the request again.
    let request = v1::IssueRequest {
        request_id: request_id(),
        ..token_request("acme")
    };
    let issued = admin.issue(request.clone()).await.unwrap();
    let rotate = v1::RotateRequest {
        credential_id: issued.credential.unwrap().id,
        request_id: request_id(),
        ..Default::default()
    };
    needles.add_secret(&token_of(issued.secret));
    needles.add_encoded("the request's id", request.request_id.as_bytes());
    let rotated = admin.credentials.clone().rotate(rotate).await.unwrap();
    needles.add_secret(&token_of(rotated.into_inner().secret));
    let keyring = fs::read_to_string(place.data().join("keyring.toml")).unwrap();
    let keys = keyring
        .lines()
        .filter_map(|line| line.strip_prefix("key = "));
    let keys: Vec<_> = keys.map(|key| key.trim_matches('"').to_owned()).collect();
    assert_eq!(keys.len(), 2);
    for key in &keys {
        let bytes = data_encoding::HEXLOWER.decode(key.as_bytes()).unwrap();
        needles.add_encoded("a key", &bytes);
    }

    let bytes = server.backup().await;
    server.stop();
    let found = needles.found_in(&bytes);
    assert!(found.is_empty(), "of {}: {found:?}", needles.len());
    // What is looked for is found where it is.
    let with = [&bytes[..], keys[0].as_bytes()].concat();
    assert!(!needles.found_in(&with).is_empty());
    // It is not empty words: what is no secret stands there in clear.
    let has = |text: &str| bytes.windows(text.len()).any(|at| at == text.as_bytes());
    assert!(has("kaspersky-tip") && has("credd.v1.CredentialService/Rotate"));
}
