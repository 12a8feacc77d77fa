//! Whatever a client sends: it gets an answer that names what is wrong, and
//! nothing has changed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use credd::proto::v1;
use credd::proto::v1::presented::Credential as Shown;
use credd::proto::v1::verify_stream_response::Outcome;
use credd::proto::v1::watch_response::Message;
use http::{HeaderMap, HeaderValue};
use prost::Message as _;
use support::raw::{self, RPCS};
use support::{
    Client, Server, channel, read_token, soon, token_of, token_request, verify_token_request,
};
use tokio_stream::StreamExt as _;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

const EVERY_STATE: [v1::CredentialState; 4] = [
    v1::CredentialState::Active,
    v1::CredentialState::Locked,
    v1::CredentialState::Revoked,
    v1::CredentialState::Expired,
];

/// A server with a little in it, and a Watch that sees whatever changes.
struct Unchanged {
    server: Server,
    before: Vec<v1::Credential>,
    watch: tonic::Streaming<v1::WatchResponse>,
    /// A token that is good.
    id: String,
    token: String,
}

impl Unchanged {
    async fn start() -> Self {
        let server = Server::start().await;
        let (id, token) = server.admin.issue_token("acme").await;
        let (locked, _) = server.admin.issue_token("globex").await;
        server.admin.lock(&locked).await.unwrap();
        let mut watch = server
            .admin
            .watch(v1::WatchRequest::default())
            .await
            .unwrap();
        let first = watch.message().await.unwrap().unwrap();
        assert!(matches!(first.message, Some(Message::Bookmark(_))));
        let before = everything(&server.admin).await;
        assert_eq!(before.len(), 3);
        Self {
            server,
            before,
            watch,
            id,
            token,
        }
    }

    const fn admin(&self) -> &Client {
        &self.server.admin
    }

    /// This call was refused, naming these fields, and left everything as it
    /// was.
    async fn refuses<T>(
        &self,
        what: &str,
        fields: &[&str],
        call: impl Future<Output = Result<T, Status>>,
    ) {
        let Err(status) = soon(what, call).await else {
            panic!("{what} was accepted");
        };
        assert_names(&status, what, fields);
        assert_eq!(
            everything(self.admin()).await,
            self.before,
            "{what} changed something"
        );
    }

    /// The first change since the start is one that is made now.
    async fn end(mut self) {
        let issued = self.admin().issue(token_request("acme")).await.unwrap();
        let change = loop {
            let message = soon("a change", self.watch.message()).await;
            let message = message.unwrap().unwrap();
            if let Some(Message::Commit(commit)) = message.message {
                break (message.revision, commit);
            }
        };
        assert_eq!(change.0, issued.revision);
        assert_eq!(change.1.events.len(), 1);
        drop(self.watch);
        self.server.stop().await;
    }
}

/// Every credential, but for its last use, which is written behind.
async fn everything(admin: &Client) -> Vec<v1::Credential> {
    let request = v1::ListRequest {
        states: EVERY_STATE.map(Into::into).to_vec(),
        page_size: 1000,
        ..Default::default()
    };
    let mut page = admin.list(request).await.unwrap();
    assert_eq!(page.next_page_token, "");
    for credential in &mut page.credentials {
        credential.last_used_at = None;
        credential.last_used_by.clear();
    }
    page.credentials
}

fn assert_names(status: &Status, what: &str, fields: &[&str]) {
    assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status}");
    assert_eq!(reason_of(status), "INVALID_FIELDS", "{what}");
    let expected: BTreeSet<_> = fields.iter().map(ToString::to_string).collect();
    assert_eq!(fields_of(status), expected, "{what}");
    for field in expected {
        assert!(
            status.message().contains(&field),
            "{what}: {}",
            status.message()
        );
    }
}

fn fields_of(status: &Status) -> BTreeSet<String> {
    let details = status.get_error_details();
    let request = details.bad_request().expect("a BadRequest");
    let violations = request.field_violations.iter();
    violations
        .inspect(|violation| assert!(!violation.description.is_empty()))
        .map(|violation| violation.field.clone())
        .collect()
}

fn reason_of(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info().expect("an ErrorInfo");
    assert_eq!(info.domain, "credd");
    info.reason.clone()
}

const fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

const fn at(seconds: i64, nanos: i32) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos }
}

fn now() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since_epoch.as_secs()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn issue_names_every_field_that_is_wrong_and_issues_nothing() {
    let unchanged = Unchanged::start().await;
    let good = || token_request("acme");
    let tenant = |tenant: &str| token_request(tenant);
    let owner = |owner: &str| v1::IssueRequest {
        owner: owner.to_owned(),
        ..good()
    };
    let label = |label: &str| v1::IssueRequest {
        label: label.to_owned(),
        ..good()
    };
    let kind = |kind: i32| v1::IssueRequest { kind, ..good() };
    let description = |description: &str| v1::IssueRequest {
        description: description.to_owned(),
        ..good()
    };
    let roles = |tenant: &str, roles: &[&str]| v1::IssueRequest {
        roles: roles.iter().map(ToString::to_string).collect(),
        ..token_request(tenant)
    };
    let expires_at = |at| v1::IssueRequest {
        expires_at: Some(at),
        ..good()
    };
    let ttl = |ttl| v1::IssueRequest {
        ttl: Some(ttl),
        ..good()
    };
    let many = vec!["verifier"; 17];
    let cases: Vec<(&str, v1::IssueRequest, &[&str])> = vec![
        ("a label of 10 kB", label(&"x".repeat(10_240)), &["label"]),
        ("no label", label(""), &["label"]),
        ("a label with space around it", label(" x"), &["label"]),
        ("a label of two lines", label("a\nb"), &["label"]),
        ("no kind", kind(0), &["kind"]),
        ("an unknown kind", kind(99), &["kind"]),
        ("a negative kind", kind(-1), &["kind"]),
        ("no tenant", tenant(""), &["tenant"]),
        ("a tenant in capitals", tenant("Acme"), &["tenant"]),
        (
            "a tenant of 64 characters",
            tenant(&"x".repeat(64)),
            &["tenant"],
        ),
        ("no owner", owner(""), &["owner"]),
        ("an owner with a space", owner("jo doe"), &["owner"]),
        (
            "an owner of 129 characters",
            owner(&"x".repeat(129)),
            &["owner"],
        ),
        (
            "a long description",
            description(&"x".repeat(1025)),
            &["description"],
        ),
        (
            "a tab in the description",
            description("a\tb"),
            &["description"],
        ),
        (
            "a role that the tenant lacks",
            roles("acme", &["administrator"]),
            &["roles[0]"],
        ),
        ("no role in credd's tenant", roles("credd", &[]), &["roles"]),
        (
            "an unknown role of credd",
            roles("credd", &["verifier", "auditor"]),
            &["roles[1]"],
        ),
        (
            "a role twice",
            roles("credd", &["verifier", "verifier"]),
            &["roles[1]"],
        ),
        (
            "a role that is no name",
            roles("credd", &["No Role"]),
            &["roles[0]"],
        ),
        (
            "an expiry in the past",
            expires_at(at(now() - 1, 0)),
            &["expires_at"],
        ),
        (
            "an expiry at the epoch",
            expires_at(at(0, 0)),
            &["expires_at"],
        ),
        (
            "an expiry long ago",
            expires_at(at(i64::MIN, 0)),
            &["expires_at"],
        ),
        (
            "an expiry after the year 9999",
            expires_at(at(253_402_300_800, 0)),
            &["expires_at"],
        ),
        (
            "an expiry beyond all time",
            expires_at(at(i64::MAX, 0)),
            &["expires_at"],
        ),
        (
            "negative nanoseconds",
            expires_at(at(now() + 60, -1)),
            &["expires_at"],
        ),
        (
            "a second of nanoseconds",
            expires_at(at(now() + 60, 1_000_000_000)),
            &["expires_at"],
        ),
        ("a ttl of 0", ttl(seconds(0)), &["ttl"]),
        ("a negative ttl", ttl(seconds(-1)), &["ttl"]),
        ("the least ttl", ttl(seconds(i64::MIN)), &["ttl"]),
        ("a ttl of ages", ttl(seconds(i64::MAX)), &["ttl"]),
        (
            "a ttl that ends after the year 9999",
            ttl(seconds(253_402_300_800)),
            &["ttl"],
        ),
        (
            "both expires_at and ttl",
            v1::IssueRequest {
                expires_at: Some(at(now() + 60, 0)),
                ttl: Some(seconds(60)),
                ..good()
            },
            &["expires_at", "ttl"],
        ),
        (
            "everything wrong at once",
            v1::IssueRequest {
                tenant: "-".to_owned(),
                owner: "-".to_owned(),
                kind: 4,
                label: "\0".to_owned(),
                description: "\0".to_owned(),
                roles: vec![String::new()],
                expires_at: Some(at(1, 0)),
                ttl: None,
            },
            &[
                "tenant",
                "owner",
                "kind",
                "label",
                "description",
                "roles[0]",
                "expires_at",
            ],
        ),
        (
            "nothing at all",
            v1::IssueRequest::default(),
            &["tenant", "owner", "kind", "label"],
        ),
    ];
    for (what, request, fields) in cases {
        let call = unchanged.admin().issue(request);
        unchanged.refuses(what, fields, call).await;
    }
    let status = unchanged.admin().issue(roles("credd", &many)).await;
    let status = status.err().expect("17 roles are refused");
    assert!(fields_of(&status).contains("roles"), "{status}");
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_without_a_good_id_and_reason_changes_nothing() {
    let unchanged = Unchanged::start().await;
    let id = &unchanged.id;
    let long = "x".repeat(257);
    let capitals = id.to_uppercase();
    let braces = format!("{{{id}}}");
    let plain = id.replace('-', "");
    let cases: [(&str, &str, &[&str]); 8] = [
        ("", "", &["credential_id"]),
        ("jo", "", &["credential_id"]),
        (&capitals, "", &["credential_id"]),
        (&braces, "", &["credential_id"]),
        (&plain, "", &["credential_id"]),
        (id, &long, &["reason"]),
        (id, "two\nlines", &["reason"]),
        ("", &long, &["credential_id", "reason"]),
    ];
    for (id, reason, fields) in cases {
        let (credential_id, reason) = (id.to_owned(), reason.to_owned());
        let what = format!("the id {id:?} and the reason {reason:?}");
        let mut credentials = unchanged.admin().credentials.clone();
        let lock = v1::LockRequest {
            credential_id: credential_id.clone(),
            reason: reason.clone(),
        };
        unchanged
            .refuses(&what, fields, credentials.lock(lock))
            .await;
        let unlock = v1::UnlockRequest {
            credential_id: credential_id.clone(),
            reason: reason.clone(),
        };
        unchanged
            .refuses(&what, fields, credentials.unlock(unlock))
            .await;
        let revoke = v1::RevokeRequest {
            credential_id: credential_id.clone(),
            reason,
        };
        unchanged
            .refuses(&what, fields, credentials.revoke(revoke))
            .await;
        if fields.contains(&"credential_id") {
            let get = v1::GetRequest { credential_id };
            unchanged
                .refuses(&what, &["credential_id"], credentials.get(get))
                .await;
        }
    }
    let unknown = "018f0000-0000-7000-8000-000000000000";
    let admin = unchanged.admin();
    let not_found = [
        admin.get(unknown).await.err(),
        admin.lock(unknown).await.err(),
        admin.unlock(unknown).await.err(),
        admin.revoke(unknown).await.err(),
    ];
    for status in not_found {
        let status = status.expect("an unknown id is refused");
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(reason_of(&status), "CREDENTIAL_NOT_FOUND");
    }
    assert_eq!(everything(admin).await, unchanged.before);
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_cannot_be_is_refused() {
    let unchanged = Unchanged::start().await;
    let all = v1::ListRequest::default;
    let names = |tenant: &str, owner: &str| v1::ListRequest {
        tenant: tenant.to_owned(),
        owner: owner.to_owned(),
        ..all()
    };
    let size = |page_size| v1::ListRequest { page_size, ..all() };
    let states = |states: &[i32]| v1::ListRequest {
        states: states.to_vec(),
        ..all()
    };
    let cases: Vec<(&str, v1::ListRequest, &[&str])> = vec![
        ("a negative page size", size(-1), &["page_size"]),
        ("the least page size", size(i32::MIN), &["page_size"]),
        ("an owner without a tenant", names("", "jo"), &["owner"]),
        ("a bad tenant", names("Acme", ""), &["tenant"]),
        ("a bad owner", names("acme", " "), &["owner"]),
        ("both", names("Acme", " "), &["tenant", "owner"]),
        (
            "an unknown kind",
            v1::ListRequest { kind: 99, ..all() },
            &["kind"],
        ),
        ("an unspecified state", states(&[0]), &["states[0]"]),
        ("an unknown state", states(&[1, 99]), &["states[1]"]),
    ];
    for (what, request, fields) in cases {
        unchanged
            .refuses(what, fields, unchanged.admin().list(request))
            .await;
    }
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_is_good_for_its_list_and_its_caller_alone() {
    let unchanged = Unchanged::start().await;
    let admin = unchanged.admin();
    let page = |token: &str| v1::ListRequest {
        page_size: 1,
        page_token: token.to_owned(),
        ..Default::default()
    };
    let first = admin.list(page("")).await.unwrap();
    let token = first.next_page_token;
    let second = admin.list(page(&token)).await.unwrap();
    assert_ne!(first.credentials, second.credentials);
    let larger = v1::ListRequest {
        page_size: 2,
        ..page(&token)
    };
    assert_eq!(admin.list(larger).await.unwrap().credentials.len(), 2);

    let mut garbled = token.clone().into_bytes();
    garbled[20] = if garbled[20] == b'A' { b'B' } else { b'A' };
    let garbled = String::from_utf8(garbled).unwrap();
    let elsewhere = Server::start().await;
    elsewhere.admin.issue_token("acme").await;
    let foreign = elsewhere
        .admin
        .list(page(""))
        .await
        .unwrap()
        .next_page_token;
    assert_ne!(foreign, "");
    elsewhere.stop().await;
    let of_acme = v1::ListRequest {
        tenant: "acme".to_owned(),
        ..page(&token)
    };
    let of_tokens = v1::ListRequest {
        kind: v1::CredentialKind::ApiToken.into(),
        ..page(&token)
    };
    let of_locked = v1::ListRequest {
        states: vec![v1::CredentialState::Locked.into()],
        ..page(&token)
    };
    let cases = [
        ("no token at all", page("next")),
        ("a token of another alphabet", page("é")),
        ("half a token", page(&token[..token.len() / 2])),
        ("a token and more", page(&format!("{token}AAAA"))),
        ("a garbled token", page(&garbled)),
        ("a token from elsewhere", page(&foreign)),
        ("a token of a list of all tenants", of_acme),
        ("a token of a list of all kinds", of_tokens),
        ("a token of a list of other states", of_locked),
    ];
    for (what, request) in cases {
        unchanged
            .refuses(what, &["page_token"], admin.list(request))
            .await;
    }

    let other = v1::IssueRequest {
        owner: "another".to_owned(),
        roles: vec!["administrator".to_owned()],
        ..token_request("credd")
    };
    let other = token_of(admin.issue(other).await.unwrap().secret);
    let other = unchanged.server.client(&other).await;
    let status = other.list(page(&token)).await.unwrap_err();
    assert_names(&status, "another caller's token", &["page_token"]);
    assert!(
        admin.list(page(&token)).await.is_ok(),
        "it is still good for its own"
    );
    unchanged.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_as_long_as_asked_for_within_bounds() {
    const TENANTS: usize = 5;
    const CREDENTIALS: usize = 1_005;

    let server = Server::start().await;
    let issuing: Vec<_> = (0..CREDENTIALS)
        .map(|n| {
            let admin = server.admin.clone();
            tokio::spawn(async move { admin.issue_token(&format!("t{}", n % TENANTS)).await.0 })
        })
        .collect();
    let mut issued = BTreeSet::new();
    for task in issuing {
        assert!(issued.insert(task.await.unwrap()));
    }
    let page = |page_size, page_token: &str| v1::ListRequest {
        page_size,
        page_token: page_token.to_owned(),
        ..Default::default()
    };
    for (asked, given) in [
        (0, 50),
        (1, 1),
        (7, 7),
        (1000, 1000),
        (1001, 1000),
        (i32::MAX, 1000),
    ] {
        let page = server.admin.list(page(asked, "")).await.unwrap();
        assert_eq!(page.credentials.len(), given, "{asked}");
        assert_ne!(page.next_page_token, "");
    }
    // Paging shows each once, whatever the sizes.
    for sizes in [[0, 0], [1000, 1000], [3, 400]] {
        let mut seen = BTreeSet::new();
        let mut token = String::new();
        for size in sizes.into_iter().cycle() {
            let page = server.admin.list(page(size, &token)).await.unwrap();
            for credential in page.credentials {
                assert!(seen.insert(credential.id), "repeated");
            }
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert!(seen.is_superset(&issued), "skipped");
        assert_eq!(
            seen.len(),
            CREDENTIALS + 1,
            "all and the administrator's own"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn verify_is_refused_only_for_want_of_a_question() {
    let unchanged = Unchanged::start().await;
    let nothing = v1::VerifyRequest {
        presented: None,
        ..verify_token_request("")
    };
    let empty = v1::VerifyRequest {
        presented: Some(v1::Presented { credential: None }),
        ..verify_token_request("")
    };
    let no_audience = v1::VerifyRequest {
        any_tenant: false,
        ..verify_token_request(&unchanged.token)
    };
    let two_audiences = v1::VerifyRequest {
        tenant: "acme".to_owned(),
        ..verify_token_request(&unchanged.token)
    };
    let cases = [
        ("nothing presented", nothing, "presented"),
        ("an empty presentation", empty, "presented"),
        ("no audience", no_audience, "tenant"),
        ("two audiences", two_audiences, "any_tenant"),
    ];
    for (what, request, field) in &cases {
        let mut verification = unchanged.admin().verification.clone();
        let call = verification.verify(request.clone());
        unchanged.refuses(what, &[field], call).await;
    }

    // On a stream each bad question is answered, and the next one is, too.
    let mut questions: Vec<_> = cases
        .iter()
        .zip(1..)
        .map(|((_, request, _), correlation)| v1::VerifyStreamRequest {
            correlation,
            request: Some(request.clone()),
        })
        .collect();
    questions.push(v1::VerifyStreamRequest {
        correlation: 5,
        request: None,
    });
    questions.push(v1::VerifyStreamRequest {
        correlation: 6,
        request: Some(verify_token_request(&unchanged.token)),
    });
    let mut verification = unchanged.admin().verification.clone();
    let answers = verification
        .verify_stream(tokio_stream::iter(questions))
        .await;
    let mut answers: Vec<_> = soon(
        "the answers",
        answers.unwrap().into_inner().collect::<Vec<_>>(),
    )
    .await
    .into_iter()
    .map(Result::unwrap)
    .collect();
    answers.sort_by_key(|answer| answer.correlation);
    assert_eq!(answers.len(), 6);
    let fields = ["presented", "presented", "tenant", "any_tenant", "request"];
    for (answer, (field, correlation)) in answers.iter().zip(fields.into_iter().zip(1..)) {
        assert_eq!(answer.correlation, correlation);
        let Some(Outcome::Error(error)) = &answer.outcome else {
            panic!("question {correlation} was answered");
        };
        let details = error.encode_to_vec().into();
        let status = Status::with_details(error.code.into(), &*error.message, details);
        assert_names(&status, "a question of a stream", &[field]);
    }
    let Some(Outcome::Response(last)) = &answers[5].outcome else {
        panic!("the last question was not answered");
    };
    assert_eq!(last.verdict(), v1::Verdict::Active);

    // What was presented may be anything.
    let long = "x".repeat(100_000);
    let pair = |name: &str, secret: &str| {
        let (username, password) = (name.to_owned(), secret.to_owned());
        Shown::UsernamePassword(v1::UsernamePassword { username, password })
    };
    let keys = |access: &str, secret: &str| {
        let (access_key, secret_key) = (access.to_owned(), secret.to_owned());
        Shown::KeyPair(v1::KeyPair {
            access_key,
            secret_key,
        })
    };
    let mut garbled = vec![
        Shown::Token(format!("{} ", unchanged.token)),
        pair("jo", &unchanged.token),
        keys("jo", &unchanged.token),
    ];
    for text in ["", " ", "\0", "é", "creddt_", &long] {
        garbled.extend([
            Shown::Token(text.to_owned()),
            pair(text, text),
            keys(text, text),
        ]);
    }
    for shown in garbled {
        let request = v1::VerifyRequest {
            presented: Some(v1::Presented {
                credential: Some(shown),
            }),
            ..verify_token_request("")
        };
        let mut verification = unchanged.admin().verification.clone();
        let answer = verification.verify(request).await.unwrap().into_inner();
        assert_eq!(answer.verdict(), v1::Verdict::Invalid);
        assert!(answer.identity.is_none() && answer.valid_for.is_none());
    }
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_cannot_be_is_refused() {
    let unchanged = Unchanged::start().await;
    let resume = |token: &str| v1::WatchRequest {
        resume_token: token.to_owned(),
        ..Default::default()
    };
    let heartbeat = |seconds, nanos| v1::WatchRequest {
        heartbeat: Some(prost_types::Duration { seconds, nanos }),
        ..Default::default()
    };
    let tenants = |tenants: &[&str]| v1::WatchRequest {
        tenants: tenants.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    let mut everything_wrong = tenants(&["acme", "Acme"]);
    everything_wrong.resume_token = "x".to_owned();
    everything_wrong.heartbeat = Some(seconds(-1));
    let zeros = "A".repeat(76);
    let cases: Vec<(&str, v1::WatchRequest, &[&str])> = vec![
        (
            "a resume token that is none",
            resume("x"),
            &["resume_token"],
        ),
        (
            "a resume token of another alphabet",
            resume("é"),
            &["resume_token"],
        ),
        (
            "a resume token of another version",
            resume(&zeros),
            &["resume_token"],
        ),
        ("a short resume token", resume("AQAA"), &["resume_token"]),
        ("a heartbeat of 0", heartbeat(0, 0), &["heartbeat"]),
        (
            "a heartbeat of 99 ms",
            heartbeat(0, 99_999_999),
            &["heartbeat"],
        ),
        (
            "a heartbeat of more than 1 h",
            heartbeat(3600, 1),
            &["heartbeat"],
        ),
        ("a negative heartbeat", heartbeat(-10, 0), &["heartbeat"]),
        (
            "the least heartbeat",
            heartbeat(i64::MIN, i32::MIN),
            &["heartbeat"],
        ),
        (
            "a bad tenant",
            tenants(&["acme", "", "Acme"]),
            &["tenants[1]", "tenants[2]"],
        ),
        ("101 tenants", tenants(&["acme"; 101]), &["tenants"]),
        (
            "everything wrong at once",
            everything_wrong,
            &["resume_token", "heartbeat", "tenants[1]"],
        ),
    ];
    for (what, request, fields) in cases {
        unchanged
            .refuses(what, fields, unchanged.admin().watch(request))
            .await;
    }

    let mut verification = unchanged.admin().verification.clone();
    let none = verification.watch(tokio_stream::empty());
    unchanged.refuses("no message", &["request"], none).await;
    let two = tokio_stream::iter([v1::WatchRequest::default(), v1::WatchRequest::default()]);
    let mut verification = unchanged.admin().verification.clone();
    let ended = async {
        let mut answers = verification.watch(two).await?.into_inner();
        while answers.message().await?.is_some() {}
        Ok(())
    };
    unchanged
        .refuses("a second message", &["request"], ended)
        .await;
    unchanged.end().await;
}

/// The request of an RPC that would be carried out if it could be read.
fn good_request(rpc: &str, id: &str, token: &str) -> Vec<u8> {
    let credential_id = id.to_owned();
    let reason = String::new();
    match rpc {
        "CredentialService/Issue" => token_request("acme").encode_to_vec(),
        "CredentialService/Get" => v1::GetRequest { credential_id }.encode_to_vec(),
        "CredentialService/List" => v1::ListRequest {
            page_size: 1,
            ..Default::default()
        }
        .encode_to_vec(),
        "CredentialService/Lock" => v1::LockRequest {
            credential_id,
            reason,
        }
        .encode_to_vec(),
        "CredentialService/Unlock" => v1::UnlockRequest {
            credential_id,
            reason,
        }
        .encode_to_vec(),
        "CredentialService/Revoke" => v1::RevokeRequest {
            credential_id,
            reason,
        }
        .encode_to_vec(),
        "VerificationService/Verify" => verify_token_request(token).encode_to_vec(),
        "VerificationService/VerifyStream" => v1::VerifyStreamRequest {
            correlation: 1,
            request: Some(verify_token_request(token)),
        }
        .encode_to_vec(),
        _ => v1::WatchRequest {
            tenants: vec!["acme".to_owned()],
            ..Default::default()
        }
        .encode_to_vec(),
    }
}

/// A field of a message as it is on the wire (Protocol Buffers encoding, "Length
/// delimited records").
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
    bytes.extend(content);
    bytes
}

fn as_admin(unchanged: &Unchanged, message: impl Into<Bytes>) -> Request<Bytes> {
    let mut request = Request::new(message.into());
    let token = read_token(unchanged.server.directory.path());
    let bearer = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_read_is_the_callers_fault() {
    const NOT_UTF8: [u8; 2] = [b'x', 0xff];

    let unchanged = Unchanged::start().await;
    let presented = field(1, &field(1, &NOT_UTF8));
    let texts: Vec<(&str, Vec<u8>, &str)> = vec![
        ("CredentialService/Issue", field(1, &NOT_UTF8), "tenant"),
        ("CredentialService/Issue", field(4, &NOT_UTF8), "label"),
        ("CredentialService/Issue", field(6, &NOT_UTF8), "roles"),
        (
            "CredentialService/Get",
            field(1, &NOT_UTF8),
            "credential_id",
        ),
        ("CredentialService/List", field(6, &NOT_UTF8), "page_token"),
        ("CredentialService/Lock", field(2, &NOT_UTF8), "reason"),
        ("CredentialService/Unlock", field(2, &NOT_UTF8), "reason"),
        ("CredentialService/Revoke", field(2, &NOT_UTF8), "reason"),
        ("VerificationService/Verify", field(2, &NOT_UTF8), "tenant"),
        ("VerificationService/Watch", field(3, &NOT_UTF8), "tenants"),
    ];
    let channel = channel(unchanged.server.address).await;
    for (rpc, message, named) in texts {
        // Behind what alone would be carried out.
        let mut bytes = good_request(rpc, &unchanged.id, &unchanged.token);
        bytes.extend(message);
        let call = raw::call(channel.clone(), rpc, as_admin(&unchanged, bytes));
        unchanged
            .refuses(&format!("{rpc}: {named} is not UTF-8"), &[named], call)
            .await;
    }
    // A member of a oneof goes by the name of the oneof.
    for (rpc, message, named) in [
        (
            "VerificationService/Verify",
            presented.clone(),
            "presented.credential",
        ),
        (
            "VerificationService/VerifyStream",
            field(2, &presented),
            "request.presented.credential",
        ),
    ] {
        let call = raw::call(channel.clone(), rpc, as_admin(&unchanged, message));
        unchanged
            .refuses(&format!("{rpc}: {named} is not UTF-8"), &[named], call)
            .await;
    }
    for rpc in RPCS {
        let whole = good_request(rpc, &unchanged.id, &unchanged.token);
        let garbage: [(&str, &[u8]); 4] = [
            (
                "bytes of another protocol",
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            ),
            ("a wire type that is none", b"\x0f"),
            ("a group that never ends", b"\x7b"),
            ("half a message", &whole[..whole.len() - 1]),
        ];
        for (what, garbage) in garbage {
            let bytes = Bytes::copy_from_slice(garbage);
            let call = raw::call(channel.clone(), rpc, as_admin(&unchanged, bytes));
            let what = format!("{rpc}: {what}");
            let status = soon(&what, call).await.expect_err(&what);
            assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status}");
            assert_eq!(reason_of(&status), "INVALID_FIELDS");
            assert!(!fields_of(&status).is_empty());
        }
    }
    assert_eq!(everything(unchanged.admin()).await, unchanged.before);
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_5_mib_is_too_large() {
    let unchanged = Unchanged::start().await;
    let channel = channel(unchanged.server.address).await;
    for rpc in RPCS {
        let mut bytes = good_request(rpc, &unchanged.id, &unchanged.token);
        // An unknown field of 5 MiB.
        bytes.extend([15 << 3 | 2, 0x80, 0x80, 0xc0, 0x02]);
        bytes.extend(vec![0; 5 << 20]);
        let call = raw::call(channel.clone(), rpc, as_admin(&unchanged, bytes));
        let status = soon(rpc, call).await.expect_err(rpc);
        assert_eq!(status.code(), Code::ResourceExhausted, "{rpc}: {status}");
        assert_eq!(reason_of(&status), "MESSAGE_TOO_LARGE", "{rpc}");
        assert_eq!(
            fields_of(&status),
            BTreeSet::from(["request".to_owned()]),
            "{rpc}"
        );
    }
    assert_eq!(everything(unchanged.admin()).await, unchanged.before);
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_is_not_text_is_named() {
    let unchanged = Unchanged::start().await;
    let channel = channel(unchanged.server.address).await;
    for rpc in RPCS {
        for value in [&b"caf\xe9"[..], "café".as_bytes(), b"\xff\xfe", b"a\tb"] {
            let message = good_request(rpc, &unchanged.id, &unchanged.token);
            let mut request = as_admin(&unchanged, message);
            let mut headers = request.metadata().clone().into_headers();
            headers.insert("x-request-id", HeaderValue::from_bytes(value).unwrap());
            *request.metadata_mut() = MetadataMap::from_headers(headers);
            let call = raw::call(channel.clone(), rpc, request);
            let what = format!("{rpc} with {value:?} as metadata");
            unchanged
                .refuses(&what, &["metadata.x-request-id"], call)
                .await;
        }
    }
    // A caller's token that is not text is no caller's token.
    let mut headers = HeaderMap::new();
    let bearer = HeaderValue::from_bytes(b"Bearer \xff").unwrap();
    headers.insert(http::header::AUTHORIZATION, bearer);
    let mut request = Request::new(Bytes::new());
    *request.metadata_mut() = MetadataMap::from_headers(headers);
    let call = raw::call(channel.clone(), RPCS[0], request);
    unchanged
        .refuses(
            "a bearer that is no text",
            &["metadata.authorization"],
            call,
        )
        .await;

    // Binary metadata may be any bytes.
    let message = good_request(
        "VerificationService/Verify",
        &unchanged.id,
        &unchanged.token,
    );
    let mut request = as_admin(&unchanged, message);
    let bytes = tonic::metadata::MetadataValue::from_bytes(b"\xff\xfe");
    request.metadata_mut().insert_bin("x-trace-bin", bytes);
    let answer = raw::call(channel, "VerificationService/Verify", request)
        .await
        .unwrap();
    let answer = v1::VerifyResponse::decode(answer).unwrap();
    assert_eq!(answer.verdict(), v1::Verdict::Active);
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rpc_answers_an_unknown_caller() {
    let unchanged = Unchanged::start().await;
    let admin = read_token(unchanged.server.directory.path());
    let customers = unchanged.token.clone();
    let last = if admin.ends_with('0') { "1" } else { "0" };
    let wrong = format!("{}{last}", &admin[..admin.len() - 1]);
    let (former, locked) = unchanged.admin().issue_verifier("former").await;
    unchanged.admin().lock(&former).await.unwrap();
    let (former, revoked) = unchanged.admin().issue_verifier("former").await;
    unchanged.admin().revoke(&former).await.unwrap();
    let before = everything(unchanged.admin()).await;

    let bearer = |token: &str| vec![format!("Bearer {token}")];
    let callers = [
        ("nobody", Vec::new()),
        ("an empty token", bearer("")),
        ("a wrong token", bearer(&wrong)),
        ("a customer", bearer(&customers)),
        ("a locked caller", bearer(&locked)),
        ("a revoked caller", bearer(&revoked)),
        (
            "a good token in another scheme",
            vec![format!("Basic {admin}")],
        ),
        ("a good token without a scheme", vec![admin.clone()]),
        ("a good token and space", bearer(&format!(" {admin}"))),
        ("two callers", [bearer(&admin), bearer(&admin)].concat()),
    ];
    let channel = channel(unchanged.server.address).await;
    for rpc in RPCS {
        for (who, authorization) in &callers {
            let message = good_request(rpc, &unchanged.id, &unchanged.token);
            let mut request = Request::new(Bytes::from(message));
            for value in authorization {
                let value = value.parse().unwrap();
                request.metadata_mut().append("authorization", value);
            }
            let call = raw::call(channel.clone(), rpc, request);
            let status = soon(rpc, call).await.expect_err(who);
            assert_eq!(
                status.code(),
                Code::Unauthenticated,
                "{rpc}, {who}: {status}"
            );
            assert_eq!(reason_of(&status), "CALLER_UNKNOWN", "{rpc}, {who}");
        }
    }
    let nowhere = raw::call(
        channel,
        "CredentialService/Nothing",
        as_admin(&unchanged, ""),
    )
    .await;
    assert_eq!(nowhere.unwrap_err().code(), Code::Unimplemented);
    assert_eq!(everything(unchanged.admin()).await, before);
    unchanged.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_may_verify_and_watch_and_nothing_else() {
    let unchanged = Unchanged::start().await;
    let (_, token) = unchanged.admin().issue_verifier("sidecar").await;
    let before = everything(unchanged.admin()).await;
    let channel = channel(unchanged.server.address).await;
    for rpc in RPCS {
        let message = good_request(rpc, &unchanged.id, &unchanged.token);
        let mut request = Request::new(Bytes::from(message));
        let bearer = format!("bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        let answer = soon(rpc, raw::call(channel.clone(), rpc, request)).await;
        if rpc.starts_with("VerificationService") {
            assert!(answer.is_ok(), "{rpc}: {answer:?}");
        } else {
            let status = answer.expect_err(rpc);
            assert_eq!(status.code(), Code::PermissionDenied, "{rpc}");
            assert_eq!(reason_of(&status), "PERMISSION_MISSING", "{rpc}");
        }
    }
    assert_eq!(everything(unchanged.admin()).await, before);
    unchanged.server.stop().await;
}
