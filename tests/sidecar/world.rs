//! An authority with short leases, and those who follow it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use credd::client::{Address, CacheConfig, Client, Config, Served, Verified};
use credd::domain::cache::State;
use credd::domain::rights::Binding;
use credd::proto::v1;
use credd::server::config::{Fence, Settings};
use tempfile::TempDir;
use tonic::Status;

use crate::support::{self, Server, bound, config, until, verify_token_request};

/// How long a lease is.
pub(crate) const LEASE: Duration = Duration::from_secs(1);

/// An authority with short leases.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) token_file: PathBuf,
}

/// The configuration of one, at an address.
fn settings(directory: &TempDir, listen: &str) -> Settings {
    let mut settings = config(directory.path());
    settings.server.listen = listen.parse().unwrap();
    settings.fence = Fence {
        lease_ms: u64::try_from(LEASE.as_millis()).unwrap(),
    };
    settings
        .configured
        .bindings
        .extend::<Vec<Binding>>(vec![bound("credd:gate", "verifier")]);
    settings
}

impl World {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(&directory, "127.0.0.1:0");
        let server = Server::start_with(directory, settings).await;
        let (_, token) = server.admin.issue_caller_of("gate").await;
        let token_file = server.directory.path().join("gate.token");
        std::fs::write(&token_file, token).unwrap();
        Self { server, token_file }
    }

    /// Stops the authority and starts it again, where it was.
    pub(crate) async fn start_again(directory: TempDir, address: SocketAddr) -> Self {
        let settings = settings(&directory, &address.to_string());
        let token_file = directory.path().join("gate.token");
        let server = Server::start_with(directory, settings).await;
        Self { server, token_file }
    }

    pub(crate) fn address(&self) -> Address {
        format!("http://{}", self.server.address).parse().unwrap()
    }

    /// What one who follows this authority is made of.
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::new([self.address()]);
        config.token_file = Some(self.token_file.clone());
        config
    }

    /// A token of one who may ask about `acme` alone.
    pub(crate) async fn narrow_token(&self) -> String {
        let admin = &self.server.admin;
        admin.bind("credd:narrow", "verifier", "acme").await;
        admin.issue_caller_of("narrow").await.1
    }

    /// One who follows it and has a lease.
    pub(crate) async fn follower(&self) -> Client {
        let client = Client::connect(self.config()).unwrap();
        live(&client).await;
        client
    }
}

/// One who may be out of date for so long.
pub(crate) fn with_staleness(mut config: Config, bound: Duration) -> Config {
    let mut cache = CacheConfig::default();
    cache.stale.others = Some(bound);
    config.cache = Some(cache);
    config
}

/// Waits until a client has a lease.
pub(crate) async fn live(client: &Client) {
    is_in(client, State::Live).await;
}

/// Waits until a client is in a state.
pub(crate) async fn is_in(client: &Client, state: State) {
    until(&format!("a client to be {state:?}"), || async {
        client.condition().state == Some(state)
    })
    .await;
}

/// Asks about a token, of whatever tenant.
pub(crate) async fn ask(client: &Client, token: &str) -> Result<Verified, Status> {
    client.verify(&verify_token_request(token)).await
}

/// The verdict on a token, and where it is from.
pub(crate) async fn told(client: &Client, token: &str) -> (v1::Verdict, Served) {
    let verified = ask(client, token).await.unwrap();
    (verified.response.verdict(), verified.served)
}

/// Revokes, and returns when no cache says yes any more.
pub(crate) async fn revoke_everywhere(admin: &support::Client, id: &str) -> v1::Fence {
    let request = v1::RevokeRequest {
        fence: true,
        ..support::revoke_request(id)
    };
    let response = admin.credentials.clone().revoke(request).await.unwrap();
    response.into_inner().fence.unwrap()
}

/// Takes a role from a principal, and returns when no cache gives what it could ask for
/// by that.
pub(crate) async fn unbind_everywhere(
    admin: &support::Client,
    principal: &str,
    role: &str,
    tenant: &str,
) {
    let request = v1::DeleteBindingRequest {
        principal: principal.to_owned(),
        role: role.to_owned(),
        tenant: tenant.to_owned(),
        fence: true,
        ..Default::default()
    };
    let mut directory = admin.directory.clone();
    directory.delete_binding(request).await.unwrap();
}
