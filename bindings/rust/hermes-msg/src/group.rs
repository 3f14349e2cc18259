//! Consumer groups and durable subscriptions, from outside.

use crate::client::{text_of, Client};
use crate::error::Result;
use crate::subscriber::Start;
use hermes_msg_sys as sys;
use std::ffi::CString;
use std::time::Duration;

/// How a group is made. The default: a group, from the end, a lease of 30 s, no limit of deliveries.
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// Where it begins.
    pub start: Start,
    /// How long a member may have a message before another gets it: 10 ms to 24 h.
    pub lease: Duration,
    /// After so many deliveries a message goes to the dead-letter topic; up to 2,047; 0: no limit.
    pub max_deliveries: u32,
    /// That topic: a shared one, made if it is not there. `None`: such messages are dropped, and counted.
    pub dead_letter: Option<String>,
    /// A durable subscription instead, which has none of all this but `start`: with anything else than the default
    /// it is refused.
    pub durable: bool,
    /// How far apart in the log messages in flight may be: 256 KiB to 256 MiB; 0: 4 MiB.
    pub span_bytes: u64,
}

impl Default for GroupOptions {
    fn default() -> GroupOptions {
        GroupOptions {
            start: Start::End,
            lease: Duration::from_secs(30),
            max_deliveries: 0,
            dead_letter: None,
            durable: false,
            span_bytes: 0,
        }
    }
}

/// What a broker knows of a group or durable subscription. Positions are byte offsets in the topic's log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct GroupInfo {
    pub name: String,
    /// A durable subscription.
    pub durable: bool,
    /// The user whose it is.
    pub uid: u32,
    pub members: u32,
    pub max_deliveries: u32,
    pub lease: Duration,
    pub dead_letter: Option<String>,
    pub span_bytes: u64,
    /// All messages below it were given out; of a durable subscription: acknowledged.
    pub position: u64,
    /// And below this, all are done.
    pub done_position: u64,
    /// About: of the last message that was given out for the first time.
    pub last_sequence: u64,
    /// Messages that were given out, or are to be given out again, or are dead letters to be, and are not done.
    pub in_flight: u64,
    /// How many times a message was given out again.
    pub redelivered: u64,
    /// Leases that ran out, also of what came again and could not be read yet.
    pub expired: u64,
    /// Messages that reached `max_deliveries`.
    pub dead: u64,
    /// Messages that were gone before anybody got them, or before they came again; each counted once, when it is found.
    pub lost: u64,
}

fn no_info() -> sys::hermes_group_info_t {
    // SAFETY: numbers, and arrays of them: zero is a value of each.
    let mut info: sys::hermes_group_info_t = unsafe { std::mem::zeroed() };
    info.size = std::mem::size_of_val(&info);
    info
}

impl From<&sys::hermes_group_info_t> for GroupInfo {
    fn from(i: &sys::hermes_group_info_t) -> GroupInfo {
        GroupInfo {
            name: text_of(&i.name),
            durable: i.durable != 0,
            uid: i.uid,
            members: i.members,
            max_deliveries: i.max_deliveries,
            lease: Duration::from_nanos(i.lease_ns),
            dead_letter: Some(text_of(&i.dead_letter)).filter(|name| !name.is_empty()),
            span_bytes: i.span_bytes,
            position: i.position,
            done_position: i.done_position,
            last_sequence: i.last_sequence,
            in_flight: i.in_flight,
            redelivered: i.redelivered,
            expired: i.expired,
            dead: i.dead,
            lost: i.lost,
        }
    }
}

fn no_options() -> sys::hermes_group_options_t {
    sys::hermes_group_options_t {
        size: std::mem::size_of::<sys::hermes_group_options_t>(),
        lease_ns: 0,
        dead_letter: std::ptr::null(),
        max_deliveries: 0,
        durable: 0,
        from: sys::HERMES_FROM_END,
        reserved: 0,
        position: 0,
        span_bytes: 0,
    }
}

impl Client {
    /// Where `start` is in the topic; a sequence or a time is looked for.
    fn place(&self, topic: &str, start: Start) -> Result<(u32, u64)> {
        Ok(match start {
            Start::End => (sys::HERMES_FROM_END, 0),
            Start::First => (sys::HERMES_FROM_FIRST, 0),
            Start::Position(position) => (sys::HERMES_FROM_POSITION, position),
            Start::Sequence(_) | Start::Time(_) => match self.subscriber(topic, start)?.poll()? {
                Some(message) => (sys::HERMES_FROM_POSITION, message.position()),
                None => (sys::HERMES_FROM_END, 0),
            },
        })
    }

    /// Makes a consumer group. ([`Client::subscriber_with`] makes one as well, with the defaults.)
    ///
    /// # Errors
    /// [`Error::Exists`](crate::Error::Exists), [`Error::InvalidName`](crate::Error::InvalidName),
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument), [`Error::Limit`](crate::Error::Limit),
    /// [`Error::NoSpace`](crate::Error::NoSpace), [`Error::NotFound`](crate::Error::NotFound): the topic.
    pub fn create_group(&self, topic: &str, name: &str, options: &GroupOptions) -> Result<()> {
        let (from, position) = self.place(topic, options.start)?;
        let (topic, name) = (CString::new(topic)?, CString::new(name)?);
        let dead_letter = options.dead_letter.as_deref().map(CString::new).transpose()?;
        let unasked = options.durable && options.lease == GroupOptions::default().lease;
        let options = sys::hermes_group_options_t {
            lease_ns: if unasked { 0 } else { crate::nanoseconds(options.lease) },
            dead_letter: dead_letter.as_ref().map_or(std::ptr::null(), |name| name.as_ptr()),
            max_deliveries: options.max_deliveries,
            durable: options.durable.into(),
            span_bytes: options.span_bytes,
            from,
            position,
            ..no_options()
        };
        // SAFETY: the session is alive, and ours alone; names and options live through the call.
        let rc = unsafe { sys::hermes_group_create(self.session.as_ptr(), topic.as_ptr(), name.as_ptr(), &options) };
        self.session.check(rc).map(drop)
    }

    fn alter_group(&self, topic: &str, name: &str, fields: u32, options: sys::hermes_group_options_t) -> Result<()> {
        let (topic, name) = (CString::new(topic)?, CString::new(name)?);
        // SAFETY: as create_group().
        let rc =
            unsafe { sys::hermes_group_alter(self.session.as_ptr(), topic.as_ptr(), name.as_ptr(), fields, &options) };
        self.session.check(rc).map(drop)
    }

    /// Changes how long a member may have a message, at once, whoever is a member.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound); [`Error::AccessDenied`](crate::Error::AccessDenied): another user's group;
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument): a value outside its range.
    pub fn set_lease(&self, topic: &str, name: &str, lease: Duration) -> Result<()> {
        let options = sys::hermes_group_options_t { lease_ns: crate::nanoseconds(lease), ..no_options() };
        self.alter_group(topic, name, sys::HERMES_GROUP_LEASE, options)
    }

    /// Changes after how many deliveries a message is dead.
    ///
    /// # Errors
    /// As [`set_lease`](Self::set_lease).
    pub fn set_max_deliveries(&self, topic: &str, name: &str, max_deliveries: u32) -> Result<()> {
        let options = sys::hermes_group_options_t { max_deliveries, ..no_options() };
        self.alter_group(topic, name, sys::HERMES_GROUP_DELIVERIES, options)
    }

    /// Sets a group or durable subscription to `start`. What its members hold then counts no more:
    /// [`Error::Expired`](crate::Error::Expired).
    ///
    /// # Errors
    /// As [`set_lease`](Self::set_lease); [`Error::Busy`](crate::Error::Busy): what died before `start` cannot be put into the
    /// dead-letter topic, and all is as it was.
    pub fn reset_group(&self, topic: &str, name: &str, start: Start) -> Result<()> {
        let (from, position) = self.place(topic, start)?;
        let options = sys::hermes_group_options_t { from, position, ..no_options() };
        self.alter_group(topic, name, sys::HERMES_GROUP_POSITION, options)
    }

    /// Deletes a group or durable subscription.
    ///
    /// # Errors
    /// As [`set_lease`](Self::set_lease); [`Error::Busy`](crate::Error::Busy): it has members, or had some when its
    /// broker was killed that may still come back; or what died cannot be put into the dead-letter topic.
    pub fn delete_group(&self, topic: &str, name: &str) -> Result<()> {
        let (topic, name) = (CString::new(topic)?, CString::new(name)?);
        // SAFETY: as create_group().
        let rc = unsafe { sys::hermes_group_delete(self.session.as_ptr(), topic.as_ptr(), name.as_ptr()) };
        self.session.check(rc).map(drop)
    }

    /// What is known of a group or durable subscription.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound).
    pub fn group(&self, topic: &str, name: &str) -> Result<GroupInfo> {
        let (topic, name) = (CString::new(topic)?, CString::new(name)?);
        let mut info = no_info();
        // SAFETY: as create_group(); info says how large it is.
        let rc = unsafe { sys::hermes_group_describe(self.session.as_ptr(), topic.as_ptr(), name.as_ptr(), &mut info) };
        self.session.check(rc)?;
        Ok(GroupInfo::from(&info))
    }

    /// All groups and durable subscriptions of a topic, by name.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound).
    pub fn groups(&self, topic: &str) -> Result<Vec<GroupInfo>> {
        const MOST: usize = 256; // of one topic
        let topic = CString::new(topic)?;
        let mut infos = vec![no_info(); MOST];
        // SAFETY: as create_group(); there is room for MOST of them, each as large as the first says.
        let count = self.session.check(unsafe {
            sys::hermes_group_list(self.session.as_ptr(), topic.as_ptr(), c"".as_ptr(), infos.as_mut_ptr(), MOST)
        })?;
        Ok(infos[..count as usize].iter().map(GroupInfo::from).collect())
    }
}
