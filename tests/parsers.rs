//! Whatever bytes come in: every parser reads them or refuses them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use credd::authority::directory::Directory;
use credd::authority::list::{Filter, Order, Place, Whose};
use credd::authority::record::Record;
use credd::domain::calendar::{Date, Period, TimeZone};
use credd::domain::credential::ShownState;
use credd::domain::header::{AuthScheme, HeaderName, ParameterName};
use credd::domain::id::{CredentialId, RequestId};
use credd::domain::keyring::{KeyVersion, Keyring};
use credd::domain::language::Language;
use credd::domain::names::{Owner, Principal, PrincipalName};
use credd::domain::permission::{CreddGrant, Grant, Needed};
use credd::domain::random::SystemRandom;
use credd::domain::revision::StoreId;
use credd::domain::rights::Tenants;
use credd::domain::time::Timestamp;
use credd::domain::token::Presented;
use credd::proto::store;
use credd::rpc::page_token::{Binding, read_place, write_place};
use credd::rpc::status::Violations;
use credd::rpc::{convert, resume_token, watch};
use credd::server::keyring_file;
use data_encoding::BASE64URL_NOPAD;
use proptest::collection::vec;
use proptest::prelude::*;
use zeroize::Zeroizing;

use bytes::Bytes;
use credd::authority::names::Interner;
use credd::proto::v1;
use prost::Message as _;
use std::collections::BTreeMap;
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

fn change() -> store::ChangeRecord {
    store::ChangeRecord {
        r#type: 1,
        ..Default::default()
    }
}

fn credential_record() -> store::CredentialRecord {
    let secret = |generation| store::SecretRecord {
        generation,
        mac: vec![7; 32].into(),
        ..Default::default()
    };
    store::CredentialRecord {
        tenant: "acme".into(),
        kind: 1,
        state: 1,
        secret: Some(secret(2)),
        previous: Some(secret(1)),
        overlap_ends_at_ms: 1,
        language: "de-CH".into(),
        time_zone: "Europe/Berlin".into(),
        last_change: Some(change()),
        profile: "api-token".into(),
        ..Default::default()
    }
}

fn profile() -> v1::Profile {
    v1::Profile {
        name: "robots".to_owned(),
        display_name: "Robots".to_owned(),
        kind: v1::CredentialKind::KeyPair.into(),
        headers: vec![v1::HeaderRule {
            name: "X-Keys".to_owned(),
            format: Some(v1::header_rule::Format::Pair(v1::PairFormat {
                public_parameter: "a".to_owned(),
                secret_parameter: "b".to_owned(),
            })),
        }],
        visibility: v1::SecretVisibility::Once.into(),
        expiry: Some(v1::ExpiryRule {
            default_period: "P30D".to_owned(),
            allowed_periods: vec!["P30D".to_owned(), "P1Y".to_owned()],
            ..Default::default()
        }),
        multiplicity: v1::Multiplicity::Many.into(),
        ..Default::default()
    }
}

/// Of each kind of record, the start of its key, the rest of a key, and a value.
fn records() -> [(u8, Vec<u8>, Vec<u8>); 15] {
    let name = |name: &[u8]| name.to_vec();
    let profile = store::ProfileRecord {
        profile: profile().encode_to_vec().into(),
        last_change: Some(change()),
    };
    let tenant = store::TenantRecord {
        last_change: Some(change()),
        ..Default::default()
    };
    let owner = store::OwnerRecord {
        groups: vec!["a".into(), "b".into()],
        chosen_source: "b".into(),
        last_change: Some(change()),
        ..Default::default()
    };
    let role = store::RoleRecord {
        permissions: vec!["feeds:*".into()],
        last_change: Some(change()),
        ..Default::default()
    };
    let request = store::RequestRecord {
        request_mac: vec![7; 32].into(),
        credential_id: vec![7; 16].into(),
        ..Default::default()
    };
    let uses = store::UsesRecord {
        uses: vec![store::UseRecord {
            at_ms: 1,
            by: "credd:jo".into(),
            generation: 1,
        }],
    };
    let keyring = store::KeyringRecord {
        peppers: vec![store::KeyRecord {
            version: 1,
            check: vec![7; 32].into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let rekeyed = store::RekeyedRecord {
        current: Some(store::RekeyedSecretRecord {
            generation: 1,
            pepper_version: 2,
            mac: vec![7; 32].into(),
        }),
        ..Default::default()
    };
    let binding = store::BindingRecord {
        last_change: Some(change()),
    };
    let restored = store::RestoredRecord {
        origin: vec![1; 16].into(),
        from: vec![2; 16].into(),
        audit: Some(store::AuditAnchorRecord {
            sequence: 1,
            hash: vec![7; 32].into(),
        }),
        ..Default::default()
    };
    let closed = store::ClosedRecord {
        why: Some(store::closed_record::Why::ExportedAtMs(1)),
    };
    let node = store::NodeRecord {
        lease_ms: 10_000,
        format: 1,
        peppers: vec![store::LoadedKeyRecord {
            version: 1,
            check: vec![7; 32].into(),
        }],
        ..Default::default()
    };
    let format = store::FormatRecord { format: 1 };
    [
        (b'c', vec![1; 16], credential_record().encode_to_vec()),
        (b'u', vec![1; 16], uses.encode_to_vec()),
        (b't', name(b"acme"), tenant.encode_to_vec()),
        (b'o', name(b"acme\0jo"), owner.encode_to_vec()),
        (b'r', name(b"acme\0reader"), role.encode_to_vec()),
        (
            b'p',
            name(b"acme\0robots\0\0\0\0\x01"),
            profile.encode_to_vec(),
        ),
        (b'q', vec![7; 32], request.encode_to_vec()),
        (b'k', Vec::new(), keyring.encode_to_vec()),
        (b'm', vec![1; 16], rekeyed.encode_to_vec()),
        (
            b'b',
            name(b"acme\0credd:jo\0reader"),
            binding.encode_to_vec(),
        ),
        (b's', Vec::new(), restored.encode_to_vec()),
        (b'x', Vec::new(), closed.encode_to_vec()),
        (b'v', Vec::new(), format.encode_to_vec()),
        (b'n', vec![1; 16], node.encode_to_vec()),
        (b'f', Vec::new(), Vec::new()),
    ]
}

#[test]
fn stored_records_to_begin_with_are_good() {
    for (kind, rest, message) in records() {
        let key = [&[kind][..], &rest].concat();
        let value = [&[1][..], &message].concat();
        let record = Record::decode(&key, Some(&value.into()), &Interner::new());
        assert!(record.is_ok(), "{}: {record:?}", char::from(kind));
    }
}

/// The rest of a key, a format, and a message of one of the kinds of records,
/// each often good.
fn record() -> impl Strategy<Value = (u8, Vec<u8>, u8, Vec<u8>)> {
    prop::sample::select(records().to_vec()).prop_flat_map(|(kind, rest, message)| {
        let rest = prop_oneof![3 => Just(rest.clone()), 1 => nearly(rest)];
        (Just(kind), rest, 0_u8..3, nearly(message))
    })
}

fn keyring() -> Keyring {
    let keys = [(KeyVersion(1), Zeroizing::new([1; 32]))];
    Keyring::new(&keys, &keys).unwrap()
}

fn any_state() -> Filter {
    Filter {
        whose: Whose::All,
        profile: None,
        kind: None,
        states: vec![ShownState::Active],
        label_prefix: String::new(),
        role: None,
        expiring_before: None,
        unused_since: None,
        unlisted: false,
    }
}

/// What the page tokens of a caller's list are bound to.
fn binding() -> Binding {
    let caller = Principal::credd(&Owner::parse("jo").unwrap());
    Binding::new("credentials", &caller).with_filter(&any_state(), Order::Created)
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
            prop_assert!(binding().open(&keyring(), &token).is_err());
        }
        if let Ok(place) = read_place(&sealed) {
            prop_assert_eq!(write_place(place), sealed);
        }
    }

    #[test]
    fn page_tokens_that_were_changed(at: usize, byte: u8) {
        let random = SystemRandom::new();
        let after = write_place(Place::START);
        let token = binding().seal(&keyring(), &random, &after);
        let mut bytes = BASE64URL_NOPAD.decode(token.unwrap().as_bytes()).unwrap();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        let token = BASE64URL_NOPAD.encode(&bytes);
        prop_assert!(binding().open(&keyring(), &token).is_err());
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
    fn stored_records(key: Vec<u8>, (kind, rest, format, message) in record()) {
        let names = Interner::new();
        let decode = |key: &[u8], value: Option<Bytes>| {
            Record::decode(key, value.as_ref(), &names)
        };
        let value = [&[format][..], &message].concat();
        let _ = decode(&key, Some(value.clone().into()));
        let _ = decode(&key, None);
        let key = [&[kind][..], &rest].concat();
        if let Ok(record) = decode(&key, Some(value.into())) {
            prop_assert_eq!(format, 1);
            prop_assert_eq!(&*record.key(), key);
            let again = decode(&record.key(), record.encode());
            prop_assert_eq!(again, Ok(record));
        }
    }

    #[test]
    fn headers(
        name in prop_oneof!["Authorization", "x-apikeys", "X-API-KEY", text()],
        value in prop_oneof![any::<Vec<u8>>(), "(Bearer|Basic|accessKey=) ?[ -~]{0,200}".prop_map(String::into_bytes)],
    ) {
        let headers = Directory::new(&Interner::new());
        let _ = headers.headers().read(&name, &value);
    }

    #[test]
    fn what_profiles_and_roles_are_made_of(text in prop_oneof![
        text(),
        "P[0-9YMWDTHS.-]{0,20}",
        "[0-9-]{8,12}",
        "[a-z.*:]{0,20}",
        "[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}",
    ]) {
        if let Ok(period) = Period::parse(&text) {
            prop_assert_eq!(Period::parse(&period.to_string()), Ok(period));
        }
        if let Ok(date) = Date::parse(&text) {
            prop_assert_eq!(date.to_string(), &*text);
        }
        if let Ok(grant) = Grant::parse(&text) {
            prop_assert_eq!(grant.as_str(), &*text);
        }
        let _ = (TimeZone::parse(&text), Language::parse(&text), CreddGrant::parse(&text));
        let _ = (Needed::parse(&text), PrincipalName::parse(&text), RequestId::parse(&text));
        let _ = (HeaderName::parse(&text), AuthScheme::parse(&text), ParameterName::parse(&text));
    }

    #[test]
    fn request_messages(
        bytes in nearly(token_request("acme").encode_to_vec()),
        presented in nearly(verify_token_request("creddt_").encode_to_vec()),
        profile in nearly(profile().encode_to_vec()),
    ) {
        let mut violations = Violations::default();
        if let Ok(request) = v1::IssueRequest::decode(&*bytes) {
            let _ = convert::terms::new_credential(&request, NOW, &mut violations);
        }
        if let Ok(request) = v1::UpdateRequest::decode(&*bytes) {
            let _ = convert::terms::changes(request, NOW, &mut violations);
        }
        if let Ok(item) = v1::ImportedCredential::decode(&*bytes) {
            let _ = convert::terms::import_item(0, item, [0; 8], NOW, &mut violations);
        }
        if let Ok(request) = v1::ListRequest::decode(&*bytes) {
            let filter = request.filter.unwrap_or_default();
            let _ = convert::filter::narrow_filter(filter, &mut violations);
            let _ = convert::filter::order(request.order, &mut violations);
            let _ = convert::page_size(request.page_size, &mut violations);
        }
        if let Ok(request) = v1::PutTenantRequest::decode(&*bytes) {
            let _ = convert::directory::put_tenant(&request, &mut violations);
        }
        if let Ok(request) = v1::PutOwnerRequest::decode(&*bytes) {
            let _ = convert::directory::put_owner(&request, &mut violations);
        }
        if let Ok(request) = v1::PutRoleRequest::decode(&*bytes) {
            let _ = convert::directory::put_role(&request, &mut violations);
        }
        if let Ok(profile) = v1::Profile::decode(&*profile) {
            let _ = convert::profile::profile(profile, &mut violations);
        }
        if let Ok(request) = v1::WatchRequest::decode(&*bytes) {
            let _ = watch::parse_watch(request, &Tenants::All);
        }
        if let Ok(request) = v1::VerifyStreamRequest::decode(&*presented) {
            let request = request.request.unwrap_or_default();
            let presented = request.presented.and_then(|presented| presented.credential);
            let _ = presented.as_ref().and_then(convert::presented);
        }
        if let Ok(request) = v1::VerifyRequest::decode(&*presented)
            && let Some(presented) = request.presented.and_then(|presented| presented.credential)
            && let Some(presented) = convert::presented(&presented)
        {
            let _ = presented.parse();
        }
    }

    #[test]
    fn requests_of_any_values(
        (tenant, owner, label, description) in (text(), text(), text(), text()),
        (profile, language, time_zone) in (text(), text(), text()),
        roles in vec(text(), 0..20),
        kind: i32,
        states: Vec<i32>,
        page_size: i32,
        time: Option<(i64, i32)>,
        expiry in 0..6,
    ) {
        use v1::issue_request::Expiry;

        let (seconds, nanos) = time.unwrap_or_default();
        let at = prost_types::Timestamp { seconds, nanos };
        let ttl = prost_types::Duration { seconds, nanos };
        let mut violations = Violations::default();
        let _ = convert::page_size(page_size, &mut violations);
        let _ = convert::credential_id(&label, &mut violations);
        let _ = convert::request_id(&label, &mut violations);
        let _ = convert::overlap(Some(ttl), &mut violations);
        let _ = watch::parse_watch(v1::WatchRequest {
            resume_token: label.clone(),
            snapshot: false,
            tenants: roles.clone(),
            heartbeat: time.map(|_| ttl),
            session_id: label.clone(),
            renewal: None,
        }, &Tenants::All);
        let mut violations = Violations::default();
        let filter = v1::CredentialFilter {
            tenant: tenant.clone(),
            owner: owner.clone(),
            profile: profile.clone(),
            kind,
            states,
            label_prefix: label.clone(),
            role: roles.first().cloned().unwrap_or_default(),
            expiring_before: time.map(|_| at),
            unused_since: Some(at),
        };
        let read = convert::filter::filter(filter, &mut violations);
        let details = violations.status().get_error_details();
        prop_assert_eq!(read.is_none(), details.bad_request().is_some());
        let request = v1::IssueRequest {
            attributes: BTreeMap::from([(owner.clone(), label.clone())]),
            tenant,
            owner,
            profile,
            description,
            roles,
            language,
            time_zone,
            expiry: match expiry {
                0 => None,
                1 => Some(Expiry::ExpiresAt(at)),
                2 => Some(Expiry::Ttl(ttl)),
                3 => Some(Expiry::Period(label.clone())),
                4 => Some(Expiry::ExpiresOn(label.clone())),
                _ => Some(Expiry::Never(nanos < 0)),
            },
            label,
            ..Default::default()
        };
        let mut violations = Violations::default();
        let read = convert::terms::new_credential(&request, NOW, &mut violations);
        let details = violations.status().get_error_details();
        prop_assert_eq!(read.is_none(), details.bad_request().is_some());
    }
}
