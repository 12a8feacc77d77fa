//! Attacks on rights, the audit log and turns.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, dead_code, missing_docs, clippy::pedantic)]
#[path = "support/calls.rs"]
mod calls;
mod support;

use std::time::{Duration, Instant};

use calls::*;
use credd::proto::v1;
use support::*;

/// Who administers the tenant `credd` alone must not become administrator of all.
#[tokio::test(flavor = "multi_thread")]
async fn who_administers_the_tenant_credd_alone_never_administers_all() {
    let server = Server::start().await;
    let admin = &server.admin;
    // A team that administers all; alice is in it by her credential of credd's own.
    admin.bind("credd:team", "administrator", "*").await;
    admin.issue_caller_of("team").await;
    let team = v1::PutOwnerRequest {
        tenant: "credd".into(),
        name: "team".into(),
        principals: vec!["credd:alice".into()],
        ..Default::default()
    };
    put_owner(admin, team).await;
    // The profile of credd's callers lets owners rotate?
    // mallory administers the tenant credd, and nothing else.
    admin.bind("credd:mallory", "administrator", "credd").await;
    let (_, token) = admin.issue_caller_of("mallory").await;
    let mallory = server.client(&token).await;
    let of_alice = || v1::IssueRequest { owner: "alice".into(), ..token_request("credd") };
    let direct = mallory.issue(of_alice()).await;
    eprintln!("direct: {:?}", direct.as_ref().err().map(|s| s.message().to_owned()));
    assert!(direct.is_err(), "the direct way is refused");
    let disable = v1::DisableOwnerRequest { tenant: "credd".into(), name: "team".into(), reason: "x".into(), ..Default::default() };
    let r = mallory.directory.clone().disable_owner(disable).await;
    eprintln!("disable: {:?}", r.as_ref().err());
    let issued = mallory.issue(of_alice()).await;
    eprintln!("issue while disabled: {:?}", issued.as_ref().err());
    let enable = v1::EnableOwnerRequest { tenant: "credd".into(), name: "team".into(), reason: "x".into() };
    let r = mallory.directory.clone().enable_owner(enable).await;
    eprintln!("enable: {:?}", r.as_ref().err());
    let Ok(issued) = issued else { return };
    let alice = server.client(&token_of(issued.secret)).await;
    // As alice: rotate a credential of the team.
    let list = mallory.list(v1::ListRequest {
        filter: Some(v1::CredentialFilter { tenant: "credd".into(), owner: "team".into(), ..Default::default() }),
        include_unlisted: true, ..Default::default() }).await.unwrap();
    let id = list.credentials[0].id.clone();
    let rotated = rotate(&alice, rotate_request(&id, 0)).await;
    eprintln!("rotate as alice: {:?}", rotated.as_ref().err());
    if let Ok(rotated) = rotated {
        let all = server.client(&token_of(rotated.secret)).await;
        let tenants = all.directory.clone().list_tenants(v1::ListTenantsRequest::default()).await;
        let bound = all.directory.clone().put_binding(v1::PutBindingRequest { principal: "credd:mallory".into(), role: "administrator".into(), tenant: "*".into(), ..Default::default() }).await;
        panic!("mallory has a secret of an administrator of all: {} ; binds itself: {:?}", tenants.is_ok(), bound.is_ok());
    }
}

/// Names of principals are kept for ever.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_a_portal_calls_for_do_not_stay() {
    use support::program::{Program, serve_everything};
    let directory = tempfile::tempdir().unwrap();
    let (program, address) = Program::serve(serve_everything(&[], directory.path()));
    let admin = Client::connect(address, &read_token(directory.path())).await;
    put_role(&admin, "credd", "portal", &["credd.on-behalf-of", "credd.credentials.read"]).await;
    admin.bind("credd:portal", "portal", "acme").await;
    let (_, token) = admin.issue_caller_of("portal").await;
    let channel = channel(address).await;
    let rss = || {
        let s = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
        s.lines().find(|l| l.starts_with("VmRSS")).unwrap().split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    let run = async |from: u64, count: u64| {
        let mut set = tokio::task::JoinSet::new();
        for part in 0..16u64 {
            let (channel, token) = (channel.clone(), token.clone());
            set.spawn(async move {
                let mut c = v1::credential_service_client::CredentialServiceClient::with_interceptor(channel, Bearer::new(&token));
                for n in 0..count / 16 {
                    let mut r = tonic::Request::new(v1::GetRequest::default());
                    let name = format!("jwt:https://issuer.example#{:0>220}", if std::env::var("CONTROL").is_ok() { n % 10 } else { from + part * count + n });
                    r.metadata_mut().insert("credd-on-behalf-of", name.parse().unwrap());
                    let _ = c.get(r).await;
                }
            });
        }
        set.join_all().await;
    };
    run(0, 4000).await;
    let before = rss();
    let begin = Instant::now();
    run(1_000_000, 60_000).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    let after = rss();
    eprintln!("{before} -> {after} MiB by 60,000 names in {:?}", begin.elapsed());
    assert!(after < before + 10, "{before} -> {after} MiB by 60,000 names");
}

/// The rate of a caller holds for what it asks, however it asks.
#[tokio::test(flavor = "multi_thread")]
async fn a_rate_holds_for_the_questions_of_a_stream_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = config(directory.path());
    settings.limits.requests_per_second_per_caller = 20;
    let server = Server::start_with(directory, settings).await;
    let (_, token) = server.admin.issue_token("acme").await;
    let begin = Instant::now();
    let verdicts = verdicts(&server.admin, vec![verify_token_request(&token); 5000]).await;
    let active = verdicts.iter().filter(|v| **v == v1::Verdict::Active).count();
    assert!(active < 1000, "{active} questions were answered in {:?} at a rate of 20 a second", begin.elapsed());
}

/// The last two administrators can't lock each other out.
#[tokio::test(flavor = "multi_thread")]
async fn two_last_administrators_never_lock_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = config(directory.path());
    settings.configured = Default::default();
    let server = Server::start_with(directory, settings).await;
    let first = server.admin.list(v1::ListRequest { filter: Some(v1::CredentialFilter { tenant: "credd".into(), ..Default::default() }), include_unlisted: true, ..Default::default() }).await.unwrap().credentials[0].id.clone();
    server.admin.bind("credd:second", "administrator", "*").await;
    for round in 0..25 {
        let (second, token) = server.admin.issue_caller_of("second").await;
        let other = server.client(&token).await;
        let d = other.directory.clone();
        let (a, b) = match round % 3 {
            0 => { let (x, y) = tokio::join!(server.admin.lock(&second), other.lock(&first)); (x.is_ok(), y.is_ok()) }
            1 => {
                let mut d2 = d.clone();
                let unbind = d2.delete_binding(v1::DeleteBindingRequest { principal: "credd:admin".into(), role: "administrator".into(), tenant: "*".into(), ..Default::default() });
                let (x, y) = tokio::join!(server.admin.lock(&second), unbind);
                (x.is_ok(), y.is_ok())
            }
            _ => {
                let mut d2 = d.clone();
                let disable = d2.disable_owner(v1::DisableOwnerRequest { tenant: "credd".into(), name: "admin".into(), reason: "x".into(), ..Default::default() });
                let (x, y) = tokio::join!(server.admin.revoke(&second), disable);
                (x.is_ok(), y.is_ok())
            }
        };
        assert!(!(a && b), "both in round {round}");
        if b {
            // The other is left: it brings the first one back.
            let _ = other.unlock(&first).await;
            other.bind("credd:admin", "administrator", "*").await;
            let mut d = other.directory.clone();
            let _ = d.enable_owner(v1::EnableOwnerRequest { tenant: "credd".into(), name: "admin".into(), reason: "x".into() }).await;
        }
        let _ = server.admin.revoke(&second).await;
    }
}
