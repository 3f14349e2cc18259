//! What stands in a dead-letter topic: see `hermes/letter.h`.

use crate::message::Message;
use hermes_msg_sys as sys;
use std::borrow::Cow;
use std::mem::offset_of;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Why a group gave a message up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It was given out as often as the group's `max_deliveries` allows, and never acknowledged.
    Deliveries,
    /// A reason that this version of the crate does not know.
    Unknown(u16),
}

/// A message that a group gave up, as it stands in the group's dead-letter topic: whence it came, and why. Borrowed from
/// that message.
///
/// ```no_run
/// # use hermes_msg::{Client, Letter, Start};
/// let mut dead = Client::connect()?.subscriber("orders.dead", Start::First)?;
/// while let Some(message) = dead.poll()? {
///     if let Some(letter) = Letter::of(&message) {
///         println!("{} {}: {} deliveries to {}", letter.topic, letter.sequence, letter.deliveries, letter.group);
///     }
/// }
/// # Ok::<(), hermes_msg::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Letter<'a> {
    /// The topic that the message is of.
    pub topic: Cow<'a, str>,
    /// A topic of that name that was made later has another.
    pub topic_id: u64,
    /// Who gave it up.
    pub group: Cow<'a, str>,
    /// The message's sequence in its topic.
    pub sequence: u64,
    /// Where it stands there, as long as that keeps it.
    pub position: u64,
    /// When it was published there, in nanoseconds since the Unix epoch.
    pub timestamp: u64,
    /// So often it was given out.
    pub deliveries: u32,
    /// Why it was given up.
    pub reason: Reason,
    /// When the broker put it into the dead-letter topic, in nanoseconds since the Unix epoch.
    pub buried_ns: u64,
    /// Bytes of the message; more than the payload has where it was cut, for a letter has 320 bytes less room.
    pub length: u32,
    /// The message's payload.
    pub payload: &'a [u8],
}

impl<'a> Letter<'a> {
    /// The letter in a message from a dead-letter topic; `None`: it is none.
    pub fn of(message: &Message<'a>) -> Option<Letter<'a>> {
        Letter::from_payload(message.payload())
    }

    /// The same, of a message's payload alone: of [`OwnedMessage::payload`](crate::OwnedMessage::payload), say.
    pub fn from_payload(payload: &'a [u8]) -> Option<Letter<'a>> {
        let (envelope, payload) = payload.split_first_chunk::<{ sys::HERMES_LETTER_BYTES }>()?;
        let name = |at: usize| <&[u8; 128]>::try_from(&envelope[at..at + 128]).unwrap();
        let u16_at = |at: usize| u16::from_le_bytes(envelope[at..at + 2].try_into().unwrap());
        let u32_at = |at: usize| u32::from_le_bytes(envelope[at..at + 4].try_into().unwrap());
        let u64_at = |at: usize| u64::from_le_bytes(envelope[at..at + 8].try_into().unwrap());
        let topic = name(offset_of!(sys::hermes_letter_t, topic));
        let group = name(offset_of!(sys::hermes_letter_t, group));
        if u32_at(offset_of!(sys::hermes_letter_t, magic)) != sys::HERMES_LETTER_MAGIC
            || u16_at(offset_of!(sys::hermes_letter_t, version)) != sys::HERMES_LETTER_VERSION
            || topic[127] != 0
            || group[127] != 0
        {
            return None;
        }
        Some(Letter {
            topic: text(topic),
            topic_id: u64_at(offset_of!(sys::hermes_letter_t, topic_id)),
            group: text(group),
            sequence: u64_at(offset_of!(sys::hermes_letter_t, sequence)),
            position: u64_at(offset_of!(sys::hermes_letter_t, position)),
            timestamp: u64_at(offset_of!(sys::hermes_letter_t, timestamp)),
            deliveries: u32_at(offset_of!(sys::hermes_letter_t, deliveries)),
            reason: match u16_at(offset_of!(sys::hermes_letter_t, reason)) {
                sys::HERMES_LETTER_DELIVERIES => Reason::Deliveries,
                other => Reason::Unknown(other),
            },
            buried_ns: u64_at(offset_of!(sys::hermes_letter_t, buried_ns)),
            length: u32_at(offset_of!(sys::hermes_letter_t, payload_bytes)),
            payload,
        })
    }

    /// [`timestamp`](Self::timestamp) as a [`SystemTime`].
    pub fn time(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.timestamp)
    }

    /// [`buried_ns`](Self::buried_ns) as a [`SystemTime`].
    pub fn buried(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.buried_ns)
    }

    /// Whether the payload is only the beginning of the message.
    pub fn is_cut(&self) -> bool {
        self.length as usize != self.payload.len()
    }
}

/// Up to its zero.
fn text(name: &[u8; 128]) -> Cow<'_, str> {
    String::from_utf8_lossy(name.split(|&byte| byte == 0).next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; sys::HERMES_LETTER_BYTES];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, b"HLTR");
        put(4, &[1, 0, 1, 0, 3]);
        put(12, &(payload.len() as u32).to_le_bytes());
        put(16, &77u64.to_le_bytes());
        put(24, &768u64.to_le_bytes());
        put(32, &12u64.to_le_bytes());
        put(40, &1_000_000_000_000_000_000u64.to_le_bytes());
        put(48, &1_700_000_000_123_456_789u64.to_le_bytes());
        put(64, b"orders");
        put(192, b"risk");
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn says_whence_and_why() {
        let encoded = crate::encode(&envelope(b"twelve"), 1, 0).unwrap();
        let letter = Letter::of(&crate::decode(&encoded).unwrap()).unwrap();
        assert_eq!((&*letter.topic, &*letter.group, letter.topic_id), ("orders", "risk", 77));
        assert_eq!((letter.sequence, letter.position, letter.deliveries), (12, 768, 3));
        assert_eq!((letter.reason, letter.payload, letter.length), (Reason::Deliveries, &b"twelve"[..], 6));
        assert_eq!(letter.time(), UNIX_EPOCH + Duration::from_secs(1_000_000_000));
        assert_eq!(letter.buried(), UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789));
        assert!(!letter.is_cut());
    }

    #[test]
    fn what_was_cut_and_what_is_none() {
        let whole = envelope(b"");
        assert_eq!(Letter::from_payload(&whole).unwrap().payload, b"");
        assert_eq!(Letter::from_payload(&whole[..319]), None);
        for (at, byte) in [(0, 0), (4, 2), (191, 1), (319, 1)] {
            let mut other = whole.clone();
            other[at] = byte;
            assert_eq!(Letter::from_payload(&other), None, "{at}");
        }
        let mut cut = envelope(b"some of it");
        cut[13] = 1;
        cut[6] = 9;
        let cut = Letter::from_payload(&cut).unwrap();
        assert!(cut.is_cut());
        assert_eq!((cut.length, cut.reason), (266, Reason::Unknown(9)));
    }
}
