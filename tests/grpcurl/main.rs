//! What a platform engineer sees: the real grpcurl against the real program,
//! through reflection.
#![allow(clippy::too_many_lines, reason = "a life has many steps")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod client;
mod profiles;
mod readme;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use client::{Grpcurl, resumed};
use data_encoding::BASE64;
use serde_json::{Value, json};
use support::program::{Program, serve};
use support::raw::rpcs;
use support::tool;

/// grpcurl ends with 64 and the gRPC code.
const INVALID_ARGUMENT: i32 = 64 + 3;
const NOT_FOUND: i32 = 64 + 5;
const FAILED_PRECONDITION: i32 = 64 + 9;
const UNAVAILABLE: i32 = 64 + 14;
const UNAUTHENTICATED: i32 = 64 + 16;

#[test]
fn a_credential_of_each_kind_lives_its_whole_life() {
    let Some(grpcurl) = tool("CREDD_TEST_GRPCURL") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let (server, address) = Program::serve(serve(&[], directory.path()));
    let admin = Grpcurl::admin(&grpcurl, address, directory.path());
    for profile in ["api-token", "basic", "key-pair"] {
        live(&admin, profile);
    }
    assert!(server.terminate().status.success());
}

/// Plays the life of a credential in a tenant of its own.
#[allow(clippy::too_many_lines, reason = "a whole life")]
fn live(admin: &Grpcurl, profile: &str) {
    let tenant = format!("tenant-of-{profile}");
    let watched = json!({ "tenants": [tenant] });
    let mut watch = admin.watch(&watched);
    let start = watch.next();
    assert!(start["bookmark"].is_object(), "{start}");

    let issued = admin.good(
        "CredentialService/Issue",
        &json!({
            "tenant": tenant,
            "owner": "jo@example.com",
            "profile": profile,
            "label": "pipeline",
            "description": "for the nightly build",
            "ttl": "86400s",
        }),
    );
    let id = issued["credential"]["id"].as_str().unwrap().to_owned();
    let secret = &issued["secret"];
    let (presented, bare) = presented(profile, secret);
    let mut commits = vec![watch.change(&id, "ISSUED", "ACTIVE", &issued["revision"])];

    let got = admin.good("CredentialService/Get", &json!({ "credential_id": id }));
    assert_eq!(got["credential"], issued["credential"]);
    assert_eq!(got["credential"]["createdBy"], "credd:admin");
    assert_eq!(got["credential"]["label"], "pipeline");
    assert_eq!(got["credential"]["profile"], json!(profile));
    assert_eq!(
        got["credential"]["daysLeft"], 0,
        "less than a whole day is left"
    );
    let list = json!({ "filter": { "tenant": tenant } });
    let listed = admin.good("CredentialService/List", &list);
    assert_eq!(listed["credentials"], json!([issued["credential"]]));
    assert!(!got.to_string().contains(&bare) && !listed.to_string().contains(&bare));

    let judged = |request: &Value| {
        let mut answer = admin.good("VerificationService/Verify", request);
        let fields = answer.as_object_mut().unwrap();
        // It is less each time.
        let ends_in = fields.remove("endsIn");
        assert_eq!(ends_in.is_some(), fields.contains_key("identity"));
        answer
    };
    let verify = |tenant: &str| {
        let request = json!({ "presented": presented, "tenant": tenant });
        let answer = judged(&request);
        let header = &secret["headers"][0];
        let header = json!({ "name": header["name"], "text": header["value"] });
        let request = json!({ "presented": { "header": header }, "tenant": tenant });
        assert_eq!(judged(&request), answer, "as the client sends it");
        answer
    };
    let verdict = || verify(&tenant)["verdict"].clone();
    let active = verify(&tenant);
    assert_eq!(active["verdict"], "VERDICT_ACTIVE");
    assert_eq!(active["identity"]["credentialId"], json!(id));
    assert_eq!(active["identity"]["owner"], "jo@example.com");
    assert_eq!(active["validFor"], "60s");
    assert_eq!(verify("another")["verdict"], "VERDICT_INVALID");

    let change = |method: &str| {
        let request = json!({ "credential_id": id, "reason": "leaked?" });
        let changed = admin.good(&format!("CredentialService/{method}"), &request);
        assert_eq!(changed["credential"]["lastChange"]["reason"], "leaked?");
        assert_eq!(changed["credential"]["lastChange"]["by"], "credd:admin");
        assert_eq!(changed["credential"]["stateRevision"], changed["revision"]);
        changed["revision"].clone()
    };
    let revision = change("Lock");
    commits.push(watch.change(&id, "LOCKED", "LOCKED", &revision));
    assert_eq!(verdict(), "VERDICT_LOCKED");
    let revision = change("Unlock");
    commits.push(watch.change(&id, "UNLOCKED", "ACTIVE", &revision));
    assert_eq!(verdict(), "VERDICT_ACTIVE");
    let revision = change("Revoke");
    commits.push(watch.change(&id, "REVOKED", "REVOKED", &revision));
    assert_eq!(verdict(), "VERDICT_REVOKED");
    assert_eq!(change("Revoke"), revision, "repeating it changes nothing");

    let refused = admin.refused("CredentialService/Unlock", &json!({ "credential_id": id }));
    assert_eq!(refused.status, FAILED_PRECONDITION);
    assert!(
        refused.text.contains("CREDENTIAL_REVOKED"),
        "{}",
        refused.text
    );
    assert!(admin.good("CredentialService/List", &list)["credentials"].is_null());
    let states = ["CREDENTIAL_STATE_REVOKED"];
    let revoked = json!({ "filter": { "tenant": tenant, "states": states } });
    let revoked = admin.good("CredentialService/List", &revoked);
    assert_eq!(revoked["credentials"][0]["id"], json!(id));
    assert_eq!(
        revoked["credentials"][0]["state"],
        "CREDENTIAL_STATE_REVOKED"
    );

    // The same again, from the beginning and from the middle.
    admin.assert_resumes(&watched, &start, &commits);
    admin.assert_resumes(&watched, &commits[1], &commits[2..]);
    let mut snapshot = admin.watch(&json!({ "tenants": [tenant], "snapshot": true }));
    let part = snapshot.next();
    let denied = json!({
        "credentialId": id,
        "tenant": tenant,
        "owner": "jo@example.com",
        "state": "CREDENTIAL_STATE_REVOKED",
    });
    assert_eq!(
        part["snapshotPart"],
        json!({ "denied": [denied], "complete": true })
    );
}

/// What a client sends who was given this secret, taken from the ready header,
/// and the part of it that is secret.
fn presented(profile: &str, secret: &Value) -> (Value, String) {
    assert_eq!(secret["headers"].as_array().unwrap().len(), 1);
    let header = secret["headers"][0]["value"].as_str().unwrap();
    let name = &secret["headers"][0]["name"];
    let (presented, bare, expected) = match profile {
        "api-token" => {
            assert_eq!(name, "Authorization");
            let token = header.strip_prefix("Bearer ").unwrap();
            (json!({ "token": token }), token.to_owned(), json!(token))
        }
        "basic" => {
            assert_eq!(name, "Authorization");
            let encoded = header.strip_prefix("Basic ").unwrap();
            let pair = String::from_utf8(BASE64.decode(encoded.as_bytes()).unwrap()).unwrap();
            let (username, password) = pair.split_once(':').unwrap();
            let pair = json!({ "username": username, "password": password });
            (
                json!({ "usernamePassword": pair }),
                password.to_owned(),
                pair,
            )
        }
        _ => {
            assert_eq!(name, "X-ApiKeys");
            let (access, secret) = header.split_once("; ").unwrap();
            let access = access.strip_prefix("accessKey=").unwrap();
            let secret = secret.strip_prefix("secretKey=").unwrap();
            let pair = json!({ "accessKey": access, "secretKey": secret });
            (json!({ "keyPair": pair }), secret.to_owned(), pair)
        }
    };
    let field = presented.as_object().unwrap().keys().next().unwrap();
    assert_eq!(
        secret[field], expected,
        "the bare values are those of the header"
    );
    (presented, bare)
}

#[test]
fn a_watch_is_taken_up_where_it_ended_after_a_restart() {
    let Some(grpcurl) = tool("CREDD_TEST_GRPCURL") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let (server, address) = Program::serve(serve(&[], directory.path()));
    let admin = Grpcurl::admin(&grpcurl, address, directory.path());
    let everything = json!({ "tenants": ["acme"] });
    let mut watch = admin.watch(&everything);
    let start = watch.next();
    let (id, revision) = admin.issue("acme");
    let mut commits = vec![watch.change(&id, "ISSUED", "ACTIVE", &revision)];
    assert!(server.terminate().status.success());

    let ended = watch.end();
    assert_eq!(ended.status, UNAVAILABLE);
    assert!(ended.text.contains("STOPPING"), "{}", ended.text);
    assert!(ended.text.contains("resume_token"), "{}", ended.text);

    let (_server, address) = Program::serve(serve(&[], directory.path()));
    let admin = Grpcurl::admin(&grpcurl, address, directory.path());
    let locked = admin.good("CredentialService/Lock", &json!({ "credential_id": id }));
    let mut watch = admin.watch(&resumed(&everything, &commits[0]));
    assert!(watch.next()["bookmark"].is_object());
    commits.push(watch.change(&id, "LOCKED", "LOCKED", &locked["revision"]));
    admin.assert_resumes(&everything, &start, &commits);

    let mut elsewhere = commits[0].clone();
    let token = elsewhere["resumeToken"].as_str().unwrap();
    // The first bytes after the version are the store's id.
    elsewhere["resumeToken"] = json!(format!("{}AAAA{}", &token[..8], &token[12..]));
    let mut watch = admin.watch(&resumed(&everything, &elsewhere));
    assert_eq!(watch.next()["reset"]["reason"], "RESET_REASON_OTHER_STORE");
}

#[test]
fn errors_can_be_read() {
    let Some(grpcurl) = tool("CREDD_TEST_GRPCURL") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let (_server, address) = Program::serve(serve(&[], directory.path()));
    let admin = Grpcurl::admin(&grpcurl, address, directory.path());

    let request = json!({ "tenant": "Acme", "owner": "jo", "label": "x".repeat(10_240) });
    let refused = admin.refused("CredentialService/Issue", &request);
    assert_eq!(refused.status, INVALID_ARGUMENT);
    assert_eq!(
        refused.fields(),
        BTreeSet::from(["tenant", "profile", "label"].map(str::to_owned))
    );
    let info = refused.detail("google.rpc.ErrorInfo");
    assert_eq!(
        (&info["reason"], &info["domain"]),
        (&json!("INVALID_FIELDS"), &json!("credd"))
    );
    assert!(
        refused
            .text
            .contains("Message: invalid request: tenant must be"),
        "{}",
        refused.text
    );

    let unknown = json!({ "credential_id": "00000000-0000-7000-8000-000000000000" });
    let refused = admin.refused("CredentialService/Get", &unknown);
    assert_eq!(refused.status, NOT_FOUND);
    let info = refused.detail("google.rpc.ErrorInfo");
    assert_eq!(info["reason"], "CREDENTIAL_NOT_FOUND");
}

#[test]
fn a_stranger_learns_what_there_is_to_call_and_nothing_else() {
    let Some(grpcurl) = tool("CREDD_TEST_GRPCURL") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let (_server, address) = Program::serve(serve(&[], directory.path()));
    let admin = Grpcurl::admin(&grpcurl, address, directory.path());
    let stranger = Grpcurl {
        token: None,
        ..admin.clone()
    };
    for caller in [&admin, &stranger] {
        let services = caller.text(&["list"]);
        let services: Vec<&str> = services
            .lines()
            .filter(|service| !service.starts_with("grpc.reflection."))
            .collect();
        let expected = [
            "credd.v1.AuditService",
            "credd.v1.CredentialService",
            "credd.v1.DirectoryService",
            "credd.v1.OperationsService",
            "credd.v1.VerificationService",
            "grpc.health.v1.Health",
        ];
        assert_eq!(services, expected);
        let described = caller.text(&["describe", "credd.v1.CredentialService"]);
        assert!(
            described.contains("rpc Issue ( .credd.v1.IssueRequest )"),
            "{described}"
        );
        let described = caller.text(&["describe", "credd.v1.WatchRequest"]);
        assert!(
            described.contains("string resume_token = 1;"),
            "{described}"
        );
        let health: Value =
            serde_json::from_str(&caller.text(&["grpc.health.v1.Health/Check"])).unwrap();
        assert_eq!(health, json!({ "status": "SERVING" }));
    }
    for method in rpcs() {
        let refused = stranger.refused(&method, &json!({}));
        assert_eq!(refused.status, UNAUTHENTICATED, "{method}");
        assert_eq!(
            refused.detail("google.rpc.ErrorInfo")["reason"],
            "CALLER_UNKNOWN"
        );
    }
}
