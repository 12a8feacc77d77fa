//! The real Envoy, by the example configuration, with credd's answers to its checks
//! and a real authority behind them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod beside;
#[path = "../support/calls.rs"]
mod calls;
#[path = "../support/collector.rs"]
mod collector;
mod denials;
mod failures;
mod http;
mod passing;
mod proxy;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/traced.rs"]
mod traced;
mod traces;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use beside::{Asking, Beside};
use calls::{Held, issue_request, put_owner, put_role};
use credd::proto::v1;
use http::{Answer, Service};
use proxy::{Envoy, example};
use support::{Server, tool};
use tempfile::TempDir;

const VARIABLE: &str = "CREDD_TEST_ENVOY";

/// An authority, a sidecar beside a service, and Envoy in front of it.
struct World {
    server: Server,
    verifier: Arc<Asking>,
    beside: Beside,
    service: Service,
    envoy: Envoy,
    directory: TempDir,
}

impl World {
    /// `None`: Envoy is not there, and the test is skipped.
    async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// The same, with texts of the example replaced.
    async fn start_with(more: &[(&str, &str)]) -> Option<Self> {
        let program = tool(VARIABLE)?;
        let server = Server::start().await;
        people(&server).await;
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("sidecar.sock");
        let verifier = Arc::new(Asking::of(&server).await);
        let beside = Beside::serve(&socket, Arc::clone(&verifier));
        let service = Service::start().await;
        let envoy = Envoy::start(&program, &socket, service.address, more).await;
        Some(Self {
            server,
            verifier,
            beside,
            service,
            envoy,
            directory,
        })
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("sidecar.sock")
    }

    async fn get(&self, path: &str, headers: &[(&str, &[u8])]) -> Answer {
        http::get(self.envoy.address, path, headers).await
    }

    /// Issues a credential of `jo` at `acme`.
    async fn issue(&self, profile: &str) -> Held {
        self.issue_as("acme", "jo", profile).await
    }

    async fn issue_as(&self, tenant: &str, owner: &str, profile: &str) -> Held {
        let mut request = issue_request(tenant, owner, profile);
        if profile == "trend-micro" {
            request.roles = vec!["reader".to_owned()];
            request.language = "de".into();
            request.time_zone = "Europe/Berlin".into();
        }
        let issued = self.server.admin.issue(request).await.unwrap();
        Held::of(issued.credential.as_ref(), issued.secret)
    }
}

/// `jo` at `acme` may read feeds, `ann` may read and write them, `bob` nothing.
async fn people(server: &Server) {
    let admin = &server.admin;
    put_role(admin, "acme", "reader", &["feeds:read"]).await;
    put_role(admin, "acme", "writer", &["feeds:*"]).await;
    for (name, role) in [("jo", "reader"), ("ann", "writer")] {
        let owner = v1::PutOwnerRequest {
            tenant: "acme".to_owned(),
            name: name.to_owned(),
            roles: vec![role.to_owned()],
            groups: vec!["a, b".to_owned(), "Früh".to_owned()],
            ..Default::default()
        };
        put_owner(admin, owner).await;
    }
}

/// The header in which a credential stands.
fn header(held: &Held) -> (&str, &[u8]) {
    let header = &held.headers[0];
    (&header.name, header.value.as_bytes())
}

#[test]
fn the_example_is_valid_as_it_is() {
    let Some(program) = tool(VARIABLE) else {
        return;
    };
    let checked = Command::new(program)
        .args(["--mode", "validate", "--log-level", "error"])
        .arg("--config-path")
        .arg(example())
        .status();
    assert!(checked.unwrap().success());
}
