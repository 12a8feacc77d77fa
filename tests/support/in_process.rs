//! An authority in this process whose store and ring a test chooses, behind the
//! real services on a real connection.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use credd::authority::command::{NewId, Quotas, SetState, Texts};
use credd::authority::feed::{Feed, FeedError};
use credd::authority::hub::RingSize;
use credd::authority::manage::{Asked, NewCredential};
use credd::authority::sessions::LeaseSettings;
use credd::authority::uses::Pace;
use credd::authority::{Authority, Parts, Workers};
use credd::domain::credential::Set;
use credd::domain::expiry::Wish;
use credd::domain::id::CredentialId;
use credd::domain::keyring::{KeyVersion, Keyring};
use credd::domain::names::{Label, Owner, Principal, ProfileName, Reason, Role, Tenant};
use credd::domain::random::SystemRandom;
use credd::domain::secret::Secret;
use credd::domain::time::{Clock, SystemClock};
use credd::domain::token::{Generation, Kind, secret_text};
use credd::proto::v1::audit_service_server::AuditServiceServer;
use credd::proto::v1::credential_service_server::CredentialServiceServer;
use credd::proto::v1::directory_service_server::DirectoryServiceServer;
use credd::proto::v1::verification_service_server::VerificationServiceServer;
use credd::rpc::Shared;
use credd::rpc::access::AccessLayer;
use credd::rpc::audit::AuditRpc;
use credd::rpc::credentials::Credentials;
use credd::rpc::directory::DirectoryRpc;
use credd::rpc::verification::Verification;
use credd::store::Store;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;
use tonic::transport::server::TcpIncoming;

use crate::support::{Client, bound, everything_to, soon};

/// A ring that a slow reader soon falls out of.
pub(crate) const SMALL_RING: RingSize = RingSize {
    commits: 16,
    events: 64,
};

/// How much a client that reads slowly lets the server send on a stream, in
/// bytes.
pub(crate) const SMALL_WINDOW: u32 = 16 * 1024;

pub(crate) struct InProcess {
    pub(crate) authority: Arc<Authority>,
    pub(crate) address: SocketAddr,
    /// The administrator's client and token.
    pub(crate) admin: Client,
    pub(crate) token: String,
    shared: Shared,
    closing: CancellationToken,
    server: JoinHandle<()>,
    uses: JoinHandle<()>,
    audit: JoinHandle<()>,
    committer: thread::JoinHandle<Result<(), FeedError>>,
    follower: thread::JoinHandle<Result<(), FeedError>>,
}

/// How often uses are written where others write, too.
pub(crate) const PACE: Pace = Pace {
    shards: 3,
    every: Duration::from_secs(1),
};

impl InProcess {
    /// Loads a store and serves it. A store without the administrator gets one.
    pub(crate) async fn start(store: Arc<dyn Store>, ring: RingSize) -> Self {
        Self::start_by(store, ring, Arc::new(SystemClock)).await
    }

    /// The same, by another clock.
    pub(crate) async fn start_by(
        store: Arc<dyn Store>,
        ring: RingSize,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self::start_as(store, ring, clock, LeaseSettings::default()).await
    }

    /// The same, with leases of another length.
    pub(crate) async fn start_leasing(store: Arc<dyn Store>, length: Duration) -> Self {
        let leases = LeaseSettings {
            length,
            ..LeaseSettings::default()
        };
        Self::start_as(store, RingSize::default(), Arc::new(SystemClock), leases).await
    }

    async fn start_as(
        store: Arc<dyn Store>,
        ring: RingSize,
        clock: Arc<dyn Clock>,
        leases: LeaseSettings,
    ) -> Self {
        let key = [(KeyVersion(1), zeroize::Zeroizing::new([7; 32]))];
        let loaded = Feed::load(Arc::clone(&store), ring).unwrap();
        let index = loaded.feed.index();
        let mut configured = everything_to("credd:jo");
        let can_administer = bound("credd:jo", Role::ADMINISTRATOR);
        configured.bindings.push(can_administer);
        index.directory().configure(configured, index.names());
        let (authority, workers) = Authority::new(Parts {
            store,
            feed: Arc::new(loaded.feed),
            keyring: Arc::new(Keyring::new(&key, &key).unwrap()),
            clock,
            random: Arc::new(SystemRandom::new()),
            quotas: Quotas::default(),
            leases,
        })
        .unwrap();
        let Workers {
            committer,
            uses,
            audit,
            rekeys,
            heart,
            follower,
        } = workers;
        let committer = thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || committer.run())
            .unwrap();
        let follower = thread::Builder::new()
            .name("follower".to_owned())
            .spawn(move || follower.run())
            .unwrap();
        let mut uses = uses;
        uses.pace = uses.pace.map(|_| PACE);
        let uses = tokio::spawn(async move {
            tokio::join!(uses.run(), rekeys.run(), heart.run());
        });
        let audit = tokio::spawn(audit.run());
        let authority = Arc::new(authority);
        authority.sessions().started().await;
        let token = administrator(&authority).await;

        let shared = Shared::default();
        shared.set_authority(Arc::clone(&authority));
        let closing = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder()
            .layer(AccessLayer::new(shared.clone()))
            .max_concurrent_streams(1024)
            .add_service(CredentialServiceServer::new(Credentials::new(
                shared.clone(),
            )))
            .add_service(DirectoryServiceServer::new(DirectoryRpc::new(
                shared.clone(),
            )))
            .add_service(AuditServiceServer::new(AuditRpc::new(shared.clone())))
            .add_service(VerificationServiceServer::new(Verification::new(
                shared.clone(),
            )))
            .serve_with_incoming_shutdown(
                TcpIncoming::from(listener).with_nodelay(Some(true)),
                closing.clone().cancelled_owned(),
            );
        let server = tokio::spawn(async move { server.await.unwrap() });
        let admin = Client::connect(address, &token).await;
        Self {
            authority,
            address,
            admin,
            token,
            shared,
            closing,
            server,
            uses,
            audit,
            committer,
            follower,
        }
    }

    /// Another client of the administrator's, over a connection of its own,
    /// that lets the server send no more than [`SMALL_WINDOW`] on a stream that
    /// it does not read.
    pub(crate) async fn slow_client(&self) -> Client {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        let channel = endpoint
            .initial_stream_window_size(SMALL_WINDOW)
            .connect()
            .await
            .unwrap();
        Client::over(channel, &self.token)
    }

    /// Ends it; returns what the committer ended with.
    pub(crate) async fn stop(self) -> Result<(), FeedError> {
        let Self {
            authority,
            shared,
            closing,
            server,
            uses,
            audit,
            committer,
            follower,
            admin,
            ..
        } = self;
        shared.stopping.cancel();
        closing.cancel();
        drop((admin, shared, authority));
        soon("the end of the server", server).await.unwrap();
        soon("the end of the writer of uses", uses).await.unwrap();
        soon("the end of the writer of the audit log", audit)
            .await
            .unwrap();
        let ended = tokio::task::spawn_blocking(move || committer.join().unwrap());
        soon("the end of the committer", ended).await.unwrap()?;
        let ended = tokio::task::spawn_blocking(move || follower.join().unwrap());
        soon("the end of the follower", ended).await.unwrap()
    }
}

/// A credential to issue.
pub(crate) fn new_credential(tenant: &str) -> NewCredential {
    NewCredential {
        tenant: Tenant::parse(tenant).unwrap(),
        owner: Owner::parse("jo").unwrap(),
        profile: ProfileName::parse("api-token").unwrap(),
        texts: Texts {
            label: Some(Label::parse("test").unwrap()),
            ..Texts::default()
        },
        expiry: Wish::Unsaid,
    }
}

/// What locks, unlocks or revokes a credential.
pub(crate) fn set_state(id: CredentialId, set: Set) -> SetState {
    SetState {
        id,
        set,
        although_leaked: false,
        reason: Reason::parse("").unwrap(),
        by: Principal::system(),
        expected: None,
    }
}

/// The id, the secret and the token of the `n`th credential that a test draws
/// itself, so that it knows them before they are issued.
pub(crate) fn drawn(n: u8) -> (CredentialId, Secret, String) {
    let id = CredentialId::from_bytes([n; 16]);
    let secret = Secret::new([n; 32]);
    let text = secret_text(Kind::ApiToken, id, Generation::FIRST, &secret);
    (id, secret, text.expose().to_owned())
}

async fn administrator(authority: &Authority) -> String {
    let (id, secret, token) = drawn(1);
    if authority.get(id).1.is_none() {
        let new = new_credential(Tenant::CREDD);
        let asked = Asked::by_credd();
        let issued = authority
            .issue_as(new, asked, NewId::Given(id), secret)
            .await;
        issued.unwrap();
    }
    token
}
