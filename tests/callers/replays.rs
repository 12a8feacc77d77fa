//! Answers that are given again, to who may have them.

use credd::proto::v1;
use tonic::{Code, Status};

use crate::caller::Caller;
use crate::calls::{Held, put_role, reason, refused, request_id};
use crate::signer::principal;
use crate::world::World;

async fn issue(caller: &Caller, request: &v1::IssueRequest) -> Result<Held, Status> {
    let issued = caller.credentials().issue(request.clone()).await?;
    let issued = issued.into_inner();
    Ok(Held::of(issued.credential.as_ref(), issued.secret))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_given_again_to_who_could_have_asked_for_it() {
    let world = World::start().await;
    for role in ["issuer", "front"] {
        let permissions = ["credd.credentials.issue", "credd.on-behalf-of"];
        put_role(&world.admin, "credd", role, &permissions).await;
    }
    // One principal, known by a credential with all roles and by one with few, and
    // one who calls in its name.
    for role in ["administrator", "issuer"] {
        world.admin.bind("credd:ann", role, "acme").await;
    }
    world.admin.bind("credd:front", "front", "acme").await;
    let whole = world.bearer("whole", "ann").await;
    let (_, token) = world.credential("ann", &["issuer"]).await;
    let narrow = world.nobody("narrow").bearing(&token);
    let front = world.bearer("front", "front").await;
    let front = front.on_behalf_of("credd:ann");
    let request = v1::IssueRequest {
        tenant: "acme".to_owned(),
        owner: "jo".to_owned(),
        profile: "acme-keys".to_owned(),
        label: "test".to_owned(),
        request_id: request_id(),
        ..Default::default()
    };
    let held = issue(&whole, &request).await.unwrap();
    let again = issue(&whole, &request).await.unwrap();
    assert_eq!(
        (again.id.clone(), again.secret()),
        (held.id.clone(), held.secret())
    );
    for caller in [&narrow, &front] {
        let status = refused(issue(caller, &request).await);
        assert_eq!(status.code(), Code::PermissionDenied, "{}", caller.name);
        assert_eq!(reason(&status), "PERMISSION_EXCEEDED", "{}", caller.name);
    }
    // To another caller it is another request.
    let jo = world.jwt("the owner", "jo");
    let theirs = issue(&jo, &request).await.unwrap();
    assert_ne!(theirs.id, held.id);
    assert_eq!(
        world.admin.get(&theirs.id).await.unwrap().created_by,
        principal("jo")
    );
    drop((whole, narrow, front, jo));
    world.stop().await;
}
