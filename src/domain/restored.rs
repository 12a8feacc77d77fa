//! What a store knows of the backup that it was restored from.

use super::audit::Head;
use super::revision::{Revision, StoreId};
use super::time::Timestamp;

/// That a store was restored, and from what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The store in which the audit log began: that of the backup, or the one that
    /// the first of several backups was of.
    pub origin: StoreId,
    /// The store that the backup was of.
    pub from: StoreId,
    /// The commit as of which it was.
    pub revision: Revision,
    /// When it was made.
    pub backed_up_at: Timestamp,
    /// When it was restored.
    pub restored_at: Timestamp,
    /// The last event of the backup's audit log.
    pub audit: Head,
    /// Whether the revocations since were given, or given up. Until then the store
    /// says of what was revoked that it is good, and is not to be asked.
    pub settled: bool,
}
