//! The configuration: one file in TOML, the environment, and flags, in that order
//! of strength.
//!
//! Every setting stands once, as a row of [`settings`]: from it come the field of
//! a struct, the key in the file, the flag, the variable of the environment, the
//! help and the documented file. [`read`] reads the rows and goes on where one is
//! wrong, so that all problems are told at once, each with its place; [`check`]
//! makes a [`Settings`] of them, in which everything is good.

pub mod check;
pub mod cli;
pub mod documented;
mod environment;
pub mod etcd_check;
pub mod etcd_values;
pub mod jwt_values;
pub mod problem;
pub mod read;
pub mod settings;
pub mod sidecar_check;
pub mod sidecar_values;
pub mod table;
pub mod traces_values;
pub mod values;

pub use check::Settings;
pub(crate) use environment::OF_THE_COMMAND_LINE;

pub use cli::{Admin, Command, Flags, Layers, OfLog, OfPlace, StoreCommand};
pub use etcd_check::EtcdSettings;
pub use problem::Problems;
pub use settings::{Audit, Fence, Keyring, Limits, Retention, Server, Sidecar, Store, Traces};
pub use sidecar_check::{CellSettings, SidecarSettings};
pub use values::{AuditFile, LogDirectives};

#[cfg(test)]
mod tests;
