//! Requests as Envoy tells of them, without Envoy.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::client::Ends;
use crate::domain::header::{HeaderRule, HeaderRules};
use crate::domain::profile::built_in;
use crate::proto::envoy::auth::attribute_context::{self, HttpRequest, Peer};
use crate::proto::envoy::auth::check_response::HttpResponse;
use crate::proto::envoy::auth::{AttributeContext, DeniedHttpResponse, OkHttpResponse};
use crate::proto::envoy::core::address::Address::SocketAddress;
use crate::proto::envoy::core::{self, HeaderMap, HeaderValue};
use crate::proto::envoy::r#type::StatusCode;
use crate::proto::v1;
use crate::proto::v1::presented::Credential;
use crate::proto::v1::raw_header::Value;
use crate::sidecar::verifier::{Served, Verified};

mod answers;
mod asking;
mod counting;
mod routes;

/// The headers of the built-in profiles.
fn rules() -> HeaderRules {
    let profiles = built_in::all().iter();
    let rules = profiles.flat_map(|known| known.profile.headers.iter().cloned());
    rules.collect::<Vec<HeaderRule>>().into_iter().collect()
}

/// A route for `acme` that needs no permission.
fn extensions() -> BTreeMap<String, String> {
    texts(&[("credd-tenant", "acme"), ("credd-permissions", "none")])
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// A request with these headers.
fn request(headers: &[(&str, &str)]) -> CheckRequest {
    let http = HttpRequest {
        id: "17".to_owned(),
        headers: texts(headers),
        header_map: None,
    };
    of(http, extensions())
}

/// A request whose headers Envoy tells of as they came.
fn raw_request(headers: &[(&str, &[u8])]) -> CheckRequest {
    let headers = headers.iter().map(|(name, value)| HeaderValue {
        key: (*name).to_owned(),
        value: String::new(),
        raw_value: value.to_vec(),
    });
    let http = HttpRequest {
        id: "17".to_owned(),
        headers: BTreeMap::new(),
        header_map: Some(HeaderMap {
            headers: headers.collect(),
        }),
    };
    of(http, extensions())
}

fn of(http: HttpRequest, context_extensions: BTreeMap<String, String>) -> CheckRequest {
    let address = core::SocketAddress {
        address: "192.0.2.7".to_owned(),
    };
    CheckRequest {
        attributes: Some(AttributeContext {
            source: Some(Peer {
                address: Some(core::Address {
                    address: Some(SocketAddress(address)),
                }),
            }),
            request: Some(attribute_context::Request { http: Some(http) }),
            context_extensions,
        }),
    }
}

/// Whose credential it is, in the least words.
fn identity() -> v1::Identity {
    v1::Identity {
        credential_id: "0198".to_owned(),
        tenant: "acme".to_owned(),
        owner: "jo".to_owned(),
        profile: "api-token".to_owned(),
        ..v1::Identity::default()
    }
}

fn verdict(verdict: v1::Verdict) -> v1::VerifyResponse {
    v1::VerifyResponse {
        verdict: verdict.into(),
        identity: Some(identity()),
        ..v1::VerifyResponse::default()
    }
}

/// A verifier that says one thing.
struct Says {
    answer: Result<v1::VerifyResponse, Status>,
    served: Served,
    rules: Option<Arc<HeaderRules>>,
}

impl Says {
    fn new(answer: Result<v1::VerifyResponse, Status>) -> Self {
        Self {
            answer,
            served: Served::Asked,
            rules: Some(Arc::new(rules())),
        }
    }
}

impl Verifier for Says {
    async fn verify(&self, _: v1::VerifyRequest, _: Duration) -> Result<Verified, Status> {
        self.answer
            .clone()
            .map(|response| verified(response, self.served))
    }

    fn headers(&self, _: Option<&str>) -> Option<Arc<HeaderRules>> {
        self.rules.clone()
    }
}

/// A verifier that never answers.
struct Silent;

impl Verifier for Silent {
    async fn verify(&self, _: v1::VerifyRequest, _: Duration) -> Result<Verified, Status> {
        std::future::pending().await
    }

    fn headers(&self, _: Option<&str>) -> Option<Arc<HeaderRules>> {
        Some(Arc::new(rules()))
    }
}

fn verified(response: v1::VerifyResponse, served: Served) -> Verified {
    Verified {
        response: Arc::new(response),
        at: None,
        valid_for: Some(Duration::ZERO),
        ends: Ends::Unsaid,
        served,
    }
}

/// What Envoy is told.
enum Told {
    Through(OkHttpResponse),
    Denied(StatusCode, DeniedHttpResponse),
}

fn told(response: CheckResponse) -> Told {
    let CheckResponse {
        status,
        http_response,
    } = response;
    let status = status.unwrap();
    match http_response.unwrap() {
        HttpResponse::OkResponse(ok) => {
            assert_eq!(status.code, i32::from(tonic::Code::Ok));
            Told::Through(ok)
        }
        HttpResponse::DeniedResponse(denied) => {
            assert_ne!(status.code, i32::from(tonic::Code::Ok));
            Told::Denied(denied.status.unwrap().code(), denied)
        }
    }
}

async fn check(verifier: Says, request: CheckRequest) -> Told {
    let service = ExtAuthz::new(Arc::new(verifier), Duration::from_secs(1));
    let response = service.check(Request::new(request)).await.unwrap();
    told(response.into_inner())
}

/// The reason with which a request is denied.
fn denied(told: Told) -> (StatusCode, String) {
    let Told::Denied(status, denied) = told else {
        panic!("it was let through");
    };
    let (reason, _) = denied.body.split_once(':').unwrap();
    (status, reason.to_owned())
}
