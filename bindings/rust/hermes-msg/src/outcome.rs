//! What became of messages whose publishing failed.

/// What became of the messages of a call that publishes and failed: [`Error::outcome`](crate::Error::outcome).
///
/// ```no_run
/// # use hermes_msg::{Client, Outcome};
/// # let mut publisher = Client::connect()?.publisher("quotes")?;
/// # let (quotes, mut done) = ([b"a", b"b", b"c"], 0);
/// while done < quotes.len() {
///     match publisher.publish_batch(&quotes[done..]) {
///         Ok(count) => done += count as usize,
///         Err(error) if error.is_retryable() => continue, // the same again: nothing of it was taken
///         Err(error) => match error.outcome() {
///             Some(outcome) if outcome.taken() > 0 => done += outcome.taken() as usize,
///             _ => return Err(error),
///         },
///     }
/// }
/// # Ok::<(), hermes_msg::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// None was taken: they are not in the topic, and will not be. ([`Fenced`](crate::Error::Fenced) on a shared topic may
    /// mean of the last messages that it is not known any more; its sentence says so.)
    NotPublished,
    /// The first `taken` were taken, and not all of these are in the topic yet: they go in by themselves while the
    /// publisher lives, and are not to be published again. [`Publisher::wait`](crate::Publisher::wait) tells when they have.
    Pending {
        /// How many messages of the call.
        taken: u64,
        /// Of the one message of a call, if it has a number yet: for [`Publisher::wait_for`](crate::Publisher::wait_for).
        sequence: Option<u64>,
    },
    /// The first `taken` are in the topic; of one with [`Durability::Sync`](crate::Durability::Sync) not on disk, as far as
    /// is known.
    Published {
        /// How many messages of the call.
        taken: u64,
        /// Of the one message of a call, as [`Publisher::publish`](crate::Publisher::publish) numbers it.
        sequence: Option<u64>,
    },
}

impl Outcome {
    /// How many messages of the call, the first ones, are in the topic, or go in by themselves.
    pub fn taken(self) -> u64 {
        match self {
            Outcome::NotPublished => 0,
            Outcome::Pending { taken, .. } | Outcome::Published { taken, .. } => taken,
        }
    }

    pub(crate) fn of(taken: u64, are_in: bool, sequence: Option<u64>) -> Outcome {
        match (taken, are_in) {
            (0, _) => Outcome::NotPublished,
            (_, true) => Outcome::Published { taken, sequence },
            (_, false) => Outcome::Pending { taken, sequence },
        }
    }
}
