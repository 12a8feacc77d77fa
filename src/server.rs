//! The process: its configuration, its data directory, its first start, what
//! runs in it and how it ends.

pub mod administrator;
pub mod audit;
pub mod config;
pub mod data_dir;
mod etcd;
pub mod export;
pub mod health;
pub mod incoming;
pub mod jwt;
pub mod keyring_cli;
pub mod keyring_file;
pub mod keyring_source;
pub mod listeners;
pub mod metrics;
pub mod open;
pub mod panics;
pub mod process;
pub mod progress;
pub mod restore;
pub mod run;
pub mod supervise;
pub mod telemetry;
pub mod tls;
pub mod traces;
mod upkeep;

pub use run::run;
