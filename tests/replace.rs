//! A profile that allows an owner one credential: a new one replaces it, in one
//! commit.
//!
//! `CREDD_TEST_SEED` repeats the choices of an earlier run (but not how its clients
//! took turns).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/calls.rs"]
mod calls;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::env;

use calls::{Held, Watched, everything, issue_request, number, reason, refused, verdict};
use credd::proto::v1;
use credd::proto::v1::event::Subject;
use credd::proto::v1::{ChangeType, CredentialState};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use support::{Client, Server, soon};
use tonic::Code;

const PROFILE: &str = "tenable-io";
const OWNERS: usize = 3;
const CLIENTS: usize = 8;
const ISSUES: usize = 25;

fn seeded() -> StdRng {
    let given = env::var("CREDD_TEST_SEED").ok();
    let given = given.map(|text| text.parse().unwrap());
    let seed: u64 = given.unwrap_or_else(|| rand::rng().random());
    println!("CREDD_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// The credentials of an owner that are ACTIVE.
async fn active(client: &Client, owner: &str) -> Vec<v1::Credential> {
    let request = v1::ListRequest {
        filter: Some(v1::CredentialFilter {
            tenant: "acme".to_owned(),
            owner: owner.to_owned(),
            states: vec![CredentialState::Active.into()],
            ..Default::default()
        }),
        ..Default::default()
    };
    client.list(request).await.unwrap().credentials
}

/// What one client was told.
struct Told {
    id: String,
    owner: String,
    revision: u64,
    replaced: BTreeSet<String>,
}

async fn issue_many(client: Client, mut random: StdRng) -> Vec<Told> {
    let mut told = Vec::new();
    for _ in 0..ISSUES {
        let owner = format!("owner-{}", random.random_range(0..OWNERS));
        let dry_run = random.random_range(0..4) == 0;
        let request = v1::IssueRequest {
            dry_run,
            ..issue_request("acme", &owner, PROFILE)
        };
        let issued = client.issue(request).await.unwrap();
        let now = active(&client, &owner).await.len();
        assert!(now == 1 || dry_run && now == 0, "{now} are active");
        let replaced = issued.replaced.iter().map(|one| one.id.clone());
        if !dry_run {
            told.push(Told {
                id: issued.credential.unwrap().id,
                owner,
                revision: number(issued.revision),
                replaced: replaced.collect(),
            });
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_is_active_after_each_commit_of_a_concurrent_history() {
    let mut random = seeded();
    let server = Server::start().await;
    let mut watched = Watched::start(&server.admin).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let client = server.another_admin().await;
        let random = StdRng::seed_from_u64(random.random());
        clients.push(tokio::spawn(issue_many(client, random)));
    }
    let mut told = Vec::new();
    for client in clients {
        told.extend(soon("a client's end", client).await.unwrap());
    }
    let last = told.iter().map(|told| told.revision).max().unwrap();
    let commits: BTreeMap<_, _> = watched.until(last).await.into_iter().collect();

    // Whoever follows never sees two of an owner, and none only before the first.
    let mut good: BTreeMap<String, String> = BTreeMap::new();
    for events in commits.values() {
        let mut issued = Vec::new();
        for event in events {
            let Subject::Credential(event) = event else {
                panic!("an event about something else");
            };
            match event.r#type() {
                ChangeType::Issued => {
                    issued.push((event.owner.clone(), event.credential_id.clone()));
                }
                ChangeType::Revoked => {
                    let was = good.remove(&event.owner);
                    assert_eq!(was.as_ref(), Some(&event.credential_id));
                }
                other => panic!("{other:?}"),
            }
        }
        for (owner, id) in issued {
            assert_eq!(good.insert(owner, id), None, "two are good");
        }
    }
    // And each answer tells what its commit did.
    for told in &told {
        let of_owner = commits[&told.revision]
            .iter()
            .filter_map(|event| match event {
                Subject::Credential(event) if event.owner == told.owner => Some(event),
                _ => None,
            });
        let (issued, revoked): (Vec<_>, Vec<_>) =
            of_owner.partition(|event| event.r#type() == ChangeType::Issued);
        let issued: Vec<_> = issued
            .iter()
            .map(|event| event.credential_id.as_str())
            .collect();
        assert_eq!(issued, [told.id.as_str()]);
        let revoked: BTreeSet<_> = revoked
            .iter()
            .map(|event| event.credential_id.clone())
            .collect();
        assert_eq!(revoked, told.replaced);
    }
    let shown = everything(&server.admin, "acme").await;
    assert_eq!(shown.len(), told.len());
    let shown = shown.into_iter();
    let shown: BTreeMap<_, _> = shown
        .filter(|one| one.state() == CredentialState::Active)
        .map(|one| (one.owner, one.id))
        .collect();
    assert_eq!(shown, good);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_warns_of_exactly_what_is_replaced() {
    let mut random = seeded();
    let server = Server::start().await;
    let admin = &server.admin;
    let mut last: Option<Held> = None;
    for _ in 0..40 {
        if let Some(held) = &last {
            match random.random_range(0..5) {
                0 => drop(admin.revoke(&held.id).await.unwrap()),
                1 => drop(admin.lock(&held.id).await.unwrap()),
                2 => last = Some(calls::rotated(admin, &held.id, 0).await),
                _ => (),
            }
        }
        // Of others nothing is replaced.
        calls::issue(admin, "acme", "ann", "key-pair").await;
        let before = everything(admin, "acme").await;
        let request = issue_request("acme", "jo", PROFILE);
        let dry = v1::IssueRequest {
            dry_run: true,
            ..request.clone()
        };
        let warned = admin.issue(dry).await.unwrap();
        assert!(warned.secret.is_none());
        assert_eq!(everything(admin, "acme").await, before);
        let live = before.into_iter().filter(|one| {
            one.owner == "jo" && one.profile == PROFILE && one.state() != CredentialState::Revoked
        });
        assert_eq!(warned.replaced, live.collect::<Vec<_>>());

        let issued = admin.issue(request).await.unwrap();
        let ids = |all: &[v1::Credential]| all.iter().map(|one| one.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&issued.replaced), ids(&warned.replaced));
        assert_eq!(issued.impact, warned.impact);
        let held = Held::of(issued.credential.as_ref(), issued.secret);
        assert_eq!(verdict(admin, &held).await, v1::Verdict::Active);
        for one in &warned.replaced {
            let replaced = admin.get(&one.id).await.unwrap();
            assert_eq!(replaced.state(), CredentialState::Revoked);
            assert_eq!(replaced.state_revision, issued.revision);
        }
        if let Some(old) = &last {
            assert_eq!(verdict(admin, old).await, v1::Verdict::Revoked);
        }
        last = Some(held);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_uses_what_is_replaced_is_told_before() {
    let server = Server::start().await;
    let admin = &server.admin;
    let held = calls::issue(admin, "acme", "jo", PROFILE).await;
    let (_, verifier) = admin.issue_verifier("checker").await;
    let verifier = server.client(&verifier).await;
    assert_eq!(verdict(&verifier, &held).await, v1::Verdict::Active);
    let dry = v1::IssueRequest {
        dry_run: true,
        ..issue_request("acme", "jo", PROFILE)
    };
    support::until("the use to be known", || async {
        let impact = admin.issue(dry.clone()).await.unwrap().impact.unwrap();
        let services = impact.services.iter();
        services
            .map(|one| one.service.as_str())
            .eq(["credd:checker"])
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_replaced_by_whoever_knows_another_revision() {
    let server = Server::start().await;
    let admin = &server.admin;
    let request = issue_request("acme", "jo", PROFILE);
    let first = admin.issue(request.clone()).await.unwrap();
    let first = Held::of(first.credential.as_ref(), first.secret);
    let known = admin.get(&first.id).await.unwrap().revision;
    let expecting = |revision: &Option<v1::Revision>| v1::IssueRequest {
        expected_revision: revision.clone(),
        ..request.clone()
    };
    let next = admin.issue(expecting(&known)).await.unwrap();
    let second = Held::of(next.credential.as_ref(), next.secret);
    let before = everything(admin, "acme").await;
    for dry_run in [true, false] {
        let late = v1::IssueRequest {
            dry_run,
            ..expecting(&known)
        };
        let status = refused(admin.issue(late).await);
        assert_eq!(status.code(), Code::Aborted);
        assert_eq!(reason(&status), "REVISION_MISMATCH");
    }
    assert_eq!(everything(admin, "acme").await, before);
    assert_eq!(verdict(admin, &first).await, v1::Verdict::Revoked);
    assert_eq!(verdict(admin, &second).await, v1::Verdict::Active);

    // Many who know the same one: one of them replaces it.
    let known = admin.get(&second.id).await.unwrap().revision;
    let tries = (0..16).map(|_| {
        let (client, request) = (admin.clone(), expecting(&known));
        tokio::spawn(async move { client.issue(request).await.is_ok() })
    });
    let mut replaced = 0;
    for one in tries.collect::<Vec<_>>() {
        replaced += usize::from(one.await.unwrap());
    }
    assert_eq!(replaced, 1);
    // There is none of that owner.
    let nobody = v1::IssueRequest {
        owner: "ann".to_owned(),
        ..expecting(&known)
    };
    assert_eq!(
        reason(&refused(admin.issue(nobody).await)),
        "REVISION_MISMATCH"
    );
    assert_eq!(active(admin, "ann").await.len(), 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_has_one_of_each_such_profile_in_each_tenant() {
    let server = Server::start().await;
    let admin = &server.admin;
    let mut all = Vec::new();
    for tenant in ["acme", "other"] {
        for owner in ["jo", "ann"] {
            for profile in [PROFILE, "kaspersky-tip", "kaspersky-demo-taxii"] {
                all.push(calls::issue(admin, tenant, owner, profile).await);
            }
        }
    }
    for held in &all {
        assert_eq!(verdict(admin, held).await, v1::Verdict::Active);
    }
    calls::issue(admin, "acme", "jo", PROFILE).await;
    for held in &all[1..] {
        assert_eq!(verdict(admin, held).await, v1::Verdict::Active);
    }
    server.stop().await;
}
