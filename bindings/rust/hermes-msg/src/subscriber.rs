//! Subscribing.

use crate::client::Session;
use crate::error::{Error, Result};
use crate::message::{Message, MessageId, OwnedMessage};
use hermes_msg_sys as sys;
use std::ffi::{CStr, CString};
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// With what is published from now on.
    End,
    /// With the oldest that there is.
    First,
    /// With the first message whose sequence is not below this.
    Sequence(u64),
    /// With the first message from then on.
    Time(SystemTime),
    /// At a position that a message or a subscriber had.
    Position(u64),
}

/// When a message counts as done, for the member of a group and for a durable subscription.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ack {
    /// Once the next one is asked for: what is being worked on when a program dies comes again.
    #[default]
    Auto,
    /// When [`Subscriber::ack`] says so.
    Manual,
    /// When it is given out: at most once, never again. Of groups only.
    None,
}

/// How a subscriber is opened. The default: alone, from the end.
///
/// ```no_run
/// # use hermes_msg::{Ack, Client, Start, SubscriberOptions};
/// let options = SubscriberOptions { group: Some("risk".into()), ack: Ack::Manual, ..Default::default() };
/// let mut member = Client::connect()?.subscriber_with("orders", &options)?;
/// while let Some(message) = member.wait(std::time::Duration::MAX)? {
///     let id = message.id();
///     member.ack(id)?;
/// }
/// # Ok::<(), hermes_msg::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SubscriberOptions {
    /// Where reading begins. A group or durable subscription that is not there is made, and begins at [`Start::First`]
    /// or [`Start::End`]; one that exists goes on where it stands.
    pub start: Start,
    /// A member of this group, whose members share the topic's messages: each goes to one of them.
    pub group: Option<String>,
    /// A durable subscription of this name: where it stands survives program and broker. Not together with `group`.
    pub name: Option<String>,
    /// When a message is done.
    pub ack: Ack,
    /// Publishers of a push-back topic wait for this subscriber. Not for members of a group.
    pub push_back: bool,
}

impl Default for SubscriberOptions {
    fn default() -> SubscriberOptions {
        SubscriberOptions { start: Start::End, group: None, name: None, ack: Ack::Auto, push_back: false }
    }
}

/// Reads a topic. Opened by [`Client::subscriber`](crate::Client::subscriber).
///
/// ```no_run
/// # use hermes_msg::{Client, Start};
/// let subscriber = Client::connect()?.subscriber("quotes", Start::First)?;
/// for message in subscriber {
///     println!("{:?}", message?); // as they come, until the topic is deleted
/// }
/// # Ok::<(), hermes_msg::Error>(())
/// ```
pub struct Subscriber {
    raw: NonNull<sys::hermes_subscriber_t>,
    session: Session, // closes the subscriber when it is dropped
    topic: Box<str>,
    place: Option<Box<str>>, // its group, or the name of its durable subscription
}

// SAFETY: a session of its own; not Sync.
unsafe impl Send for Subscriber {}

impl Subscriber {
    pub(crate) fn open(session: Session, topic: &CStr, options: &SubscriberOptions) -> Result<Subscriber> {
        let group = options.group.as_deref().map(CString::new).transpose()?;
        let name = options.name.as_deref().map(CString::new).transpose()?;
        let alone = group.is_none() && name.is_none();
        let from = match options.start {
            Start::First if !alone => sys::HERMES_FROM_FIRST,
            Start::End => sys::HERMES_FROM_END,
            _ if alone => sys::HERMES_FROM_END, // and then it seeks
            _ => return Err(Error::of_code(sys::HERMES_EINVALID)),
        };
        let raw_options = sys::hermes_subscriber_options_t {
            size: std::mem::size_of::<sys::hermes_subscriber_options_t>(),
            group: group.as_ref().map_or(std::ptr::null(), |name| name.as_ptr()),
            name: name.as_ref().map_or(std::ptr::null(), |name| name.as_ptr()),
            from,
            ack: match options.ack {
                Ack::Auto => sys::HERMES_ACK_AUTO,
                Ack::Manual => sys::HERMES_ACK_MANUAL,
                Ack::None => sys::HERMES_ACK_NONE,
            },
            flags: if options.push_back { sys::HERMES_SUBSCRIBE_PUSH_BACK } else { 0 },
            reserved: 0,
        };
        let mut raw = std::ptr::null_mut();
        // SAFETY: the session is alive, and ours alone; names and options live through the call.
        session
            .check(unsafe { sys::hermes_subscriber_open(session.as_ptr(), topic.as_ptr(), &raw_options, &mut raw) })?;
        let mut subscriber = Subscriber {
            raw: NonNull::new(raw).expect("opened"),
            session,
            topic: topic.to_string_lossy().into(),
            place: options.group.as_deref().or(options.name.as_deref()).map(Box::from),
        };
        if alone && options.start != Start::End {
            subscriber.seek(options.start)?;
        }
        Ok(subscriber)
    }

    #[inline]
    fn taken(&mut self, rc: i32, message: MaybeUninit<sys::hermes_message_t>) -> Result<Option<Message<'_>>> {
        match rc {
            // SAFETY: 1: it was filled in. Its payload is valid until the next call, which needs the &mut that the
            // message borrows.
            1 => Ok(Some(Message { raw: unsafe { message.assume_init() }, lifetime: PhantomData })),
            0 => Ok(None),
            _ => self.failed(rc),
        }
    }

    #[cold]
    fn failed<T>(&self, rc: i32) -> Result<T> {
        Err(self.session.error(rc))
    }

    /// The next message, if there is one now. Waits for nothing: where the broker has to open what comes next - another
    /// publisher's window, a segment of the store - it is asked, and a later call finds it.
    ///
    /// # Errors
    /// [`Gone`](Error::Gone), [`Checksum`](Error::Checksum), [`Corrupt`](Error::Corrupt), [`Malformed`](Error::Malformed):
    /// the next call goes on behind. [`Closed`](Error::Closed): the topic was deleted, or the group or
    /// durable subscription, which may have been while this subscriber was away: each further call says so.
    /// [`Disconnected`](Error::Disconnected): the store is needed, and no broker is there to open it.
    #[inline]
    pub fn poll(&mut self) -> Result<Option<Message<'_>>> {
        let mut message = MaybeUninit::uninit();
        // SAFETY: alive, and ours alone.
        let rc = unsafe { sys::hermes_poll(self.raw.as_ptr(), message.as_mut_ptr()) };
        self.taken(rc, message)
    }

    /// The same, waiting up to `timeout` and no longer, whatever the broker does: it spins a little, then sleeps, also where
    /// it waits for the broker's answer. [`Duration::MAX`] waits for ever.
    ///
    /// # Errors
    /// As [`poll`](Self::poll); [`Interrupted`](Error::Interrupted): a signal handler ran, as of a `read(2)`. Iterating goes
    /// on waiting then.
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<Message<'_>>> {
        let mut message = MaybeUninit::uninit();
        // SAFETY: alive, and ours alone.
        let rc = unsafe { sys::hermes_wait(self.raw.as_ptr(), message.as_mut_ptr(), crate::nanoseconds(timeout)) };
        self.taken(rc, message)
    }

    /// Messages as they come, waiting for each as long as it takes; ends when the topic, the group or the durable
    /// subscription is deleted. A signal does not end it; what is gone or damaged is an `Err` between the messages, and the
    /// next is behind it. The subscriber itself is the same iterator. A loop over [`wait`](Self::wait) saves the copy of
    /// each.
    pub fn messages(&mut self) -> Messages<'_> {
        Messages { subscriber: self }
    }

    /// A member's message is done: nobody gets it again, but after a reset. Any that this subscriber was given, in any
    /// order; several may be held at a time. With a durable subscription all before it is done, too, and a message before what is done already
    /// changes nothing.
    ///
    /// # Errors
    /// [`Expired`](Error::Expired): it is not this subscriber's any more: another has it (its lease ran out, or it was
    /// given back), the group was reset, the broker was stopped, or the message is dead. A message that was given to
    /// the same member twice has two ids, each of which says so for itself; but two that are eight deliveries apart are
    /// the same.
    /// [`InvalidArgument`](Error::InvalidArgument): it was never given out, or this is no member.
    /// [`Disconnected`](Error::Disconnected), and nothing is done: a message of a durable subscription had to be looked up
    /// in the store, and no broker answered. On the broker's host that alone may wait, 10 s at most, and only where the
    /// message is not the last one that was given out. Over a connection each waits for the broker's answer, for as long;
    /// `Disconnected` there: no broker answered in time, and it is said all the same, as soon as there is one. In an async
    /// task both have their place in `spawn_blocking`.
    pub fn ack(&mut self, message: impl Into<MessageId>) -> Result<()> {
        let raw = message.into().raw();
        // SAFETY: alive, and ours alone; the message lives through the call, which does not look at its payload.
        self.session.check(unsafe { sys::hermes_ack(self.raw.as_ptr(), &raw) }).map(drop)
    }

    /// This member of a group cannot deal with the message: another gets it, or the same again, at once; after
    /// `max_deliveries` it is dead.
    ///
    /// # Errors
    /// As [`ack`](Self::ack); [`Expired`](Error::Expired) also for what is done already.
    pub fn nack(&mut self, message: impl Into<MessageId>) -> Result<()> {
        let raw = message.into().raw();
        // SAFETY: as ack().
        self.session.check(unsafe { sys::hermes_nack(self.raw.as_ptr(), &raw) }).map(drop)
    }

    /// The lease of a group's member on the message begins anew: for work that takes longer.
    ///
    /// # Errors
    /// As [`nack`](Self::nack).
    pub fn renew(&mut self, message: impl Into<MessageId>) -> Result<()> {
        let raw = message.into().raw();
        // SAFETY: as ack().
        self.session.check(unsafe { sys::hermes_renew(self.raw.as_ptr(), &raw) }).map(drop)
    }

    /// How often the message had been given out when this subscriber was given it so, that time included; 1 for who is no
    /// member; 0: not known any more. Over a connection a message counts as given out once it was sent.
    pub fn deliveries(&self, message: impl Into<MessageId>) -> u32 {
        let raw = message.into().raw();
        // SAFETY: as ack().
        unsafe { sys::hermes_deliveries(self.raw.as_ptr(), &raw) }
    }

    /// Goes on reading there.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument): a position that no message can have; as [`poll`](Self::poll).
    pub fn seek(&mut self, to: Start) -> Result<()> {
        let raw = self.raw.as_ptr();
        // SAFETY: alive, and ours alone.
        let rc = unsafe {
            match to {
                Start::End => sys::hermes_seek_end(raw),
                Start::First => sys::hermes_seek_first(raw),
                Start::Sequence(sequence) => sys::hermes_seek_sequence(raw, sequence),
                Start::Position(position) => sys::hermes_seek_position(raw, position),
                Start::Time(time) => {
                    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
                    sys::hermes_seek_time(raw, crate::nanoseconds(since))
                }
            }
        };
        self.session.check(rc).map(drop)
    }

    fn counters(&self) -> sys::hermes_subscriber_counters_t {
        let mut counters = sys::hermes_subscriber_counters_t {
            size: std::mem::size_of::<sys::hermes_subscriber_counters_t>(),
            ..Default::default()
        };
        // SAFETY: alive, and ours alone.
        unsafe { sys::hermes_subscriber_describe(self.raw.as_ptr(), &mut counters) };
        counters
    }

    /// The position of the next message.
    pub fn position(&self) -> u64 {
        self.counters().position
    }

    /// Messages that were overwritten or retired before they were read.
    pub fn lost(&self) -> u64 {
        self.counters().lost
    }

    /// Damaged messages.
    pub fn corrupt(&self) -> u64 {
        self.counters().corrupt
    }

    /// Whether [`poll`](Self::poll) had nothing because the broker, which is needed for what comes next, has not answered
    /// yet; else there was nothing.
    pub fn awaits_broker(&self) -> bool {
        self.counters().awaits_broker != 0
    }

    /// How long [`wait`](Self::wait) looks for messages before it sleeps: 20 us unless set.
    pub fn set_spin(&mut self, spin: Duration) {
        // SAFETY: alive, and ours alone.
        unsafe { sys::hermes_subscriber_set_spin(self.raw.as_ptr(), crate::nanoseconds(spin)) }
    }

    /// Off: the checksums of messages from memory are not checked. Those of the store always are.
    pub fn set_verify(&mut self, on: bool) {
        // SAFETY: alive, and ours alone.
        unsafe { sys::hermes_subscriber_set_verify(self.raw.as_ptr(), on.into()) }
    }

    /// For event loops: a descriptor that becomes readable once there may be a message. It is the subscriber's. See
    /// [`arm`](Self::arm).
    ///
    /// # Errors
    /// [`NotSupported`](Error::NotSupported): Linux before 5.16.
    pub fn event_fd(&mut self) -> Result<RawFd> {
        // SAFETY: alive, and ours alone.
        self.session.check(unsafe { sys::hermes_subscriber_fd(self.raw.as_ptr()) })
    }

    /// To be called when [`poll`](Self::poll) had nothing. `true`: wait for the descriptor; `false`: there is something
    /// already.
    ///
    /// # Errors
    /// As [`event_fd`](Self::event_fd).
    pub fn arm(&mut self) -> Result<bool> {
        // SAFETY: alive, and ours alone.
        Ok(self.session.check(unsafe { sys::hermes_subscriber_arm(self.raw.as_ptr()) })? == 0)
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counters = self.counters();
        f.debug_struct("Subscriber")
            .field("topic", &self.topic)
            .field("place", &self.place)
            .field("position", &counters.position)
            .field("lost", &counters.lost)
            .field("corrupt", &counters.corrupt)
            .field("awaits_broker", &(counters.awaits_broker != 0))
            .finish()
    }
}

/// Messages as they come: see [`Subscriber::messages`].
impl Iterator for Subscriber {
    type Item = Result<OwnedMessage>;

    fn next(&mut self) -> Option<Result<OwnedMessage>> {
        loop {
            match self.wait(Duration::MAX) {
                Ok(Some(message)) => return Some(Ok(message.to_owned())),
                Ok(None) | Err(Error::Interrupted(_)) => continue,
                Err(Error::Closed(_)) => return None,
                Err(e) => return Some(Err(e)),
            }
        }
    }
}

/// What is deleted stays so.
impl FusedIterator for Subscriber {}

/// Made by [`Subscriber::messages`].
#[derive(Debug)]
pub struct Messages<'a> {
    subscriber: &'a mut Subscriber,
}

impl Iterator for Messages<'_> {
    type Item = Result<OwnedMessage>;

    fn next(&mut self) -> Option<Result<OwnedMessage>> {
        self.subscriber.next()
    }
}

impl FusedIterator for Messages<'_> {}
