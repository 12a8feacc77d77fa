//! Whatever bytes come in: every parser reads them or refuses them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use credd::authority::list::{Filter, Whose};
use credd::authority::record::Record;
use credd::domain::credential::ShownState;
use credd::domain::id::CredentialId;
use credd::domain::keyring::{KeyVersion, Keyring};
use credd::domain::names::{Owner, Principal};
use credd::domain::random::SystemRandom;
use credd::domain::revision::StoreId;
use credd::domain::time::Timestamp;
use credd::domain::token::Presented;
use credd::proto::store;
use credd::rpc::status::Violations;
use credd::rpc::{convert, page_token, resume_token, watch};
use credd::server::keyring_file;
use data_encoding::BASE64URL_NOPAD;
use proptest::collection::vec;
use proptest::prelude::*;
use zeroize::Zeroizing;

use bytes::Bytes;
use credd::authority::names::Interner;
use credd::proto::v1;
use prost::Message as _;
use std::fmt::Write as _;
use support::{token_request, verify_token_request};
use tonic_types::StatusExt as _;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Any text, but often one that begins as it should.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "\\PC{0,200}",
        "credd[tpsua]_0[0-9A-Za-z]{0,90}",
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "[0-9A-Fa-f{}-]{30,40}",
        "A[A-Za-z0-9_-]{75}",
    ]
}

/// Bytes that often are a message, or nearly one.
fn nearly(message: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let length = message.len();
    let changed = (Just(message), any::<(usize, u8)>(), 0..=length).prop_map(
        |(mut message, (at, byte), length)| {
            if let Some(at) = at.checked_rem(message.len()) {
                message[at] = byte;
            }
            message.truncate(length);
            message
        },
    );
    prop_oneof![any::<Vec<u8>>(), changed]
}

fn credential_record() -> store::CredentialRecord {
    store::CredentialRecord {
        tenant: "acme".into(),
        kind: 1,
        state: 1,
        generation: 1,
        mac: vec![7; 32].into(),
        last_change: Some(store::ChangeRecord {
            r#type: 1,
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn keyring() -> Keyring {
    let keys = [(KeyVersion(1), Zeroizing::new([1; 32]))];
    Keyring::new(&keys, &keys).unwrap()
}

fn any_state() -> Filter {
    Filter {
        whose: Whose::All,
        kind: None,
        states: vec![ShownState::Active],
    }
}

fn caller() -> Principal {
    Principal::credd(&Owner::parse("jo").unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn credentials_as_they_are_presented(name in text(), secret in text()) {
        let presented = [
            Presented::Token(&secret),
            Presented::UsernamePassword(&name, &secret),
            Presented::KeyPair(&name, &secret),
        ];
        for presented in presented {
            prop_assert!(presented.parse().is_err(), "nobody guesses a checksum");
        }
    }

    #[test]
    fn ids(text in text()) {
        if let Ok(id) = text.parse::<CredentialId>() {
            prop_assert_eq!(id.to_string(), &*text);
        }
        if let Ok(id) = text.parse::<StoreId>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn page_tokens(text in text(), sealed: Vec<u8>) {
        for token in [text, BASE64URL_NOPAD.encode(&sealed)] {
            let opened = page_token::open(&keyring(), &caller(), &any_state(), &token);
            prop_assert!(opened.is_err());
        }
    }

    #[test]
    fn page_tokens_that_were_changed(at: usize, byte: u8) {
        let random = SystemRandom::new();
        let after = CredentialId::from_bytes([5; 16]);
        let token = page_token::seal(&keyring(), &random, &caller(), &any_state(), after);
        let mut bytes = BASE64URL_NOPAD.decode(token.unwrap().as_bytes()).unwrap();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        let token = BASE64URL_NOPAD.encode(&bytes);
        let opened = page_token::open(&keyring(), &caller(), &any_state(), &token);
        prop_assert!(opened.is_err());
    }

    #[test]
    fn resume_tokens(text in text(), bytes in nearly(vec![1; 57])) {
        for token in [text, BASE64URL_NOPAD.encode(&bytes)] {
            if let Ok(point) = resume_token::decode(&token) {
                prop_assert_eq!(resume_token::encode(&point), token);
            }
        }
    }

    #[test]
    fn keyring_files(text in text(), version: i64, key in "[0-9a-fA-F]{60,68}", at: prop::sample::Index) {
        let _ = keyring_file::parse(&text);
        let tables = |kind: &str| format!("[[{kind}]]\nversion = {version}\nkey = \"{key}\"\n");
        let mut file = tables("pepper") + &tables("sealing");
        let good = keyring_file::parse(&file).is_ok();
        prop_assert_eq!(good, key.len() == 64 && (1..=i64::from(u32::MAX)).contains(&version));
        file.truncate(at.index(file.len()));
        if let Err(error) = keyring_file::parse(&file) {
            let mut shown = error.to_string();
            write!(shown, "{error:?}").unwrap();
            prop_assert!(!shown.contains(&key), "an error quotes a key");
        }
    }

    #[test]
    fn stored_records(
        key: Vec<u8>,
        kind in prop::sample::select(&b"cuk"[..]),
        id in vec(any::<u8>(), 15..18),
        format in 0_u8..3,
        value in nearly(credential_record().encode_to_vec()),
    ) {
        let names = Interner::new();
        let decode = |key: &[u8], value: Option<Bytes>| {
            Record::decode(key, value.as_ref(), &names)
        };
        let _ = decode(&key, Some(value.clone().into()));
        let _ = decode(&key, None);
        let key = [&[kind][..], &id].concat();
        let value = [&[format][..], &value].concat();
        if let Ok(record) = decode(&key, Some(value.into())) {
            prop_assert_eq!((format, id.len()), (1, 16));
            let again = decode(&record.key(), record.encode());
            prop_assert_eq!(again, Ok(record));
        }
    }

    #[test]
    fn request_messages(
        bytes in nearly(token_request("acme").encode_to_vec()),
        presented in nearly(verify_token_request("creddt_").encode_to_vec()),
    ) {
        let mut violations = Violations::default();
        if let Ok(request) = v1::IssueRequest::decode(&*bytes) {
            let _ = convert::new_credential(request, NOW, &mut violations);
        }
        if let Ok(request) = v1::ListRequest::decode(&*bytes) {
            let (tenant, owner) = (&request.tenant, &request.owner);
            let _ = convert::filter(tenant, owner, request.kind, &request.states, &mut violations);
            let _ = convert::page_size(request.page_size, &mut violations);
        }
        if let Ok(request) = v1::WatchRequest::decode(&*bytes) {
            let _ = watch::parse_watch(request);
        }
        if let Ok(request) = v1::VerifyStreamRequest::decode(&*presented) {
            let request = request.request.unwrap_or_default();
            let _ = request.presented.as_ref().and_then(convert::presented);
        }
        if let Ok(request) = v1::VerifyRequest::decode(&*presented)
            && let Some(presented) = request.presented.as_ref().and_then(convert::presented)
        {
            let _ = presented.parse();
        }
    }

    #[test]
    fn requests_of_any_values(
        (tenant, owner, label, description) in (text(), text(), text(), text()),
        roles in vec(text(), 0..20),
        kind: i32,
        states: Vec<i32>,
        page_size: i32,
        expires_at: Option<(i64, i32)>,
        ttl: Option<(i64, i32)>,
    ) {
        let expires_at = expires_at.map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos });
        let ttl = ttl.map(|(seconds, nanos)| prost_types::Duration { seconds, nanos });
        let mut violations = Violations::default();
        let _ = convert::filter(&tenant, &owner, kind, &states, &mut violations);
        let _ = convert::page_size(page_size, &mut violations);
        let _ = convert::credential_id(&label, &mut violations);
        let _ = watch::parse_watch(v1::WatchRequest {
            resume_token: label.clone(),
            snapshot: false,
            tenants: roles.clone(),
            heartbeat: ttl,
        });
        let request = v1::IssueRequest { tenant, owner, kind, label, description, roles, expires_at, ttl };
        let mut violations = Violations::default();
        let read = convert::new_credential(request, NOW, &mut violations);
        let details = violations.status().get_error_details();
        prop_assert_eq!(read.is_none(), details.bad_request().is_some());
    }
}
