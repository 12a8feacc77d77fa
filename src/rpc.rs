//! The services on the wire: requests become commands and questions, answers
//! become messages, errors become statuses.

pub mod access;
pub mod answers;
pub mod audit;
pub mod calls;
pub mod convert;
pub mod credentials;
pub mod deadline;
pub mod directory;
pub mod ending;
pub mod fence;
pub mod identify;
pub mod limits;
mod log;
pub mod methods;
pub mod noting;
pub mod observe;
pub mod operations;
pub mod page_token;
pub mod peer;
pub mod permit;
pub mod policy;
pub mod reason;
pub mod received;
pub mod resume_token;
pub mod status;
pub mod stopping;
pub mod verification;
pub mod watch;

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;
use tonic::Status;

use self::calls::Calls;
use self::identify::Tokens;
use self::limits::Limits;
use crate::authority::Authority;

/// What the services share: the authority, once it is loaded, and the wish to
/// stop.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    authority: Arc<OnceLock<Arc<Authority>>>,
    /// Whether there is to be none: its store was restored, and is not to be asked.
    restored: Arc<OnceLock<()>>,
    tokens: Arc<OnceLock<Arc<dyn Tokens>>>,
    /// What callers may ask for.
    pub limits: Arc<Limits>,
    /// What calls came to.
    pub calls: Arc<Calls>,
    /// Cancelled when long streams are to end.
    pub stopping: CancellationToken,
    /// Cancelled a moment later, when the streams of health and reflection are
    /// to end: a client may need them to understand how the others ended.
    pub ending: CancellationToken,
}

impl Shared {
    /// Where callers are kept to these limits.
    #[must_use]
    pub fn limited_to(limits: Limits) -> Self {
        Self {
            limits: Arc::new(limits),
            ..Self::default()
        }
    }

    /// Makes the authority available; the first one stays.
    pub fn set_authority(&self, authority: Arc<Authority>) {
        let _ = self.authority.set(authority);
    }

    /// Says that the store was restored, and that nobody is answered before the
    /// revocations since were given, or given up.
    pub fn set_restored(&self) {
        let _ = self.restored.set(());
    }

    /// Lets tokens of other issuers name callers; the first one stays.
    pub fn set_tokens(&self, tokens: Arc<dyn Tokens>) {
        let _ = self.tokens.set(tokens);
    }

    /// What finds out whom tokens of other issuers name, if any are trusted.
    #[must_use]
    pub fn tokens(&self) -> Option<&Arc<dyn Tokens>> {
        self.tokens.get()
    }

    /// The authority.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: `STARTING` while it is being loaded, `RESTORED` if it is not to be
    /// asked.
    pub fn authority(&self) -> Result<&Arc<Authority>, Status> {
        let missing = || match self.restored.get() {
            Some(()) => status::restored(),
            None => status::starting(),
        };
        self.authority.get().ok_or_else(missing)
    }
}
