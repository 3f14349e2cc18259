//! A lock-free ring between one producer thread and one consumer thread of this process: Lamport's ring, as in
//! `hermes/spsc.h`, with head and tail on cache lines of their own, and a copy of the other side's index on each side.
//!
//! ```
//! use hermes_msg::SpscRing;
//! let (mut producer, mut consumer) = SpscRing::<u64>::new(1024)?.split();
//! std::thread::spawn(move || while !producer.push(7) {});
//! while consumer.pop() != Some(7) {
//!     std::hint::spin_loop();
//! }
//! # Ok::<(), hermes_msg::Error>(())
//! ```

use crate::error::{Error, Result};
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// Two cache lines: neighbours are fetched in pairs by common prefetchers.
#[repr(align(128))]
struct Line<T>(T);

struct Shared<T> {
    /// Next element to be written; stored by the producer alone.
    head: Line<AtomicUsize>,
    /// Next element to be read; stored by the consumer alone.
    tail: Line<AtomicUsize>,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: a slot is written by the one producer while it lies from head to tail + capacity, and read by the one consumer
// while it lies from tail to head; the release and acquire of head and tail hand it over.
unsafe impl<T: Send> Sync for Shared<T> {}
unsafe impl<T: Send> Send for Shared<T> {}

impl<T> Shared<T> {
    fn slot(&self, index: usize) -> *mut T {
        let at = index & (self.slots.len() - 1);
        // SAFETY: the length is a power of two.
        unsafe { self.slots.get_unchecked(at) }.get().cast()
    }
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
    /// [`Error::InvalidArgument`].
    pub fn new(capacity: usize) -> Result<SpscRing<T>> {
        if !capacity.is_power_of_two() || capacity < 2 {
            let sentence = format!("a ring of {capacity} elements: it must be a power of two, 2 or more");
            return Err(Error::InvalidArgument(sentence));
        }
        let slots = (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect();
        let shared = Shared { head: Line(AtomicUsize::new(0)), tail: Line(AtomicUsize::new(0)), slots };
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
        // SAFETY: the slot is the producer's: see Shared.
        unsafe { self.shared.slot(self.head).write(element) };
        self.advance(1);
        true
    }

    /// Pushes as many as there is room for, visible all at once; returns how many.
    pub fn push_slice(&mut self, elements: &[T]) -> usize {
        let count = elements.len().min(self.room(elements.len()));
        for (i, element) in elements[..count].iter().enumerate() {
            // SAFETY: as push().
            unsafe { self.shared.slot(self.head.wrapping_add(i)).write(*element) };
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

    /// Whether the consumer is gone.
    pub fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
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
        // SAFETY: the slot is the consumer's, and was written: see Shared.
        let element = unsafe { self.shared.slot(self.tail).read() };
        self.advance(1);
        Some(element)
    }

    /// Fills the front of `elements` with what there is; returns how many.
    pub fn pop_slice(&mut self, elements: &mut [T]) -> usize {
        let count = elements.len().min(self.ready(elements.len()));
        for (i, element) in elements[..count].iter_mut().enumerate() {
            // SAFETY: as pop().
            *element = unsafe { self.shared.slot(self.tail.wrapping_add(i)).read() };
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

    /// Whether the producer is gone; what it pushed is still there.
    pub fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_sizes_that_are_none() {
        for capacity in [0, 1, 3, 1000, usize::MAX] {
            assert!(matches!(SpscRing::<u8>::new(capacity), Err(Error::InvalidArgument(_))));
        }
    }

    #[test]
    fn fills_and_empties() {
        let (mut producer, mut consumer) = SpscRing::<(u8, u64)>::new(4).unwrap().split();
        for lap in 0..10u64 {
            assert_eq!(consumer.pop(), None);
            for i in 0..4 {
                assert!(producer.push((1, lap * 4 + i)));
            }
            assert!(!producer.push((1, 99)));
            for i in 0..4 {
                assert_eq!(consumer.pop(), Some((1, lap * 4 + i)));
            }
        }
        assert_eq!(producer.push_slice(&[(2, 0); 7]), 4);
        let mut out = [(0, 0); 7];
        assert_eq!(consumer.pop_slice(&mut out[..3]), 3);
        assert_eq!(producer.push_slice(&[(3, 1); 7]), 3);
        assert_eq!(consumer.pop_slice(&mut out), 4);
        assert_eq!(out[..4], [(2, 0), (3, 1), (3, 1), (3, 1)]);
        drop(producer);
        assert!(consumer.is_abandoned() && consumer.pop_slice(&mut out) == 0);
    }

    #[test]
    fn hands_over_between_threads() {
        let count = if cfg!(miri) { 500u64 } else { 2_000_000 };
        let (mut producer, mut consumer) = SpscRing::<[u64; 3]>::new(64).unwrap().split();
        let thread = std::thread::spawn(move || {
            let mut next = 0;
            while next < count {
                if next % 3 == 0 {
                    let batch: Vec<[u64; 3]> = (next..(next + 7).min(count)).map(|i| [i, !i, i * 3]).collect();
                    next += producer.push_slice(&batch) as u64;
                } else if producer.push([next, !next, next * 3]) {
                    next += 1;
                }
                std::hint::spin_loop();
            }
        });
        let mut expected = 0;
        let mut out = [[0; 3]; 5];
        while expected < count {
            let got = consumer.pop_slice(&mut out);
            for element in &out[..got] {
                assert_eq!(*element, [expected, !expected, expected * 3]);
                expected += 1;
            }
            if got == 0 {
                std::thread::yield_now();
            }
        }
        thread.join().unwrap();
    }
}
