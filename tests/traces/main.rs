//! Spans, as a collector receives them: what belongs together is one trace, and no
//! secret stands in any.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/collector.rs"]
mod collector;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/traced.rs"]
mod traced;

use collector::{Collector, Seen, beneath, traceparent};
use credd::proto::envoy::auth::attribute_context::{HttpRequest, Request as Checked};
use credd::proto::envoy::auth::check_response::HttpResponse;
use credd::proto::envoy::auth::{AttributeContext, CheckRequest, CheckResponse};
use credd::proto::v1;
use credd::proto::v1::Verdict;
use credd::proto::v1::verification_service_client::VerificationServiceClient;
use credd::server::config::traces_values::Ratio;
use http::uri::PathAndQuery;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use support::metrics::free_address;
use support::{read_token, until, verify_token_request};
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;
use traced::{Sidecar, authority, traces};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const ANOTHER: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT: &str = "00f067aa0ba902b7";
const VERIFY: &str = "credd.v1.VerificationService/Verify";
const CHECK: &str = "envoy.service.auth.v3.Authorization/Check";

/// A request that is part of a trace.
fn in_trace<T>(message: T, trace: &str, is_kept: bool) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    let parent = traceparent(trace, CLIENT, is_kept);
    metadata.insert("traceparent", parent.parse().unwrap());
    metadata.insert("tracestate", "vendor=kept".parse().unwrap());
    request
}

async fn verify(channel: &Channel, request: Request<v1::VerifyRequest>) -> Verdict {
    let mut client = VerificationServiceClient::new(channel.clone());
    let answer = client.verify(request).await;
    answer.unwrap().into_inner().verdict()
}

/// Asserts what every span of an RPC says.
#[track_caller]
fn assert_is_of(span: &Seen, method: &str, code: Code) {
    let (service, name) = method.split_once('/').unwrap();
    assert_eq!(span.name, method);
    let attributes: Vec<_> = span
        .attributes
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let code = (code as i32).to_string();
    let expected = [
        ("rpc.grpc.status_code", code.as_str()),
        ("rpc.method", name),
        ("rpc.service", service),
        ("rpc.system", "grpc"),
    ];
    assert_eq!(attributes, expected);
}

/// Asserts that a question went from a sidecar's span to the authority.
#[track_caller]
fn assert_asked(spans: &[Seen], sidecars: &Seen) {
    let asked = beneath(spans, &sidecars.id, "credd-sidecar", SpanKind::Client);
    assert_is_of(asked, VERIFY, Code::Ok);
    let served = beneath(spans, &asked.id, "credd", SpanKind::Server);
    assert_is_of(served, VERIFY, Code::Ok);
    assert_eq!(served.state, "vendor=kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_one_trace_from_the_client_through_the_sidecar_to_the_authority() {
    let collector = Collector::start().await;
    let kept_if_asked = traces(&collector, Ratio::NONE);
    let (server, token_file) = authority(kept_if_asked.clone()).await;
    let sidecar = Sidecar::start(&server, token_file.clone(), kept_if_asked).await;
    let (_, token) = server.admin.issue_token("acme").await;
    let channel = sidecar.channel();
    let question = verify_token_request(&token);
    for trace in [TRACE, ANOTHER] {
        let request = in_trace(question.clone(), trace, true);
        assert_eq!(verify(&channel, request).await, Verdict::Active);
    }
    let secrets = [
        token,
        read_token(server.directory.path()),
        std::fs::read_to_string(token_file).unwrap(),
    ];
    sidecar.stop().await;
    server.stop().await;

    let spans = collector.of(TRACE);
    assert_eq!(spans.len(), 3, "{spans:#?}");
    let sidecars = beneath(&spans, CLIENT, "credd-sidecar", SpanKind::Server);
    assert_is_of(sidecars, VERIFY, Code::Ok);
    assert_asked(&spans, sidecars);
    // The second was answered from the cache.
    let spans = collector.of(ANOTHER);
    assert_eq!(spans.len(), 1, "{spans:#?}");
    beneath(&spans, CLIENT, "credd-sidecar", SpanKind::Server);
    // What no caller asks to be kept is not.
    assert_eq!(collector.all().len(), 4);
    for secret in &secrets {
        assert!(!collector.holds(secret));
        // Nor a part that would do to find it.
        assert!(!collector.holds(&secret[..20]));
    }
}

/// Envoy's question about a request with a token.
fn check_request(token: &str, more: &[(&str, &str)]) -> CheckRequest {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let headers = headers.iter().chain(more);
    let http = HttpRequest {
        headers: headers
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..HttpRequest::default()
    };
    let context = [("credd-tenant", "acme"), ("credd-permissions", "none")];
    let context = context.map(|(key, value)| (key.to_owned(), value.to_owned()));
    CheckRequest {
        attributes: Some(AttributeContext {
            request: Some(Checked { http: Some(http) }),
            context_extensions: context.into(),
            source: None,
        }),
    }
}

/// Whether a request is let through.
async fn check(channel: &Channel, request: Request<CheckRequest>) -> bool {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/envoy.service.auth.v3.Authorization/Check");
    let codec = ProstCodec::<CheckRequest, CheckResponse>::default();
    let answer = client.unary(request, path, codec).await.unwrap();
    let answer = answer.into_inner().http_response;
    matches!(answer, Some(HttpResponse::OkResponse(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_is_part_of_the_trace_of_envoys_call_or_else_of_the_request_it_is_about() {
    let collector = Collector::start().await;
    let kept_if_asked = traces(&collector, Ratio::NONE);
    let (server, token_file) = authority(kept_if_asked.clone()).await;
    let sidecar = Sidecar::start(&server, token_file, kept_if_asked).await;
    let channel = sidecar.channel();
    until("the profiles to be known", || async {
        let (_, token) = server.admin.issue_token("acme").await;
        check(&channel, Request::new(check_request(&token, &[]))).await
    })
    .await;
    // Envoy makes no spans: the client's headers tell.
    let clients = traceparent(TRACE, CLIENT, true);
    let headers = [
        ("traceparent", clients.as_str()),
        ("tracestate", "vendor=kept"),
    ];
    let (_, token) = server.admin.issue_token("acme").await;
    let request = check_request(&token, &headers);
    assert!(check(&channel, Request::new(request)).await);
    // Envoy makes spans: its own is nearer.
    let (_, token) = server.admin.issue_token("acme").await;
    let request = check_request(&token, &headers);
    assert!(check(&channel, in_trace(request, ANOTHER, true)).await);
    sidecar.stop().await;
    server.stop().await;

    for trace in [TRACE, ANOTHER] {
        let spans = collector.of(trace);
        assert_eq!(spans.len(), 3, "{spans:#?}");
        let checked = beneath(&spans, CLIENT, "credd-sidecar", SpanKind::Server);
        assert_is_of(checked, CHECK, Code::Ok);
        assert_asked(&spans, checked);
    }
    assert_eq!(collector.all().len(), 6);
    assert!(!collector.holds(&token[..20]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_questions_of_a_stream_are_part_of_the_trace_of_the_stream() {
    let collector = Collector::start().await;
    let kept_if_asked = traces(&collector, Ratio::NONE);
    let (server, token_file) = authority(kept_if_asked.clone()).await;
    let sidecar = Sidecar::start(&server, token_file, kept_if_asked).await;
    let (_, token) = server.admin.issue_token("acme").await;
    let question = v1::VerifyStreamRequest {
        correlation: 1,
        request: Some(verify_token_request(&token)),
    };
    let request = in_trace(tokio_stream::once(question), TRACE, true);
    let mut client = VerificationServiceClient::new(sidecar.channel());
    let answers = client.verify_stream(request).await.unwrap();
    let mut answers = answers.into_inner();
    while answers.message().await.unwrap().is_some() {}
    sidecar.stop().await;
    server.stop().await;

    let spans = collector.of(TRACE);
    assert_eq!(spans.len(), 3, "{spans:#?}");
    let stream = beneath(&spans, CLIENT, "credd-sidecar", SpanKind::Server);
    assert_is_of(
        stream,
        "credd.v1.VerificationService/VerifyStream",
        Code::Ok,
    );
    assert_asked(&spans, stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_spans_are_kept_the_caller_says_and_else_the_ratio() {
    let collector = Collector::start().await;
    let (server, _) = authority(traces(&collector, Ratio::ALL)).await;
    let channel = support::channel(server.address).await;
    let bearer = format!("Bearer {}", read_token(server.directory.path()));
    let ask = async |mut request: Request<v1::VerifyRequest>| {
        let metadata = request.metadata_mut();
        metadata.insert("authorization", bearer.parse().unwrap());
        assert_eq!(verify(&channel, request).await, Verdict::Invalid);
    };
    let question = verify_token_request("nothing");
    ask(in_trace(question.clone(), TRACE, true)).await;
    ask(in_trace(question.clone(), ANOTHER, false)).await;
    ask(Request::new(question.clone())).await;
    let mut garbled = Request::new(question);
    let metadata = garbled.metadata_mut();
    metadata.insert("traceparent", "00-garbled".parse().unwrap());
    ask(garbled).await;
    let missing = server.admin.get("no id").await.unwrap_err();
    server.stop().await;

    assert_eq!(collector.of(TRACE).len(), 1);
    assert_eq!(collector.of(ANOTHER).len(), 0);
    let all = collector.all();
    let roots = all.iter().filter(|span| span.parent.is_empty());
    let roots: Vec<_> = roots.collect();
    let of = |name: &str| roots.iter().filter(|span| span.name == name).count();
    assert_eq!(of(VERIFY), 2);
    let get = "credd.v1.CredentialService/Get";
    let got = roots.iter().find(|span| span.name == get).unwrap();
    assert_is_of(got, get, missing.code());
    // It is the caller's fault.
    assert!(!got.is_error);
    // Health is asked for all the time.
    let is_credds = |span: &Seen| span.name.starts_with("credd.v1.");
    assert!(all.iter().all(is_credds), "{all:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_the_collector_loses_spans_and_nothing_else() {
    let collector = Collector::start().await;
    let nobody = collector.that_went_away(free_address());
    let (server, token_file) = authority(traces(&nobody, Ratio::ALL)).await;
    let sidecar = Sidecar::start(&server, token_file, traces(&nobody, Ratio::ALL)).await;
    let channel = sidecar.channel();
    let (_, token) = server.admin.issue_token("acme").await;
    // More than wait to be sent.
    for _ in 0..5000 {
        let request = in_trace(verify_token_request(&token), TRACE, true);
        assert_eq!(verify(&channel, request).await, Verdict::Active);
    }
    // They end in the time that they have.
    sidecar.stop().await;
    server.stop().await;
    assert_eq!(nobody.all().len(), 0);
}
