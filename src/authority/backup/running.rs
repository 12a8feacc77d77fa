//! A backup that somebody takes in chunks while it is made.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use super::{End, Header, Purpose, TakeError, take};
use crate::authority::audit::of_call;
use crate::authority::caller::Call;
use crate::authority::command::Command;
use crate::authority::committer::{CommandError, How};
use crate::authority::{Authority, background};
use crate::domain::audit::{Event, OK, Subject};
use crate::domain::names::Reason;
use crate::domain::revision::Revision;
use crate::domain::rights::Reach;
use crate::store::Store;

/// How many bytes a chunk has. It is a multiple of three, so that chunks in Base64 can
/// be put together as they are.
pub const CHUNK_BYTES: usize = 63 << 10;
/// How many chunks wait to be taken.
const CHUNKS: usize = 4;
/// How long a chunk waits to be taken.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where backups are made: one at a time.
#[derive(Debug)]
pub(in crate::authority) struct Backups {
    store: Arc<dyn Store>,
    turn: Arc<Semaphore>,
}

impl Backups {
    pub(in crate::authority) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            turn: Arc::new(Semaphore::new(1)),
        }
    }
}

/// Why no backup is begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// Another is being made.
    #[error("another backup is being made")]
    Running,
    /// The audit log can't be told.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// A backup in chunks. It is made as far as it is taken; dropping it ends it.
pub struct Running {
    chunks: mpsc::Receiver<Bytes>,
    work: Work,
    ended: Option<Result<End, TakeError>>,
    is_over: bool,
    _turn: Turn,
}

type Work = Pin<Box<dyn Future<Output = Result<End, TakeError>> + Send>>;

/// The turn to make one: over when either side is.
struct Turn(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.lock().take();
    }
}

impl Authority {
    /// Begins a backup for a call, once the audit log tells of it.
    ///
    /// # Errors
    ///
    /// [`BeginError`].
    pub async fn begin_backup(&self, call: &Call, reason: &Reason) -> Result<Running, BeginError> {
        let turn = Arc::clone(&self.backups.turn).try_acquire_owned();
        let turn = Arc::new(Mutex::new(Some(turn.map_err(|_| BeginError::Running)?)));
        let (turn, other) = (Turn(Arc::clone(&turn)), Turn(turn));
        let event = Event {
            subject: Subject {
                tenant: Reach::All.to_string(),
                ..Subject::default()
            },
            reason: reason.to_string(),
            ..of_call(call, OK, self.now())
        };
        let command = Command::RecordEvents(vec![event]);
        self.commands.run(command, How::BY_CREDD).await?;
        call.trace.set_told();
        let (_, keyring) = self.index.read(|index| index.keyring());
        let header = Header {
            purpose: Purpose::Backup,
            store: self.store,
            at: self.now(),
            begun_at: Revision::ZERO,
            keyring: keyring.map(|(state, _)| (*state).clone()),
        };
        let (sender, chunks) = mpsc::channel(CHUNKS);
        let (store, keys) = (Arc::clone(&self.backups.store), self.keys.current());
        let runtime = Handle::current();
        let work = background::work(move || {
            let _turn = other;
            let output = Chunks {
                sender,
                runtime,
                chunk: Vec::new(),
            };
            take(&*store, header, &keys, output).map(|(_, end)| end)
        });
        let work = async {
            let worked = work.await.map_err(io::Error::other);
            worked.map_err(TakeError::Output).flatten()
        };
        Ok(Running {
            chunks,
            work: Box::pin(work),
            ended: None,
            is_over: false,
            _turn: turn,
        })
    }
}

impl Running {
    /// The next bytes, and then how it ended; `None` after that.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Next>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        // It begins when it is first asked for.
        if self.ended.is_none()
            && let Poll::Ready(ended) = self.work.as_mut().poll(context)
        {
            self.ended = Some(ended);
        }
        if let Some(chunk) = std::task::ready!(self.chunks.poll_recv(context)) {
            return Poll::Ready(Some(Next::Chunk(chunk)));
        }
        let Some(ended) = self.ended.take() else {
            return Poll::Pending;
        };
        self.is_over = true;
        Poll::Ready(Some(Next::End(ended)))
    }
}

/// What comes of a backup.
#[derive(Debug)]
pub enum Next {
    /// The next bytes.
    Chunk(Bytes),
    /// How it ended.
    End(Result<End, TakeError>),
}

/// Sends what is written in chunks.
struct Chunks {
    sender: mpsc::Sender<Bytes>,
    runtime: Handle,
    chunk: Vec<u8>,
}

impl Chunks {
    fn send(&mut self) -> io::Result<()> {
        let chunk = Bytes::from(std::mem::take(&mut self.chunk));
        let sent = async { timeout(PATIENCE, self.sender.send(chunk)).await };
        match self.runtime.block_on(sent) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = CHUNK_BYTES - self.chunk.len();
        let taken = &bytes[..bytes.len().min(room)];
        self.chunk.extend_from_slice(taken);
        if self.chunk.len() == CHUNK_BYTES {
            self.send()?;
        }
        Ok(taken.len())
    }

    /// Sends the last chunk.
    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        self.send()
    }
}
