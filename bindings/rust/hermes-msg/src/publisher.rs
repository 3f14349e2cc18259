//! Publishing.

use crate::client::Session;
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use hermes_msg_sys as sys;
use std::ffi::{c_void, CStr};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::time::Duration;

/// How a publisher is opened.
#[derive(Debug, Clone)]
pub struct PublisherOptions {
    /// Messages carry a CRC-32 (the default).
    pub checksum: bool,
    /// On a topic with [`Durability::Sync`](crate::Durability::Sync), publishing returns when the message is on disk (the
    /// default); else when it is committed.
    pub wait_durable: bool,
    /// How long publishing and closing may wait: for room, for a broker that restarts, for the disk. 10 s.
    pub timeout: Duration,
}

impl Default for PublisherOptions {
    fn default() -> PublisherOptions {
        PublisherOptions { checksum: true, wait_durable: true, timeout: Duration::from_secs(10) }
    }
}

/// How safe a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// In the topic, in its order.
    Committed,
    /// On disk.
    Durable,
}

impl Confirmation {
    fn raw(self) -> sys::hermes_confirmation {
        match self {
            Confirmation::Committed => sys::HERMES_COMMITTED,
            Confirmation::Durable => sys::HERMES_DURABLE,
        }
    }
}

/// Publishes to a topic. Opened by [`Client::publisher`](crate::Client::publisher).
///
/// ```no_run
/// # let client = hermes_msg::Client::connect()?;
/// let mut publisher = client.publisher("quotes")?;
/// std::thread::spawn(move || publisher.publish(b"hello")); // it may live in any one thread
/// # Ok::<(), hermes_msg::Error>(())
/// ```
pub struct Publisher {
    raw: NonNull<sys::hermes_publisher_t>,
    session: Session, // closes the publisher when it is dropped
    topic: Box<str>,
}

// SAFETY: a session of its own; not Sync.
unsafe impl Send for Publisher {}

impl Publisher {
    pub(crate) fn open(session: Session, topic: &CStr, options: &PublisherOptions) -> Result<Publisher> {
        let mut flags = 0;
        if !options.checksum {
            flags |= sys::HERMES_PUBLISH_NO_CRC;
        }
        if !options.wait_durable {
            flags |= sys::HERMES_PUBLISH_NO_WAIT;
        }
        let raw_options = sys::hermes_publisher_options_t {
            size: std::mem::size_of::<sys::hermes_publisher_options_t>(),
            flags,
            ..Default::default()
        };
        let mut raw = std::ptr::null_mut();
        // SAFETY: the session is alive, and ours alone.
        session
            .check(unsafe { sys::hermes_publisher_open(session.as_ptr(), topic.as_ptr(), &raw_options, &mut raw) })?;
        let raw = NonNull::new(raw).expect("opened");
        // SAFETY: just opened.
        unsafe { sys::hermes_publisher_set_wait(raw.as_ptr(), crate::nanoseconds(options.timeout)) };
        Ok(Publisher { raw, session, topic: topic.to_string_lossy().into() })
    }

    /// Publishes one message, up to [`PAYLOAD_MAX`](crate::PAYLOAD_MAX) bytes; subscribers see it at once. Returns its
    /// sequence: in the topic if that is exclusive, else this publisher's own count. It waits where it has to, as long as
    /// [`PublisherOptions::timeout`]: for room, for a broker that restarts, for the disk of a topic with
    /// [`Durability::Sync`](crate::Durability::Sync); a signal does not end that.
    ///
    /// # Errors
    /// [`Error::outcome`] says what became of the message, and [`Error::is_retryable`] follows from that.
    /// [`TooLarge`](crate::Error::TooLarge); [`NoRoom`](crate::Error::NoRoom), [`NoSpace`](crate::Error::NoSpace),
    /// [`Fenced`](crate::Error::Fenced), [`Closed`](crate::Error::Closed), [`Malformed`](crate::Error::Malformed): it was
    /// not published. [`Disconnected`](crate::Error::Disconnected): it goes out if a broker comes back while the publisher
    /// lives; [`wait`](Self::wait) waits for that. [`Timeout`](crate::Error::Timeout): it is not on disk yet.
    /// [`Io`](crate::Error::Io): the store failed.
    #[inline]
    pub fn publish(&mut self, payload: &[u8]) -> Result<u64> {
        let mut sequence = 0;
        // SAFETY: alive, and ours alone; the payload is as long as we say.
        let rc =
            unsafe { sys::hermes_publish(self.raw.as_ptr(), payload.as_ptr().cast(), payload.len(), &mut sequence) };
        if rc < 0 {
            return self.failed(rc, sequence);
        }
        Ok(sequence)
    }

    /// The same with the publisher's own time stamp, in nanoseconds since 1970: the exchange's or the network card's, of
    /// a feed that has them. No clock is read. Stamps need not go forward; [`Start::Time`](crate::Start::Time) finds the
    /// first message that is as late.
    ///
    /// # Errors
    /// As [`publish`](Self::publish); [`InvalidArgument`](crate::Error::InvalidArgument): 0, or more than `i64::MAX`.
    #[inline]
    pub fn publish_at(&mut self, timestamp_ns: u64, payload: &[u8]) -> Result<u64> {
        let mut sequence = 0;
        // SAFETY: alive, and ours alone; the payload is as long as we say.
        let rc = unsafe {
            let (data, length) = (payload.as_ptr().cast(), payload.len());
            sys::hermes_publish_at(self.raw.as_ptr(), timestamp_ns, data, length, &mut sequence)
        };
        if rc < 0 {
            return self.failed(rc, sequence);
        }
        Ok(sequence)
    }

    /// Is all that was taken in the topic? An error: it never will be.
    fn is_all_in(&mut self) -> Result<bool> {
        // SAFETY: alive, and ours alone. It waits for nothing.
        let rc = unsafe { sys::hermes_publisher_wait(self.raw.as_ptr(), sys::HERMES_COMMITTED, 0) };
        match rc {
            sys::HERMES_EFENCED | sys::HERMES_ECLOSED | sys::HERMES_EMALFORMED => Err(self.session.error(rc)),
            _ => Ok(rc == 0),
        }
    }

    /// The error of a call that published nothing, or one message; the sequence as C gave it.
    #[cold]
    fn failed<T>(&mut self, rc: i32, sequence: u64) -> Result<T> {
        let error = self.session.error(rc);
        let is_taken = match rc {
            sys::HERMES_EDISCONNECTED => true,
            sys::HERMES_ETIMEOUT | sys::HERMES_EIO => sequence != 0, // committed, and then the disk was waited for
            _ => false,
        };
        let outcome = if !is_taken {
            Ok(Outcome::NotPublished)
        } else {
            self.is_all_in().map(|are_in| Outcome::of(1, are_in, (sequence != 0).then_some(sequence)))
        };
        Err(match outcome {
            Ok(outcome) => error.with_outcome(outcome),
            Err(over) => over.with_outcome(Outcome::NotPublished),
        })
    }

    /// The error of a call that published several; accepted() as it was before.
    #[cold]
    fn failed_among(&mut self, rc: i32, before: u64) -> Error {
        let mut error = self.session.error(rc);
        let are_in = self.is_all_in().unwrap_or_else(|over| {
            error = over;
            true // those that accepted() still counts
        });
        let outcome = Outcome::of(self.accepted().saturating_sub(before), are_in, None);
        error.with_outcome(outcome)
    }

    /// Publishes each payload, with one time stamp; returns how many: all. On a sync topic it waits once, for all. Those
    /// that wait for a broker, as [`publish`](Self::publish) says of one, count too: [`wait`](Self::wait) tells when they
    /// are in.
    ///
    /// # Errors
    /// As [`publish`](Self::publish); [`Error::outcome`] says how many were taken, the first ones.
    pub fn publish_batch<T: AsRef<[u8]>>(&mut self, payloads: &[T]) -> Result<u64> {
        self.publish_some(payloads, self.accepted())
    }

    /// Of a call before which accepted() was `before`.
    fn publish_some<T: AsRef<[u8]>>(&mut self, payloads: &[T], before: u64) -> Result<u64> {
        const FEW: usize = 64;
        let slice = |payload: &T| {
            let payload = payload.as_ref();
            sys::hermes_slice_t { data: payload.as_ptr().cast(), length: payload.len() }
        };
        if payloads.len() > FEW {
            return self.publish_slices(&payloads.iter().map(slice).collect::<Vec<_>>(), before);
        }
        let mut slices = [sys::hermes_slice_t { data: std::ptr::null(), length: 0 }; FEW];
        for (to, payload) in slices.iter_mut().zip(payloads) {
            *to = slice(payload);
        }
        self.publish_slices(&slices[..payloads.len()], before)
    }

    /// The same, each payload with a time stamp of its own, as of [`publish_at`](Self::publish_at).
    ///
    /// # Errors
    /// As [`publish_at`](Self::publish_at); [`Error::outcome`] says how many were taken, the first ones.
    pub fn publish_batch_at<T: AsRef<[u8]>>(&mut self, payloads: &[(u64, T)]) -> Result<u64> {
        let (mut times, mut slices) = (Vec::with_capacity(payloads.len()), Vec::with_capacity(payloads.len()));
        for (timestamp_ns, payload) in payloads {
            let payload = payload.as_ref();
            times.push(*timestamp_ns);
            slices.push(sys::hermes_slice_t { data: payload.as_ptr().cast(), length: payload.len() });
        }
        self.publish_in_parts(slices.len(), self.accepted(), |raw, done| {
            // SAFETY: alive, and ours alone; as many times and slices as we say.
            unsafe {
                let (times, slices) = (times[done..].as_ptr(), &slices[done..]);
                sys::hermes_publish_batch_at(raw, times, slices.as_ptr(), slices.len())
            }
        })
    }

    /// As [`publish_batch`](Self::publish_batch) for an iterator, 64 at a time.
    ///
    /// # Errors
    /// As [`publish_batch`](Self::publish_batch): of all that the iterator gave. What it gave and was not taken, at most
    /// 64, is gone.
    pub fn publish_all<I>(&mut self, payloads: I) -> Result<u64>
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        let mut payloads = payloads.into_iter();
        let mut batch = Vec::with_capacity(64);
        let (mut published, before) = (0, self.accepted());
        loop {
            batch.clear();
            batch.extend(payloads.by_ref().take(64));
            if batch.is_empty() {
                return Ok(published);
            }
            published += self.publish_some(&batch, before)?;
        }
    }

    /// The slices point to what outlives the call.
    fn publish_slices(&mut self, slices: &[sys::hermes_slice_t], before: u64) -> Result<u64> {
        self.publish_in_parts(slices.len(), before, |raw, done| {
            // SAFETY: alive, and ours alone; as many slices as we say.
            unsafe { sys::hermes_publish_batch(raw, slices[done..].as_ptr(), slices.len() - done) }
        })
    }

    /// As often as a batch of `count` ends early: `publish` goes on behind those that are done.
    fn publish_in_parts(
        &mut self,
        count: usize,
        before: u64,
        publish: impl Fn(*mut sys::hermes_publisher_t, usize) -> i64,
    ) -> Result<u64> {
        let mut done = 0;
        while done < count {
            let rc = publish(self.raw.as_ptr(), done);
            if rc < 0 {
                return Err(self.failed_among(rc as i32, before));
            }
            done += rc as usize;
        }
        Ok(done as u64)
    }

    /// Room for `length` bytes in the log itself, to be written in place and committed.
    ///
    /// ```no_run
    /// # let mut publisher = hermes_msg::Client::connect()?.publisher("quotes")?;
    /// let mut claim = publisher.claim(8)?;
    /// claim.copy_from_slice(&1.5f64.to_le_bytes());
    /// claim.commit()?;
    /// # Ok::<(), hermes_msg::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn claim(&mut self, length: usize) -> Result<Claim<'_>> {
        let mut room: *mut c_void = std::ptr::null_mut();
        // SAFETY: alive, and ours alone. One that was leaked is still open: abort it.
        let rc = unsafe {
            sys::hermes_abort(self.raw.as_ptr());
            sys::hermes_claim(self.raw.as_ptr(), length, &mut room)
        };
        if rc < 0 {
            return self.failed(rc, 0);
        }
        Ok(Claim { publisher: self, room: NonNull::new(room.cast()).expect("claimed"), length })
    }

    /// Waits up to `timeout` until everything published so far is that, however long a broker is away. A signal does not
    /// end it. To wait again does nothing twice.
    ///
    /// # Errors
    /// [`Timeout`](crate::Error::Timeout); [`Fenced`](crate::Error::Fenced), [`Closed`](crate::Error::Closed): not
    /// everything will be; [`Io`](crate::Error::Io): the store failed;
    /// [`NotSupported`](crate::Error::NotSupported): a memory topic is never durable.
    pub fn wait(&mut self, confirmation: Confirmation, timeout: Duration) -> Result<()> {
        // SAFETY: alive, and ours alone.
        let rc =
            unsafe { sys::hermes_publisher_wait(self.raw.as_ptr(), confirmation.raw(), crate::nanoseconds(timeout)) };
        self.session.check(rc).map(drop)
    }

    /// Waits until the message that [`publish`](Self::publish) numbered so is that.
    ///
    /// # Errors
    /// As [`wait`](Self::wait); [`InvalidArgument`](crate::Error::InvalidArgument): it was not published yet.
    pub fn wait_for(&mut self, sequence: u64, confirmation: Confirmation, timeout: Duration) -> Result<()> {
        // SAFETY: alive, and ours alone.
        let rc = unsafe {
            sys::hermes_publisher_wait_for(self.raw.as_ptr(), sequence, confirmation.raw(), crate::nanoseconds(timeout))
        };
        self.session.check(rc).map(drop)
    }

    /// Up to which of this publisher's messages is that? A few loads.
    pub fn confirmed(&mut self, confirmation: Confirmation) -> u64 {
        // SAFETY: alive, and ours alone.
        unsafe { sys::hermes_publisher_confirmed(self.raw.as_ptr(), confirmation.raw()) }
    }

    /// The last sequence in the topic, as far as this publisher knows.
    pub fn sequence(&self) -> u64 {
        // SAFETY: alive, and ours alone.
        unsafe { sys::hermes_publisher_sequence(self.raw.as_ptr()) }
    }

    /// How many messages were taken, all in all: they stand in the topic, or wait to go in. What was refused or fenced
    /// does not count.
    pub fn accepted(&self) -> u64 {
        // SAFETY: alive, and ours alone.
        unsafe { sys::hermes_publisher_accepted(self.raw.as_ptr()) }
    }

    /// Waits, as long as [`publish`](Self::publish) would, until all that was taken is in the topic, and closes the
    /// publisher. Dropping it does the same, and says nothing.
    ///
    /// # Errors
    /// [`Timeout`](crate::Error::Timeout): not all messages are in. The sentence says what becomes of them: they are left
    /// to the broker, or lost with this publisher. [`Error::outcome`] has how many they are.
    pub fn close(self) -> Result<()> {
        // SAFETY: alive, and ours alone; nobody has the handle after this.
        let missing = unsafe { sys::hermes_publisher_close(self.raw.as_ptr()) };
        if missing > 0 {
            let outcome = Outcome::Pending { taken: missing as u64, sequence: None };
            return Err(self.session.error(sys::HERMES_ETIMEOUT).with_outcome(outcome));
        }
        Ok(())
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("topic", &self.topic)
            .field("accepted", &self.accepted())
            .field("sequence", &self.sequence())
            .finish()
    }
}

/// Room for one message in the log. Dropped, it is aborted: nothing is published.
///
/// ```compile_fail
/// # let mut publisher = hermes_msg::Client::connect()?.publisher("quotes")?;
/// let claim = publisher.claim(8)?;
/// publisher.publish(b"not while it is open")?;
/// claim.commit()?;
/// # Ok::<(), hermes_msg::Error>(())
/// ```
pub struct Claim<'a> {
    publisher: &'a mut Publisher,
    room: NonNull<u8>,
    length: usize,
}

impl Claim<'_> {
    /// Publishes what was written; its sequence.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub fn commit(self) -> Result<u64> {
        let mut sequence = 0;
        // SAFETY: the claim is open: nobody but us can have ended it.
        let rc = unsafe { sys::hermes_commit(self.publisher.raw.as_ptr(), &mut sequence) };
        if rc < 0 {
            return self.publisher.failed(rc, sequence);
        }
        Ok(sequence) // the abort of drop() finds nothing to do
    }

    /// The same with a time stamp as of [`Publisher::publish_at`].
    ///
    /// # Errors
    /// As [`Publisher::publish_at`]; nothing was published if it is no time stamp.
    pub fn commit_at(self, timestamp_ns: u64) -> Result<u64> {
        let mut sequence = 0;
        // SAFETY: the claim is open: nobody but us can have ended it.
        let rc = unsafe { sys::hermes_commit_at(self.publisher.raw.as_ptr(), timestamp_ns, &mut sequence) };
        if rc < 0 {
            return self.publisher.failed(rc, sequence);
        }
        Ok(sequence) // the abort of drop() finds nothing to do
    }

    /// The same as dropping it.
    pub fn abort(self) {}
}

impl fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("publisher", &self.publisher).field("length", &self.length).finish()
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        // SAFETY: alive, and ours alone; nothing happens if it was committed.
        unsafe { sys::hermes_abort(self.publisher.raw.as_ptr()) }
    }
}

impl Deref for Claim<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the room is ours until commit or abort; its bytes were written before, by the window's owner.
        unsafe { std::slice::from_raw_parts(self.room.as_ptr(), self.length) }
    }
}

impl DerefMut for Claim<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as deref(); readers look only at what is committed.
        unsafe { std::slice::from_raw_parts_mut(self.room.as_ptr(), self.length) }
    }
}
