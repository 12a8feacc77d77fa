//! What must be unique, and what must not be more than so many, under writes at several
//! nodes at once.

use std::collections::BTreeSet;
use std::time::Duration;

use credd::proto::v1;

use crate::calls::{everything, issue, issue_request, request_id};
use crate::support::Client;
use crate::{LONG, nodes, stop};

/// The same at each of these at once.
async fn at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    clients: &[&Client],
    act: impl Fn(Client, usize) -> F,
) -> Vec<T> {
    let acts = clients.iter().enumerate();
    let acts = acts.map(|(at, client)| tokio::spawn(act((*client).clone(), at)));
    let mut outcomes = Vec::new();
    for act in acts.collect::<Vec<_>>() {
        outcomes.push(act.await.unwrap());
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_has_one_credential_of_a_profile_that_lets_it_have_one() {
    let nodes = nodes([LONG, LONG, LONG]).await;
    let clients: Vec<_> = nodes.iter().map(|node| &node.admin).collect();
    for round in 0..10 {
        let owner = format!("owner-{round}");
        // One of its kind takes the place of the one before, the other is refused.
        at_once(&clients, |client, _| {
            let owner = owner.clone();
            async move {
                let request = issue_request("acme", &owner, "kaspersky-tip");
                client.issue(request).await.is_ok()
            }
        })
        .await;
        let misp = at_once(&clients, |client, _| {
            let owner = owner.clone();
            async move {
                let request = issue_request("acme", &owner, "misp");
                client.issue(request).await.is_ok()
            }
        })
        .await;
        assert_eq!(misp.into_iter().filter(|is_issued| *is_issued).count(), 1);
        let all = everything(&nodes[round % 3].admin, "acme").await;
        for profile in ["kaspersky-tip", "misp"] {
            let active = all.iter().filter(|it| {
                it.owner == owner
                    && it.profile == profile
                    && it.state() == v1::CredentialState::Active
            });
            assert_eq!(active.count(), 1, "{profile}");
        }
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_carried_out_once_wherever_it_is_sent() {
    let nodes = nodes([LONG, LONG, LONG]).await;
    let clients: Vec<_> = nodes.iter().map(|node| &node.admin).collect();
    for _ in 0..10 {
        let request = v1::IssueRequest {
            request_id: request_id(),
            ..issue_request("acme", "jo", "api-token")
        };
        let ids = at_once(&clients, |client, _| {
            let request = request.clone();
            async move {
                let issued = client.issue(request).await.unwrap();
                issued.credential.unwrap().id
            }
        })
        .await;
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 1);
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_principal_is_one_owners_wherever_they_are_put() {
    let nodes = nodes([LONG, LONG, LONG]).await;
    let clients: Vec<_> = nodes.iter().map(|node| &node.admin).collect();
    for round in 0..10 {
        let put = at_once(&clients, |client, at| async move {
            let owner = v1::PutOwnerRequest {
                tenant: "acme".to_owned(),
                name: format!("owner-{round}-{at}"),
                principals: vec![format!("spiffe://example/{round}")],
                ..v1::PutOwnerRequest::default()
            };
            client.directory.clone().put_owner(owner).await.is_ok()
        })
        .await;
        assert_eq!(put.into_iter().filter(|is_put| *is_put).count(), 1);
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_rise_and_none_is_given_twice_and_every_event_of_the_audit_log_follows_the_one_before()
{
    let nodes = nodes([LONG, LONG, LONG]).await;
    let clients: Vec<_> = nodes.iter().map(|node| &node.admin).collect();
    let issued = at_once(&clients, |client, _| async move {
        let mut issued = Vec::new();
        for _ in 0..40 {
            issued.push(issue(&client, "acme", "jo", "api-token").await.id);
        }
        issued
    })
    .await;
    for ids in &issued {
        assert!(ids.is_sorted());
    }
    let all: BTreeSet<_> = issued.iter().flatten().collect();
    assert_eq!(all.len(), 120);
    let last = issued.iter().flatten().max().unwrap();
    for client in clients {
        let next = issue(client, "acme", "jo", "api-token").await.id;
        assert!(next > *last);
        let check = v1::VerifyChainRequest::default();
        let checked = client.audit.clone().verify_chain(check).await.unwrap();
        assert!(checked.into_inner().broken.is_none());
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_shorten_the_audit_log_at_once_remove_nothing_twice() {
    let nodes = nodes([LONG, LONG]).await;
    let clients: Vec<_> = nodes.iter().map(|node| &node.admin).collect();
    // More than one commit removes.
    at_once(&clients, |client, _| async move {
        for _ in 0..700 {
            issue(&client, "acme", "jo", "api-token").await;
        }
    })
    .await;
    let [one, other] = &nodes;
    let trims = tokio::join!(
        one.authority.trim_audit(Duration::ZERO),
        other.authority.trim_audit(Duration::ZERO)
    );
    // One of them may have to leave the rest to the next time.
    let removed: u64 = [trims.0, trims.1].into_iter().filter_map(Result::ok).sum();
    assert!(removed > 0);
    for client in clients {
        let check = v1::VerifyChainRequest::default();
        let checked = client.audit.clone().verify_chain(check).await.unwrap();
        let checked = checked.into_inner();
        assert!(checked.broken.is_none(), "{checked:?}");
        assert!(checked.start.unwrap().sequence > 1000);
    }
    stop(nodes).await;
}
