//! Where a server is reached, and how it is spoken to there.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::config::Settings;
use super::supervise::Failure;
use super::tls::TlsSettings;

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
    /// Listens on the addresses that are configured.
    ///
    /// # Errors
    ///
    /// An address can't be listened on.
    pub async fn bind(settings: &Settings) -> Result<Self, Failure> {
        Ok(Self {
            services: bind(settings.server.listen).await?,
            tls: settings.tls.clone(),
            health: match settings.server.health_listen {
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

/// Listens on an address.
///
/// # Errors
///
/// It can't be listened on.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| format!("can't listen on {address}: {error}").into())
}
