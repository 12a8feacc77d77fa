//! Tenable: API keys of Tenable.io, of which a user has one pair, and tokens of
//! Tenable.cs, which can be copied again.

use credd::proto::v1;

use super::{Product, assert_without, header_of, reason, reveal};

async fn put_role(product: &Product, name: &str, permissions: &[&str]) {
    let request = v1::PutRoleRequest {
        tenant: product.tenant.to_owned(),
        name: name.to_owned(),
        permissions: permissions.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    product
        .admin
        .directory
        .clone()
        .put_role(request)
        .await
        .unwrap();
}

#[tokio::test]
async fn tenable_io_replaces_the_keys_after_a_warning_and_they_act_as_their_owner() {
    let io = Product::new("tenable-io").await;
    put_role(&io, "scan-operator", &["scans:read", "scans:launch"]).await;
    let jo = io.user("jo", &["scan-operator"], &[]).await;

    // Generate: access key and secret key are shown, this once.
    let issued = jo.issue(io.ask("jo", "tenable-io")).await.unwrap();
    let secret = issued.secret.unwrap();
    let (first, bare) = header_of(&secret);
    let Some(v1::issued_secret::Secret::KeyPair(pair)) = secret.secret else {
        panic!("no keys");
    };
    assert_eq!(first.name, "X-ApiKeys");
    let expected = format!("accessKey={}; secretKey={bare}", pair.access_key);
    assert_eq!(first.value, expected);
    let id = issued.credential.unwrap().id;
    let gone = reveal(&jo, &id).await.map(|_| ()).unwrap_err();
    assert_eq!(reason(&gone), "NOT_VIEWABLE");
    let listed = io.list(&jo, "jo").await;
    assert_without(&listed[0], &bare);

    // They act with their owner's permissions, as these are now.
    let verify = |permission: &'static str| {
        let (name, value) = (first.name.clone(), first.value.clone());
        let io = &io;
        async move { io.verify_for(&name, &value, &[permission]).await.verdict() }
    };
    assert_eq!(verify("scans:launch").await, v1::Verdict::Active);
    assert_eq!(verify("users:write").await, v1::Verdict::Forbidden);
    put_role(&io, "scan-operator", &["scans:read"]).await;
    assert_eq!(verify("scans:launch").await, v1::Verdict::Forbidden);
    assert_eq!(verify("scans:read").await, v1::Verdict::Active);

    // Any existing API keys are replaced when you click Generate: the warning names
    // them and who uses them, and changes nothing.
    super::support::until("the use to be known", || async {
        jo.get(&id).await.unwrap().last_used_at.is_some()
    })
    .await;
    let warning = v1::IssueRequest {
        dry_run: true,
        ..io.ask("jo", "tenable-io")
    };
    let warned = jo.issue(warning).await.unwrap();
    assert!(warned.secret.is_none());
    assert_eq!(warned.credential.unwrap().id, "", "there is none yet");
    assert_eq!(warned.replaced.len(), 1);
    assert_eq!(warned.replaced[0].id, id);
    let services = warned.impact.unwrap().services;
    assert_eq!(services.len(), 1);
    assert_eq!(services[0].service, "credd:admin");
    assert_eq!(io.verdict(&first).await, v1::Verdict::Active);

    let issued = jo.issue(io.ask("jo", "tenable-io")).await.unwrap();
    assert_eq!(issued.replaced[0].id, id);
    let (second, _) = header_of(&issued.secret.unwrap());
    assert_eq!(io.verdict(&first).await, v1::Verdict::Revoked);
    assert_eq!(io.verdict(&second).await, v1::Verdict::Active);
    let replaced = jo.get(&id).await.unwrap();
    assert_eq!(
        replaced.state_revision, issued.revision,
        "in the same commit"
    );
    assert_eq!(io.list(&jo, "jo").await.len(), 1);
}

#[tokio::test]
async fn tenable_cs_tokens_are_copied_again_by_those_who_manage_them() {
    let cs = Product::new("tenable-cs").await;
    let jo = cs.user("jo", &[], &[]).await;
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let issued = jo.issue(cs.ask("jo", "tenable-cs")).await.unwrap();
        let (header, bare) = header_of(&issued.secret.unwrap());
        assert_eq!(header.value, format!("Bearer {bare}"));
        assert_eq!(cs.verdict(&header).await, v1::Verdict::Active);
        tokens.push(bare);
    }
    // To copy an existing token: from the list, by the button beside it.
    let listed = cs.list(&jo, "jo").await;
    assert_eq!(listed.len(), 2, "any number");
    for (credential, token) in listed.iter().zip(&tokens) {
        assert!(credential.viewable);
        assert_without(credential, token);
        let copied = reveal(&jo, &credential.id).await.unwrap();
        assert_eq!(header_of(&copied).1, *token);
    }
    // Somebody who may manage them: by a permission, and in no other way.
    let request = v1::PutRoleRequest {
        tenant: "credd".to_owned(),
        name: "copier".to_owned(),
        permissions: vec!["credd.credentials.reveal".to_owned()],
        ..Default::default()
    };
    cs.admin.directory.clone().put_role(request).await.unwrap();
    cs.admin.bind("credd:manager", "copier", "*").await;
    let manager = cs
        .admin
        .issue(v1::IssueRequest {
            owner: "manager".to_owned(),
            roles: vec!["copier".to_owned()],
            ..super::token_request("credd")
        })
        .await
        .unwrap();
    let manager = cs.server.client(&super::token_of(manager.secret)).await;
    let copied = reveal(&manager, &listed[0].id).await.unwrap();
    assert_eq!(header_of(&copied).1, tokens[0]);
    // While it is active only.
    jo.lock(&listed[0].id).await.unwrap();
    let locked = reveal(&jo, &listed[0].id).await.map(|_| ()).unwrap_err();
    assert_eq!(reason(&locked), "CREDENTIAL_LOCKED");
}
