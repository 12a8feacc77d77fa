//! One accepted connection, in plaintext or in TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use super::Place;
use crate::rpc::peer::Peer;

/// The bytes of the preface: `PRI * HTTP/2.0`, two line ends, `SM`, two more.
pub(super) const PREFACE_BYTES: usize = 24;

/// A connection that was accepted, and that HTTP/2 may begin on.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    peer: Peer,
    /// `None`: the preface is there.
    awaited: Option<Awaited>,
    gives_way: Pin<Box<WaitForCancellationFutureOwned>>,
    _place: Place,
}

#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What is still to come of the preface, and what ends the wait for it.
#[derive(Debug)]
struct Awaited {
    bytes: usize,
    late: Pin<Box<Sleep>>,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Connection {
    /// One that is closed if it has not sent the preface after this time, or by
    /// the time that the server is closing.
    pub(super) fn new(
        stream: Stream,
        peer: Peer,
        preface: Duration,
        place: Place,
        closing: &CancellationToken,
    ) -> Self {
        Self {
            stream,
            peer,
            awaited: Some(Awaited {
                bytes: PREFACE_BYTES,
                late: Box::pin(sleep(preface)),
                closing: Box::pin(closing.clone().cancelled_owned()),
            }),
            gives_way: Box::pin(place.gives_way()),
            _place: place,
        }
    }

    /// An error once it is to give way. HTTP/2 neither reads from a peer that does
    /// not read, nor writes to one that says nothing: this is asked at both.
    fn poll_gives_way(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        // It was asked before the call came that was let in, and wakes this task yet.
        if self.peer.let_in.is_set() {
            return Ok(());
        }
        match self.gives_way.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

/// The same call on whichever stream it is.
macro_rules! on {
    ($stream:expr, $pinned:ident => $call:expr) => {
        match &mut $stream {
            Stream::Plain(stream) => {
                let $pinned = Pin::new(stream);
                $call
            }
            Stream::Tls(stream) => {
                let $pinned = Pin::new(&mut **stream);
                $call
            }
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_gives_way(context)?;
        let before = buffer.filled().len();
        let read = on!(self.stream, stream => stream.poll_read(context, buffer));
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
        self.poll_gives_way(context)?;
        on!(self.stream, stream => stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_gives_way(context)?;
        on!(self.stream, stream => stream.poll_write_vectored(context, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_gives_way(context)?;
        on!(self.stream, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(self.stream, stream => stream.poll_shutdown(context))
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}
