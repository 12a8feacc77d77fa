//! A client of an authority.

mod answer;

pub use answer::{Served, Verified};
