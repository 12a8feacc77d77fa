//! Why a store that is whole is not to be served.

use super::time::Timestamp;

/// That nobody is to be answered from a store, nor to write to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// All of it was exported: what is true from then on stands where it is imported.
    Exported {
        /// When.
        at: Timestamp,
    },
    /// It is being filled, and has a part of what it is to hold.
    Filling,
}
