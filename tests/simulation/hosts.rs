//! What runs on the simulated machines: an authority, and sidecars.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use credd::authority::command::{NewId, Quotas};
use credd::authority::feed::Feed;
use credd::authority::hub::RingSize;
use credd::authority::manage::Asked;
use credd::authority::sessions::LeaseSettings;
use credd::authority::{Authority, Parts, Workers};
use credd::client::{Address, Client, Config, Machine};
use credd::domain::keyring::{KeyVersion, Keyring};
use credd::domain::names::Role;
use credd::domain::random::{Random, RandomUnavailable};
use credd::proto::v1::credential_service_server::CredentialServiceServer;
use credd::proto::v1::directory_service_server::DirectoryServiceServer;
use credd::proto::v1::verification_service_server::VerificationServiceServer;
use credd::rpc::Shared;
use credd::rpc::access::AccessLayer;
use credd::rpc::credentials::Credentials;
use credd::rpc::directory::DirectoryRpc;
use credd::rpc::verification::Verification;
use credd::sidecar::cells::{Cell, Cells};
use credd::sidecar::relay::Relay;
use credd::sidecar::service::Verification as Passed;
use credd::store::Store;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::clocks::{Drifting, Wall};
use crate::in_process::{drawn, new_credential};
use crate::network::{PORT, Simulated, incoming};
use crate::support::{bound, everything_to};

/// How long a node that lags may not look for what others have committed.
const LONGEST_LAG: Duration = Duration::from_millis(600);

/// A source of randomness that can be drawn from again.
#[derive(Debug)]
pub(crate) struct Drawn(Mutex<SmallRng>);

impl Drawn {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(SmallRng::seed_from_u64(seed)))
    }
}

impl Random for Drawn {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomUnavailable> {
        self.0.lock().fill_bytes(bytes);
        Ok(())
    }
}

/// The token of the administrator, and that of whoever follows.
pub(crate) fn tokens() -> [String; 2] {
    [drawn(1).2, drawn(2).2]
}

/// Runs an authority on a store, until it fails.
pub(crate) async fn authority(
    store: Arc<dyn Store>,
    leases: LeaseSettings,
    seed: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let key = [(KeyVersion(1), zeroize::Zeroizing::new([7; 32]))];
    let loaded = Feed::load(Arc::clone(&store), RingSize::default())?;
    let index = loaded.feed.index();
    let mut configured = everything_to("credd:jo");
    configured
        .bindings
        .push(bound("credd:jo", Role::ADMINISTRATOR));
    configured.bindings.push(bound("credd:gate", "verifier"));
    index.directory().configure(configured, index.names());
    let (authority, workers) = Authority::new(Parts {
        store,
        feed: Arc::new(loaded.feed),
        keyring: Arc::new(Keyring::new(&key, &key)?),
        clock: Arc::new(Wall),
        random: Arc::new(Drawn::new(seed)),
        quotas: Quotas::default(),
        leases,
    })?;
    let Workers {
        committer,
        uses,
        audit,
        rekeys,
        heart,
        follower,
    } = workers;
    let mut committer = tokio::spawn(committer.run_as_task());
    tokio::spawn(uses.run());
    tokio::spawn(audit.run());
    tokio::spawn(rekeys.run());
    tokio::spawn(heart.run());
    let lag = SmallRng::seed_from_u64(seed).random_range(Duration::from_millis(1)..LONGEST_LAG);
    tokio::spawn(follower.run_as_task(lag));
    let authority = Arc::new(authority);
    tokio::select! {
        biased;
        ended = &mut committer => ended??,
        () = authority.sessions().started() => (),
    }
    for (n, owner) in [(1, "jo"), (2, "gate")] {
        let (id, secret, _) = drawn(n);
        if authority.get(id).1.is_none() {
            let mut new = new_credential("credd");
            new.owner = credd::domain::names::Owner::parse(owner)?;
            let asked = Asked::by_credd();
            let issued = authority.issue_as(new, asked, NewId::Given(id), secret);
            // Another node may have done so meanwhile.
            if let Err(error) = issued.await
                && authority.get(id).1.is_none()
            {
                return Err(error.into());
            }
        }
    }
    let shared = Shared::default();
    shared.set_authority(authority);
    let server = Server::builder()
        .layer(AccessLayer::new(shared.clone()))
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .add_service(CredentialServiceServer::new(Credentials::new(
            shared.clone(),
        )))
        .add_service(DirectoryServiceServer::new(DirectoryRpc::new(
            shared.clone(),
        )))
        .add_service(VerificationServiceServer::new(Verification::new(
            shared.clone(),
        )))
        .serve_with_incoming(incoming().await?);
    tokio::select! {
        biased;
        ended = committer => ended??,
        ended = server => ended?,
    }
    Err("it ended".into())
}

/// Starts a sidecar that follows these hosts: what it answers by, and what serves it.
pub(crate) fn sidecar(
    follows: &[&str],
    token_file: PathBuf,
    clock: Drifting,
    network: Simulated,
    seed: u64,
) -> Result<Client, Box<dyn std::error::Error>> {
    let addresses: Result<Vec<Address>, _> = follows
        .iter()
        .map(|host| format!("http://{host}:{PORT}").parse())
        .collect();
    let mut config = Config::new(addresses?);
    config.token_file = Some(token_file);
    config.allow_plaintext = true;
    config.connections = 1;
    let machine = Machine {
        boot: Arc::new(clock),
        wall: Arc::new(Wall),
        random: Arc::new(Drawn::new(seed)),
        network: Arc::new(network),
    };
    let relay = Arc::new(Relay::new(machine.clone()));
    let observer = Some(Arc::clone(&relay) as _);
    let (client, follower) = Client::new(config, machine, observer)?;
    relay.set_client(client.clone());
    let never = CancellationToken::new();
    let follower = follower.ok_or("it keeps nothing")?;
    tokio::spawn(follower.run(never.clone()));
    let (passing_on, stopping) = (Arc::clone(&relay), never.clone());
    tokio::spawn(async move { passing_on.run(stopping).await });
    let cell = Cell {
        name: None,
        client: client.clone(),
        relay,
    };
    let service = Passed::new(Cells::new(cell, []), never);
    tokio::spawn(async move {
        let connections = incoming().await.ok()?;
        Server::builder()
            .add_service(VerificationServiceServer::new(service))
            .serve_with_incoming(connections)
            .await
            .ok()
    });
    Ok(client)
}
