//! Answers, with where they are from.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::cache::{At, Ends};
use crate::proto::v1;
use crate::proto::v1::verify_response::End;
use crate::rpc::convert;

/// An answer to a question.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The answer as the authority gave it. In place of its `revision`, its
    /// `valid_for` and its `end` stands what is beside it.
    pub response: Arc<v1::VerifyResponse>,
    /// As of which revision it is known to be true.
    pub at: Option<At>,
    /// For how long it may be kept from now on, by one who follows; zero: not at all.
    /// `None`: nobody said, and it is kept for a moment if it is `INVALID`, else not.
    pub valid_for: Option<Duration>,
    /// When the secret is good no longer by itself, from now on.
    pub ends: Ends,
    /// Where it is from.
    pub served: Served,
}

/// The metadata of an answer that may be out of date; its value is [`STALE`].
pub const SERVED: &str = "credd-served";
/// What stands there.
pub const STALE: &str = "stale";

/// Where an answer is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Served {
    /// Of an authority, which was asked.
    Asked,
    /// Of the cache, while its lease holds.
    Cached,
    /// Of the cache, although nobody can be asked and its lease has run out, because
    /// the operator allows it for the tenant; or of one who was asked and says so of its
    /// own. A change may have been missed.
    Stale,
}

impl Verified {
    /// Whether the credential is good for what was asked. Whatever else the verdict
    /// is, also one that this version does not know, is a no.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.response.verdict() == v1::Verdict::Active
    }

    /// The answer as a message.
    #[must_use]
    pub fn into_message(self) -> v1::VerifyResponse {
        let Self {
            response,
            at,
            valid_for,
            ends,
            served: _,
        } = self;
        let v1::VerifyResponse {
            verdict,
            identity,
            valid_for: _,
            revision: _,
            end: _,
        } = Arc::unwrap_or_clone(response);
        v1::VerifyResponse {
            verdict,
            valid_for: valid_for.map(convert::short_duration),
            identity,
            revision: at.map(|at| convert::revision(at.store, at.revision)),
            end: match ends {
                Ends::Unsaid => None,
                Ends::Never => Some(End::NeverEnds(true)),
                Ends::In(ends_in) => Some(End::EndsIn(convert::short_duration(ends_in))),
            },
        }
    }
}
