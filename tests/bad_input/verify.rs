//! Verify and Watch: what is no question.

use credd::proto::v1;
use credd::proto::v1::presented::Credential as Shown;
use credd::proto::v1::verify_stream_response::Outcome;
use prost::Message as _;
use tokio_stream::StreamExt as _;
use tonic::Status;

use crate::support::{soon, verify_token_request};
use crate::unchanged::{Unchanged, assert_names, case, seconds, texts, with};

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
    let long = "x".repeat(30_000);
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
    let session = |id: &str| v1::WatchRequest {
        session_id: id.to_owned(),
        ..Default::default()
    };
    let mut everything_wrong = tenants(&["acme", "Acme"]);
    everything_wrong.session_id = "x".to_owned();
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
        ("a session that is none", session("0123"), &["session_id"]),
        (
            "a session in capitals",
            session("0123456789ABCDEF0123456789ABCDEF"),
            &["session_id"],
        ),
        (
            "everything wrong at once",
            everything_wrong,
            &["resume_token", "heartbeat", "tenants[1]", "session_id"],
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
        .refuses("a second message without a renewal", &["renewal"], ended)
        .await;
    unchanged.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_names_every_profile_and_permission_that_cannot_be() {
    let unchanged = Unchanged::start().await;
    let good = || verify_token_request(&unchanged.token);
    let permissions = |permissions: Vec<String>| with!(good(), permissions = permissions);
    let mut cases = vec![
        case(
            "17 profiles",
            with!(good(), profiles = vec!["api-token".to_owned(); 17]),
            &["profiles"],
        ),
        case(
            "a name that no profile can have",
            with!(good(), profiles = texts(&["api-token", "No Profile"])),
            &["profiles[1]"],
        ),
        case(
            "17 permissions",
            permissions(vec!["feeds:read".to_owned(); 17]),
            &["permissions"],
        ),
        case(
            "one that is good and two that are not",
            permissions(texts(&["feeds:read", "feeds:*", "Feeds:read"])),
            &["permissions[1]", "permissions[2]"],
        ),
    ];
    let long = format!("{}:{}", "r".repeat(64), "a".repeat(64));
    for permission in [
        "",
        ":",
        "feeds",
        "feeds:",
        ":read",
        "feeds:read:all",
        "feeds:*",
        "*:read",
        "*:*",
        "*",
        "fee*:read",
        "credd:read",
        "credd.credentials:issue",
        "credd.credentials.issue",
        "feeds: read",
        &long,
    ] {
        let what = format!("the permission {permission:?}");
        let request = permissions(texts(&[permission]));
        cases.push(case(what, request, &["permissions[0]"]));
    }
    unchanged
        .refuses_all("VerificationService/Verify", cases)
        .await;
    let longest = format!("{}:{}", "r".repeat(64), "a".repeat(63));
    let good = vec![
        (
            "16 profiles, also such as nobody has",
            with!(good(), profiles = vec!["no-such-profile".to_owned(); 16]),
        ),
        ("16 permissions", permissions(vec![longest; 16])),
        (
            "one that is not credd's",
            permissions(texts(&["creddx:read"])),
        ),
    ];
    unchanged
        .accepts_all("VerificationService/Verify", good)
        .await;
    unchanged.end().await;
}

/// A header may be anything, and then it is INVALID: it was presented.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_of_any_bytes_is_invalid_and_no_error() {
    use v1::raw_header::Value::{Raw, Text};

    let unchanged = Unchanged::start().await;
    let token = &unchanged.token;
    let good = Text(format!("Bearer {token}"));
    let long = Text("x".repeat(60_000));
    let name = "Authorization";
    let headers = [
        ("", Some(good.clone())),
        ("Host", Some(good.clone())),
        ("X-Robot", Some(good.clone())),
        ("Authorization:", Some(good.clone())),
        (name, None),
        (name, Some(Text(String::new()))),
        (name, Some(Raw(Vec::new()))),
        (name, Some(Text(token.clone()))),
        (name, Some(Text(format!("Basic {token}")))),
        (name, Some(Text(format!("Bearer {token}, Bearer {token}")))),
        (name, Some(Text(format!("Bearer {token}\r\nX: y")))),
        (name, Some(Raw([b"Bearer \xff", token.as_bytes()].concat()))),
        (name, Some(long)),
    ];
    for (name, value) in headers {
        let name = name.to_owned();
        let header = Shown::Header(v1::RawHeader { name, value });
        let answer = unchanged.verdict(header).await;
        assert_eq!(answer, v1::Verdict::Invalid);
    }
    for (name, value) in [
        ("authorization", Text(format!("bearer {token}"))),
        ("AUTHORIZATION", Raw(format!("  Bearer {token} ").into())),
    ] {
        let (name, value) = (name.to_owned(), Some(value));
        let header = Shown::Header(v1::RawHeader { name, value });
        assert_eq!(unchanged.verdict(header).await, v1::Verdict::Active);
    }
    unchanged.end().await;
}

impl Unchanged {
    async fn verdict(&self, shown: Shown) -> v1::Verdict {
        let request = v1::VerifyRequest {
            presented: Some(v1::Presented {
                credential: Some(shown),
            }),
            ..verify_token_request("")
        };
        let mut verification = self.admin().verification.clone();
        let answer = verification.verify(request).await.unwrap().into_inner();
        let is_told = answer.identity.is_some() && answer.valid_for.is_some();
        assert_eq!(is_told, answer.verdict() == v1::Verdict::Active);
        answer.verdict()
    }
}
