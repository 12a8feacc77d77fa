//! TLS: which certificate the server shows, whom it lets connect, and how both
//! follow their files.
//!
//! What is in use is replaced as a whole, when the contents of the files have
//! changed and are good; connections that stand keep what they began with. But a
//! client's certificate names nobody any more once the authorities that are trusted
//! do not vouch for it, or one between it and them has expired. A handshake is never a resumed one: the client's certificate
//! is looked at each time, by the authorities that are trusted then.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::server::TlsStream;

use crate::authority::caller::Trust;
use crate::rpc::peer::PeerCertificate;

mod certificate;
mod files;
mod loaded;
mod peers;
mod principal;
mod reload;

pub use certificate::Unreadable;
pub use files::FilesError;
pub use loaded::LoadError;
use loaded::Loaded;
use peers::Peers;
pub use reload::Reloader;

/// What TLS is made of. The files are in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The server's certificate, then those that lead from it to its authority.
    pub certificate: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
    /// The authorities whose certificates clients may show. `None`: clients are
    /// not asked for one.
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is refused at the handshake. One
    /// with a certificate that is not good is refused always.
    pub require_client_certificate: bool,
    /// How long a handshake may take, from the moment that the connection is
    /// accepted.
    pub handshake: Duration,
    /// How often the files are looked at.
    pub reload: Duration,
}

/// TLS as it is now.
#[derive(Debug)]
pub struct Tls {
    current: ArcSwap<Loaded>,
    peers: Peers,
    handshake: Duration,
}

impl Tls {
    /// Loads the files; what is returned with it keeps looking at them. It reads
    /// files: not for a thread that must not block.
    ///
    /// # Errors
    ///
    /// [`LoadError`]: there is nothing to begin with.
    pub fn load(settings: TlsSettings) -> Result<(Arc<Self>, Reloader), LoadError> {
        Reloader::begin(settings)
    }

    /// The last second in which the server's certificate is valid, in seconds
    /// since the Unix epoch.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.current.load().facts.not_after
    }

    /// The server's part of a handshake, and what the client showed of itself.
    ///
    /// # Errors
    ///
    /// The client's certificate is refused, the two can't agree, the connection
    /// is lost, or it takes too long.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Option<PeerCertificate>)> {
        let loaded = self.current.load_full();
        let acceptor = TlsAcceptor::from(Arc::clone(&loaded.config));
        let stream = timeout(self.handshake, acceptor.accept(stream)).await??;
        let (_, session) = stream.get_ref();
        let chain = session.peer_certificates().unwrap_or_default();
        let certificate = chain.first().and_then(|first| certificate::peer(first));
        if let Some(certificate) = &certificate {
            self.peers.keep(chain, &certificate.trust);
            self.judge(loaded, chain, &certificate.trust);
        }
        Ok((stream, certificate))
    }

    /// Judges a client whose handshake began with this by what is in use.
    fn judge(&self, began_with: Arc<Loaded>, chain: &[CertificateDer<'_>], trust: &Trust) {
        let mut by = began_with;
        // The handshake judged it, and nothing but itself may expire.
        let mut is_judged = chain.len() == 1;
        loop {
            if let Some(verifier) = by.verifier.as_deref().filter(|_| !is_judged) {
                trust.set(peers::trusted_until(verifier, chain));
            }
            let now = self.current.load_full();
            if Arc::ptr_eq(&now, &by) {
                return;
            }
            (by, is_judged) = (now, false);
        }
    }

    /// Puts something else in the place of what is in use, and judges by it whoever is
    /// connected. Takes time for each.
    fn replace(&self, loaded: Loaded) {
        let loaded = Arc::new(loaded);
        self.current.store(Arc::clone(&loaded));
        if let Some(verifier) = &loaded.verifier {
            self.peers.judge(&**verifier);
        }
    }
}
