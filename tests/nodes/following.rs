//! What one node has done, at another.

use std::collections::BTreeSet;
use std::time::Duration;

use credd::authority::sweep::{Keep, Swept};
use credd::proto::v1;
use credd::proto::v1::issue_request::Expiry;
use tokio::time::sleep;

use crate::calls::{Watched, issue, issue_request, number, reason, refused, verify};
use crate::session::Session;
use crate::support::until;
use crate::{LONG, SHORT, nodes, stop};

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_at_another_node_is_as_of_the_revision_that_is_asked_for() {
    let nodes = nodes([LONG, LONG]).await;
    for at in 0..50 {
        let (here, there) = (&nodes[at % 2].admin, &nodes[(at + 1) % 2].admin);
        let held = issue(here, "acme", "jo", "api-token").await;
        let locked = here.lock(&held.id).await.unwrap();
        let question = v1::VerifyRequest {
            min_revision: locked.revision.clone(),
            ..held.question()
        };
        let answer = verify(there, question).await;
        assert_eq!(answer.verdict(), v1::Verdict::Locked);
        assert!(number(answer.revision) >= number(locked.revision));
    }
    let [one, other] = nodes;
    other.stop().await.unwrap();
    let ahead = v1::Revision {
        number: 1 << 40,
        store_id: one.authority.store().to_string(),
    };
    let held = issue(&one.admin, "acme", "jo", "api-token").await;
    let question = v1::VerifyRequest {
        min_revision: Some(ahead),
        ..held.question()
    };
    let behind = refused(one.admin.verification.clone().verify(question).await);
    assert_eq!(reason(&behind), "BEHIND");
    one.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_changes_nothing_is_true_when_it_is_given() {
    let [one, other] = nodes([LONG, LONG]).await;
    // A node that reads nothing of its own accord knows of all that was answered before.
    for _ in 0..50 {
        let held = issue(&one.admin, "acme", "jo", "api-token").await;
        let first = other.admin.lock(&held.id).await.unwrap().revision;
        let again = one.admin.lock(&held.id).await.unwrap();
        assert!(number(again.revision) >= number(first));
        one.admin.unlock(&held.id).await.unwrap();
        let locked = other.admin.lock(&held.id).await.unwrap();
        let credential = locked.credential.unwrap();
        assert_eq!(credential.state(), v1::CredentialState::Locked);
    }
    stop([one, other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_is_taken_up_at_another_node_without_a_gap() {
    let nodes = nodes([LONG, LONG]).await;
    let mut session = Session::start(&nodes[0].admin).await;
    let mut told = BTreeSet::new();
    let mut issued = BTreeSet::new();
    for at in 0..20 {
        let held = issue(&nodes[at % 2].admin, "acme", "jo", "api-token").await;
        let mut last = None;
        for _ in 0..3 {
            let revoked = nodes[(at + 1) % 2].admin.revoke(&held.id).await;
            last = revoked.unwrap().revision;
        }
        issued.insert(held.id);
        while number(Some(session.reached.clone())) < number(last.clone()) {
            let message = session.next().await.unwrap();
            let Some(v1::watch_response::Message::Commit(commit)) = message.message else {
                continue;
            };
            for event in commit.events {
                if let Some(v1::event::Subject::Credential(event)) = event.subject {
                    told.insert(event.credential_id);
                }
            }
        }
        let first = v1::WatchRequest {
            resume_token: session.resume_token.clone(),
            ..v1::WatchRequest::default()
        };
        session = Session::start_with(&nodes[(at + 1) % 2].admin, first).await;
        assert!(session.renew().await.lease.is_some());
    }
    assert!(told.is_superset(&issued), "{told:?} {issued:?}");
    drop(session);
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_is_told_of_once_though_two_nodes_look_for_it() {
    const COUNT: usize = 20;

    let [one, other] = nodes([LONG, LONG]).await;
    let mut watched = Watched::start(&one.admin).await;
    for _ in 0..COUNT {
        let request = v1::IssueRequest {
            expiry: Some(Expiry::Ttl(prost_types::Duration {
                seconds: 1,
                nanos: 0,
            })),
            ..issue_request("acme", "jo", "api-token")
        };
        one.admin.issue(request).await.unwrap();
    }
    // As when the one that led was held up, and another took over meanwhile.
    let mut swept = [Swept::default(), Swept::default()];
    let [here, there] = &mut swept;
    let sweep = async {
        loop {
            let keep = Keep::default();
            let both = tokio::join!(
                one.authority.sweep(here, keep),
                other.authority.sweep(there, keep)
            );
            both.0.unwrap();
            both.1.unwrap();
            sleep(Duration::from_millis(20)).await;
        }
    };
    let told = async {
        let mut expired = Vec::new();
        let mut marker = None;
        loop {
            for event in watched.commit().await.1 {
                let v1::event::Subject::Credential(event) = event else {
                    continue;
                };
                if event.r#type() == v1::ChangeType::Expired {
                    expired.push(event.credential_id);
                } else if marker.as_ref() == Some(&event.credential_id) {
                    return expired;
                }
            }
            if expired.len() == COUNT && marker.is_none() {
                // What is told once more comes before this.
                sleep(Duration::from_millis(100)).await;
                let held = issue(&other.admin, "acme", "jo", "api-token").await;
                marker = Some(held.id);
            }
        }
    };
    let expired = tokio::select! {
        () = sweep => unreachable!("it goes on"),
        expired = told => expired,
    };
    assert_eq!(expired.len(), COUNT);
    assert_eq!(expired.iter().collect::<BTreeSet<_>>().len(), COUNT);
    stop([one, other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_leads_and_when_it_is_gone_another_does() {
    let [one, other, third] = nodes([SHORT, SHORT, SHORT]).await;
    let leads =
        |nodes: &[&crate::InProcess]| nodes.iter().filter(|node| node.authority.leads()).count();
    assert_eq!(leads(&[&one, &other, &third]), 1);
    let (leader, mut rest) = match [&one, &other, &third].map(|it| it.authority.leads()) {
        [true, ..] => (one, [other, third]),
        [_, true, _] => (other, [one, third]),
        _ => (third, [one, other]),
    };
    leader.stop().await.unwrap();
    until("another to lead", || async {
        leads(&[&rest[0], &rest[1]]) == 1
    })
    .await;
    if rest[1].authority.leads() {
        rest.swap(0, 1);
    }
    let [next, last] = rest;
    assert!(!last.authority.leads());
    next.stop().await.unwrap();
    until("the last to lead", || async { last.authority.leads() }).await;
    last.stop().await.unwrap();
}
