//! Messages, and their encoding.

use crate::error::{Error, Result};
use hermes_msg_sys as sys;
use std::marker::PhantomData;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of a header.
pub const HEADER_BYTES: usize = sys::HERMES_HEADER_BYTES;
/// Bytes that a payload may have.
pub const PAYLOAD_MAX: usize = sys::HERMES_PAYLOAD_MAX;

/// A message, borrowed from the subscriber that received it, or from the bytes that were decoded.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    pub(crate) raw: sys::hermes_message_t,
    pub(crate) lifetime: PhantomData<&'a [u8]>,
}

// SAFETY: a shared reference to bytes, and numbers.
unsafe impl Send for Message<'_> {}
unsafe impl Sync for Message<'_> {}

impl<'a> Message<'a> {
    /// The payload, up to [`PAYLOAD_MAX`] bytes.
    pub fn payload(&self) -> &'a [u8] {
        if self.raw.length == 0 {
            return &[];
        }
        // SAFETY: whoever made the message made this many bytes valid, and unchanging, for 'a.
        unsafe { std::slice::from_raw_parts(self.raw.payload.cast(), self.raw.length as usize) }
    }

    /// 1, 2, 3 ... in the topic.
    pub fn sequence(&self) -> u64 {
        self.raw.sequence
    }

    /// Byte offset in the topic's log.
    pub fn position(&self) -> u64 {
        self.raw.position
    }

    /// What names it when it is acknowledged.
    pub fn id(&self) -> MessageId {
        MessageId {
            position: self.raw.position,
            sequence: self.raw.sequence,
            length: self.raw.length,
            claim: self.raw.claim,
        }
    }

    /// When it was published, in nanoseconds since the Unix epoch.
    pub fn timestamp(&self) -> u64 {
        self.raw.timestamp
    }

    /// The same as a [`SystemTime`].
    pub fn time(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.raw.timestamp)
    }

    /// Whether its publisher sent a checksum; it was right then.
    pub fn has_checksum(&self) -> bool {
        self.raw.flags & sys::HERMES_FLAG_CRC != 0
    }

    /// A copy to keep.
    pub fn to_owned(&self) -> OwnedMessage {
        OwnedMessage {
            payload: self.payload().into(),
            sequence: self.raw.sequence,
            position: self.raw.position,
            timestamp: self.raw.timestamp,
            has_checksum: self.has_checksum(),
            claim: self.raw.claim,
        }
    }
}

/// Names a message of a subscriber, and the claim under which it has it: the same message has another id each time it
/// is given out. [`Message::id`] makes it. A copy; it borrows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId {
    position: u64,
    sequence: u64,
    length: u32,
    claim: u16,
}

impl MessageId {
    pub(crate) fn raw(self) -> sys::hermes_message_t {
        sys::hermes_message_t {
            position: self.position,
            sequence: self.sequence,
            timestamp: 0,
            payload: std::ptr::null(),
            length: self.length,
            flags: 0,
            claim: self.claim,
        }
    }
}

impl From<&Message<'_>> for MessageId {
    fn from(message: &Message<'_>) -> MessageId {
        message.id()
    }
}

impl From<&OwnedMessage> for MessageId {
    fn from(message: &OwnedMessage) -> MessageId {
        MessageId {
            position: message.position,
            sequence: message.sequence,
            length: message.payload.len() as u32,
            claim: message.claim,
        }
    }
}

impl std::fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let payload = self.payload();
        f.debug_struct("Message")
            .field("sequence", &self.sequence())
            .field("position", &self.position())
            .field("timestamp", &self.timestamp())
            .field("payload", &&payload[..payload.len().min(32)])
            .finish()
    }
}

/// A message of one's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedMessage {
    /// The payload.
    pub payload: Box<[u8]>,
    /// 1, 2, 3 ... in the topic.
    pub sequence: u64,
    /// Byte offset in the topic's log.
    pub position: u64,
    /// When it was published, in nanoseconds since the Unix epoch.
    pub timestamp: u64,
    /// Whether its publisher sent a checksum; it was right then.
    pub has_checksum: bool,
    pub(crate) claim: u16,
}

impl OwnedMessage {
    /// [`timestamp`](Self::timestamp) as a [`SystemTime`].
    pub fn time(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.timestamp)
    }
}

/// A message as it stands in the log and on the wire: header, then payload.
///
/// ```
/// let bytes = hermes_msg::encode(b"hello", 1, 0)?;
/// assert_eq!(hermes_msg::decode(&bytes)?.payload(), b"hello");
/// # Ok::<(), hermes_msg::Error>(())
/// ```
///
/// # Errors
/// [`Error::TooLarge`].
pub fn encode(payload: &[u8], sequence: u64, timestamp: u64) -> Result<Vec<u8>> {
    let mut header = sys::hermes_header_t::default();
    // SAFETY: the payload is as long as we say.
    let rc =
        unsafe { sys::hermes_message_encode(&mut header, payload.as_ptr().cast(), payload.len(), sequence, timestamp) };
    join(rc, &header, payload)
}

/// The same without a checksum.
///
/// # Errors
/// [`Error::TooLarge`].
pub fn encode_plain(payload: &[u8], sequence: u64, timestamp: u64) -> Result<Vec<u8>> {
    let mut header = sys::hermes_header_t::default();
    // SAFETY: writes the header alone.
    let rc = unsafe { sys::hermes_message_encode_plain(&mut header, payload.len(), sequence, timestamp) };
    join(rc, &header, payload)
}

fn join(rc: i32, header: &sys::hermes_header_t, payload: &[u8]) -> Result<Vec<u8>> {
    if rc < 0 {
        return Err(Error::of_code(rc));
    }
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(&header.magic.to_le_bytes());
    bytes.extend_from_slice(&[header.version, header.type_]);
    bytes.extend_from_slice(&header.flags.to_le_bytes());
    bytes.extend_from_slice(&header.sequence.to_le_bytes());
    bytes.extend_from_slice(&header.timestamp.to_le_bytes());
    bytes.extend_from_slice(&header.length.to_le_bytes());
    bytes.extend_from_slice(&header.crc.to_le_bytes());
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

/// The message that [`encode`] gave these bytes for; what follows it is left alone.
///
/// # Errors
/// [`Error::Malformed`], [`Error::Version`], [`Error::TooLarge`], [`Error::Checksum`].
pub fn decode(bytes: &[u8]) -> Result<Message<'_>> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(Error::of_code(sys::HERMES_EMALFORMED));
    };
    let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
    let header = sys::hermes_header_t {
        magic: number(0) as u32,
        version: head[4],
        type_: head[5],
        flags: u16::from_le_bytes([head[6], head[7]]),
        sequence: number(8),
        timestamp: number(16),
        length: number(24) as u32,
        crc: (number(24) >> 32) as u32,
    };
    // SAFETY: looks at bytes.len() bytes at most, of which HEADER_BYTES are the header's.
    let rc = unsafe { sys::hermes_message_verify(&header, rest.as_ptr().cast(), bytes.len()) };
    if rc < 0 || header.type_ != sys::HERMES_TYPE_DATA {
        return Err(Error::of_code(if rc < 0 { rc } else { sys::HERMES_EMALFORMED }));
    }
    Ok(Message {
        raw: sys::hermes_message_t {
            position: 0,
            sequence: header.sequence,
            timestamp: header.timestamp,
            payload: rest.as_ptr().cast(),
            length: header.length,
            flags: header.flags,
            claim: 0,
        },
        lifetime: PhantomData,
    })
}
