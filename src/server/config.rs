//! What can be set, from flags and from the environment; a flag is stronger.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::authority::directory::Configured;
use crate::authority::retention::Retention;
use crate::authority::sweep::Keep;
use crate::server::jwt::IssuerSettings;

/// A credential authority: issues, verifies and revokes API credentials over
/// gRPC.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    /// What to log: `error`, `warn`, `info`, `debug`, `trace`, or directives
    /// such as `info,credd::store=debug`.
    #[arg(long, env = "CREDD_LOG", default_value = "info", global = true)]
    pub log: String,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serves gRPC. On a loopback address the first start creates the data
    /// directory.
    Serve(Serve),
    /// Creates the data directory, with a keyring, an empty store and the first
    /// administrator's token.
    Init(Init),
    /// Helps those who administer credd.
    #[command(subcommand)]
    Admin(Admin),
}

/// What helps those who administer credd.
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Makes another administrator and writes its token to the data directory,
    /// where nobody can administer credd any more. The server must be stopped.
    Recover(Recover),
}

/// How to make another administrator.
#[derive(Clone, Debug, Args)]
pub struct Recover {
    /// Where the store is.
    #[command(flatten)]
    pub data: Data,
}

/// How to serve.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// Where the store is.
    #[command(flatten)]
    pub data: Data,
    /// What is configured of the directory.
    #[arg(skip)]
    pub configured: Configured,
    /// The issuers whose tokens name callers.
    #[arg(skip)]
    pub issuers: Vec<IssuerSettings>,
    /// The address to listen on.
    #[arg(
        long,
        env = "CREDD_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:7420"
    )]
    pub listen: SocketAddr,
    /// The address on which `/metrics` is answered; unset: nowhere.
    #[arg(long, env = "CREDD_METRICS_LISTEN", value_name = "ADDR")]
    pub metrics_listen: Option<SocketAddr>,
    /// Serves plaintext on an address that is not loopback: whoever sees the
    /// traffic then sees secrets.
    #[arg(
        long,
        env = "CREDD_ALLOW_PLAINTEXT",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    pub allow_plaintext: bool,
    /// How long calls may go on after the server was told to stop, in seconds.
    #[arg(
        long,
        env = "CREDD_SHUTDOWN_SECONDS",
        value_name = "N",
        default_value_t = 10
    )]
    pub shutdown_seconds: u64,
    /// The log of changes is kept for this many hours.
    #[arg(
        long,
        env = "CREDD_LOG_RETENTION_HOURS",
        value_name = "N",
        default_value_t = 24
    )]
    pub log_retention_hours: u64,
    /// The log of changes has at most this many commits.
    #[arg(
        long,
        env = "CREDD_LOG_RETENTION_COMMITS",
        value_name = "N",
        default_value_t = 1_000_000
    )]
    pub log_retention_commits: u64,
    /// Revoked and expired credentials are removed after this many days.
    #[arg(
        long,
        env = "CREDD_CREDENTIAL_RETENTION_DAYS",
        value_name = "N",
        default_value_t = 30
    )]
    pub credential_retention_days: u64,
}

/// How to create a data directory.
#[derive(Clone, Debug, Args)]
pub struct Init {
    /// Where the store is to be.
    #[command(flatten)]
    pub data: Data,
}

/// Where the store is, and what it may use.
#[derive(Clone, Debug, Args)]
pub struct Data {
    /// The directory of the store, the keyring and the first administrator's
    /// token.
    #[arg(
        long,
        env = "CREDD_DATA_DIR",
        value_name = "DIR",
        default_value = "./credd-data"
    )]
    pub data_dir: PathBuf,
    /// What must stay free on the disk, in MiB: changes that would leave less
    /// are refused.
    #[arg(
        long,
        env = "CREDD_DISK_RESERVE_MIB",
        value_name = "N",
        default_value_t = 256
    )]
    pub disk_reserve_mib: u64,
    /// What the store may cache, in MiB; a hint.
    #[arg(
        long,
        env = "CREDD_STORE_CACHE_MIB",
        value_name = "N",
        default_value_t = 256
    )]
    pub store_cache_mib: u64,
}

impl Serve {
    /// How long what is over is kept. The trace of a removed credential outlives
    /// the log of changes.
    #[must_use]
    pub const fn keep(&self) -> Keep {
        let log = self.log_retention_hours.saturating_mul(3600);
        Keep {
            over: Duration::from_secs(self.credential_retention_days.saturating_mul(24 * 3600)),
            trace: Duration::from_secs(log.saturating_add(24 * 3600)),
        }
    }

    /// How much of the log is kept.
    #[must_use]
    pub const fn retention(&self) -> Retention {
        Retention {
            age: Duration::from_secs(self.log_retention_hours.saturating_mul(3600)),
            commits: self.log_retention_commits,
        }
    }
}
