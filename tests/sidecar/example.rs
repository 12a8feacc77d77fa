//! The example of the client.

use crate::calls::{issue_request, put_owner, put_role};
use crate::support::{token_of, until};
use crate::world::{World, revoke_everywhere};

#[allow(dead_code, reason = "its command line is not run here")]
#[path = "../../examples/client.rs"]
mod client;

#[tokio::test(flavor = "multi_thread")]
async fn the_example_lets_in_who_may_and_nobody_who_was_revoked() {
    let world = World::start().await;
    let admin = &world.server.admin;
    put_role(admin, "acme", "reader", &["feeds:read"]).await;
    let owner = credd::proto::v1::PutOwnerRequest {
        tenant: "acme".to_owned(),
        name: "jo".to_owned(),
        roles: vec!["reader".to_owned()],
        ..Default::default()
    };
    put_owner(admin, owner).await;
    let issued = admin.issue(issue_request("acme", "jo", "api-token")).await;
    let issued = issued.unwrap();
    let (id, token) = (issued.credential.unwrap().id, token_of(issued.secret));

    let address = world.address().to_string();
    let gate = client::connect(&address, world.token_file.to_str().unwrap()).unwrap();
    let lets_in = |permission, token: &str| {
        let (gate, token) = (&gate, token.to_owned());
        async move { client::lets_in(gate, "acme", permission, token).await }
    };
    assert!(lets_in("feeds:read", &token).await);
    assert!(!lets_in("feeds:write", &token).await);
    assert!(!lets_in("feeds:read", "something else").await);
    until("an answer to be given again", || async {
        lets_in("feeds:read", &token).await && gate.counts().hits.get() > 0
    })
    .await;
    revoke_everywhere(admin, &id).await;
    assert!(!lets_in("feeds:read", &token).await);
    world.server.stop().await;
    assert!(!lets_in("feeds:read", &token).await, "nobody can be asked");
}
