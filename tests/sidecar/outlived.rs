//! One that follows a sidecar, has a lease of it, and acknowledges nothing more.

use std::time::Duration;

use credd::client::Machine;
use credd::domain::lease::{Drift, Holder, Sequence};
use credd::proto::v1;
use credd::proto::v1::watch_response::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::sidecar::Sidecar;
use crate::support::soon;
use crate::world::{World, revoke_everywhere};

struct Behind {
    machine: Machine,
    requests: mpsc::Sender<v1::WatchRequest>,
    messages: Streaming<v1::WatchResponse>,
    /// Up to where it has applied everything, and will have.
    applied: v1::Revision,
    holder: Holder,
}

impl Behind {
    async fn of(relay: &Sidecar) -> Self {
        let (requests, outgoing) = mpsc::channel(16);
        requests.send(v1::WatchRequest::default()).await.unwrap();
        let outgoing = ReceiverStream::new(outgoing);
        let stream = relay.client().watch(outgoing).await.unwrap();
        let mut messages = stream.into_inner();
        let first = soon("a message", messages.message()).await.unwrap();
        Self {
            machine: Machine::default(),
            requests,
            messages,
            applied: first.unwrap().revision.unwrap(),
            holder: Holder::new(Drift::STATED),
        }
    }

    /// Asks for a lease. Returns whether it got one.
    async fn renew(&mut self) -> bool {
        let Sequence(sequence) = self.holder.send(self.machine.now().boot);
        let renewal = v1::Renewal {
            sequence,
            applied: Some(self.applied.clone()),
            ..Default::default()
        };
        let request = v1::WatchRequest {
            renewal: Some(renewal),
            ..Default::default()
        };
        self.requests.send(request).await.unwrap();
        loop {
            let message = soon("a grant", self.messages.message()).await.unwrap();
            if let Some(Message::Grant(grant)) = message.unwrap().message {
                let lease = grant.lease.map(|it| Duration::try_from(it).unwrap());
                self.holder.answered(Sequence(grant.sequence), lease);
                return lease.is_some();
            }
        }
    }

    /// Whether it could say yes.
    fn holds(&self) -> bool {
        self.holder.holds(self.machine.now().boot)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_does_not_return_while_one_that_follows_a_sidecar_has_a_lease_and_is_behind() {
    let world = World::start().await;
    let relay = Sidecar::ready(world.config()).await;
    let mut behind = Behind::of(&relay).await;
    while !behind.renew().await {}
    let (id, _) = world.server.admin.issue_token("acme").await;
    let fence = revoke_everywhere(&world.server.admin, &id).await;
    assert!(!behind.holds(), "it could still say yes");
    assert_eq!(fence.acknowledged, 1, "the relay outlived it");
    relay.stop().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_while_it_has_one_of_before_the_sidecar_began_anew() {
    let world = World::start().await;
    let other = world.server.admin.issue_caller_of("gate").await.1;
    let relay = Sidecar::ready(world.config()).await;
    let mut behind = Behind::of(&relay).await;
    let (id, _) = world.server.admin.issue_token("acme").await;
    while !behind.renew().await {}
    // As another, whose stream nothing leads to.
    std::fs::write(&world.token_file, other).unwrap();
    while behind.renew().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(behind.holds(), "what it has goes on");
    revoke_everywhere(&world.server.admin, &id).await;
    assert!(!behind.holds(), "it could still say yes");
    relay.stop().await;
    world.server.stop().await;
}
