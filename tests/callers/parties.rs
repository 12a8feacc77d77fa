//! Rights never add up: of what a request shows, one thing says who calls; and who
//! calls in the name of another may do what both may.

use credd::proto::v1;
use prost::Message as _;
use tonic::{Code, Status};

use crate::caller::{Caller, ON_BEHALF_OF};
use crate::calls::{Held, fields, issue, issue_request, put_owner, put_role, reason};
use crate::requests::Names;
use crate::signer::principal;
use crate::support::raw::rpcs;
use crate::world::{World, callers};

fn find(callers: &[Caller], name: &str) -> Caller {
    let found = callers.iter().find(|caller| caller.name == name);
    found.unwrap().clone()
}

async fn refusal(caller: &Caller, rpc: &str, names: &Names) -> Status {
    let answer = caller.call(rpc, names.request(rpc).unwrap()).await;
    answer.expect_err(rpc)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_names_the_caller_whatever_the_certificate() {
    let world = World::start().await;
    let callers = callers(&world).await;
    let names = world.names("acme").await;
    let platform = find(&callers, "platform");
    // The one with the fewest rights first: nothing changes.
    let (_, token) = world.credential("verifier", &[]).await;
    let verifier = find(&callers, "verifier");
    let both = platform.clone().bearing(&token);
    for rpc in &rpcs() {
        let code = verifier.code(rpc, names.request(rpc).unwrap()).await;
        let with_both = both.code(rpc, names.request(rpc).unwrap()).await;
        assert_eq!(with_both, code, "{rpc}");
    }
    let gus = platform.clone().bearing(&world.signer.token("gus", 3600));
    let status = refusal(&gus, "CredentialService/Get", &names).await;
    assert_eq!(status.code(), Code::NotFound);
    // And the one with the most over the connection of another.
    let stranger = find(&callers, "stranger");
    let (_, token) = world.credential("tina", &[]).await;
    let tina = stranger.bearing(&token);
    let get = "CredentialService/Get";
    assert_eq!(tina.code(get, names.request(get).unwrap()).await, Code::Ok);
    drop((callers, platform, verifier, both, gus, tina));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_bearer_is_not_made_good_by_a_certificate() {
    let world = World::start().await;
    let callers = callers(&world).await;
    let names = world.names("acme").await;
    let platform = find(&callers, "platform");
    let (id, revoked) = world.credential("tina", &[]).await;
    world.admin.revoke(&id).await.unwrap();
    let (_, good) = world.credential("tina", &[]).await;
    let bearer = |token: &str| vec![format!("Bearer {token}")];
    let jwt = world.signer.token("tess", 3600);
    let (signed, _) = jwt.rsplit_once('.').unwrap();
    let cases = [
        ("nothing", vec![String::new()]),
        ("a scheme", vec!["Bearer".to_owned()]),
        ("an empty token", bearer("")),
        ("garbage", bearer("garbage")),
        ("dots", bearer("..")),
        ("another scheme", vec![format!("Basic {good}")]),
        ("a good token without a scheme", vec![good.clone()]),
        ("two spaces", vec![format!("Bearer  {good}")]),
        ("a list", vec![format!("Bearer {good}, Bearer {good}")]),
        ("a good token and more", bearer(&format!("{good} x"))),
        ("a revoked token", bearer(&revoked)),
        ("a customer's token", bearer(&names.token)),
        ("an expired token", bearer(&world.signer.token("tess", -1))),
        ("an unsigned token", bearer(&format!("{signed}."))),
        ("two good ones", [bearer(&good), bearer(&good)].concat()),
        ("two good kinds", [bearer(&jwt), bearer(&good)].concat()),
        (
            "a good and an empty one",
            [bearer(&good), vec![String::new()]].concat(),
        ),
    ];
    for (what, values) in cases {
        let mut caller = platform.clone();
        for value in &values {
            caller = caller.with("authorization", value);
        }
        for rpc in &rpcs() {
            let status = refusal(&caller, rpc, &names).await;
            assert_eq!(
                status.code(),
                Code::Unauthenticated,
                "{rpc}: {what}: {status}"
            );
            assert_eq!(reason(&status), "CALLER_UNKNOWN", "{rpc}: {what}");
        }
    }
    // Names that only look like it are no bearer.
    let binary = platform.clone().with("authorization-bin", "Z2FyYmFnZQ");
    let other = platform.clone().with("x-authorization", "Bearer garbage");
    let proxied = platform
        .clone()
        .with("proxy-authorization", "Bearer garbage");
    let nobody = world.nobody("binary").with("authorization-bin", &good);
    let get = "CredentialService/Get";
    for caller in [&binary, &other, &proxied] {
        assert_eq!(
            caller.code(get, names.request(get).unwrap()).await,
            Code::Ok
        );
    }
    let status = refusal(&nobody, get, &names).await;
    assert_eq!(status.code(), Code::Unauthenticated);
    drop((callers, platform, binary, other, proxied, nobody));
    world.stop().await;
}

/// A portal of acme that may see and lock credentials, see roles, and call in the
/// name of others.
async fn portal(world: &World) -> Caller {
    let may = [
        "credd.credentials.lock",
        "credd.credentials.read",
        "credd.on-behalf-of",
        "credd.roles.read",
    ];
    put_role(&world.admin, "credd", "small-portal", &may).await;
    world
        .admin
        .bind("credd:small", "small-portal", "acme")
        .await;
    world.bearer("the portal", "small").await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_in_the_name_of_another_may_do_what_both_may() {
    let world = World::start().await;
    let all = callers(&world).await;
    let portal = portal(&world).await;
    let (acme, globex) = (world.names("acme").await, world.names("globex").await);
    let code = async |caller: &Caller, rpc: &str, names: &Names| {
        caller.code(rpc, names.request(rpc).unwrap()).await
    };

    // One who may do everything everywhere adds nothing.
    for boss in ["spiffe://credd.test/platform", "credd:admin"] {
        let both = portal.clone().on_behalf_of(boss);
        for rpc in &rpcs() {
            let of_portal = code(&portal, rpc, &acme).await;
            assert_eq!(code(&both, rpc, &acme).await, of_portal, "{rpc} for {boss}");
            let of_portal = code(&portal, rpc, &globex).await;
            assert_eq!(
                code(&both, rpc, &globex).await,
                of_portal,
                "{rpc} for {boss}"
            );
        }
    }
    // One who may see takes what the portal may do beyond that.
    let auditor = portal.clone().on_behalf_of("credd:auditor");
    assert_eq!(
        code(&auditor, "CredentialService/Get", &acme).await,
        Code::Ok
    );
    let denied = Code::PermissionDenied;
    assert_eq!(
        code(&auditor, "CredentialService/Lock", &acme).await,
        denied
    );
    assert_eq!(
        code(&auditor, "DirectoryService/ListOwners", &acme).await,
        denied
    );
    assert_eq!(
        code(&auditor, "DirectoryService/ListRoles", &acme).await,
        Code::Ok
    );

    // Owners: what the portal has no permission for it can't do for them.
    let jo = portal.clone().on_behalf_of(&principal("jo"));
    assert_eq!(code(&jo, "CredentialService/Lock", &acme).await, Code::Ok);
    assert_eq!(code(&jo, "CredentialService/Issue", &acme).await, denied);
    assert_eq!(
        code(&jo, "CredentialService/Rotate", &acme).await,
        Code::NotFound
    );
    assert_eq!(code(&jo, "DirectoryService/ListRoles", &acme).await, denied);
    // Nor where it has none.
    let gus = portal.clone().on_behalf_of(&principal("gus"));
    for names in [&acme, &globex] {
        assert_eq!(
            code(&gus, "CredentialService/Get", names).await,
            Code::NotFound
        );
        assert_eq!(code(&gus, "CredentialService/List", names).await, denied);
    }
    let nobody = portal.clone().on_behalf_of("dns:nobody.example");
    assert_eq!(code(&nobody, "CredentialService/Get", &acme).await, denied);
    drop((all, portal, auditor, jo, gus, nobody));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_calls_in_the_name_of_who_is_disabled() {
    let world = World::start().await;
    let portal = portal(&world).await;
    let names = world.names("acme").await;
    let code =
        async |caller: &Caller, rpc: &str| caller.code(rpc, names.request(rpc).unwrap()).await;
    let get = "CredentialService/Get";
    let jo = portal.clone().on_behalf_of(&principal("jo"));
    assert_eq!(code(&jo, get).await, Code::Ok);
    set_disabled(&world, "acme", "jo", true).await;
    assert_eq!(code(&jo, get).await, Code::NotFound);
    assert_eq!(
        code(&jo, "CredentialService/List").await,
        Code::PermissionDenied
    );
    set_disabled(&world, "acme", "jo", false).await;
    assert_eq!(code(&jo, get).await, Code::Ok);

    // Callers of credd's own, by a binding and as an owner.
    world.credential("ursula", &[]).await;
    world.admin.bind("credd:ursula", "auditor", "acme").await;
    let spare = v1::PutOwnerRequest {
        tenant: "acme".to_owned(),
        name: names.spare_owner.clone(),
        principals: vec!["credd:ursula".to_owned()],
        ..Default::default()
    };
    put_owner(&world.admin, spare).await;
    let theirs = world.issue("acme", &names.spare_owner).await;
    let lock = "CredentialService/Lock";
    let ursula = portal.clone().on_behalf_of("credd:ursula");
    let lock_theirs = crate::support::lock_request(&theirs.id).encode_to_vec();
    assert_eq!(code(&ursula, get).await, Code::Ok);
    assert_eq!(ursula.code(lock, lock_theirs.clone()).await, Code::Ok);
    set_disabled(&world, "credd", "ursula", true).await;
    assert_ne!(code(&ursula, get).await, Code::Ok);
    assert_ne!(ursula.code(lock, lock_theirs.clone()).await, Code::Ok);
    set_disabled(&world, "credd", "ursula", false).await;
    assert_eq!(ursula.code(lock, lock_theirs).await, Code::Ok);
    drop((portal, jo, ursula));
    world.stop().await;
}

async fn set_disabled(world: &World, tenant: &str, name: &str, disabled: bool) {
    let (tenant, name) = (tenant.to_owned(), name.to_owned());
    let mut directory = world.admin.directory.clone();
    if disabled {
        let request = v1::DisableOwnerRequest {
            tenant,
            name,
            ..Default::default()
        };
        directory.disable_owner(request).await.unwrap();
    } else {
        let reason = String::new();
        let request = v1::EnableOwnerRequest {
            tenant,
            name,
            reason,
        };
        directory.enable_owner(request).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_whose_name_is_said_once_and_well_by_who_may() {
    let world = World::start().await;
    let all = callers(&world).await;
    let portal = portal(&world).await;
    let names = world.names("acme").await;
    let jo = principal("jo");

    // Who may not, may not for anybody, nor learns what is wrong with a name.
    for name in [
        "bearer", "jwt", "cert", "platform", "owner", "verifier", "stranger",
    ] {
        for user in [jo.as_str(), "credd:tina", "nonsense"] {
            let caller = find(&all, name).on_behalf_of(user);
            for rpc in &rpcs() {
                let status = refusal(&caller, rpc, &names).await;
                assert_eq!(status.code(), Code::PermissionDenied, "{name} {rpc}");
                assert!(status.message().contains("credd.on-behalf-of"), "{status}");
            }
        }
    }
    let nobody = find(&all, "nobody").on_behalf_of(&jo);
    let status = refusal(&nobody, "CredentialService/Get", &names).await;
    assert_eq!(status.code(), Code::Unauthenticated);

    let long = format!("dns:{}", "x".repeat(253));
    let bad = [
        "",
        "jo",
        "system",
        "*",
        "acme",
        "credd",
        "credd:",
        "Credd:jo",
        " credd:jo",
        "credd:jo ",
        "credd:jo, credd:admin",
        "credd:a b",
        "jwt:",
        "jwt:jo",
        "jwt:#jo",
        "jwt:https://idp.credd.test#",
        "spiffe:",
        "spiffe:/x",
        "spiffe://",
        "dns:",
        "dns:*\t",
        "mailto:jo",
        "credd:j\u{f6}",
        "dns:\u{0430}cme.example",
        &long,
    ];
    for user in bad {
        let caller = portal.clone().on_behalf_of(user);
        let status = refusal(&caller, "CredentialService/Get", &names).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{user:?}: {status}");
        assert_eq!(
            fields(&status),
            [format!("metadata.{ON_BEHALF_OF}")],
            "{user:?}"
        );
    }
    let twice = portal.clone().on_behalf_of(&jo).on_behalf_of(&jo);
    for rpc in &rpcs() {
        let status = refusal(&twice, rpc, &names).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{rpc}: {status}");
    }
    // One who is almost somebody is somebody else.
    let near = [
        format!("{jo}#"),
        format!("{jo}/"),
        jo.to_uppercase().replace("JWT:", "jwt:"),
        "jwt:https://idp.credd.test/#jo".to_owned(),
        "jwt:https://idp.credd.tes#jo".to_owned(),
        "credd:jo".to_owned(),
        "dns:jo".to_owned(),
    ];
    for user in &near {
        let caller = portal.clone().on_behalf_of(user);
        let status = refusal(&caller, "CredentialService/Get", &names).await;
        assert_eq!(status.code(), Code::PermissionDenied, "{user}: {status}");
    }
    drop((all, portal, nobody, twice));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_made_an_owner_is_given_what_an_owner_may_do() {
    let world = World::start().await;
    let admin = &world.admin;
    let kept = issue(admin, "acme", "keeper", "misp").await;
    let owner = |name: &str| v1::PutOwnerRequest {
        tenant: "acme".to_owned(),
        name: name.to_owned(),
        principals: vec!["credd:mallory".to_owned()],
        ..Default::default()
    };
    let refusal = |refused: Result<(), Status>| refused.unwrap_err().message().to_owned();

    // By the right to put owners alone nobody is made one.
    put_role(admin, "credd", "clerk", &["credd.owners.put"]).await;
    admin.bind("credd:mallory", "clerk", "acme").await;
    let mallory = world.bearer("mallory", "mallory").await;
    let mut directory = mallory.directory();
    let put = directory.put_owner(owner("new")).await.map(|_| ());
    let refused = refusal(put);
    assert!(refused.contains("credd.credentials.issue"), "{refused}");

    // An administrator sees no secret again, and gives nobody the right to, itself
    // among them, by an owner that has one; by another it does.
    admin.bind("credd:mallory", "administrator", "acme").await;
    let put = directory.put_owner(owner("keeper")).await.map(|_| ());
    let refused = refusal(put);
    assert!(refused.contains("credd.credentials.reveal"), "{refused}");
    directory.put_owner(owner("new")).await.unwrap();

    // Nor by a secret of whom the owner is known as.
    let put = v1::PutOwnerRequest {
        principals: vec!["credd:keeper-login".to_owned()],
        ..owner("keeper")
    };
    put_owner(admin, put).await;
    admin.bind("credd:mallory", "administrator", "credd").await;
    let login = issue_request("credd", "keeper-login", "api-token");
    let issued = mallory.credentials().issue(login.clone()).await;
    let refused = refusal(issued.map(|_| ()));
    assert!(refused.contains("credd.credentials.reveal"), "{refused}");

    // Who may reveal may give it, and that is what they are given.
    let issued = admin.issue(login).await.unwrap();
    let token = Held::of(issued.credential.as_ref(), issued.secret).secret();
    let keeper = world.nobody("the keeper").bearing(&token);
    assert_eq!(reveal(&keeper, &kept.id).await.unwrap(), kept.secret());
    assert!(reveal(&mallory, &kept.id).await.is_err());
    drop((keeper, mallory, directory));
    world.stop().await;
}

/// The secret of a credential that is shown again.
async fn reveal(caller: &Caller, id: &str) -> Result<String, Status> {
    let request = v1::RevealRequest {
        credential_id: id.to_owned(),
        reason: "a test".to_owned(),
    };
    let shown = caller.credentials().reveal(request).await?.into_inner();
    Ok(Held::of(shown.credential.as_ref(), shown.secret).secret())
}
