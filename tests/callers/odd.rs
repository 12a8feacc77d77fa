//! Requests that no client makes: nobody gets in by them.

use bytes::{BufMut as _, Bytes, BytesMut};
use credd::proto::v1;
use http::{Method, Request, Version};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use tonic::Code;
use tonic::body::Body;
use tower::{Service as _, ServiceExt as _};

use crate::caller::Caller;
use crate::support::raw::rpcs;
use crate::support::{lock_request, soon};
use crate::world::{World, callers};

/// How a request ends: its HTTP status and its gRPC status, if it has one.
type End = (u16, Option<i32>);

/// A message as gRPC puts it in a body.
pub(crate) fn framed(message: &[u8], compressed: bool) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(compressed.into());
    bytes.put_u32(u32::try_from(message.len()).unwrap());
    bytes.put_slice(message);
    bytes.freeze()
}

async fn send(caller: &Caller, request: Request<Bytes>) -> End {
    let request = request.map(|body| Body::new(Full::new(body)));
    let mut channel = caller.channel.clone();
    let answer = channel.ready().await.unwrap().call(request);
    let answer = soon("an answer", answer).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = soon("the end of an answer", body.collect()).await.unwrap();
    let trailers = body
        .trailers()
        .and_then(|trailers| trailers.get("grpc-status"));
    let status = parts.headers.get("grpc-status").or(trailers);
    let status = status.map(|status| status.to_str().unwrap().parse().unwrap());
    (parts.status.as_u16(), status)
}

fn post(path: &str) -> http::request::Builder {
    Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(path)
        .header("te", "trailers")
}

fn is_ok(end: End) -> bool {
    end.1 == Some(0)
}

pub(crate) const GRPC: &str = "application/grpc";
pub(crate) const LOCK: &str = "/credd.v1.CredentialService/Lock";

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_not_written_as_it_should_be_is_no_rpc() {
    let world = World::start().await;
    let admin = format!("Bearer {}", world.server.token);
    let names = world.names("acme").await;
    let nobody = world.nobody("nobody");
    let body = framed(&lock_request(&names.credential).encode_to_vec(), false);
    for path in [
        "/credd.v1.CredentialService/Lock/",
        "/credd.v1.CredentialService//Lock",
        "//credd.v1.CredentialService/Lock",
        "/credd.v1.CredentialService/./Lock",
        "/./credd.v1.CredentialService/Lock",
        "/x/../credd.v1.CredentialService/Lock",
        "/grpc.health.v1.Health/../credd.v1.CredentialService/Lock",
        "/grpc.health.v1.Health/Check/../../credd.v1.CredentialService/Lock",
        "/grpc.health.v1.Health/Check/credd.v1.CredentialService/Lock",
        "/credd.v1.CredentialService/%4cock",
        "/credd.v1.CredentialService/Loc%6b",
        "/credd.v1%2eCredentialService/Lock",
        "/credd.v1.CredentialService%2fLock",
        "/credd.v1.CredentialService/Lock%00",
        "/credd.v1.CredentialService/Lock%20",
        "/credd.v1.CredentialService/Lock;",
        "/credd.v1.CredentialService/lock",
        "/credd.v1.CredentialService/LOCK",
        "/Credd.V1.CredentialService/Lock",
        "/credd.v1.CredentialService",
        "/credd.v1.CredentialService/",
        "/credd.v1/Lock",
        "/credd.v1.credentialservice/Lock",
        "/",
        "/*",
    ] {
        for authorization in [None, Some(&admin)] {
            let mut request = post(path).header("content-type", GRPC);
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            let end = send(&nobody, request.body(body.clone()).unwrap()).await;
            assert!(!is_ok(end), "{path}");
            assert_eq!(end.1, Some(Code::Unimplemented as i32), "{path}: {end:?}");
        }
    }
    // A query is no part of the path.
    for query in ["?", "?x=1", "?/grpc.health.v1.Health/Check"] {
        let path = format!("{LOCK}{query}");
        let request = post(&path).header("content-type", GRPC);
        let end = send(&nobody, request.body(body.clone()).unwrap()).await;
        assert_eq!(end.1, Some(Code::Unauthenticated as i32), "{path}");
    }
    assert!(!is_locked(&world, &names.credential).await);
    drop(nobody);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_method_content_type_or_header_lets_somebody_in() {
    let world = World::start().await;
    let callers = callers(&world).await;
    let names = world.names("acme").await;
    let nobody = world.nobody("nobody");
    let verifier = callers.iter().find(|one| one.name == "verifier").unwrap();
    let tokens = [None, Some(world.credential("verifier", &[]).await.1)];
    let message = lock_request(&names.credential).encode_to_vec();
    let methods = [
        Method::GET,
        Method::HEAD,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
        Method::from_bytes(b"PRI").unwrap(),
    ];
    let types = [
        GRPC,
        "application/grpc+proto",
        "application/grpc+json",
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpc-web-text",
        "application/json",
        "text/plain",
        "APPLICATION/GRPC",
    ];
    // What proxies in front of others add for whom they let in.
    let headers = [
        (
            "x-forwarded-client-cert",
            "URI=spiffe://credd.test/platform",
        ),
        ("x-spiffe-id", "spiffe://credd.test/platform"),
        ("x-ssl-client-verify", "SUCCESS"),
        ("x-ssl-client-s-dn", "CN=platform"),
        ("forwarded", "for=127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-original-url", "/grpc.health.v1.Health/Check"),
        ("x-http-method-override", "GET"),
        ("x-credd-principal", "credd:admin"),
        ("host", "localhost"),
        ("grpc-encoding", "identity"),
        ("grpc-encoding", "gzip"),
        ("grpc-accept-encoding", "gzip"),
        ("content-encoding", "gzip"),
        ("cookie", "authorization=Bearer x"),
        ("proxy-authorization", "Bearer x"),
        ("authorization-bin", "QmVhcmVyIHg"),
        ("credd-on-behalf-of-bin", "Y3JlZGQ6YWRtaW4"),
        ("credd-on-behalf-of", "credd:admin"),
    ];
    for token in &tokens {
        let new = |method: Method, kind: &str| {
            let mut request = post(LOCK).method(method);
            request = request.header("content-type", kind);
            match token {
                Some(token) => request.header("authorization", format!("Bearer {token}")),
                None => request,
            }
        };
        for compressed in [false, true] {
            let body = || framed(&message, compressed);
            for method in &methods {
                let request = new(method.clone(), GRPC).body(body()).unwrap();
                let end = send(&nobody, request).await;
                assert!(!is_ok(end), "{method}: {end:?}");
            }
            for kind in types {
                let request = new(Method::POST, kind).body(body()).unwrap();
                let end = send(&nobody, request).await;
                assert!(!is_ok(end), "{kind}: {end:?}");
            }
            for (name, value) in headers {
                let request = new(Method::POST, GRPC).header(name, value);
                let end = send(&nobody, request.body(body()).unwrap()).await;
                assert!(!is_ok(end), "{name}: {end:?}");
            }
        }
    }
    assert!(!is_locked(&world, &names.credential).await);
    // A long name is one that nobody has.
    for length in [256, 257, 4000] {
        let long = format!("dns:{}", "x".repeat(length - 4));
        let caller = verifier.clone().on_behalf_of(&long);
        let code = caller.code("CredentialService/Lock", message.clone()).await;
        assert_eq!(code, Code::PermissionDenied, "{length}");
        let caller = nobody.clone().bearing(&"x".repeat(length));
        let code = caller.code("CredentialService/Lock", message.clone()).await;
        assert_eq!(code, Code::Unauthenticated, "{length}");
    }
    drop((callers, nobody));
    world.stop().await;
}

pub(crate) async fn is_locked(world: &World, id: &str) -> bool {
    let credential = world.admin.get(id).await.unwrap();
    credential.state() == v1::CredentialState::Locked
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_answer_everybody_and_nothing_else_does() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let world = World::start().await;
    let mut reflection = ServerReflectionClient::new(world.plain.clone());
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = tokio_stream::once(request);
    let answers = reflection.server_reflection_info(requests).await;
    let answer = answers.unwrap().into_inner().message().await.unwrap();
    let Some(MessageResponse::ListServicesResponse(listed)) = answer.unwrap().message_response
    else {
        panic!("no list of services");
    };
    let mut open = Vec::new();
    for service in listed.service {
        let of_credd = service.name.strip_prefix("credd.v1.");
        let has_rpcs = of_credd.is_some_and(|name| {
            let prefix = format!("{name}/");
            rpcs().iter().any(|rpc| rpc.starts_with(&prefix))
        });
        if !has_rpcs {
            open.push(service.name);
        }
    }
    open.sort();
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ];
    assert_eq!(open, expected);
    drop(reflection);
    world.stop().await;
}
