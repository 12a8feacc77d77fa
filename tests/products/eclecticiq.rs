//! `EclecticIQ` Intelligence Center: named tokens for predefined periods, and the
//! default source of their owner.

use credd::proto::v1;
use credd::proto::v1::issue_request::Expiry;

use super::{Product, assert_without, fields, header_of, one, reason, reveal, seconds};

#[tokio::test]
async fn eclecticiq_offers_predefined_periods_and_verifies_with_the_source_as_it_is_now() {
    let center = Product::new("center").await;
    let jo = center
        .user("jo", &[], &["analysts", "feeds", "admins"])
        .await;
    let named = |name: &str| v1::IssueRequest {
        label: name.to_owned(),
        ..center.ask("jo", "eclecticiq")
    };

    // A name is entered; without one there is no token.
    let refused = jo.issue(center.ask("jo", "eclecticiq")).await;
    assert_eq!(fields(&refused.map(|_| ()).unwrap_err()), one("label"));
    let issued = jo.issue(named("nightly import")).await.unwrap();
    let (header, bare) = header_of(&issued.secret.unwrap());
    assert_eq!(header.value, format!("Bearer {bare}"));
    let credential = issued.credential.unwrap();
    assert!(
        credential.expires_at.is_none(),
        "unless one selects a period"
    );

    // One of the predefined intervals, and nothing else.
    let issued = jo
        .issue(v1::IssueRequest {
            expiry: Some(Expiry::Period("P90D".to_owned())),
            ..named("a quarter")
        })
        .await
        .unwrap();
    let quarter = issued.credential.unwrap();
    let lifetime = seconds(quarter.expires_at) - seconds(quarter.created_at);
    assert_eq!(lifetime, 90 * 86_400);
    for (said, field) in [
        (Expiry::Period("P91D".to_owned()), "period"),
        (Expiry::Period("P2Y".to_owned()), "period"),
        (Expiry::ExpiresOn("2999-01-01".to_owned()), "expires_on"),
        (
            Expiry::Ttl(prost_types::Duration {
                seconds: 3600,
                nanos: 0,
            }),
            "ttl",
        ),
    ] {
        let request = v1::IssueRequest {
            expiry: Some(said),
            ..named("no such period")
        };
        let refused = jo.issue(request).await.map(|_| ()).unwrap_err();
        assert_eq!(fields(&refused), one(field));
    }

    // The value can't be viewed after the dialog is closed. The list has name,
    // expiry and last use.
    let gone = reveal(&jo, &credential.id).await.map(|_| ()).unwrap_err();
    assert_eq!(reason(&gone), "NOT_VIEWABLE");
    let listed = center.list(&jo, "jo").await;
    let columns: Vec<_> = listed
        .iter()
        .map(|c| (c.label.as_str(), c.expires_at.is_some()))
        .collect();
    assert_eq!(columns, [("nightly import", false), ("a quarter", true)]);
    for credential in &listed {
        assert_without(credential, &bare);
    }

    // None set: the first group. Then as the user sets it, for tokens that exist
    // already; a group that the user leaves is cleared.
    let source = || async {
        let answer = center.verify(&header.name, &header.value).await;
        assert_eq!(answer.verdict(), v1::Verdict::Active);
        answer.identity.unwrap().default_source
    };
    assert_eq!(source().await, "analysts");
    let set = |source: &str| {
        let request = v1::SetDefaultSourceRequest {
            tenant: "center".to_owned(),
            name: "jo".to_owned(),
            source: source.to_owned(),
            ..Default::default()
        };
        let mut directory = jo.directory.clone();
        async move { directory.set_default_source(request).await }
    };
    set("feeds").await.unwrap();
    assert_eq!(source().await, "feeds");
    let refused = set("strangers").await.unwrap_err();
    assert_eq!(fields(&refused), one("source"));
    center.put_owner("jo", &[], &["admins", "feeds"]).await;
    assert_eq!(source().await, "feeds", "the choice stays");
    let owner = center.put_owner("jo", &[], &["admins", "analysts"]).await;
    assert_eq!(owner.chosen_source, "");
    assert_eq!(source().await, "admins");
    center.put_owner("jo", &[], &["admins", "feeds"]).await;
    assert_eq!(
        source().await,
        "admins",
        "a choice that was cleared is gone"
    );

    // Users issue for themselves, and for nobody else.
    center.put_owner("mia", &[], &[]).await;
    let others = v1::IssueRequest {
        owner: "mia".to_owned(),
        ..named("not mine")
    };
    let refused = jo.issue(others).await.map(|_| ()).unwrap_err();
    assert_eq!(reason(&refused), "PERMISSION_MISSING");
}
