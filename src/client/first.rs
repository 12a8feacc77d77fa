//! How a connection begins: whether whoever is there speaks HTTP/2.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is said of one who was not heard.
pub(crate) const UNANSWERED: &str = "the connection ended before anything was answered";
/// What is said of one who answered with an alert of TLS.
pub(crate) const SPEAKS_TLS: &str = "what answers there speaks TLS";
/// What is said of one who answered with something else.
const SPEAKS_OTHER: &str = "what answers there does not speak HTTP/2";

/// The content type of an alert (RFC 8446 section 5.1).
const ALERT: u8 = 21;

/// How the latest connection began. What goes wrong then is told by HTTP/2 as the end of a
/// stream, without its cause. Copies of it are about the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beginning(Arc<Mutex<Option<String>>>);

impl Beginning {
    /// What is wrong with it; `None`: nothing, or no connection was made.
    pub(crate) fn fault(&self) -> Option<String> {
        self.0.lock().clone()
    }

    fn note(&self, fault: Option<String>) {
        *self.0.lock() = fault;
    }
}

pin_project! {
    /// A connection whose first byte is looked at. A server begins with SETTINGS (RFC 9113
    /// section 3.4), whose length is far below 2^16: the first of its three bytes is 0.
    #[derive(Debug)]
    pub(super) struct First<T> {
        #[pin]
        io: T,
        beginning: Option<Beginning>,
    }
}

impl<T> First<T> {
    pub(super) fn new(io: T, beginning: &Beginning) -> Self {
        beginning.note(Some(UNANSWERED.to_owned()));
        let beginning = Some(beginning.clone());
        Self { io, beginning }
    }
}

impl<T: AsyncRead> AsyncRead for First<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        let before = buffer.filled().len();
        let read = ready!(this.io.poll_read(context, buffer));
        let first = buffer.filled().get(before);
        if let Some(beginning) = this.beginning.take_if(|_| first.is_some() || read.is_err()) {
            beginning.note(match (&read, first) {
                (Ok(()), Some(0)) => None,
                (Ok(()), Some(&ALERT)) => Some(SPEAKS_TLS.to_owned()),
                (Ok(()), _) => Some(SPEAKS_OTHER.to_owned()),
                (Err(error), _) if is_end(error) => Some(UNANSWERED.to_owned()),
                (Err(error), _) => Some(error.to_string()),
            });
        }
        Poll::Ready(read)
    }
}

/// Whether it says no more than that the other end ended the connection.
pub(crate) fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

impl<T: AsyncWrite> AsyncWrite for First<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().io.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().io.poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
