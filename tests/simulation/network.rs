//! The simulated network, for the client and for tonic.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use credd::client::{Address, Connecting, Connection, Network, TlsFiles};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_stream::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;
use turmoil::net::{TcpListener, TcpStream};

/// The port of every service.
pub(crate) const PORT: u16 = 7420;

/// What a machine connects with, by the names of hosts. Copies of it are of the same
/// machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Simulated(Arc<Mutex<CancellationToken>>);

impl Simulated {
    /// Cuts every connection that the machine has made.
    pub(crate) fn cut(&self) {
        std::mem::take(&mut *self.0.lock()).cancel();
    }
}

impl Network for Simulated {
    fn connect<'a>(&'a self, address: &'a Address, _: &'a TlsFiles) -> Connecting<'a> {
        Box::pin(async move {
            let Address::Tcp { host, port, .. } = address else {
                return Err(io::Error::other("there are no Unix sockets here"));
            };
            let cut = Box::pin(self.0.lock().clone().cancelled_owned());
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            Ok(Box::pin(Link { stream, cut }) as Connection)
        })
    }
}

/// A connection to a host, made when it is first used and made again when it is lost.
pub(crate) fn channel(host: &str) -> Channel {
    let host = host.to_owned();
    Endpoint::from_static("http://simulated")
        .connect_timeout(Duration::from_secs(1))
        .connect_with_connector_lazy(service_fn(move |_: Uri| {
            let host = host.clone();
            async move { Ok::<_, io::Error>(TokioIo::new(TcpStream::connect((host, PORT)).await?)) }
        }))
}

/// One side of a connection, until it is cut.
pub(crate) struct Link {
    stream: TcpStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// What connects to this host.
pub(crate) async fn incoming() -> io::Result<impl Stream<Item = io::Result<Link>>> {
    let every = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);
    let listener = TcpListener::bind(every).await?;
    Ok(Box::pin(Listening::new(listener)))
}

type Accepting = Pin<Box<dyn Future<Output = (TcpListener, io::Result<Link>)> + Send>>;

struct Listening(Accepting);

impl Listening {
    fn new(listener: TcpListener) -> Self {
        Self(Box::pin(accept(listener)))
    }
}

async fn accept(listener: TcpListener) -> (TcpListener, io::Result<Link>) {
    let accepted = listener.accept().await;
    let accepted = accepted.map(|(stream, _)| Link {
        stream,
        // It is cut on the side that has made it.
        cut: Box::pin(CancellationToken::new().cancelled_owned()),
    });
    (listener, accepted)
}

impl Stream for Listening {
    type Item = io::Result<Link>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let (listener, accepted) = std::task::ready!(self.0.as_mut().poll(context));
        self.0 = Box::pin(accept(listener));
        Poll::Ready(Some(accepted))
    }
}

impl Connected for Link {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl Link {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionReset.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
