//! A lock-free ring between one producer thread and one consumer thread of this process: Lamport's ring, as in
//! `hermes/spsc.h`, with head and tail on cache lines of their own, and a copy of the other side's index on each side.
//!
//! ```
//! use hermes_msg::SpscRing;
//! let (mut producer, mut consumer) = SpscRing::<u64>::new(1024)?.split();
//! let thread = std::thread::spawn(move || {
//!     for number in 1..=1000 {
//!         while !producer.push(number) && !producer.is_abandoned() {
//!             std::hint::spin_loop();
//!         }
//!     }
//! });
//! let mut sum = 0;
//! loop {
//!     match consumer.pop() {
//!         Some(number) => sum += number,
//!         None if consumer.is_abandoned() => break, // and nothing is left: it looks again
//!         None => std::hint::spin_loop(),
//!     }
//! }
//! assert_eq!(sum, 500_500);
//! # thread.join().unwrap();
//! # Ok::<(), hermes_msg::Error>(())
//! ```

use crate::error::{Error, Result};
use crate::sync::{Arc, AtomicBool, AtomicUsize, Ordering, UnsafeCell};
use std::fmt;
use std::mem::MaybeUninit;

/// Two cache lines: neighbours are fetched in pairs by common prefetchers.
#[repr(align(128))]
struct Line<T>(T);

struct Shared<T> {
    /// Next element to be written; stored by the producer alone.
    head: Line<AtomicUsize>,
    /// Next element to be read; stored by the consumer alone.
    tail: Line<AtomicUsize>,
    producer_is_gone: Line<AtomicBool>,
    consumer_is_gone: AtomicBool,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: a slot is written by the one producer while it lies from head to tail + capacity, and read by the one consumer
// while it lies from tail to head; the release and acquire of head and tail hand it over.
unsafe impl<T: Send> Sync for Shared<T> {}
unsafe impl<T: Send> Send for Shared<T> {}

impl<T: Copy> Shared<T> {
    #[inline]
    fn slot(&self, index: usize) -> &UnsafeCell<MaybeUninit<T>> {
        let at = index & (self.slots.len() - 1);
        // SAFETY: the length is a power of two.
        unsafe { self.slots.get_unchecked(at) }
    }

    /// # Safety
    /// The slot is the producer's.
    #[inline]
    unsafe fn write(&self, index: usize, element: T) {
        self.slot(index).with_mut(|slot| unsafe { slot.write(MaybeUninit::new(element)) });
    }

    /// # Safety
    /// The slot is the consumer's, and was written.
    #[inline]
    unsafe fn read(&self, index: usize) -> T {
        self.slot(index).with(|slot| unsafe { (*slot).assume_init() })
    }
}

/// Room for so many, of which nothing is touched. `None`: there is no memory for them.
fn slots<T>(capacity: usize) -> Option<Box<[UnsafeCell<MaybeUninit<T>>]>> {
    let mut slots = Vec::new();
    slots.try_reserve_exact(capacity).ok()?;
    slots.extend((0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())));
    Some(slots.into_boxed_slice())
}

/// An empty ring, to be [split](SpscRing::split).
pub struct SpscRing<T: Copy> {
    shared: Arc<Shared<T>>,
}

/// The end that writes. [`Send`], not [`Sync`].
pub struct Producer<T: Copy> {
    shared: Arc<Shared<T>>,
    head: usize,
    /// It may go up to here: the consumer's index when last looked at, and a lap.
    limit: usize,
    _not_sync: std::marker::PhantomData<std::cell::Cell<()>>,
}

/// The end that reads. [`Send`], not [`Sync`].
pub struct Consumer<T: Copy> {
    shared: Arc<Shared<T>>,
    tail: usize,
    /// The producer's index when last looked at.
    head: usize,
    _not_sync: std::marker::PhantomData<std::cell::Cell<()>>,
}

impl<T: Copy> SpscRing<T> {
    /// Room for `capacity` elements, a power of two from 2 on.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`]; [`Error::OutOfMemory`].
    pub fn new(capacity: usize) -> Result<SpscRing<T>> {
        if !capacity.is_power_of_two() || capacity < 2 {
            let sentence = format!("a ring of {capacity} elements: it must be a power of two, 2 or more");
            return Err(Error::InvalidArgument(sentence.into()));
        }
        let Some(slots) = slots(capacity) else {
            return Err(Error::OutOfMemory(format!("a ring of {capacity} elements").into()));
        };
        let shared = Shared {
            head: Line(AtomicUsize::new(0)),
            tail: Line(AtomicUsize::new(0)),
            producer_is_gone: Line(AtomicBool::new(false)),
            consumer_is_gone: AtomicBool::new(false),
            slots,
        };
        Ok(SpscRing { shared: Arc::new(shared) })
    }

    /// Its two ends, one for each thread.
    pub fn split(self) -> (Producer<T>, Consumer<T>) {
        let capacity = self.shared.slots.len();
        (
            Producer { shared: self.shared.clone(), head: 0, limit: capacity, _not_sync: Default::default() },
            Consumer { shared: self.shared, tail: 0, head: 0, _not_sync: Default::default() },
        )
    }
}

impl<T: Copy> Producer<T> {
    #[inline]
    fn room(&mut self, wanted: usize) -> usize {
        let room = self.limit.wrapping_sub(self.head);
        if room >= wanted {
            return room;
        }
        // Acquire pairs with the consumer's release of tail: its reads of the slots are done.
        self.limit = self.shared.tail.0.load(Ordering::Acquire).wrapping_add(self.shared.slots.len());
        self.limit.wrapping_sub(self.head)
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        self.head = self.head.wrapping_add(count);
        // Release pairs with the consumer's acquire of head: the slots are written.
        self.shared.head.0.store(self.head, Ordering::Release);
    }

    /// `false`: full.
    #[inline]
    pub fn push(&mut self, element: T) -> bool {
        if self.room(1) == 0 {
            return false;
        }
        // SAFETY: there is room: the slot is the producer's.
        unsafe { self.shared.write(self.head, element) };
        self.advance(1);
        true
    }

    /// Pushes as many as there is room for, visible all at once; returns how many.
    pub fn push_slice(&mut self, elements: &[T]) -> usize {
        let count = elements.len().min(self.room(elements.len()));
        for (i, element) in elements[..count].iter().enumerate() {
            // SAFETY: as push().
            unsafe { self.shared.write(self.head.wrapping_add(i), *element) };
        }
        if count > 0 {
            self.advance(count);
        }
        count
    }

    /// Elements that the ring has room for altogether.
    pub fn capacity(&self) -> usize {
        self.shared.slots.len()
    }

    /// Whether the consumer is gone: nobody pops any more.
    pub fn is_abandoned(&self) -> bool {
        // Nothing is read for it that the consumer wrote.
        self.shared.consumer_is_gone.load(Ordering::Relaxed)
    }
}

impl<T: Copy> Drop for Producer<T> {
    fn drop(&mut self) {
        // Release pairs with the acquire in Consumer::is_abandoned(): all that was pushed is seen by then.
        self.shared.producer_is_gone.0.store(true, Ordering::Release);
    }
}

impl<T: Copy> Consumer<T> {
    #[inline]
    fn ready(&mut self, wanted: usize) -> usize {
        let ready = self.head.wrapping_sub(self.tail);
        if ready >= wanted {
            return ready;
        }
        // Acquire pairs with the producer's release of head: the slots are written.
        self.head = self.shared.head.0.load(Ordering::Acquire);
        self.head.wrapping_sub(self.tail)
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        self.tail = self.tail.wrapping_add(count);
        // Release pairs with the producer's acquire of tail: the slots are read.
        self.shared.tail.0.store(self.tail, Ordering::Release);
    }

    /// The next element, if there is one.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.ready(1) == 0 {
            return None;
        }
        // SAFETY: it is ready: the slot is the consumer's, and was written.
        let element = unsafe { self.shared.read(self.tail) };
        self.advance(1);
        Some(element)
    }

    /// Fills the front of `elements` with what there is; returns how many.
    pub fn pop_slice(&mut self, elements: &mut [T]) -> usize {
        let count = elements.len().min(self.ready(elements.len()));
        for (i, element) in elements[..count].iter_mut().enumerate() {
            // SAFETY: as pop().
            *element = unsafe { self.shared.read(self.tail.wrapping_add(i)) };
        }
        if count > 0 {
            self.advance(count);
        }
        count
    }

    /// Elements that the ring has room for altogether.
    pub fn capacity(&self) -> usize {
        self.shared.slots.len()
    }

    /// Whether the producer is gone, and all that it pushed was popped: nothing comes any more. It looks at the ring
    /// itself, after it has seen that the producer is gone; so a [`pop`](Self::pop) that had nothing just before may be
    /// followed by this, and nothing is lost.
    pub fn is_abandoned(&self) -> bool {
        // Acquire pairs with the release in Producer's drop(): the head that is looked at next is its last.
        self.shared.producer_is_gone.0.load(Ordering::Acquire)
            && self.shared.head.0.load(Ordering::Relaxed) == self.tail
    }
}

impl<T: Copy> Drop for Consumer<T> {
    fn drop(&mut self) {
        self.shared.consumer_is_gone.store(true, Ordering::Relaxed);
    }
}

impl<T: Copy> fmt::Debug for SpscRing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpscRing").field("capacity", &self.shared.slots.len()).finish()
    }
}

impl<T: Copy> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: a number to look at.
        let waiting = self.head.wrapping_sub(self.shared.tail.0.load(Ordering::Relaxed));
        f.debug_struct("Producer")
            .field("capacity", &self.capacity())
            .field("waiting", &waiting)
            .field("is_abandoned", &self.is_abandoned())
            .finish()
    }
}

impl<T: Copy> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: a number to look at.
        let waiting = self.shared.head.0.load(Ordering::Relaxed).wrapping_sub(self.tail);
        f.debug_struct("Consumer")
            .field("capacity", &self.capacity())
            .field("waiting", &waiting)
            .field("is_abandoned", &self.is_abandoned())
            .finish()
    }
}
