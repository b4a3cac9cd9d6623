//! Switchboard.
mod limits;
mod wire;
pub use limits::Limits;
