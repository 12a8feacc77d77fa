//! A tenth product, without a line of Rust: a profile that an administrator puts.

use credd::proto::v1;
use credd::proto::v1::header_rule::Format;

use super::{Product, fields, header_of, one, reason};

fn profile(name: &str) -> v1::Profile {
    v1::Profile {
        tenant: "acme".to_owned(),
        name: name.to_owned(),
        display_name: "Partner key".to_owned(),
        kind: v1::CredentialKind::KeyPair.into(),
        headers: vec![v1::HeaderRule {
            name: "X-Partner".to_owned(),
            format: Some(Format::Pair(v1::PairFormat {
                public_parameter: "id".to_owned(),
                secret_parameter: "key".to_owned(),
            })),
        }],
        visibility: v1::SecretVisibility::Once.into(),
        expiry: Some(v1::ExpiryRule {
            default_period: "P90D".to_owned(),
            max_period: "P1Y".to_owned(),
            ..Default::default()
        }),
        multiplicity: v1::Multiplicity::Many.into(),
        default_label: "Partner key".to_owned(),
        ..Default::default()
    }
}

async fn put(product: &Product, profile: v1::Profile) -> Result<v1::Profile, tonic::Status> {
    let request = v1::PutProfileRequest {
        profile: Some(profile),
        ..Default::default()
    };
    let put = product.admin.directory.clone().put_profile(request).await?;
    Ok(put.into_inner().profile.unwrap())
}

#[tokio::test]
async fn a_profile_of_ones_own_issues_and_verifies_with_its_own_header() {
    let acme = Product::new("acme").await;
    let stored = put(&acme, profile("partner-key")).await.unwrap();
    assert_eq!(stored.version, 1);
    assert!(!stored.built_in);

    let issued = acme
        .admin
        .issue(acme.ask("jo", "partner-key"))
        .await
        .unwrap();
    let (header, _) = header_of(&issued.secret.unwrap());
    assert_eq!(header.name, "X-Partner");
    assert!(header.value.starts_with("id=credda_"), "{}", header.value);
    let credential = issued.credential.unwrap();
    assert_eq!(credential.profile_display_name, "Partner key");
    assert_eq!(acme.verdict(&header).await, v1::Verdict::Active);
    assert_eq!(
        acme.verify("x-partner", &header.value).await.verdict(),
        v1::Verdict::Active,
        "names of headers have no case"
    );
    assert_eq!(
        acme.verify("X-ApiKeys", &header.value).await.verdict(),
        v1::Verdict::Invalid,
        "it is in no other header"
    );

    // Another version is for what is issued from then on.
    let mut second = profile("partner-key");
    second.headers[0].name = "X-Partner-2".to_owned();
    second.expiry.as_mut().unwrap().default_period = "P30D".to_owned();
    assert_eq!(put(&acme, second).await.unwrap().version, 2);
    assert_eq!(acme.verdict(&header).await, v1::Verdict::Active);
    let issued = acme
        .admin
        .issue(acme.ask("jo", "partner-key"))
        .await
        .unwrap();
    let (newer, _) = header_of(&issued.secret.unwrap());
    assert_eq!(newer.name, "X-Partner-2");
    assert_eq!(acme.verdict(&newer).await, v1::Verdict::Active);
    assert_eq!(
        acme.verify("X-Partner", &newer.value).await.verdict(),
        v1::Verdict::Invalid
    );

    // The shape never changes; other tenants do not have it; what is in use is not
    // deleted.
    let mut other = profile("partner-key");
    other.kind = v1::CredentialKind::ApiToken.into();
    other.headers[0].format = Some(Format::Bare(true));
    let refused = put(&acme, other).await.unwrap_err();
    assert_eq!(fields(&refused), one("profile.kind"));
    let elsewhere = v1::IssueRequest {
        tenant: "globex".to_owned(),
        ..acme.ask("jo", "partner-key")
    };
    let refused = acme.admin.issue(elsewhere).await.map(|_| ()).unwrap_err();
    assert_eq!(fields(&refused), one("profile"));
    let delete = v1::DeleteProfileRequest {
        tenant: "acme".to_owned(),
        name: "partner-key".to_owned(),
        ..Default::default()
    };
    let refused = acme.admin.directory.clone().delete_profile(delete).await;
    assert_eq!(reason(&refused.unwrap_err()), "PROFILE_IN_USE");
}

#[tokio::test]
async fn the_profiles_of_the_products_are_listed_and_cannot_be_put() {
    let acme = Product::new("acme").await;
    put(&acme, profile("partner-key")).await.unwrap();
    let request = v1::ListProfilesRequest {
        tenant: "acme".to_owned(),
        ..Default::default()
    };
    let listed = acme.admin.directory.clone().list_profiles(request).await;
    let listed = listed.unwrap().into_inner().profiles;
    let built_in: Vec<_> = listed
        .iter()
        .filter(|profile| profile.built_in)
        .map(|profile| profile.name.as_str())
        .collect();
    let expected = [
        "api-token",
        "basic",
        "eclecticiq",
        "eset-api-token",
        "eset-taxii",
        "kaspersky-demo-taxii",
        "kaspersky-tip",
        "key-pair",
        "misp",
        "tenable-cs",
        "tenable-io",
        "trend-micro",
    ];
    assert_eq!(built_in, expected);
    assert_eq!(listed.last().unwrap().name, "partner-key");
    let mut tip = profile("kaspersky-tip");
    tip.tenant = String::new();
    for taken in [tip, profile("kaspersky-tip")] {
        let refused = put(&acme, taken).await.unwrap_err();
        assert_eq!(reason(&refused), "PROFILE_BUILT_IN");
    }
}
