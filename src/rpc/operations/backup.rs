//! `Backup` on the wire.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio_stream::Stream;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Request, Response, Status};

use crate::authority::Authority;
use crate::authority::backup::{BeginError, End, Next, Running};
use crate::authority::caller::Call;
use crate::domain::rights::Reach;
use crate::proto::v1::{BackupRequest, BackupResponse};
use crate::rpc::permit::admitted;
use crate::rpc::status::{self, Violations};
use crate::rpc::{Shared, convert, noting};

pub(super) async fn begin(
    shared: &Shared,
    request: &Request<BackupRequest>,
) -> Result<Response<BackupStream>, Status> {
    let authority = shared.authority()?;
    let BackupRequest { reason } = request.get_ref();
    let mut violations = Violations::default();
    let reason = convert::reason(reason, &mut violations);
    let reason = reason.ok_or_else(|| violations.status())?;
    let permit = admitted(request)?.on(&Reach::All)?;
    let running = authority.begin_backup(&permit.call, &reason).await;
    let running = running.map_err(|error| match error {
        BeginError::Running => status::backup_running(),
        BeginError::Command(error) => status::of_command(&error),
    })?;
    tracing::info!(caller = %permit.principal(), %reason, "began a backup");
    Ok(Response::new(BackupStream {
        authority: Arc::clone(authority),
        call: permit.call,
        stopping: Box::pin(shared.stopping.clone().cancelled_owned()),
        running: Some(running),
    }))
}

/// The chunks of one backup.
pub struct BackupStream {
    authority: Arc<Authority>,
    call: Arc<Call>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    /// `None`: the stream has ended.
    running: Option<Running>,
}

impl Stream for BackupStream {
    type Item = Result<BackupResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(running) = &mut this.running else {
            return Poll::Ready(None);
        };
        let item = if this.stopping.as_mut().poll(context).is_ready() {
            Some(Err(status::stopping()))
        } else {
            match std::task::ready!(running.poll_next(context)) {
                // The caller may have been denied since the stream began.
                Some(Next::Chunk(_)) if !this.authority.is_still_good(&this.call) => {
                    Some(Err(noting::cut_off(&this.authority, &this.call)))
                }
                Some(Next::Chunk(chunk)) => Some(Ok(BackupResponse {
                    chunk: chunk.into(),
                })),
                Some(Next::End(Ok(end))) => {
                    this.tell(&end);
                    None
                }
                Some(Next::End(Err(error))) => Some(Err(status::of_backup(&error))),
                None => None,
            }
        };
        if !matches!(item, Some(Ok(_))) {
            this.running = None;
        }
        Poll::Ready(item)
    }
}

impl BackupStream {
    fn tell(&self, end: &End) {
        let End {
            position, items, ..
        } = end;
        tracing::info!(
            caller = %self.call.caller.principal(),
            revision = %position.revision,
            items,
            "made a backup"
        );
    }
}
