//! A session with a broker: topics, and what is opened on them.

use crate::connect::{Connect, ConnectOptions};
use crate::error::{Error, Result};
use crate::publisher::{Publisher, PublisherOptions};
use crate::subscriber::{Start, Subscriber, SubscriberOptions};
use hermes_msg_sys as sys;
use std::ffi::{c_int, c_void, CStr, CString, OsStr};
use std::fmt;
use std::path::Path;
use std::ptr::NonNull;
use std::time::Duration;

/// A session; whoever has it is alone with it.
pub(crate) struct Session(pub(crate) NonNull<sys::hermes_client_t>);

// SAFETY: the library has no thread-local state of a session; one thread at a time is seen to by the borrow checker,
// as a Session is not Sync.
unsafe impl Send for Session {}

impl Session {
    fn open(connect: &Connect) -> Result<Session> {
        Ok(Session(connect.session()?))
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::hermes_client_t {
        self.0.as_ptr()
    }

    /// The error for a negative code of a call on this session or on what was opened through it.
    pub(crate) fn check(&self, rc: c_int) -> Result<c_int> {
        if rc < 0 {
            return Err(self.error(rc));
        }
        Ok(rc)
    }

    /// The same where it is known to be one.
    pub(crate) fn error(&self, code: c_int) -> Error {
        // SAFETY: the session is alive, and ours alone.
        unsafe { Error::of_client(code, self.as_ptr()) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: alive until here; closes what was opened through it, which its owner does not use any more.
        unsafe { sys::hermes_disconnect(self.as_ptr()) };
    }
}

/// A session with a broker.
///
/// ```no_run
/// use hermes_msg::{Client, TopicOptions};
/// let client = Client::connect()?;
/// client.create_topic("orders", &TopicOptions { shared: true, ..Default::default() })?;
/// for topic in client.topics()? {
///     println!("{} has {} messages", topic.name, topic.last_sequence);
/// }
/// # Ok::<(), hermes_msg::Error>(())
/// ```
pub struct Client {
    pub(crate) session: Session,
    connect: Connect,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.connect.url).finish_non_exhaustive()
    }
}

/// What survives what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Kept in shared memory alone: survives any process, not a stop of the broker.
    Memory,
    /// Stored, and on disk within the broker's sync interval (10 ms).
    #[default]
    Async,
    /// A publish returns when the message is on disk.
    Sync,
}

/// What publishers do while the disk is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// They get [`Error::NoSpace`] at once.
    #[default]
    Error,
    /// They wait for room.
    Wait,
}

/// How a topic is made. The default: [`Durability::Async`], exclusive, the broker's sizes, all is kept.
#[derive(Debug, Clone, Default)]
pub struct TopicOptions {
    /// What survives what.
    pub durability: Durability,
    /// Up to 256 publishers at once, in one order; else one at a time, which is faster.
    pub shared: bool,
    /// Bytes of the hot window, a power of two from 256 KiB to 1 GiB; 0: the broker's default.
    pub window_bytes: u64,
    /// Bytes of a file of the store, a multiple of the window; 0: the broker's default.
    pub segment_bytes: u64,
    /// Retention: at least so much is kept; 0: all.
    pub keep_bytes: u64,
    /// And all that is younger; zero: whatever its age.
    pub keep: Duration,
    /// What publishers do while the disk is full.
    pub when_full: WhenFull,
    /// Publishers wait for those subscribers that ask for it ([`SubscriberOptions::push_back`]).
    pub push_back: bool,
}

/// What a broker knows of a topic. Positions are byte offsets in its log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct TopicInfo {
    pub name: String,
    pub topic_id: u64,
    pub durability: Durability,
    pub shared: bool,
    pub window_bytes: u64,
    pub segment_bytes: u64,
    /// The oldest that exists.
    pub first_position: u64,
    /// Behind the last message.
    pub committed_position: u64,
    /// In files, perhaps still in the page cache.
    pub persisted_position: u64,
    /// On disk.
    pub durable_position: u64,
    /// 0: no message yet.
    pub last_sequence: u64,
    pub epoch: u32,
    pub publishers: u32,
    pub subscribers: u32,
    /// The store refused a write; the topic takes no publisher.
    pub failed: bool,
    /// Malformed frames.
    pub refused: u64,
    /// Damaged frames that were found in the store.
    pub corrupt: u64,
    pub keep_bytes: u64,
    pub keep: Duration,
    pub when_full: WhenFull,
    /// There is no room for the store at the moment.
    pub full: bool,
    /// Publishers wait for subscribers that ask for it ...
    pub push_back: bool,
    /// ... and there are so many.
    pub waited_for: u32,
}

/// A damaged range of a topic's store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Damage {
    pub from_position: u64,
    pub to_position: u64,
    pub error: Error,
}

/// What [`Client::verify_topic`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// From the oldest position there was ...
    pub first_position: u64,
    /// ... to what was stored.
    pub end_position: u64,
    /// Messages that are right.
    pub messages: u64,
    /// Ranges that are not.
    pub damaged: Vec<Damage>,
}

/// A name that ends in zero.
pub(crate) fn text_of(bytes: &[std::ffi::c_char]) -> String {
    let bytes: Vec<u8> = bytes.iter().take_while(|c| **c != 0).map(|c| *c as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn no_info() -> sys::hermes_topic_info_t {
    // SAFETY: numbers, and an array of them: zero is a value of each.
    let mut info: sys::hermes_topic_info_t = unsafe { std::mem::zeroed() };
    info.size = std::mem::size_of_val(&info);
    info
}

impl From<&sys::hermes_topic_info_t> for TopicInfo {
    fn from(i: &sys::hermes_topic_info_t) -> TopicInfo {
        TopicInfo {
            name: text_of(&i.name),
            topic_id: i.topic_id,
            durability: match i.durability {
                sys::HERMES_DURABILITY_MEMORY => Durability::Memory,
                sys::HERMES_DURABILITY_SYNC => Durability::Sync,
                _ => Durability::Async,
            },
            shared: i.shared != 0,
            window_bytes: i.window_bytes,
            segment_bytes: i.segment_bytes,
            first_position: i.first_position,
            committed_position: i.committed_position,
            persisted_position: i.persisted_position,
            durable_position: i.durable_position,
            last_sequence: i.last_sequence,
            epoch: i.epoch,
            publishers: i.publishers,
            subscribers: i.subscribers,
            failed: i.failed != 0,
            refused: i.refused,
            corrupt: i.corrupt,
            keep_bytes: i.keep_bytes,
            keep: Duration::from_nanos(i.keep_ns),
            when_full: if i.full_waits != 0 { WhenFull::Wait } else { WhenFull::Error },
            full: i.full != 0,
            push_back: i.push_back != 0,
            waited_for: i.waited_for,
        }
    }
}

unsafe extern "C" fn note_damage(context: *mut c_void, from: u64, to: u64, error: c_int) {
    // SAFETY: context is what verify_topic() passed, for as long as it runs.
    let damages = unsafe { &mut *context.cast::<Vec<Damage>>() };
    damages.push(Damage { from_position: from, to_position: to, error: Error::of_code(error) });
}

impl Client {
    /// A session with the broker of `$HERMES_URL`, of `$HERMES_HOME`, or with this user's.
    ///
    /// # Errors
    /// [`Error::Disconnected`]: nobody listens there.
    pub fn connect() -> Result<Client> {
        Client::open(Connect::new(None, &ConnectOptions::default())?)
    }

    fn open(connect: Connect) -> Result<Client> {
        Ok(Client { session: Session::open(&connect)?, connect })
    }

    /// A session with the broker at `unix:PATH`, `tcp://HOST:PORT` or `tls://HOST:PORT`; several with commas are tried
    /// in turn. A broker of this host is gone on with through shared memory, whatever the URL
    /// ([`transport`](Self::transport)); a URL that ends in `?shm=no` stays on the connection.
    ///
    /// # Errors
    /// [`Error::Disconnected`]; [`Error::InvalidArgument`]: no URL; [`Error::NotSupported`]: one of another kind;
    /// [`Error::AccessDenied`]: one end does not trust the other, and the sentence says what to do.
    pub fn connect_to(url: &str) -> Result<Client> {
        Client::connect_with(url, &ConnectOptions::default())
    }

    /// The same, and whom to trust and who one is.
    ///
    /// ```no_run
    /// use hermes_msg::{Client, ConnectOptions};
    /// let options = ConnectOptions {
    ///     tls_ca: Some("ca.crt".into()),
    ///     token_file: Some("token".into()),
    ///     ..Default::default()
    /// };
    /// let client = Client::connect_with("tls://broker.example:7000", &options)?;
    /// # Ok::<(), hermes_msg::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`connect_to`](Self::connect_to); [`Error::NotFound`]: of a file.
    pub fn connect_with(url: &str, options: &ConnectOptions) -> Result<Client> {
        Client::open(Connect::new(Some(OsStr::new(url)), options)?)
    }

    /// The same by the path of its socket.
    ///
    /// # Errors
    /// As [`connect_to`](Self::connect_to).
    pub fn connect_to_path(socket: impl AsRef<Path>) -> Result<Client> {
        use std::os::unix::ffi::OsStrExt;
        let url = [b"unix:", socket.as_ref().as_os_str().as_bytes()].concat();
        Client::open(Connect::new(Some(OsStr::from_bytes(&url)), &ConnectOptions::default())?)
    }

    /// Returns once the broker has answered.
    ///
    /// # Errors
    /// [`Error::Disconnected`].
    pub fn ping(&self) -> Result<()> {
        // SAFETY: the session is alive, and ours alone: Client is not Sync.
        self.session.check(unsafe { sys::hermes_ping(self.session.as_ptr()) }).map(drop)
    }

    /// The way that messages go: `shm` (through shared memory), `unix`, `tcp` or `tls`.
    pub fn transport(&self) -> &'static str {
        // SAFETY: the session is alive; the string is a constant of the library.
        unsafe { CStr::from_ptr(sys::hermes_transport(self.session.as_ptr())) }.to_str().unwrap_or_default()
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::InvalidName`], [`Error::InvalidArgument`] (sizes), [`Error::Limit`],
    /// [`Error::NoSpace`].
    pub fn create_topic(&self, name: &str, options: &TopicOptions) -> Result<()> {
        let name = CString::new(name)?;
        let options = sys::hermes_topic_options_t {
            size: std::mem::size_of::<sys::hermes_topic_options_t>(),
            durability: match options.durability {
                Durability::Memory => sys::HERMES_DURABILITY_MEMORY,
                Durability::Async => sys::HERMES_DURABILITY_ASYNC,
                Durability::Sync => sys::HERMES_DURABILITY_SYNC,
            },
            shared: options.shared.into(),
            window_bytes: options.window_bytes,
            segment_bytes: options.segment_bytes,
            keep_bytes: options.keep_bytes,
            keep_ns: crate::nanoseconds(options.keep),
            full_waits: (options.when_full == WhenFull::Wait).into(),
            push_back: options.push_back.into(),
        };
        // SAFETY: as ping(); name and options live through the call.
        self.session
            .check(unsafe { sys::hermes_topic_create(self.session.as_ptr(), name.as_ptr(), &options) })
            .map(drop)
    }

    fn alter(&self, name: &str, fields: u32, options: sys::hermes_topic_options_t) -> Result<()> {
        let name = CString::new(name)?;
        let options =
            sys::hermes_topic_options_t { size: std::mem::size_of::<sys::hermes_topic_options_t>(), ..options };
        // SAFETY: as create_topic().
        self.session
            .check(unsafe { sys::hermes_topic_alter(self.session.as_ptr(), name.as_ptr(), fields, &options) })
            .map(drop)
    }

    /// Changes a topic's retention, at once, whoever publishes or reads. Zero: no such bound.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn set_retention(&self, name: &str, keep_bytes: u64, keep: Duration) -> Result<()> {
        self.alter(
            name,
            sys::HERMES_ALTER_KEEP_BYTES | sys::HERMES_ALTER_KEEP_NS,
            sys::hermes_topic_options_t { keep_bytes, keep_ns: crate::nanoseconds(keep), ..Default::default() },
        )
    }

    /// Changes what publishers do while the disk is full.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn set_when_full(&self, name: &str, when_full: WhenFull) -> Result<()> {
        self.alter(
            name,
            sys::HERMES_ALTER_FULL_WAITS,
            sys::hermes_topic_options_t { full_waits: (when_full == WhenFull::Wait).into(), ..Default::default() },
        )
    }

    /// Deletes a topic and all it stores. Subscribers get [`Error::Closed`] once they have read what there is.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Busy`]: it has a publisher.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        let name = CString::new(name)?;
        // SAFETY: as ping().
        self.session.check(unsafe { sys::hermes_topic_delete(self.session.as_ptr(), name.as_ptr()) }).map(drop)
    }

    /// Drops all messages of a topic, for good, whoever publishes and reads. Positions and sequences go on; who was to
    /// read them is told [`Error::Gone`] once, and goes on with what comes later.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NoSpace`]: not even a note of it could be written.
    pub fn purge_topic(&self, name: &str) -> Result<()> {
        let name = CString::new(name)?;
        // SAFETY: as ping().
        self.session.check(unsafe { sys::hermes_topic_purge(self.session.as_ptr(), name.as_ptr()) }).map(drop)
    }

    /// What is known of a topic.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn topic(&self, name: &str) -> Result<TopicInfo> {
        let name = CString::new(name)?;
        let mut info = no_info();
        // SAFETY: as ping(); info says how large it is.
        self.session.check(unsafe { sys::hermes_topic_describe(self.session.as_ptr(), name.as_ptr(), &mut info) })?;
        Ok(TopicInfo::from(&info))
    }

    /// All topics, by name.
    ///
    /// # Errors
    /// [`Error::Disconnected`].
    pub fn topics(&self) -> Result<Vec<TopicInfo>> {
        const PAGE: usize = 64;
        let mut topics: Vec<TopicInfo> = Vec::new();
        loop {
            let after = CString::new(topics.last().map_or("", |t| t.name.as_str()))?;
            let mut infos = vec![no_info(); PAGE];
            // SAFETY: as ping(); there is room for PAGE of them, each as large as the first says.
            let count = self.session.check(unsafe {
                sys::hermes_topic_list(self.session.as_ptr(), after.as_ptr(), infos.as_mut_ptr(), PAGE)
            })? as usize;
            topics.extend(infos[..count].iter().map(TopicInfo::from));
            if count < PAGE {
                return Ok(topics);
            }
        }
    }

    /// Reads all that is stored of a topic, and checks every byte.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NotSupported`]: a topic that is kept in memory alone.
    pub fn verify_topic(&self, name: &str) -> Result<Verification> {
        let name = CString::new(name)?;
        let mut damaged: Vec<Damage> = Vec::new();
        let mut result = sys::hermes_verification_t {
            size: std::mem::size_of::<sys::hermes_verification_t>(),
            ..Default::default()
        };
        // SAFETY: as ping(); note_damage gets the vector, and nobody else has it meanwhile.
        self.session.check(unsafe {
            sys::hermes_topic_verify(
                self.session.as_ptr(),
                name.as_ptr(),
                Some(note_damage),
                (&mut damaged as *mut Vec<Damage>).cast(),
                &mut result,
            )
        })?;
        Ok(Verification {
            first_position: result.first_position,
            end_position: result.end_position,
            messages: result.messages,
            damaged,
        })
    }

    /// A publisher with a session of its own.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Busy`]: an exclusive topic has its publisher already.
    pub fn publisher(&self, topic: &str) -> Result<Publisher> {
        self.publisher_with(topic, &PublisherOptions::default())
    }

    /// The same, with options.
    ///
    /// # Errors
    /// As [`publisher`](Self::publisher).
    pub fn publisher_with(&self, topic: &str, options: &PublisherOptions) -> Result<Publisher> {
        Publisher::open(Session::open(&self.connect)?, &CString::new(topic)?, options)
    }

    /// A subscriber with a session of its own.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn subscriber(&self, topic: &str, start: Start) -> Result<Subscriber> {
        self.subscriber_with(topic, &SubscriberOptions { start, ..Default::default() })
    }

    /// The same as a member of a group, as a durable subscription, or waited for by publishers.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::InvalidArgument`]; [`Error::Busy`]: somebody has the durable subscription;
    /// [`Error::AccessDenied`]: another user's group; [`Error::Limit`].
    pub fn subscriber_with(&self, topic: &str, options: &SubscriberOptions) -> Result<Subscriber> {
        Subscriber::open(Session::open(&self.connect)?, &CString::new(topic)?, options)
    }
}
