//! The real Envoy, by the example configuration.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::http::{Answer, get};
use crate::support::program::wait_for;

/// The example.
pub(crate) fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/envoy.yaml")
}

/// A running Envoy. It is killed when this is dropped.
pub(crate) struct Envoy {
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    child: Child,
    _directory: TempDir,
}

impl Envoy {
    /// Starts Envoy on free ports in front of `service`, with the sidecar at
    /// `socket` and with `more` texts of the example replaced.
    pub(crate) async fn start(
        program: &Path,
        socket: &Path,
        service: SocketAddr,
        more: &[(&str, &str)],
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let service = format!("port_value: {}", service.port());
        let mut text = std::fs::read_to_string(example()).unwrap();
        let values = [
            ("port_value: 10000", "port_value: 0"),
            ("/run/credd/sidecar.sock", socket.to_str().unwrap()),
            ("port_value: 8080", &service),
            ("port_value: 9901", "port_value: 0"),
        ];
        for (theirs, ours) in values.iter().chain(more) {
            assert!(text.contains(theirs), "{theirs}");
            text = text.replace(theirs, ours);
        }
        let config = directory.path().join("envoy.yaml");
        std::fs::write(&config, text).unwrap();
        let administration = directory.path().join("administration");
        let child = Command::new(program)
            .args(["--disable-hot-restart", "--concurrency", "2"])
            .args(["--log-level", "error"])
            .arg("--admin-address-path")
            .arg(&administration)
            .arg("--config-path")
            .arg(&config)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut envoy = Self {
            address: ([127, 0, 0, 1], 0).into(),
            child,
            _directory: directory,
        };
        let administration = wait_for("Envoy's administration", || {
            if let Some(status) = envoy.child.try_wait().unwrap() {
                panic!("Envoy ended with {status}");
            }
            let address = std::fs::read_to_string(&administration).ok()?;
            address.parse::<SocketAddr>().ok()
        });
        crate::support::until("Envoy to be ready", || async move {
            ask(administration, "/ready").await.status == 200
        })
        .await;
        let listeners = ask(administration, "/listeners?format=json").await;
        let listeners: Value = serde_json::from_slice(&listeners.body).unwrap();
        let address = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
        let port = address["port_value"].as_u64().unwrap();
        envoy.address.set_port(port.try_into().unwrap());
        envoy
    }
}

async fn ask(administration: SocketAddr, path: &str) -> Answer {
    get(administration, path, &[]).await
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
