//! The settings: each row is one.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::etcd_values::{Engine, KeyPrefix, User};
use super::jwt_values::{Audience, FetchedFrom, Issuer, usual_algorithms};
use super::sidecar_values::{Addresses, FileMode};
use super::table::{SectionRows, section, tables};
use super::traces_values::{Collector, Ratio};
use super::values::{AuditFile, LogDirectives};
use crate::authority::command::Quotas;
use crate::authority::retention::Retention as LogRetention;
use crate::authority::sessions::LeaseSettings;
use crate::authority::sweep::Keep;
use crate::client::CacheConfig;
use crate::domain::cache::Limits as CacheLimits;
use crate::domain::jwt::Algorithm;
use crate::domain::lease::SystemBootClock;
use crate::domain::names::{CellName, Description, PrincipalName, Role, Tenant};
use crate::domain::permission::CreddGrant;
use crate::domain::rights::Reach;
use crate::rpc::limits::LimitSettings;

/// All sections, in the order of the documented file.
#[must_use]
pub fn all() -> Vec<SectionRows> {
    vec![
        SectionRows::of::<Server>(),
        SectionRows::of::<Traces>(),
        SectionRows::of::<TlsRows>(),
        SectionRows::of::<Store>(),
        SectionRows::of::<EtcdRows>(),
        SectionRows::of::<Keyring>(),
        SectionRows::of::<Retention>(),
        SectionRows::of::<Fence>(),
        SectionRows::of::<RoleRow>(),
        SectionRows::of::<BindingRow>(),
        SectionRows::of::<JwtIssuerRow>(),
        SectionRows::of::<Audit>(),
        SectionRows::of::<Limits>(),
        SectionRows::of::<Sidecar>(),
        SectionRows::of::<AuthorityRows>(),
        SectionRows::of::<CellRow>(),
        SectionRows::of::<StaleRow>(),
    ]
}

section! {
    /// Where the server listens, what it logs, and how it ends.
    Server = "server" {
        /// Where gRPC is served. An address that is not loopback needs TLS, or
        /// `allow_plaintext`.
        listen: SocketAddr = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 7420), flag("listen");
        /// Where `/metrics` is answered, over plain HTTP. Unset: nowhere.
        metrics_listen: Option<SocketAddr> = None, flag("metrics-listen"), example("\"127.0.0.1:7421\"");
        /// Where the health service alone is served, in plaintext, for probes.
        /// Unset: nowhere but at `listen`.
        health_listen: Option<SocketAddr> = None, flag("health-listen"), example("\"127.0.0.1:7422\"");
        /// Serves without TLS on an address that is not loopback: whoever sees
        /// the traffic then sees secrets.
        allow_plaintext: bool = false, flag("allow-plaintext");
        /// How long calls may go on after the server was told to stop, in
        /// seconds.
        shutdown_seconds: u64 = 10, flag("shutdown-seconds"), range(0..=3600);
        /// What to log, on standard error: `error`, `warn`, `info`, `debug`,
        /// `trace`, or directives such as `info,credd::store=debug`.
        log: LogDirectives = LogDirectives::info(), flag("log");
    }
}

section! {
    /// Spans of what is served and asked, sent over OTLP. Whether those of a call are
    /// kept its caller says, by the header `traceparent`.
    Traces = "traces" {
        /// The collector, which speaks OTLP over gRPC: `http://HOST:PORT`,
        /// `https://HOST:PORT` or `unix:/PATH`. Unset: no spans are made.
        endpoint: Option<Collector> = None, flag("traces-endpoint"), example("\"http://127.0.0.1:4317\"");
        /// With `https`: the file of the certificates, in PEM, that sign the
        /// collector's. Unset: those that the system trusts.
        ca_file: Option<PathBuf> = None, flag("traces-ca-file"), example("\"/etc/credd/tls/ca.crt\"");
        /// Of the calls whose caller does not say, the part whose spans are kept.
        ratio: Ratio = Ratio::NONE, flag("traces-ratio");
    }
}

section! {
    /// TLS: on where `certificate` and `key` are given. The files are PEM, and
    /// are read again when they change.
    TlsRows = "tls" {
        /// The file of the server's certificate, and of those between it and
        /// its root.
        certificate: Option<PathBuf> = None, flag("tls-certificate"), example("\"/etc/credd/tls/tls.crt\"");
        /// The file of the certificate's private key.
        key: Option<PathBuf> = None, flag("tls-key"), example("\"/etc/credd/tls/tls.key\"");
        /// The file of the certificates that sign those of clients. Unset:
        /// clients are not asked for certificates.
        client_ca: Option<PathBuf> = None, flag("tls-client-ca"), example("\"/etc/credd/tls/ca.crt\"");
        /// Refuses clients without a certificate; needs `client_ca`.
        require_client_certificate: bool = false, flag("tls-require-client-certificate");
        /// How long a handshake may take, in seconds.
        handshake_seconds: u64 = 10, flag("tls-handshake-seconds"), range(1..=300);
        /// How often it is looked whether the files changed, in seconds.
        reload_seconds: u64 = 10, flag("tls-reload-seconds"), range(1..=86_400);
    }
}

section! {
    /// Where the store is, and what it may use.
    Store = "store" {
        /// What it is kept in: `sled`, in the data directory, for one server; or
        /// `etcd`, for several that share it.
        engine: Engine = Engine::Sled, flag("store-engine");
        /// The directory of the store, of the keyring if it is nowhere else,
        /// and of the first administrator's token. Each server has its own.
        data_dir: PathBuf = PathBuf::from("./credd-data"), flag("data-dir");
        /// What must stay free on the disk, in MiB: changes that would leave
        /// less are refused.
        disk_reserve_mib: u64 = 256, flag("disk-reserve-mib"), range(0..=1_048_576);
        /// What the store may cache, in MiB; a hint.
        cache_mib: u64 = 256, flag("store-cache-mib"), range(1..=1_048_576);
        /// Copies a store in the data directory into a fresh database before it is
        /// opened, at each start: for one that takes much more room than what it holds
        /// needs. It checks all of it, and needs room for both at once beside the reserve.
        rewrite_at_start: bool = false, flag("rewrite-store");
    }
}

section! {
    /// The cluster of etcd that the store is kept in, if `store.engine` says so.
    EtcdRows = "etcd" {
        /// Its members: `https://HOST:PORT` or `http://HOST:PORT`, with commas
        /// between: the next one is asked where one does not answer.
        endpoints: Option<Addresses> = None, flag("etcd-endpoints"), example("\"https://etcd-0:2379,https://etcd-1:2379\"");
        /// What all keys begin with. Servers with the same prefix share a store.
        prefix: KeyPrefix = KeyPrefix::usual(), flag("etcd-prefix");
        /// Who this is to etcd, if etcd asks for a password.
        user: Option<User> = None, flag("etcd-user"), example("\"credd\"");
        /// The file of that user's password.
        password_file: Option<PathBuf> = None, flag("etcd-password-file"), example("\"/etc/credd/etcd/password\"");
        /// The file of the certificates, in PEM, that sign etcd's. Unset: those
        /// that the system trusts.
        ca_file: Option<PathBuf> = None, flag("etcd-ca-file"), example("\"/etc/credd/etcd/ca.crt\"");
        /// The file of the certificate by which this is known to etcd, in PEM, and of
        /// those between it and its root.
        certificate_file: Option<PathBuf> = None, flag("etcd-certificate-file"), example("\"/etc/credd/etcd/tls.crt\"");
        /// The file of the certificate's private key.
        key_file: Option<PathBuf> = None, flag("etcd-key-file"), example("\"/etc/credd/etcd/tls.key\"");
        /// Speaks in plaintext to an etcd that is not on this machine.
        allow_plaintext: bool = false, flag("etcd-allow-plaintext");
        /// Has etcd forget old revisions, of all keys: where it serves nobody else.
        /// Where it does, whoever keeps it has it compacted.
        may_compact: bool = false, flag("etcd-may-compact");
    }
}

section! {
    /// The server's keys.
    Keyring = "keyring" {
        /// The file of the keys. It is made with the store where there is none.
        /// Unset: `keyring.toml` in the data directory.
        file: Option<PathBuf> = None, flag("keyring-file"), example("\"/etc/credd/keyring.toml\"");
    }
}

section! {
    /// How long what is over is kept.
    Retention = "retention" {
        /// The log of changes is kept for this many hours: for so long a Watch
        /// can be taken up.
        log_hours: u64 = 24, flag("log-retention-hours"), range(0..=87_600);
        /// The log of changes has at most this many commits.
        log_commits: u64 = 1_000_000, flag("log-retention-commits"), range(1..=1_000_000_000);
        /// Revoked and expired credentials are removed after this many days.
        credential_days: u64 = 30, flag("credential-retention-days"), range(0..=36_500);
        /// Audit events are removed after this many days.
        audit_days: u64 = 365, flag("audit-retention-days"), range(1..=36_500);
    }
}

section! {
    /// How long those who follow may answer from what they keep without hearing from
    /// the server, and so how long a fenced change may have to wait for one that was
    /// cut off.
    Fence = "fence" {
        /// How long a lease is, in milliseconds. The server itself says no more that
        /// anything is good when it could not write to its store for so long.
        lease_ms: u64 = 10_000, flag("fence-lease-ms"), range(200..=Fence::LONGEST_MS);
    }
}

tables! {
    /// A role of the tenant `credd`, beside `administrator`, `auditor` and
    /// `verifier`: what callers of credd who have it may do.
    RoleRow = "roles" {
        /// The name that bindings give.
        name: Role, unique(), example("\"issuer\"");
        /// A longer text for people.
        description: Description = Description::default();
        /// What it permits: permissions on credd, by name, or all that begin so.
        permissions: Vec<CreddGrant>, range(1..=64), example("[\"credd.credentials.issue\", \"credd.owners.*\"]");
    }
}

tables! {
    /// Gives a caller a role, on one tenant or on all. Where the configuration
    /// binds an administrator, a first start makes no `admin.token`.
    BindingRow = "bindings" {
        /// The caller: `credd:OWNER`, `jwt:ISSUER#SUBJECT`, `spiffe://...` or
        /// `dns:NAME`.
        principal: PrincipalName, example("\"spiffe://example.org/ns/shop/sa/portal\"");
        /// A role of the tenant `credd`.
        role: Role, example("\"verifier\"");
        /// The tenant on which the caller has the role; `*`: on all.
        tenant: Reach, example("\"acme\"");
    }
}

tables! {
    /// An issuer of JSON Web Tokens by which callers are known, as
    /// `jwt:ISSUER#SUBJECT`. Its keys come from a file or from a URL.
    JwtIssuerRow = "jwt_issuers" {
        /// The issuer, exactly as in the claim `iss`.
        issuer: Issuer, unique(), example("\"https://kubernetes.default.svc.cluster.local\"");
        /// Tokens must be for one of these: the claim `aud`.
        audiences: Vec<Audience>, range(1..=64), example("[\"credd\"]");
        /// The algorithms that its tokens may be signed with.
        algorithms: Vec<Algorithm> = usual_algorithms(), range(1..=9);
        /// The file of its keys, a JSON Web Key Set.
        jwks_file: Option<PathBuf> = None, example("\"/etc/credd/jwks.json\"");
        /// Where its keys are fetched from.
        jwks_url: Option<FetchedFrom> = None, example("\"https://kubernetes.default.svc/openid/v1/jwks\"");
        /// With `jwks_url`: the file of the certificates, in PEM, that sign the
        /// server's. Unset: those that the system trusts.
        jwks_ca_file: Option<PathBuf> = None, example("\"/var/run/secrets/kubernetes.io/serviceaccount/ca.crt\"");
        /// With `jwks_url`: the file of the bearer token to fetch with. Unset:
        /// none.
        jwks_token_file: Option<PathBuf> = None, example("\"/var/run/secrets/kubernetes.io/serviceaccount/token\"");
        /// How often the keys are read anew, in seconds.
        refresh_seconds: u64 = 300, range(10..=43_200);
        /// How far the clocks of credd and the issuer may be apart, in seconds.
        leeway_seconds: u64 = 0, range(0..=300);
    }
}

section! {
    /// Where audit events go, beside the store.
    Audit = "audit" {
        /// The file to which each event is written as a line of JSON; `-`:
        /// standard output. Unset: none.
        file: Option<AuditFile> = None, flag("audit-file"), example("\"-\"");
    }
}

section! {
    /// What callers and tenants may use.
    Limits = "limits" {
        /// The most bytes of a request's message.
        max_message_bytes: usize = 1 << 20, flag("max-message-bytes"), range(1024..=67_108_864);
        /// The most bytes of a request's headers.
        max_header_bytes: u32 = 16 << 10, flag("max-header-bytes"), range(1024..=1_048_576);
        /// The most connections at once; 0: as many as the process may have
        /// descriptors for. For more, the oldest give way over which no call was
        /// let in, and the newest of a caller who has more than a fair share.
        max_connections: usize = 0, flag("max-connections"), range(0..=1_000_000);
        /// The most calls at once on a connection.
        max_streams_per_connection: u32 = 1024, flag("max-streams-per-connection"), range(1..=65_536);
        /// The most calls at once on all connections, streams left out. A caller may
        /// have half of them, and of the streams.
        max_concurrent_requests: usize = 4096, flag("max-concurrent-requests"), range(1..=1_000_000);
        /// The most streams at once on all connections: `Watch`,
        /// `VerifyStream`, `ListEvents` and `Backup`.
        max_streams: usize = 16_384, flag("max-streams"), range(1..=1_000_000);
        /// How many calls that manage credd run at a time, while others wait; 0:
        /// two for each core; 64 where the store is in etcd, for which they wait.
        /// More of them make larger commits, and Verify wait.
        max_running_requests: usize = 0, flag("max-running-requests"), range(0..=1_000_000);
        /// How many calls a caller may make in a second; 0: no limit.
        requests_per_second_per_caller: u32 = 0, flag("requests-per-second-per-caller"), range(0..=1_000_000);
        /// How many calls a caller may make at once after a pause; 0: as many as
        /// in a second.
        burst_per_caller: u32 = 0, flag("burst-per-caller"), range(0..=1_000_000);
        /// The most credentials of a tenant that are not revoked; 0: no limit.
        credentials_per_tenant: u64 = 0, flag("credentials-per-tenant"), range(0..=1_000_000_000);
        /// The most credentials of an owner that are not revoked; 0: no limit.
        credentials_per_owner: u64 = 0, flag("credentials-per-owner"), range(0..=1_000_000_000);
    }
}

section! {
    /// Of `credd sidecar` alone: where it is reached, and what it keeps. Whoever
    /// reaches it may ask about whatever it may ask about itself, and follow it.
    Sidecar = "sidecar" {
        /// The Unix socket at which it is reached. Unset: none.
        socket: Option<PathBuf> = None, flag("socket"), example("\"/run/credd/sidecar.sock\"");
        /// The permissions of the socket, in octal digits: who may write to it may
        /// ask.
        socket_mode: FileMode = FileMode::OWNER_AND_GROUP, flag("socket-mode");
        /// Where it is reached over TCP. An address that is not loopback needs TLS,
        /// and certificates of clients. Unset: nowhere.
        listen: Option<SocketAddr> = None, flag("sidecar-listen"), example("\"127.0.0.1:7430\"");
        /// Where `/metrics` is answered, over plain HTTP. Unset: nowhere.
        metrics_listen: Option<SocketAddr> = None, flag("sidecar-metrics-listen"), example("\"127.0.0.1:7431\"");
        /// Where the health service alone is served, in plaintext, for probes.
        /// Unset: nowhere but where it is reached.
        health_listen: Option<SocketAddr> = None, flag("sidecar-health-listen"), example("\"127.0.0.1:7432\"");
        /// What the answers that it keeps may weigh, in MiB; of each cell that it
        /// follows.
        cache_mib: u64 = 64, flag("sidecar-cache-mib"), range(1..=65_536);
        /// How long it is kept that a credential is not known, in milliseconds; 0: not
        /// at all. One that is issued is denied for no longer where it was tried before.
        invalid_ms: u64 = 1_000, flag("sidecar-invalid-ms"), range(0..=10_000);
        /// How long Envoy's check may take, in milliseconds: less than Envoy waits. Then
        /// the request is answered with 503.
        check_ms: u64 = 1_500, flag("sidecar-check-ms"), range(10..=60_000);
        /// How long calls may go on after it was told to stop, in seconds.
        shutdown_seconds: u64 = 10, flag("sidecar-shutdown-seconds"), range(0..=3600);
    }
}

section! {
    /// Of `credd sidecar` alone: whom it asks and follows, and as whom.
    AuthorityRows = "authority" {
        /// Where the authority is: `https://HOST:PORT`, `http://HOST:PORT` or
        /// `unix:/PATH`, or several of them with commas between: the next one is asked
        /// where one does not answer.
        address: Option<Addresses> = None, flag("authority"), example("\"https://credd.example:7420\"");
        /// The file of the certificates, in PEM, that sign the authority's. Unset:
        /// those that the system trusts.
        ca_file: Option<PathBuf> = None, flag("authority-ca-file"), example("\"/etc/credd/tls/ca.crt\"");
        /// The file of the certificate by which the sidecar is known, in PEM, and of
        /// those between it and its root.
        certificate_file: Option<PathBuf> = None, flag("authority-certificate-file"), example("\"/etc/credd/client/tls.crt\"");
        /// The file of the certificate's private key.
        key_file: Option<PathBuf> = None, flag("authority-key-file"), example("\"/etc/credd/client/tls.key\"");
        /// The file of the bearer token by which the sidecar is known. It is read
        /// again when it changes.
        token_file: Option<PathBuf> = None, flag("authority-token-file"), example("\"/var/run/secrets/credd/token\"");
        /// Sends secrets in plaintext to an authority that is not on this machine.
        allow_plaintext: bool = false, flag("authority-allow-plaintext");
        /// Over how many connections it asks.
        connections: usize = 4, flag("authority-connections"), range(1..=16);
        /// How long a question may take, in milliseconds.
        patience_ms: u64 = 5_000, flag("authority-patience-ms"), range(100..=60_000);
        /// How many questions may be under way at once; more are refused.
        max_questions: usize = 4_096, flag("authority-max-questions"), range(1..=1_000_000);
    }
}

tables! {
    /// Of `credd sidecar` alone: a further cell that it follows, an authority that has
    /// the tenants named here. All others are those of `[authority]`, which also says
    /// over how many connections each is asked, how long and how much at once.
    CellRow = "cells" {
        /// What it is called in metrics and by the health service.
        name: CellName, unique(), example("\"eu-2\"");
        /// The tenants that are kept there, and in no other cell.
        tenants: Vec<Tenant>, range(1..=100_000), example("[\"acme\", \"globex\"]");
        /// Where the authority is, as in `[authority]`.
        address: Addresses, example("\"https://credd.eu-2.example:7420\"");
        /// The file of the certificates, in PEM, that sign the authority's. Unset:
        /// those that the system trusts.
        ca_file: Option<PathBuf> = None, example("\"/etc/credd/eu-2/ca.crt\"");
        /// The file of the certificate by which the sidecar is known, in PEM, and of
        /// those between it and its root.
        certificate_file: Option<PathBuf> = None, example("\"/etc/credd/client/tls.crt\"");
        /// The file of the certificate's private key.
        key_file: Option<PathBuf> = None, example("\"/etc/credd/client/tls.key\"");
        /// The file of the bearer token by which the sidecar is known. It is read
        /// again when it changes.
        token_file: Option<PathBuf> = None, example("\"/var/run/secrets/credd/eu-2-token\"");
        /// Sends secrets in plaintext to an authority that is not on this machine.
        allow_plaintext: bool = false;
    }
}

tables! {
    /// Of `credd sidecar` alone: lets it answer from what it keeps although its lease
    /// has run out and no authority answers. Changes may have been missed: a revoked
    /// credential may be good for so long. Such answers are marked and counted.
    StaleRow = "stale" {
        /// The tenant; `*`: those that no other table names.
        tenant: Reach, unique(), example("\"acme\"");
        /// For how long after its lease has run out, in seconds; 0: not at all.
        max_seconds: u64, range(0..=86_400), example("60");
    }
}

impl Sidecar {
    /// How much is kept, and for how long what has no time of its own.
    #[must_use]
    pub fn cache(&self) -> CacheLimits {
        CacheLimits {
            weight: self.cache_mib.saturating_mul(1 << 20),
            invalid: Duration::from_millis(self.invalid_ms),
            ..CacheConfig::default().limits
        }
    }
}

impl Retention {
    /// How long what is over is kept. The trace of a removed credential outlives
    /// the log of changes.
    #[must_use]
    pub const fn keep(&self) -> Keep {
        let log = self.log_hours.saturating_mul(3600);
        Keep {
            over: Duration::from_secs(self.credential_days.saturating_mul(24 * 3600)),
            trace: Duration::from_secs(log.saturating_add(24 * 3600)),
        }
    }

    /// How long audit events are kept.
    #[must_use]
    pub const fn audit(&self) -> Duration {
        Duration::from_secs(self.audit_days.saturating_mul(24 * 3600))
    }

    /// How much of the log of changes is kept.
    #[must_use]
    pub const fn log(&self) -> LogRetention {
        LogRetention {
            age: Duration::from_secs(self.log_hours.saturating_mul(3600)),
            commits: self.log_commits,
        }
    }
}

impl Fence {
    /// The longest that a lease may be, in milliseconds.
    pub const LONGEST_MS: u64 = 300_000;

    /// What leases are measured by.
    #[must_use]
    pub fn leases(&self) -> LeaseSettings {
        LeaseSettings {
            clock: Arc::new(SystemBootClock),
            length: Duration::from_millis(self.lease_ms),
        }
    }
}

impl Limits {
    /// What callers may ask for at once and one after the other.
    #[must_use]
    pub fn calls(&self) -> LimitSettings {
        let rate = NonZeroU32::new(self.requests_per_second_per_caller);
        let burst = NonZeroU32::new(self.burst_per_caller).or(rate);
        LimitSettings {
            concurrent: self.max_concurrent_requests,
            streams: self.max_streams,
            rate,
            burst: burst.unwrap_or(NonZeroU32::MIN),
            turns: NonZeroUsize::new(self.max_running_requests),
            message_bytes: self.max_message_bytes,
        }
    }

    /// How many credentials there may be.
    #[must_use]
    pub fn quotas(&self) -> Quotas {
        let some = |quota: u64| (quota > 0).then_some(quota);
        Quotas {
            per_tenant: some(self.credentials_per_tenant),
            per_owner: some(self.credentials_per_owner),
        }
    }
}
