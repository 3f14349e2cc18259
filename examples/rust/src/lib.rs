//! What the actors in Rust share.

pub mod actor;
pub mod market;
