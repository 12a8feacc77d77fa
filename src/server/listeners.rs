//! Where a server is reached, and how it is spoken to there.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::supervise::Failure;
use super::tls::TlsSettings;

/// What can be set of it beside the address of the services.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    /// `None`: the services are in plaintext.
    pub tls: Option<TlsSettings>,
    /// The address on which health alone is served, in plaintext, for probes
    /// that can't speak TLS; `None`: nowhere.
    pub health_listen: Option<SocketAddr>,
}

/// What a server listens on.
#[derive(Debug)]
pub struct Listeners {
    /// For the services.
    pub services: TcpListener,
    /// `None`: the services are in plaintext.
    pub tls: Option<TlsSettings>,
    /// For health alone, in plaintext.
    pub health: Option<TcpListener>,
}

impl Listeners {
    /// Listens on these addresses.
    ///
    /// # Errors
    ///
    /// An address can't be listened on.
    pub async fn bind(services: SocketAddr, transport: &Transport) -> Result<Self, Failure> {
        let Transport { tls, health_listen } = transport;
        Ok(Self {
            services: bind(services).await?,
            tls: tls.clone(),
            health: match *health_listen {
                Some(address) => Some(bind(address).await?),
                None => None,
            },
        })
    }
}

/// The services, in plaintext.
impl From<TcpListener> for Listeners {
    fn from(services: TcpListener) -> Self {
        Self {
            services,
            tls: None,
            health: None,
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| format!("can't listen on {address}: {error}").into())
}
