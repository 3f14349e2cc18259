//! Errors: one variant for each thing that can be wrong.

use crate::outcome::Outcome;
use hermes_msg_sys as sys;
use std::ffi::{c_char, c_int, CStr, NulError};
use std::{fmt, io};

/// What the functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

/// What an [`Error`] says beside its kind: a sentence, which [`Display`](fmt::Display) gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    sentence: String,
    outcome: Option<Outcome>,
}

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl From<String> for Details {
    fn from(sentence: String) -> Details {
        Details { sentence, outcome: None }
    }
}

macro_rules! errors {
    ($($(#[$doc:meta])* $variant:ident = $code:ident),* $(,)?) => {
        /// What went wrong. [`Display`](fmt::Display) gives a sentence: what happened, and to what.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Error {
            $($(#[$doc])* $variant(Details),)*
            /// A topic's name or a URL with a null character in it.
            NullCharacter(NulError),
            /// An error that this version of the crate does not know.
            Unknown(i32, Details),
        }

        impl Error {
            pub(crate) fn new(code: c_int, sentence: String) -> Error {
                let details = Details::from(sentence);
                match code {
                    $(sys::$code => Error::$variant(details),)*
                    _ => Error::Unknown(code, details),
                }
            }

            /// The number that C has for it: `HERMES_E...`.
            pub fn code(&self) -> i32 {
                match self {
                    $(Error::$variant(_) => sys::$code,)*
                    Error::NullCharacter(_) => sys::HERMES_EINVALID,
                    Error::Unknown(code, _) => *code,
                }
            }

            fn details(&self) -> Option<&Details> {
                match self {
                    $(Error::$variant(details) => Some(details),)*
                    Error::NullCharacter(_) => None,
                    Error::Unknown(_, details) => Some(details),
                }
            }

            fn details_mut(&mut self) -> Option<&mut Details> {
                match self {
                    $(Error::$variant(details) => Some(details),)*
                    Error::NullCharacter(_) => None,
                    Error::Unknown(_, details) => Some(details),
                }
            }
        }
    };
}

errors! {
    /// An argument is outside its documented range.
    InvalidArgument = HERMES_EINVALID,
    /// Out of memory.
    OutOfMemory = HERMES_ENOMEM,
    /// The operating system refused a read, a write or a mapping.
    Io = HERMES_EIO,
    /// No room on the disk or in shared memory.
    NoSpace = HERMES_EFULL,
    /// Permission denied.
    AccessDenied = HERMES_EACCESS,
    /// No such topic or position.
    NotFound = HERMES_ENOTFOUND,
    /// It exists already.
    Exists = HERMES_EEXISTS,
    /// In use: another publisher has the topic.
    Busy = HERMES_EBUSY,
    /// No room within the time given; nothing was published.
    NoRoom = HERMES_EAGAIN,
    /// The time given ran out.
    Timeout = HERMES_ETIMEOUT,
    /// A payload over [`PAYLOAD_MAX`](crate::PAYLOAD_MAX), or a value over its limit.
    TooLarge = HERMES_ETOOLARGE,
    /// Not a legal topic name.
    InvalidName = HERMES_ENAME,
    /// Written by another, unknown version.
    Version = HERMES_EVERSION,
    /// The bytes are not what the format says.
    Malformed = HERMES_EMALFORMED,
    /// CRC-32 does not match. The next call goes on behind it.
    Checksum = HERMES_ECHECKSUM,
    /// Stored bytes are damaged. The next call goes on behind them.
    Corrupt = HERMES_ECORRUPT,
    /// Messages were overwritten or retired before they were read. The next call goes on with the oldest there is.
    Gone = HERMES_EGONE,
    /// Another publisher has taken over; this one may only be dropped.
    Fenced = HERMES_EFENCED,
    /// No broker, or it is needed and does not answer. What was being published is pending: see [`Error::outcome`].
    Disconnected = HERMES_EDISCONNECTED,
    /// The peer broke the control protocol.
    Protocol = HERMES_EPROTOCOL,
    /// A documented limit is reached.
    Limit = HERMES_ELIMIT,
    /// This kernel, machine or topic cannot do it.
    NotSupported = HERMES_ENOTSUP,
    /// The topic, the group or the durable subscription was deleted.
    Closed = HERMES_ECLOSED,
    /// A signal handler ran while one waited.
    Interrupted = HERMES_EINTERRUPTED,
    /// The message is not this subscriber's any more: it was, or will be, given out again.
    Expired = HERMES_EEXPIRED,
}

impl Error {
    /// May the same call, as it is, succeed later, and do nothing twice? Of a call that publishes only where nothing of
    /// it was taken: what is [`Pending`](Outcome::Pending) goes in by itself.
    pub fn is_retryable(&self) -> bool {
        let may_pass = matches!(
            self,
            Error::NoSpace(_)
                | Error::Busy(_)
                | Error::NoRoom(_)
                | Error::Timeout(_)
                | Error::Disconnected(_)
                | Error::Interrupted(_)
        );
        may_pass && self.outcome().map_or(true, |outcome| outcome.taken() == 0)
    }

    /// Of a call that publishes, or closes a publisher: what became of its messages. `None`: it was about something else.
    pub fn outcome(&self) -> Option<Outcome> {
        self.details().and_then(|details| details.outcome)
    }

    pub(crate) fn with_outcome(mut self, outcome: Outcome) -> Error {
        if let Some(details) = self.details_mut() {
            details.outcome = Some(outcome);
        }
        self
    }

    /// For a code without a handle that has a sentence.
    pub(crate) fn of_code(code: c_int) -> Error {
        // SAFETY: static storage.
        Error::new(code, text(unsafe { sys::hermes_strerror(code) }))
    }

    /// With the sentence of a session; null: of this thread's last connect.
    ///
    /// # Safety
    /// client is null or alive, and no other thread uses it.
    pub(crate) unsafe fn of_client(code: c_int, client: *const sys::hermes_client_t) -> Error {
        let sentence = text(sys::hermes_last_error(client));
        if sentence.is_empty() {
            return Error::of_code(code);
        }
        Error::new(code, sentence)
    }
}

fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: the library gives null-terminated text, which lives until the next call on the same handle.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NullCharacter(e) => write!(f, "a null character in a name: {e}"),
            _ => self.details().map_or(Ok(()), |details| write!(f, "{details}")),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::NullCharacter(e) => Some(e),
            _ => None,
        }
    }
}

impl From<NulError> for Error {
    fn from(e: NulError) -> Error {
        Error::NullCharacter(e)
    }
}

/// For functions that return [`io::Result`]: the nearest kind, with this as its source.
impl From<Error> for io::Error {
    fn from(e: Error) -> io::Error {
        use io::ErrorKind as K;
        let kind = match &e {
            Error::InvalidArgument(_) | Error::InvalidName(_) | Error::TooLarge(_) | Error::NullCharacter(_) => {
                K::InvalidInput
            }
            Error::OutOfMemory(_) => K::OutOfMemory,
            Error::AccessDenied(_) => K::PermissionDenied,
            Error::NotFound(_) => K::NotFound,
            Error::Exists(_) => K::AlreadyExists,
            Error::NoRoom(_) => K::WouldBlock,
            Error::Timeout(_) => K::TimedOut,
            Error::Version(_) | Error::Malformed(_) | Error::Checksum(_) | Error::Corrupt(_) | Error::Protocol(_) => {
                K::InvalidData
            }
            Error::Disconnected(_) => K::NotConnected,
            Error::NotSupported(_) => K::Unsupported,
            Error::Closed(_) | Error::Fenced(_) => K::BrokenPipe,
            Error::Interrupted(_) => K::Interrupted,
            _ => K::Other,
        };
        io::Error::new(kind, e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_variant_and_a_sentence() {
        for code in sys::HERMES_EEXPIRED..0 {
            let error = Error::of_code(code);
            assert!(!matches!(error, Error::Unknown(..)), "{code}");
            assert_eq!(error.code(), code);
            assert!(!error.to_string().is_empty());
            let io: io::Error = error.clone().into();
            assert_eq!(io.get_ref().unwrap().downcast_ref::<Error>(), Some(&error));
        }
        assert_eq!(Error::of_code(-1000).code(), -1000);
    }

    #[test]
    fn what_was_taken_is_not_to_be_tried_again() {
        for code in sys::HERMES_EEXPIRED..0 {
            let error = Error::of_code(code);
            let none = error.clone().with_outcome(Outcome::NotPublished);
            assert_eq!(none.is_retryable(), error.is_retryable());
            for are_in in [false, true] {
                let some = error.clone().with_outcome(Outcome::of(3, are_in, None));
                assert!(!some.is_retryable() && some.outcome().unwrap().taken() == 3, "{some:?}");
            }
        }
    }
}
