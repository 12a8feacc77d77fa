//! Fences of requests: the wait, after a change, until nobody answers as of before it.

use tonic::Status;

use super::{Shared, convert, status};
use crate::authority::caller::Call;
use crate::authority::command::Command;
use crate::authority::committer::How;
use crate::authority::sessions::FenceAt;
use crate::domain::lease::Fenced;
use crate::proto::v1;

/// What a request asks for: a fence, or none.
#[derive(Clone, Debug)]
pub struct Fencing(Option<FenceAt>);

impl Fencing {
    /// A fence, if one is asked for, and the change is for good.
    #[must_use]
    pub fn asked(fence: bool, dry_run: bool) -> Self {
        Self((fence && !dry_run).then(FenceAt::default))
    }

    /// How the commands of the request are asked for.
    #[must_use]
    pub fn of(&self, how: How) -> How {
        How {
            fence: self.0.clone(),
            ..how
        }
    }

    /// Waits, once the commands were carried out. The call's turn is given back before.
    ///
    /// # Errors
    ///
    /// `DEADLINE_EXCEEDED` (`FENCE_OPEN`) shortly before the deadline of the call;
    /// `UNAVAILABLE` (`STOPPING`) if the server stops before.
    pub async fn wait(self, shared: &Shared, call: &Call) -> Result<Option<v1::Fence>, Status> {
        let Some(at) = self.0 else {
            return Ok(None);
        };
        let authority = shared.authority()?;
        let revision = if let Some(revision) = at.revision() {
            revision
        } else {
            // There was nothing to change.
            let how = How {
                fence: Some(at),
                ..How::BY_CREDD
            };
            let done = authority.run_as(Command::Fence, how).await;
            done.map_err(|error| status::of_command(&error))?.revision
        };
        shared.limits.give_back();
        let fence = authority.sessions().fence(revision, call.answer_before);
        let fenced = tokio::select! {
            fenced = fence => fenced.map_err(|open| status::fence_open(&open, authority.store()))?,
            () = shared.stopping.cancelled() => return Err(status::stopping()),
        };
        let Fenced {
            acknowledged,
            ran_out,
            awaited: _,
        } = fenced;
        let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
        Ok(Some(v1::Fence {
            revision: Some(convert::revision(authority.store(), revision)),
            acknowledged: number(acknowledged),
            expired: number(ran_out),
        }))
    }
}
