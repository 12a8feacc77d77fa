//! Asking etcd: one member after the other, until one answers.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};
use zeroize::Zeroizing;

use super::layout::Range;
use crate::proto::etcdserverpb::auth_client::AuthClient;
use crate::proto::etcdserverpb::kv_client::KvClient;
use crate::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use crate::proto::etcdserverpb::watch_client::WatchClient;
use crate::proto::etcdserverpb::watch_request::RequestUnion;
use crate::proto::etcdserverpb::{
    AuthenticateRequest, CompactionRequest, RangeRequest, RangeResponse, StatusRequest,
    StatusResponse, TxnRequest, TxnResponse, WatchCreateRequest, WatchProgressRequest,
    WatchRequest, WatchResponse,
};
use crate::store::StoreError;

/// A member of a cluster.
#[derive(Clone)]
pub struct Member {
    /// Where it is, for the log.
    pub name: String,
    /// Connects to it, on the runtime in which it is called.
    pub connect: Arc<dyn Fn() -> Channel + Send + Sync>,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Member").field(&self.name).finish()
    }
}

/// Who this is to etcd.
#[derive(Clone)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// Reads its password, each time that it is asked for: it may be another by then.
    pub password: Arc<dyn Fn() -> io::Result<Zeroizing<String>> + Send + Sync>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// The members, and which of them is asked.
#[derive(Debug)]
pub(super) struct Connection {
    members: Vec<(String, Channel)>,
    current: AtomicUsize,
    credentials: Option<Credentials>,
    /// What the user has proved itself with.
    token: Mutex<Option<MetadataValue<Ascii>>>,
    /// Whether etcd has ever done what was asked: who this is was right then.
    was_let_in: AtomicBool,
    /// What was told of what failed, and when last.
    told: Mutex<HashMap<&'static str, Instant>>,
}

/// How long a member may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it is waited before another is asked.
const PAUSE: Duration = Duration::from_millis(50);
/// How often it is told of the same thing that it fails and is tried again.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// The most bytes of an answer: a page of the largest values, and more.
const MAX_ANSWER: usize = 64 << 20;

impl Connection {
    /// Must be called on the runtime that is to drive it.
    pub(super) fn new(members: &[Member], credentials: Option<Credentials>) -> Self {
        let members = members.iter();
        Self {
            members: members
                .map(|member| (member.name.clone(), (member.connect)()))
                .collect(),
            current: AtomicUsize::new(0),
            credentials,
            token: Mutex::new(None),
            was_let_in: AtomicBool::new(false),
            told: Mutex::new(HashMap::new()),
        }
    }

    /// Reads keys, as the whole cluster has them.
    pub(super) async fn range(&self, request: RangeRequest) -> Result<RangeResponse, StoreError> {
        loop {
            let answer = self.attempt(request.clone(), async |channel, request| {
                let client = KvClient::new(channel).max_decoding_message_size(MAX_ANSWER);
                { client }.range(request).await
            });
            match answer.await {
                Ok(response) => return Ok(response),
                Err(status) => self.again(&status, "can't read from etcd").await?,
            }
        }
    }

    /// Tries a transaction once. After an error it may have been made, or may be yet,
    /// unless [`is_refusal`] says otherwise.
    pub(super) async fn try_txn(&self, request: TxnRequest) -> Result<TxnResponse, Status> {
        let answer = self.attempt(request, async |channel, request| {
            KvClient::new(channel).txn(request).await
        });
        answer.await
    }

    /// How the current member is doing, by what it says of itself.
    pub(super) async fn status(&self) -> Result<StatusResponse, Status> {
        let answer = self.attempt(StatusRequest {}, async |channel, request| {
            MaintenanceClient::new(channel).status(request).await
        });
        answer.await
    }

    /// Forgets what was before a revision.
    pub(super) async fn compact(&self, request: CompactionRequest) -> Result<(), StoreError> {
        loop {
            let answer = self.attempt(request, async |channel, request| {
                KvClient::new(channel).compact(request).await
            });
            match answer.await {
                Ok(_) => return Ok(()),
                // It was forgotten before.
                Err(status) if status.code() == Code::OutOfRange => return Ok(()),
                Err(status) => self.again(&status, "can't compact etcd").await?,
            }
        }
    }

    /// Begins a stream of what is written in a range, from a revision on.
    pub(super) async fn watch(&self, range: Range, from: i64) -> Result<Events, Status> {
        let (requests, receiver) = mpsc::channel(4);
        let create = WatchCreateRequest {
            key: range.start,
            range_end: range.end,
            start_revision: from,
            progress_notify: true,
            fragment: true,
        };
        // There is room for it.
        let _ = requests.try_send(WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        });
        let receiver = Mutex::new(Some(ReceiverStream::new(receiver)));
        let messages = self.attempt((), async |channel, request: Request<()>| {
            let receiver = receiver.lock().take();
            let stream = receiver.ok_or_else(|| Status::internal("begun twice"))?;
            let request = request.map(|()| stream);
            let client = WatchClient::new(channel).max_decoding_message_size(MAX_ANSWER);
            { client }.watch(request).await
        });
        Ok(Events {
            messages: messages.await?,
            requests,
        })
    }

    /// Asks the current member.
    async fn attempt<M, T>(
        &self,
        message: M,
        call: impl AsyncFnOnce(Channel, Request<M>) -> Result<Response<T>, Status>,
    ) -> Result<T, Status> {
        let number = self.current.load(Ordering::Relaxed);
        let (_, channel) = &self.members[number % self.members.len()];
        let outcome = async {
            let mut request = Request::new(message);
            let metadata = request.metadata_mut();
            // One that has no leader knows nothing, and may have known nothing for long.
            metadata.insert("hasleader", MetadataValue::from_static("true"));
            if let Some(token) = self.token(channel).await? {
                metadata.insert("token", token);
            }
            call(channel.clone(), request).await
        };
        let late = |_| Err(Status::deadline_exceeded("etcd did not answer in time"));
        let outcome = timeout(PATIENCE, outcome).await.unwrap_or_else(late);
        if outcome.is_ok() {
            self.was_let_in.store(true, Ordering::Relaxed);
        }
        outcome.map(Response::into_inner).inspect_err(|status| {
            if is_of_the_user(status) || has_old_token(status) {
                *self.token.lock() = None;
            } else if !is_refusal(status) {
                // Whoever comes first has the next one asked.
                let next = number.wrapping_add(1);
                let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
                let _ = self.current.compare_exchange(number, next, set, fetch);
            }
        })
    }

    async fn token(&self, channel: &Channel) -> Result<Option<MetadataValue<Ascii>>, Status> {
        let Some(Credentials { user, password }) = &self.credentials else {
            return Ok(None);
        };
        if let Some(token) = self.token.lock().clone() {
            return Ok(Some(token));
        }
        let unread = |_| Status::unavailable("the password of etcd's user can't be read");
        let password = password().map_err(unread)?;
        let request = AuthenticateRequest {
            name: user.clone(),
            password: password.to_string(),
        };
        let answer = AuthClient::new(channel.clone()).authenticate(request).await;
        let token = answer?.into_inner().token;
        let unreadable = |_| Status::data_loss("etcd gave a token that can't be sent");
        let mut token: MetadataValue<Ascii> = token.parse().map_err(unreadable)?;
        token.set_sensitive(true);
        *self.token.lock() = Some(token.clone());
        Ok(Some(token))
    }

    /// Waits a moment, where it is of use to ask again.
    pub(super) async fn again(
        &self,
        status: &Status,
        what: &'static str,
    ) -> Result<(), StoreError> {
        // A user who was let in may be again: passwords and roles are changed in steps.
        let may_pass = is_of_the_user(status) && self.was_let_in.load(Ordering::Relaxed);
        if is_refusal(status) && !may_pass {
            return Err(StoreError::Invalid(status.message().to_owned()));
        }
        self.tell(status, what);
        sleep(PAUSE).await;
        Ok(())
    }

    /// Logs what failed and is tried again, unless the same was told a short while ago: an
    /// etcd that can't be reached may be so for hours, and is asked many times a second.
    pub(super) fn tell(&self, status: &Status, what: &'static str) {
        let now = Instant::now();
        {
            let mut told = self.told.lock();
            let last = told.get(what);
            if last.is_some_and(|last| now.duration_since(*last) < TOLD_EVERY) {
                return;
            }
            told.insert(what, now);
        }
        let (code, error) = (status.code(), status.message());
        tracing::warn!(?code, error, "{what}");
    }
}

/// Whether an error says that what was asked can't be done, by whoever is asked.
pub(super) fn is_refusal(status: &Status) -> bool {
    let is_refusal = matches!(
        status.code(),
        Code::InvalidArgument
            | Code::PermissionDenied
            | Code::OutOfRange
            | Code::FailedPrecondition
    );
    is_refusal && !has_old_token(status)
}

/// Whether it is who this is, or what it may do, that etcd does not accept.
fn is_of_the_user(status: &Status) -> bool {
    let message = status.message();
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => true,
        Code::InvalidArgument | Code::FailedPrecondition => {
            message.contains("authentication") || message.contains("user name")
        }
        _ => false,
    }
}

/// Whether users or roles of etcd's were changed since the user has proved itself.
fn has_old_token(status: &Status) -> bool {
    status.code() == Code::InvalidArgument && status.message().contains("auth store is old")
}

/// A stream of events.
#[derive(Debug)]
pub(super) struct Events {
    messages: Streaming<WatchResponse>,
    requests: mpsc::Sender<WatchRequest>,
}

impl Events {
    /// The next message.
    pub(super) async fn next(&mut self) -> Result<WatchResponse, Status> {
        let message = self.messages.message().await?;
        message.ok_or_else(|| Status::unavailable("etcd ended the stream"))
    }

    /// Asks for a sign of life.
    pub(super) fn ask(&self) {
        let request = RequestUnion::ProgressRequest(WatchProgressRequest {});
        // If it is full, it is not read, and is found dead.
        let _ = self.requests.try_send(WatchRequest {
            request_union: Some(request),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logged::Logged;

    #[tokio::test(start_paused = true)]
    async fn what_fails_over_and_over_is_told_at_once_and_then_seldom() {
        let (logged, _guard) = Logged::here();
        let times = |text: &str| logged.times(text);
        let connection = Connection::new(&[], None);
        let status = Status::unavailable("nobody is there");
        let begun = Instant::now();
        for (until, told) in [(0, 1), (9, 1), (11, 2), (19, 2), (21, 3)] {
            while begun.elapsed() <= Duration::from_secs(until) {
                connection.again(&status, "can't read").await.unwrap();
            }
            assert_eq!(times("can't read"), told, "after {until} s");
        }
        connection.again(&status, "can't write").await.unwrap();
        assert_eq!(times("can't write"), 1, "another thing is told at once");
    }
}
