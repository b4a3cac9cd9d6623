//! Switchboard.
mod limits;
mod error;
mod hub;
mod metrics;
mod net;
mod wire;
pub use error::{Error, Result};
pub use limits::Limits;
