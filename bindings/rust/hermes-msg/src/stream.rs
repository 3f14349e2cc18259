//! A subscriber as a stream, on tokio.

use crate::error::{Error, Result};
use crate::message::OwnedMessage;
use crate::subscriber::Subscriber;
use futures_core::Stream;
use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{ready, Context, Poll};
use tokio::io::unix::AsyncFd;
use tokio::io::Interest;

/// Messages that are handed out before other tasks get their turn.
const FAIR: u32 = 64;

/// The messages of a topic as they come. Ends when the topic is deleted. Made by [`Subscriber::into_stream`].
///
/// It sleeps by a descriptor; a parked thread of the library turns the broker's wake-ups into that.
#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
pub struct MessageStream {
    descriptor: AsyncFd<OwnedFd>, // a duplicate of the subscriber's
    subscriber: Subscriber,
    armed: bool,
    turn: u32,
}

impl Subscriber {
    /// A [`Stream`] on the current tokio runtime.
    ///
    /// # Errors
    /// [`Error::NotSupported`]: Linux before 5.16. [`Error::Io`]: the runtime takes no descriptors.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its I/O driver enabled.
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn into_stream(mut self) -> Result<MessageStream> {
        // SAFETY: open as long as the subscriber, which is ours.
        let descriptor = unsafe { BorrowedFd::borrow_raw(self.event_fd()?) };
        #[allow(deprecated)] // sound with an OwnedFd; its successor is not in all of tokio 1
        let descriptor = descriptor
            .try_clone_to_owned()
            .and_then(|fd| AsyncFd::with_interest(fd, Interest::READABLE))
            .map_err(|e| Error::Io(e.to_string().into()))?;
        Ok(MessageStream { descriptor, subscriber: self, armed: false, turn: 0 })
    }
}

impl fmt::Debug for MessageStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageStream").field("subscriber", &self.subscriber).field("sleeps", &self.armed).finish()
    }
}

impl Stream for MessageStream {
    type Item = Result<OwnedMessage>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<OwnedMessage>>> {
        let this = self.get_mut();
        loop {
            if this.armed {
                match ready!(this.descriptor.poll_read_ready(context)) {
                    Ok(mut guard) => guard.clear_ready(),
                    Err(e) => return Poll::Ready(Some(Err(Error::Io(e.to_string().into())))),
                }
                this.armed = false;
                this.turn = 0;
            }
            this.turn += 1;
            if this.turn % FAIR == 0 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            match this.subscriber.poll() {
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message.to_owned()))),
                Ok(None) | Err(Error::Disconnected(_)) => match this.subscriber.arm() {
                    Ok(armed) => this.armed = armed,
                    Err(e) => return Poll::Ready(Some(Err(e))),
                },
                Err(Error::Closed(_)) => return Poll::Ready(None),
                Err(e) => return Poll::Ready(Some(Err(e))),
            }
        }
    }
}
