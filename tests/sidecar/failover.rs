//! One authority at two addresses, as behind two load balancers: where the one that is
//! followed goes away, the other takes its place.

use credd::client::{Client, Served};
use credd::proto::v1::Verdict;

use crate::real::{Authority, Sidecar};
use crate::support::until;
use crate::way::Way;
use crate::world::{World, live, revoke_everywhere, told};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_at_another_address_and_a_fence_meanwhile_waits_for_it() {
    // A lease that does not run out meanwhile: a session that did not go on would
    // leave one that the fence waits for in vain.
    let mut authority = Authority::start(&["--fence-lease-ms", "60000"]).await;
    let admin = authority.admin().await;
    let (mut one, mut other) = (
        Way::to(authority.address).await,
        Way::to(authority.address).await,
    );
    other.close().await;
    let sidecar = Sidecar::following(&format!("{},{}", one.url(), other.url()), &authority).await;
    let (_, kept) = admin.issue_token("acme").await;
    for round in 1..=4 {
        let (id, token) = admin.issue_token("acme").await;
        sidecar.keep(&token).await;
        sidecar.keep(&kept).await;

        // Both are gone, and the lease holds on.
        one.close().await;
        let revoking = {
            let (admin, id) = (authority.admin().await, id.clone());
            tokio::spawn(async move { revoke_everywhere(&admin, &id).await })
        };
        until("the authority to deny", || async {
            admin.verdict(&token).await == Verdict::Revoked
        })
        .await;
        assert_eq!(sidecar.verdict(&token).await, Verdict::Active);
        assert!(!revoking.is_finished(), "a cache may say yes");

        other.open().await;
        let fence = revoking.await.unwrap();
        assert_eq!(sidecar.verdict(&token).await, Verdict::Revoked);
        assert_eq!((fence.acknowledged, fence.expired), (1, 0));

        // Nothing but what was revoked was dropped, and from the first round on it is
        // one session.
        assert_eq!(sidecar.count("sidecar_watches_total").await, 1 + round);
        assert_eq!(sidecar.count("sidecar_resets_total").await, 1, "the first");
        let hits = sidecar.count("sidecar_hits_total").await;
        assert_eq!(sidecar.verdict(&kept).await, Verdict::Active);
        assert_eq!(sidecar.count("sidecar_hits_total").await, hits + 1);
        std::mem::swap(&mut one, &mut other);
    }
    sidecar.stop(&[&kept]);
    authority.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_gets_no_lease_where_it_is_connected_goes_to_another_address() {
    let world = World::start().await;
    let mut way = Way::to(world.server.address).await;
    let mut config = world.config();
    config.addresses = vec![way.url().parse().unwrap()];
    let relay = crate::sidecar::Sidecar::ready(config).await;
    let mut config = world.config();
    config.addresses = relay.follower().addresses;
    config.addresses.push(world.address());
    let client = Client::connect(config).unwrap();
    live(&client).await;
    let (_, token) = world.server.admin.issue_token("acme").await;

    // The relay answers the client, and has no lease to give.
    way.close().await;
    until("no lease", || async {
        client
            .cached(&crate::support::verify_token_request(&token))
            .is_none()
    })
    .await;
    until("a lease of the authority", || async {
        client.counts().sessions.get() == 2 && told(&client, &token).await.1 == Served::Cached
    })
    .await;
    relay.stop().await;
    world.server.stop().await;
}
