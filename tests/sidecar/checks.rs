//! Envoy's checks, as the real program answers and counts them. With the real Envoy
//! there is the suite `envoy`.

use std::collections::BTreeMap;

use credd::proto::envoy::auth::attribute_context::{HttpRequest, Request};
use credd::proto::envoy::auth::check_response::HttpResponse;
use credd::proto::envoy::auth::{AttributeContext, CheckRequest, CheckResponse};
use credd::proto::v1;
use credd::proto::v1::directory_service_client::DirectoryServiceClient;
use http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use crate::calls::{Held, issue_request};
use crate::real::{Authority, Sidecar};
use crate::support::until;
use crate::world::World;

/// A request with a token, or none, on a route that needs `permissions`.
pub(crate) fn request(token: Option<&str>, permissions: Option<&str>) -> CheckRequest {
    let bearer = token.map(|token| format!("Bearer {token}"));
    with_headers(&[("authorization", bearer.as_deref())], permissions)
}

/// A request with these headers on such a route.
fn with_headers(headers: &[(&str, Option<&str>)], permissions: Option<&str>) -> CheckRequest {
    of_tenant("acme", headers, permissions)
}

/// A request with these headers on a route of a tenant that needs `permissions`.
pub(crate) fn of_tenant(
    tenant: &str,
    headers: &[(&str, Option<&str>)],
    permissions: Option<&str>,
) -> CheckRequest {
    let texts = |pairs: &[(&str, Option<&str>)]| {
        let pairs = pairs.iter();
        let given =
            pairs.filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?.to_owned())));
        given.collect::<BTreeMap<_, _>>()
    };
    let http = HttpRequest {
        headers: texts(headers),
        ..HttpRequest::default()
    };
    let context = [
        ("credd-tenant", Some(tenant)),
        ("credd-permissions", permissions),
    ];
    CheckRequest {
        attributes: Some(AttributeContext {
            request: Some(Request { http: Some(http) }),
            context_extensions: texts(&context),
            source: None,
        }),
    }
}

/// The status that a client reads; `None`: it is let through.
pub(crate) async fn check(channel: &Channel, request: CheckRequest) -> Result<Option<i32>, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/envoy.service.auth.v3.Authorization/Check");
    let codec = ProstCodec::<CheckRequest, CheckResponse>::default();
    let answer = client
        .unary(tonic::Request::new(request), path, codec)
        .await?;
    match answer.into_inner().http_response.unwrap() {
        HttpResponse::OkResponse(_) => Ok(None),
        HttpResponse::DeniedResponse(denied) => Ok(Some(denied.status.unwrap().code)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_checks_came_to_is_counted() {
    let lease = ["--fence-lease-ms", "1000"];
    let mut authority = Authority::start(&lease).await;
    let admin = authority.admin().await;
    let (id, token) = admin.issue_token("acme").await;
    let sidecar = Sidecar::following(&authority.url(), &authority).await;
    until("the profiles to be known", || async {
        let answer = check(&sidecar.channel, request(Some(&token), Some("none"))).await;
        answer.unwrap().is_none()
    })
    .await;
    let count = async |outcome: &str| {
        let name = format!("sidecar_checks_total{{outcome=\"{outcome}\"}}");
        sidecar.count(&name).await
    };
    assert_eq!(count("allowed").await, 1);
    // Before the profiles were known.
    let early = count("unavailable").await;

    for (token, permissions, status) in [
        (Some(&*token), Some("none"), None),
        (None, Some("none"), Some(401)),
        (Some("nothing"), Some("none"), Some(401)),
        (Some(&token), Some("feeds:read"), Some(403)),
        (Some(&token), None, Some(403)),
    ] {
        let answer = check(&sidecar.channel, request(token, permissions)).await;
        assert_eq!(answer.unwrap(), status, "{permissions:?}");
    }
    admin.revoke(&id).await.unwrap();
    until("the sidecar to deny", || async {
        let answer = check(&sidecar.channel, request(Some(&token), Some("none"))).await;
        answer.unwrap() == Some(401)
    })
    .await;
    let allowed = count("allowed").await;
    assert!(allowed >= 2, "{allowed}");
    assert_eq!(count("unauthorized").await, 3);
    assert_eq!(count("forbidden").await, 2);
    assert_eq!(count("unavailable").await, early);

    authority.kill();
    until("the lease to run out", || async {
        let answer = check(&sidecar.channel, request(Some(&token), Some("none"))).await;
        answer.unwrap() == Some(503)
    })
    .await;
    assert_eq!(count("unavailable").await, early + 1);
    assert_eq!(count("abandoned").await, 0);
    sidecar.stop(&[&token]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_follows_a_sidecar_lets_through_what_is_good() {
    let world = World::start().await;
    let relay = crate::sidecar::Sidecar::ready(world.config()).await;
    let near = crate::sidecar::Sidecar::ready(relay.follower()).await;
    let (_, token) = world.server.admin.issue_token("acme").await;
    until("the profiles to be known", || async {
        let answer = check(&near.channel(), request(Some(&token), Some("none"))).await;
        answer.unwrap().is_none()
    })
    .await;

    // The profiles are all that it says of what is configured.
    let mut directory = DirectoryServiceClient::new(relay.channel());
    let listed = directory.list_profiles(v1::ListProfilesRequest::default());
    assert!(!listed.await.unwrap().into_inner().profiles.is_empty());
    let refused = directory.list_tenants(v1::ListTenantsRequest::default());
    assert_eq!(refused.await.unwrap_err().code(), Code::Unimplemented);
    near.stop().await;
    relay.stop().await;
    world.server.stop().await;
}

/// Puts a profile of one's own, whose credentials stand in this header.
async fn put_profile(world: &World, header: &str) -> v1::Profile {
    put_profile_of(world, "acme", header).await
}

/// Puts a profile of a tenant's own, whose credentials stand in this header.
pub(crate) async fn put_profile_of(world: &World, tenant: &str, header: &str) -> v1::Profile {
    let profile = v1::Profile {
        tenant: tenant.to_owned(),
        name: "partner-key".to_owned(),
        display_name: "Partner key".to_owned(),
        kind: v1::CredentialKind::ApiToken.into(),
        headers: vec![v1::HeaderRule {
            name: header.to_owned(),
            format: Some(v1::header_rule::Format::Bare(true)),
        }],
        visibility: v1::SecretVisibility::Once.into(),
        expiry: Some(v1::ExpiryRule {
            never: v1::NeverRule::Always.into(),
            ..Default::default()
        }),
        multiplicity: v1::Multiplicity::Many.into(),
        default_label: "Partner key".to_owned(),
        ..Default::default()
    };
    let request = v1::PutProfileRequest {
        profile: Some(profile),
        ..Default::default()
    };
    let mut directory = world.server.admin.directory.clone();
    let put = directory.put_profile(request).await.unwrap();
    put.into_inner().profile.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_goes_on_in_its_header_when_its_profile_has_another() {
    let world = World::start().await;
    let relay = crate::sidecar::Sidecar::ready(world.config()).await;
    let near = crate::sidecar::Sidecar::ready(relay.follower()).await;
    let issue = async || {
        let request = issue_request("acme", "jo", "partner-key");
        let issued = world.server.admin.issue(request).await.unwrap();
        Held::of(issued.credential.as_ref(), issued.secret).secret()
    };
    let status = async |sidecar: &crate::sidecar::Sidecar, headers: &[(&str, Option<&str>)]| {
        let request = with_headers(headers, Some("none"));
        check(&sidecar.channel(), request).await.unwrap()
    };
    put_profile(&world, "x-old").await;
    let old = issue().await;
    let changed = put_profile(&world, "x-new").await;
    let names = changed
        .accepted_headers
        .iter()
        .map(|rule| rule.name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["x-new", "x-old"]);
    let new = issue().await;
    // What was told of both versions, and what is told of the latest alone.
    let restarted = crate::sidecar::Sidecar::ready(world.config()).await;
    let behind = crate::sidecar::Sidecar::ready(relay.follower()).await;
    for sidecar in [&relay, &near, &restarted, &behind] {
        until("the new header to be known", || async {
            status(sidecar, &[("x-new", Some(&new))]).await.is_none()
        })
        .await;
        assert_eq!(status(sidecar, &[("x-old", Some(&old))]).await, None);
        // Two credentials, of which one would be passed on.
        let both = [("x-new", Some(&*new)), ("x-old", Some(&*old))];
        assert_eq!(status(sidecar, &both).await, Some(401));
        // Each in its own header.
        assert_eq!(status(sidecar, &[("x-old", Some(&new))]).await, Some(401));
    }
    for sidecar in [behind, restarted, near, relay] {
        sidecar.stop().await;
    }
    world.server.stop().await;
}
