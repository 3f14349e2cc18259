//! Publish to and subscribe from a Hermes message broker on this host, through shared memory.
#![doc = include_str!("../README.md")]
//!
//! # Threads
//!
//! Every [`Publisher`] and [`Subscriber`] has a session with the broker of its own: send it to the thread that uses it.
//! None of them is [`Sync`]; what changes them wants `&mut self`.
//!
//! # When the broker goes away
//!
//! Publishers and subscribers go on through shared memory, and greet its successor by themselves. What was published
//! counts exactly once. What an error of a call that publishes means is one value, [`Error::outcome`]; and where
//! [`Error::is_retryable`] says so, the same call may be made again, and does nothing twice.
//!
//! # Lifetimes
//!
//! A [`Message`] borrows its subscriber: its bytes were copied out of the shared window and checked, or stand in a file
//! that nobody changes. Keep it by [`Message::to_owned`]. A [`Claim`] borrows its publisher, and is aborted when dropped.
//!
//! # Processes
//!
//! After a `fork(2)` that no `exec(2)` follows, only the parent may use what it had opened; the child connects again.
#![warn(missing_docs, missing_debug_implementations)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod connect;
mod error;
mod group;
mod letter;
mod message;
mod outcome;
mod publisher;
pub mod spsc;
#[cfg(feature = "tokio")]
mod stream;
mod subscriber;
mod sync;

pub use client::{Client, Damage, Durability, TopicInfo, TopicOptions, Verification, WhenFull};
pub use connect::ConnectOptions;
pub use error::{Details, Error, Result};
pub use group::{GroupInfo, GroupOptions};
pub use letter::{Letter, Reason};
pub use message::{decode, encode, encode_plain, Message, MessageId, OwnedMessage, HEADER_BYTES, PAYLOAD_MAX};
pub use outcome::Outcome;
pub use publisher::{Claim, Confirmation, Publisher, PublisherOptions};
pub use spsc::SpscRing;
#[cfg(feature = "tokio")]
pub use stream::MessageStream;
pub use subscriber::{Ack, Messages, Start, Subscriber, SubscriberOptions};

/// Nanoseconds for the C interface: whatever does not fit is for ever.
fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(hermes_msg_sys::HERMES_FOREVER)
}
