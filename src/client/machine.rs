//! What a client has of the machine that it runs on.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::address::Address;
use super::config::TlsFiles;
use super::connect::Sockets;
use crate::domain::cache::Moment;
use crate::domain::lease::{BootClock, SystemBootClock};
use crate::domain::random::{Random, SystemRandom};
use crate::domain::time::{Clock, SystemClock};

/// The clocks, the source of randomness and the network. Copies of it are about the
/// same.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What leases are measured by.
    pub boot: Arc<dyn BootClock>,
    /// The wall clock.
    pub wall: Arc<dyn Clock>,
    /// Where keys and names are from.
    pub random: Arc<dyn Random>,
    /// How others are reached.
    pub network: Arc<dyn Network>,
}

/// How others are reached.
pub trait Network: fmt::Debug + Send + Sync + 'static {
    /// Connects to an address, over which HTTP/2 is spoken then.
    fn connect<'a>(&'a self, address: &'a Address, tls: &'a TlsFiles) -> Connecting<'a>;
}

/// A connection that is being made.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Connection>> + Send + 'a>>;

/// A connection.
pub type Connection = Pin<Box<dyn Io>>;

/// What HTTP/2 is spoken over.
pub trait Io: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Io for T {}

impl Machine {
    /// Now, by both clocks.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment {
            boot: self.boot.now(),
            wall: self.wall.now(),
        }
    }
}

impl Default for Machine {
    /// The one that this process runs on.
    fn default() -> Self {
        Self {
            boot: Arc::new(SystemBootClock),
            wall: Arc::new(SystemClock),
            random: Arc::new(SystemRandom::new()),
            network: Arc::new(Sockets::default()),
        }
    }
}
