//! Trend Micro Cloud One (legacy accounts): API keys that administrators create,
//! with a role, a language and a time zone.

use std::collections::BTreeSet;

use credd::domain::calendar::{Date, TimeZone};
use credd::proto::v1;

use super::{Product, assert_without, fields, header_of, one, reason, reveal, seconds};

#[tokio::test]
#[allow(
    clippy::too_many_lines,
    reason = "one user's day, from morning to evening"
)]
async fn trend_micro_keys_are_created_by_administrators_locked_out_and_given_new_secrets() {
    let cloud = Product::new("cloud-one").await;
    let jo = cloud.user("jo", &["auditor", "full-access"], &[]).await;
    let properties = || v1::IssueRequest {
        label: "siem".to_owned(),
        description: "reads events".to_owned(),
        roles: vec!["auditor".to_owned()],
        language: "de-CH".to_owned(),
        time_zone: "America/New_York".to_owned(),
        ..cloud.ask("jo", "trend-micro")
    };

    // An account with administrator privileges is required.
    let refused = jo.issue(properties()).await.map(|_| ()).unwrap_err();
    assert_eq!(reason(&refused), "PERMISSION_MISSING");

    // Name, role, language and time zone are required, the description is not.
    let refused = cloud.admin.issue(cloud.ask("jo", "trend-micro")).await;
    let missing = ["label", "language", "roles", "time_zone"];
    let missing: BTreeSet<_> = missing.iter().map(ToString::to_string).collect();
    assert_eq!(fields(&refused.map(|_| ()).unwrap_err()), missing);
    let two = v1::IssueRequest {
        roles: vec!["auditor".to_owned(), "full-access".to_owned()],
        ..properties()
    };
    let refused = cloud.admin.issue(two).await.map(|_| ()).unwrap_err();
    assert_eq!(fields(&refused), one("roles"));

    // Expires on: the end of that day in the key's time zone.
    let request = v1::IssueRequest {
        expiry: Some(v1::issue_request::Expiry::ExpiresOn(
            "2999-03-10".to_owned(),
        )),
        ..properties()
    };
    let issued = cloud.admin.issue(request).await.unwrap();
    let (first, bare) = header_of(&issued.secret.unwrap());
    assert_eq!(
        (first.name.as_str(), &first.value),
        ("api-secret-key", &bare)
    );
    let key = issued.credential.unwrap();
    let zone = TimeZone::parse("America/New_York").unwrap();
    let end = Date::parse("2999-03-10").unwrap().end_in(&zone).unwrap();
    assert_eq!(seconds(key.expires_at), end.as_millis() / 1000);
    let id = key.id;

    // The services learn role, language and time zone. Auditor reads, full access
    // writes as well.
    let verify = |permission: &'static str| {
        let (cloud, first) = (&cloud, &first);
        async move {
            cloud
                .verify_for(&first.name, &first.value, &[permission])
                .await
        }
    };
    let read = verify("policies:read").await;
    assert_eq!(read.verdict(), v1::Verdict::Active);
    let identity = read.identity.unwrap();
    assert_eq!(identity.roles, ["auditor"]);
    assert_eq!(identity.permissions, ["*:read"]);
    assert_eq!(identity.language, "de-CH");
    assert_eq!(identity.time_zone, "America/New_York");
    assert_eq!(
        verify("policies:write").await.verdict(),
        v1::Verdict::Forbidden
    );

    // The secret key is shown at no other time.
    let gone = reveal(&jo, &id).await.map(|_| ()).unwrap_err();
    assert_eq!(reason(&gone), "NOT_VIEWABLE");
    assert_without(&cloud.admin.get(&id).await.unwrap(), &bare);

    // Properties can be edited later.
    let edit = v1::UpdateRequest {
        credential_id: id.clone(),
        label: "siem of the lab".to_owned(),
        roles: vec!["full-access".to_owned()],
        language: "ja".to_owned(),
        time_zone: "Asia/Tokyo".to_owned(),
        expiry: Some(v1::update_request::Expiry::Never(true)),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["*".to_owned()],
        }),
        ..Default::default()
    };
    let edited = cloud.admin.credentials.clone().update(edit).await.unwrap();
    let edited = edited.into_inner().credential.unwrap();
    assert_eq!(edited.description, "", "`*` replaces all of them");
    assert!(edited.expires_at.is_none());
    assert_eq!(
        verify("policies:write").await.verdict(),
        v1::Verdict::Active
    );
    let unnamed = v1::UpdateRequest {
        credential_id: id.clone(),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["language".to_owned()],
        }),
        ..Default::default()
    };
    let refused = cloud.admin.credentials.clone().update(unnamed).await;
    assert_eq!(fields(&refused.unwrap_err()), one("language"));

    // Locked Out: denied permission to authenticate; and back.
    cloud.admin.lock(&id).await.unwrap();
    assert_eq!(cloud.verdict(&first).await, v1::Verdict::Locked);
    cloud.admin.unlock(&id).await.unwrap();
    assert_eq!(cloud.verdict(&first).await, v1::Verdict::Active);

    // A new secret key for the same API key; the old one ends at once.
    let with_overlap = v1::RotateRequest {
        credential_id: id.clone(),
        overlap: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        ..Default::default()
    };
    let refused = cloud.admin.credentials.clone().rotate(with_overlap).await;
    assert_eq!(fields(&refused.map(|_| ()).unwrap_err()), one("overlap"));
    let rotated = cloud.rotate(&cloud.admin, &id).await.unwrap();
    let (second, new) = header_of(&rotated.secret.unwrap());
    assert_ne!(new, bare);
    let key = rotated.credential.unwrap();
    assert_eq!(
        (key.id.as_str(), key.label.as_str()),
        (id.as_str(), "siem of the lab")
    );
    assert_eq!(cloud.verdict(&first).await, v1::Verdict::Invalid);
    assert_eq!(cloud.verdict(&second).await, v1::Verdict::Active);
}
