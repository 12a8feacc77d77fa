//! One trace from a client through Envoy and the sidecar to the authority, whether Envoy
//! makes spans or not.

use credd::server::config::traces_values::Ratio;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::collector::{Collector, Seen, beneath, traceparent};
use crate::http::{Service, get};
use crate::people;
use crate::proxy::Envoy;
use crate::support::{tool, until};
use crate::traced::{Sidecar, authority, traces};
use crate::{VARIABLE, calls};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";
const CHECK: &str = "envoy.service.auth.v3.Authorization/Check";
const VERIFY: &str = "credd.v1.VerificationService/Verify";

/// Sends a request through Envoy whose configuration has `more`, and returns so many spans
/// of its trace.
async fn spans(more: impl FnOnce(&Collector) -> Vec<(String, String)>, count: usize) -> Vec<Seen> {
    let program = tool(VARIABLE).unwrap();
    let collector = Collector::start().await;
    let kept_if_asked = traces(&collector, Ratio::NONE);
    let (server, token_file) = authority(kept_if_asked.clone()).await;
    people(&server).await;
    let sidecar = Sidecar::start(&server, token_file, kept_if_asked).await;
    let service = Service::start().await;
    let more = more(&collector);
    let more: Vec<_> = more.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let envoy = Envoy::start(&program, &sidecar.socket, service.address, &more).await;
    let ask = async |secret: &str, more: &[(&str, &[u8])]| {
        let bearer = format!("Bearer {secret}");
        let headers = [&[("authorization", bearer.as_bytes())], more].concat();
        get(envoy.address, "/whoami", &headers).await
    };
    until("the profiles to be known", || async {
        let held = calls::issue(&server.admin, "acme", "jo", "api-token").await;
        ask(&held.secret(), &[]).await.status == 200
    })
    .await;
    let held = calls::issue(&server.admin, "acme", "jo", "api-token").await;
    let parent = traceparent(TRACE, CLIENT, true);
    let headers = [("traceparent", parent.as_bytes())];
    let answer = ask(&held.secret(), &headers).await;
    assert_eq!(answer.status, 200);
    // The service's own spans go on with it.
    let told = answer.got("traceparent");
    assert!(told.len() == 1 && told[0].contains(TRACE), "{told:?}");

    sidecar.stop().await;
    server.stop().await;
    // Envoy sends them when it likes to.
    let spans = collector.wait_for(TRACE, count).await;
    assert_eq!(spans.len(), count, "{spans:#?}");
    assert!(!collector.holds(&held.secret()[..20]));
    spans
}

/// Asserts that a check beneath a span went on to the authority.
#[track_caller]
fn assert_goes_on(spans: &[Seen], parent: &str) {
    let check = beneath(spans, parent, "credd-sidecar", SpanKind::Server);
    assert_eq!(check.name, CHECK);
    let asked = beneath(spans, &check.id, "credd-sidecar", SpanKind::Client);
    assert_eq!(asked.name, VERIFY);
    let served = beneath(spans, &asked.id, "credd", SpanKind::Server);
    assert_eq!(served.name, VERIFY);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_trace_goes_through_an_envoy_that_makes_no_spans() {
    if tool(VARIABLE).is_none() {
        return;
    }
    let spans = spans(|_| Vec::new(), 3).await;
    assert_goes_on(&spans, CLIENT);
}

/// What makes Envoy send spans to a collector.
fn with_spans(collector: &Collector) -> Vec<(String, String)> {
    let tracing = "stat_prefix: clients
                tracing:
                  provider:
                    name: envoy.tracers.opentelemetry
                    typed_config:
                      \"@type\": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig
                      service_name: envoy
                      grpc_service:
                        envoy_grpc: { cluster_name: collector }
                        timeout: 5s";
    let cluster = format!(
        "  clusters:
    - name: collector
      type: STATIC
      connect_timeout: 1s
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {{ http2_protocol_options: {{}} }}
      load_assignment:
        cluster_name: collector
        endpoints:
          - lb_endpoints:
              - endpoint:
                  address:
                    socket_address: {{ address: 127.0.0.1, port_value: {} }}",
        collector.address.port()
    );
    vec![
        ("stat_prefix: clients".to_owned(), tracing.to_owned()),
        ("  clusters:".to_owned(), cluster),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_through_the_spans_that_envoy_makes() {
    if tool(VARIABLE).is_none() {
        return;
    }
    let spans = spans(with_spans, 5).await;
    let received = beneath(&spans, CLIENT, "envoy", SpanKind::Server);
    let asks = beneath(&spans, &received.id, "envoy", SpanKind::Client);
    assert_goes_on(&spans, &asks.id);
}
