//! ESET Threat Intelligence: API tokens and TAXII credentials on one list, and the
//! MISP key, which is kept off it.

use credd::proto::v1;
use data_encoding::BASE64;

use super::{Product, assert_without, header_of, reason, reveal};

#[tokio::test]
async fn eset_shows_tokens_and_taxii_credentials_once_and_lists_them_together() {
    let eset = Product::new("eset").await;
    let jo = eset.user("jo", &[], &[]).await;

    // Generate API Token: the window shows the token and the header's value.
    let issued = jo.issue(eset.ask("jo", "eset-api-token")).await.unwrap();
    let (token, bare) = header_of(&issued.secret.unwrap());
    assert_eq!(token.name, "Authorization");
    assert_eq!(token.value, format!("Bearer {bare}"));
    let token_id = issued.credential.unwrap().id;

    // Generate TAXII Credentials: username, password and the header's value.
    let request = v1::IssueRequest {
        label: "feeds of the lab".to_owned(),
        expiry: Some(v1::issue_request::Expiry::Ttl(prost_types::Duration {
            seconds: 86_400 * 30,
            nanos: 0,
        })),
        ..eset.ask("jo", "eset-taxii")
    };
    let issued = jo.issue(request).await.unwrap();
    let secret = issued.secret.unwrap();
    let (taxii, password) = header_of(&secret);
    let Some(v1::issued_secret::Secret::UsernamePassword(pair)) = secret.secret else {
        panic!("no username and password");
    };
    let encoded = BASE64.encode(format!("{}:{password}", pair.username).as_bytes());
    assert_eq!(taxii.value, format!("Basic {encoded}"));
    let taxii_id = issued.credential.unwrap().id;

    assert_eq!(eset.verdict(&token).await, v1::Verdict::Active);
    assert_eq!(eset.verdict(&taxii).await, v1::Verdict::Active);

    // The page lists label, type, expires, last used and created.
    let listed = eset.list(&jo, "jo").await;
    let columns: Vec<_> = listed
        .iter()
        .map(|c| {
            (
                c.label.as_str(),
                c.profile_display_name.as_str(),
                c.expires_at.is_some(),
            )
        })
        .collect();
    let expected = [
        ("API Token", "API Token", false),
        ("feeds of the lab", "TAXII Credentials", true),
    ];
    assert_eq!(columns, expected);
    for credential in &listed {
        assert!(credential.created_at.is_some());
        assert_without(credential, &bare);
        assert_without(credential, &password);
    }
    super::support::until("the last uses to be listed", || async {
        let listed = eset.list(&jo, "jo").await;
        listed.iter().all(|c| c.last_used_at.is_some())
    })
    .await;

    // Nobody can recover them: neither the user nor an administrator who may see
    // what can be seen.
    for id in [&token_id, &taxii_id] {
        let refused = reveal(&jo, id).await.map(|_| ()).unwrap_err();
        assert_eq!(reason(&refused), "NOT_VIEWABLE");
        assert_without(&jo.get(id).await.unwrap(), &password);
    }

    // Remove: the record no longer appears on the page, and opens nothing.
    jo.revoke(&taxii_id).await.unwrap();
    let listed = eset.list(&jo, "jo").await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].id, token_id);
    assert_eq!(eset.verdict(&taxii).await, v1::Verdict::Revoked);
    assert_eq!(eset.verdict(&token).await, v1::Verdict::Active);
}

#[tokio::test]
async fn misp_keys_are_one_a_user_viewable_and_not_on_the_common_list() {
    let eset = Product::new("eset").await;
    let jo = eset.user("jo", &[], &[]).await;
    let issued = jo.issue(eset.ask("jo", "misp")).await.unwrap();
    let (key, bare) = header_of(&issued.secret.unwrap());
    assert_eq!((key.name.as_str(), &key.value), ("Authorization", &bare));
    let id = issued.credential.unwrap().id;
    assert_eq!(eset.verdict(&key).await, v1::Verdict::Active);
    assert_eq!(
        eset.verify("Authorization", &format!("Bearer {bare}"))
            .await
            .verdict(),
        v1::Verdict::Invalid,
        "the key stands bare in its header"
    );

    // It is not on the page of access credentials, but where it is asked for.
    jo.issue(eset.ask("jo", "eset-api-token")).await.unwrap();
    let common = eset.list(&jo, "jo").await;
    assert_eq!(common.len(), 1);
    assert_eq!(common[0].profile, "eset-api-token");
    let filter = v1::CredentialFilter {
        profile: "misp".to_owned(),
        ..Default::default()
    };
    let misp = eset.list_of(&jo, "jo", filter).await;
    assert_eq!(misp.len(), 1);
    assert_eq!(misp[0].profile_display_name, "MISP API key");

    // The Automation page shows it again, at any time, to its user alone.
    for _ in 0..2 {
        let shown = reveal(&jo, &id).await.unwrap();
        assert!(header_of(&shown) == (key.clone(), bare.clone()));
    }
    let mia = eset.user("mia", &[], &[]).await;
    let unknown = reveal(&mia, &id).await.map(|_| ()).unwrap_err();
    assert_eq!(reason(&unknown), "CREDENTIAL_NOT_FOUND");
    eset.admin.bind("credd:manager", "administrator", "*").await;
    let manager = eset.caller("manager").await;
    let refused = reveal(&manager, &id).await.map(|_| ()).unwrap_err();
    assert_eq!(
        reason(&refused),
        "PERMISSION_MISSING",
        "in no built-in role"
    );

    // One a user: another needs the first to go, and no expiry is offered.
    let refused = jo
        .issue(eset.ask("jo", "misp"))
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(reason(&refused), "CREDENTIAL_EXISTS");
    jo.revoke(&id).await.unwrap();
    let expiring = v1::IssueRequest {
        expiry: Some(v1::issue_request::Expiry::Period("P30D".to_owned())),
        ..eset.ask("jo", "misp")
    };
    let refused = jo.issue(expiring).await.map(|_| ()).unwrap_err();
    assert_eq!(super::fields(&refused), super::one("period"));
    jo.issue(eset.ask("jo", "misp")).await.unwrap();
    assert_eq!(eset.verdict(&key).await, v1::Verdict::Revoked);
    let gone = reveal(&jo, &id).await.map(|_| ()).unwrap_err();
    assert_eq!(reason(&gone), "CREDENTIAL_REVOKED");
}
