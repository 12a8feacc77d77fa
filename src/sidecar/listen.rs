//! Where a sidecar is reached: at a Unix socket, and over TCP.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener, UnixSocket, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use crate::server::supervise::Failure;

/// What a sidecar listens on.
#[derive(Debug, Default)]
pub struct Listeners {
    /// At a Unix socket.
    pub socket: Option<Socket>,
    /// Over TCP.
    pub tcp: Option<TcpListener>,
    /// For health alone, in plaintext.
    pub health: Option<TcpListener>,
    /// For `/metrics`.
    pub metrics: Option<TcpListener>,
}

/// A Unix socket, which is gone from its directory when this is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

/// How long to wait after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// How many connections wait to be accepted.
const BACKLOG: u32 = 1024;

impl Socket {
    /// Listens at a path, with these permissions on it. What a process that is gone
    /// has left there gives way.
    ///
    /// # Errors
    ///
    /// Somebody listens there, or it is no socket, or it can't be made.
    pub fn bind(path: &Path, mode: u32) -> Result<Self, Failure> {
        let failed = |error: io::Error| -> Failure {
            format!("can't listen at {}: {error}", path.display()).into()
        };
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => {
                if BlockingStream::connect(path).is_ok() {
                    return Err(failed(io::ErrorKind::AddrInUse.into()));
                }
                std::fs::remove_file(path).map_err(failed)?;
            }
            Ok(_) => return Err(failed(io::ErrorKind::AlreadyExists.into())),
            Err(_) => (),
        }
        let bind = || {
            let socket = UnixSocket::new_stream()?;
            // The file is made with what the socket has by then: nobody else may
            // connect meanwhile.
            rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(0o600))?;
            socket.bind(path)?;
            socket.listen(BACKLOG)
        };
        let listener = bind().map_err(failed)?;
        let socket = Self {
            listener,
            path: path.to_owned(),
        };
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, permissions).map_err(failed)?;
        Ok(socket)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // That it is gone already is as good.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Listens over TCP.
///
/// # Errors
///
/// It can't be.
pub(super) async fn tcp(address: SocketAddr) -> Result<TcpListener, Failure> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| format!("can't listen on {address}: {error}").into())
}

/// Accepts connections, so many at once, until `closing` is cancelled or nobody takes
/// them any more.
pub(super) async fn accept(
    socket: Socket,
    most: usize,
    closing: CancellationToken,
    accepted: mpsc::Sender<io::Result<LocalConnection>>,
) {
    let places = Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)));
    let accepting = async {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match socket.listener.accept().await {
                Ok((stream, _)) => {
                    let connection = LocalConnection {
                        stream,
                        _place: place,
                    };
                    if accepted.send(Ok(connection)).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "can't accept connections");
                    sleep(PAUSE).await;
                }
            }
        }
    };
    closing.run_until_cancelled(accepting).await;
}

/// A connection at a Unix socket.
#[derive(Debug)]
pub(super) struct LocalConnection {
    stream: UnixStream,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for LocalConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for LocalConnection {
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

impl Connected for LocalConnection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_takes_the_place_of_one_that_is_dead_and_of_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let socket = Socket::bind(&path, 0o640).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        Socket::bind(&path, 0o640).unwrap_err();
        drop(socket);
        assert!(!path.exists());

        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left by one that is gone");
        drop(Socket::bind(&path, 0o640).unwrap());

        std::fs::write(&path, "else").unwrap();
        Socket::bind(&path, 0o640).unwrap_err();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "else");
    }
}
