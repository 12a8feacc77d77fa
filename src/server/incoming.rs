//! Accepting connections: never more than the process has descriptors for, and
//! none for long that says nothing.
//!
//! A connection that has not sent the whole HTTP/2 preface (RFC 9113 section
//! 3.4) in time is closed; from then on HTTP/2's own pings find out whether
//! somebody is there.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// How long a connection may take to send the preface.
const PREFACE_TIME: Duration = Duration::from_secs(10);
/// The bytes of the preface: `PRI * HTTP/2.0`, two line ends, `SM`, two more.
const PREFACE_BYTES: usize = 24;
/// How long to wait after a connection could not be accepted: the reason (no
/// descriptors, no memory) does not go away at once.
const PAUSE: Duration = Duration::from_millis(100);
/// Descriptors that are left for everything but connections.
const OTHER_DESCRIPTORS: usize = 128;

/// How many connections there may be at once: as many as the process may have
/// descriptors for, less some for its files.
#[must_use]
pub fn most_connections() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    limit
        .saturating_sub(OTHER_DESCRIPTORS)
        .max(limit / 4)
        .clamp(1, Semaphore::MAX_PERMITS)
}

/// Accepts connections and hands them on, until `closing` is cancelled or
/// nobody takes them any more. While there are `most` of them, others wait to
/// be accepted.
pub async fn accept(
    listener: TcpListener,
    most: usize,
    closing: CancellationToken,
    accepted: mpsc::Sender<io::Result<Connection>>,
) {
    let permits = Arc::new(Semaphore::new(most));
    let next = async || {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            unreachable!("the semaphore is never closed");
        };
        (listener.accept().await, permit)
    };
    let mut is_failing = false;
    while let Some((stream, permit)) = closing.run_until_cancelled(next()).await {
        match stream {
            Ok((stream, _)) => {
                is_failing = false;
                let connection = Connection::new(stream, permit, &closing);
                if accepted.send(Ok(connection)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                if !is_failing {
                    tracing::warn!(%error, "can't accept connections");
                }
                is_failing = true;
                sleep(PAUSE).await;
            }
        }
    }
}

/// A connection that was accepted.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// `None`: the preface is there.
    awaited: Option<Awaited>,
    _permit: OwnedSemaphorePermit,
}

/// What is still to come of the preface, and what ends the wait for it.
#[derive(Debug)]
struct Awaited {
    bytes: usize,
    late: Pin<Box<Sleep>>,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Connection {
    fn new(stream: TcpStream, permit: OwnedSemaphorePermit, closing: &CancellationToken) -> Self {
        // Answers are small and wanted now: no Nagle's algorithm. That it can't
        // be switched off for a connection that is gone already is no loss.
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            awaited: Some(Awaited {
                bytes: PREFACE_BYTES,
                late: Box::pin(sleep(PREFACE_TIME)),
                closing: Box::pin(closing.clone().cancelled_owned()),
            }),
            _permit: permit,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(awaited) = &mut self.awaited else {
            return read;
        };
        let has_ended = awaited.late.as_mut().poll(context).is_ready()
            || awaited.closing.as_mut().poll(context).is_ready();
        if read.is_pending() && has_ended {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let bytes = buffer.filled().len() - before;
        awaited.bytes = awaited.bytes.saturating_sub(bytes);
        if awaited.bytes == 0 {
            self.awaited = None;
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const PREFACE: &[u8; PREFACE_BYTES] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    /// Where to connect to, and what is accepted, `most` at once.
    async fn listen(most: usize) -> (std::net::SocketAddr, mpsc::Receiver<io::Result<Connection>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, connections) = mpsc::channel(1);
        tokio::spawn(accept(listener, most, CancellationToken::new(), accepted));
        (address, connections)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_or_too_little_is_closed() {
        let (address, mut connections) = listen(9).await;
        for said in [&b""[..], b"PRI", &PREFACE[1..]] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(said).await.unwrap();
            let mut connection = connections.recv().await.unwrap().unwrap();
            let mut all = Vec::new();
            let read = tokio::time::timeout(PREFACE_TIME * 100, connection.read_to_end(&mut all));
            let read = read.await.unwrap();
            assert_eq!(
                read.unwrap_err().kind(),
                io::ErrorKind::TimedOut,
                "{said:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_begun_may_be_silent() {
        let (address, mut connections) = listen(9).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(PREFACE).await.unwrap();
        let mut connection = connections.recv().await.unwrap().unwrap();
        let mut read = [0; PREFACE_BYTES];
        connection.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, PREFACE);
        let more = tokio::time::timeout(PREFACE_TIME * 100, connection.read_u8()).await;
        assert!(more.is_err(), "{more:?}");
    }

    #[tokio::test]
    async fn no_more_are_accepted_than_there_may_be() {
        let (address, mut connections) = listen(2).await;
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let first = connections.recv().await.unwrap().unwrap();
        let _second = connections.recv().await.unwrap().unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
            assert!(connections.try_recv().is_err());
        }
        drop(first);
        assert!(connections.recv().await.unwrap().is_ok());
    }
}
