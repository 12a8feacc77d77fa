//! An authority in this process whose clock a test sets, on a store in memory,
//! behind the real services on a real connection.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use credd::authority::command::{NewId, Texts};
use credd::authority::feed::{Feed, FeedError};
use credd::authority::hub::RingSize;
use credd::authority::manage::{Asked, NewCredential};
use credd::authority::sweep::{Keep, Swept};
use credd::authority::{Authority, Parts, Workers};
use credd::domain::expiry::Wish;
use credd::domain::id::CredentialId;
use credd::domain::keyring::{KeyVersion, Keyring};
use credd::domain::names::{Label, Owner, Principal, ProfileName, Role, Tenant};
use credd::domain::random::SystemRandom;
use credd::domain::revision::StoreId;
use credd::domain::secret::Secret;
use credd::domain::time::{Clock, Timestamp};
use credd::domain::token::{Generation, Kind, secret_text};
use credd::proto::v1::credential_service_server::CredentialServiceServer;
use credd::proto::v1::directory_service_server::DirectoryServiceServer;
use credd::proto::v1::verification_service_server::VerificationServiceServer;
use credd::rpc::Shared;
use credd::rpc::access::AccessLayer;
use credd::rpc::credentials::Credentials;
use credd::rpc::directory::DirectoryRpc;
use credd::rpc::verification::Verification;
use credd::store::Store;
use credd::store::memory::MemoryStore;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;

use crate::support::{Client, soon};

/// A clock that stands still until it is set.
#[derive(Debug)]
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    pub(crate) fn at(millis: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(millis)))
    }

    /// Milliseconds since the epoch.
    pub(crate) fn millis(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::SeqCst);
    }

    pub(crate) fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).unwrap();
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis())
    }
}

/// What outlives a restart.
#[derive(Clone)]
pub(crate) struct Disk {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: Arc<TestClock>,
}

impl Disk {
    /// An empty store, and a clock that shows this.
    pub(crate) fn at(millis: i64) -> Self {
        let store = MemoryStore::new(StoreId::from_bytes([9; 16]));
        Self {
            store: Arc::new(store),
            clock: TestClock::at(millis),
        }
    }
}

pub(crate) struct Clocked {
    pub(crate) authority: Arc<Authority>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) address: SocketAddr,
    pub(crate) admin: Client,
    disk: Disk,
    shared: Shared,
    closing: CancellationToken,
    server: JoinHandle<()>,
    uses: JoinHandle<()>,
    committer: thread::JoinHandle<Result<(), FeedError>>,
}

impl Clocked {
    /// Serves a store. One without the administrator gets one.
    pub(crate) async fn start(disk: Disk) -> Self {
        let key = [(KeyVersion(1), zeroize::Zeroizing::new([7; 32]))];
        let store: Arc<dyn Store> = Arc::<MemoryStore>::clone(&disk.store);
        let loaded = Feed::load(Arc::clone(&store), RingSize::default()).unwrap();
        let (authority, workers) = Authority::new(Parts {
            store,
            feed: Arc::new(loaded.feed),
            keyring: Arc::new(Keyring::new(&key, &key).unwrap()),
            clock: Arc::<TestClock>::clone(&disk.clock),
            random: Arc::new(SystemRandom::new()),
        });
        let Workers { committer, uses } = workers;
        let committer = thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || committer.run())
            .unwrap();
        let uses = tokio::spawn(uses.run());
        let authority = Arc::new(authority);
        let token = administrator(&authority).await;

        let shared = Shared::default();
        shared.set_authority(Arc::clone(&authority));
        let closing = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder()
            .layer(AccessLayer::new(shared.clone()))
            .add_service(CredentialServiceServer::new(Credentials::new(
                shared.clone(),
            )))
            .add_service(DirectoryServiceServer::new(DirectoryRpc::new(
                shared.clone(),
            )))
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
            clock: Arc::clone(&disk.clock),
            address,
            admin,
            disk,
            shared,
            closing,
            server,
            uses,
            committer,
        }
    }

    /// Does what is due, as the server does from time to time.
    pub(crate) async fn sweep(&mut self) {
        self.sweep_keeping(Keep::default()).await;
    }

    /// The same, with another retention.
    pub(crate) async fn sweep_keeping(&mut self, keep: Keep) {
        let mut swept = Swept::default();
        self.authority.sweep(&mut swept, keep).await.unwrap();
    }

    /// Another caller, over a connection of its own.
    pub(crate) async fn client(&self, token: &str) -> Client {
        Client::connect(self.address, token).await
    }

    /// Ends it and serves the same store anew.
    pub(crate) async fn restart(self) -> Self {
        let disk = self.stop().await;
        Self::start(disk).await
    }

    /// Ends it; returns what is left.
    pub(crate) async fn stop(self) -> Disk {
        let Self {
            authority,
            shared,
            closing,
            server,
            uses,
            committer,
            admin,
            disk,
            ..
        } = self;
        shared.stopping.cancel();
        closing.cancel();
        drop((admin, shared, authority));
        soon("the end of the server", server).await.unwrap();
        soon("the end of the writer of uses", uses).await.unwrap();
        let ended = tokio::task::spawn_blocking(move || committer.join().unwrap());
        soon("the end of the committer", ended)
            .await
            .unwrap()
            .unwrap();
        disk
    }
}

async fn administrator(authority: &Authority) -> String {
    let id = CredentialId::from_bytes([1; 16]);
    let secret = Secret::new([1; 32]);
    let text = secret_text(Kind::ApiToken, id, Generation::FIRST, &secret);
    if authority.get(id).1.is_none() {
        let new = NewCredential {
            tenant: Tenant::credd(),
            owner: Owner::parse("admin").unwrap(),
            profile: ProfileName::parse("api-token").unwrap(),
            texts: Texts {
                label: Some(Label::parse("administrator").unwrap()),
                roles: vec![Role::parse(Role::ADMINISTRATOR).unwrap()],
                ..Texts::default()
            },
            expiry: Wish::Never,
        };
        let asked = Asked::by(Principal::system());
        let issued = authority.issue_as(new, asked, NewId::Given(id), secret);
        issued.await.unwrap();
    }
    text.expose().to_owned()
}
