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

use crate::real::{Authority, Sidecar};
use crate::support::until;
use crate::world::World;

/// A request with a token, or none, on a route that needs `permissions`.
fn request(token: Option<&str>, permissions: Option<&str>) -> CheckRequest {
    let texts = |pairs: &[(&str, Option<&str>)]| {
        let pairs = pairs.iter();
        let given =
            pairs.filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?.to_owned())));
        given.collect::<BTreeMap<_, _>>()
    };
    let bearer = token.map(|token| format!("Bearer {token}"));
    let http = HttpRequest {
        headers: texts(&[("authorization", bearer.as_deref())]),
        ..HttpRequest::default()
    };
    let context = [
        ("credd-tenant", Some("acme")),
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
async fn check(channel: &Channel, request: CheckRequest) -> Result<Option<i32>, Status> {
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
