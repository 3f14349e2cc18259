//! The ring of `hermes-msg`, its very source, on loom instead of the machine: every interleaving of its two ends, and every
//! value that the memory model lets a load see, of a small ring and a few elements. What its orderings do not forbid is found
//! here, whatever the processor that runs it would do.
#![cfg(test)]

#[path = "../../hermes-msg/src/spsc.rs"]
#[allow(dead_code)]
mod spsc;

mod sync {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    pub(crate) use loom::sync::Arc;
}

mod error {
    pub(crate) type Result<T> = std::result::Result<T, Error>;

    #[derive(Debug)]
    pub(crate) struct Details;

    impl From<String> for Details {
        fn from(_sentence: String) -> Details {
            Details
        }
    }

    #[derive(Debug)]
    #[allow(dead_code)]
    pub(crate) enum Error {
        InvalidArgument(Details),
        OutOfMemory(Details),
    }
}

use loom::thread;
use spsc::{Consumer, Producer, SpscRing};

/// Threads that are interrupted so often where they need not be: more costs minutes, and found no more.
const PREEMPTIONS: usize = 3;

fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(check);
}

/// Two words: a torn one is seen.
type Element = [u64; 2];

fn element(number: u64) -> Element {
    [number, !number]
}

fn ring() -> (Producer<Element>, Consumer<Element>) {
    SpscRing::new(2).unwrap().split()
}

/// Until the producer is gone and nothing is left; it must be all, in order.
fn expect_all(mut consumer: Consumer<Element>, last: u64) {
    let mut expected = 1;
    loop {
        match consumer.pop() {
            Some(popped) => {
                assert_eq!(popped, element(expected));
                expected += 1;
            }
            None if consumer.is_abandoned() => break,
            None => thread::yield_now(),
        }
    }
    assert_eq!(expected, last + 1);
}

#[test]
fn all_that_was_pushed_is_popped_in_order_and_then_it_is_abandoned() {
    model(|| {
        let (mut producer, consumer) = ring();
        let pushing = thread::spawn(move || {
            for number in 1..=3 {
                while !producer.push(element(number)) {
                    thread::yield_now();
                }
            }
        });
        expect_all(consumer, 3);
        pushing.join().unwrap();
    });
}

#[test]
fn what_is_pushed_together_is_popped_together_or_not_at_all() {
    model(|| {
        let (mut producer, mut consumer) = ring();
        let pushing = thread::spawn(move || {
            assert_eq!(producer.push_slice(&[element(1), element(2)]), 2);
            producer.push_slice(&[element(3), element(4), element(5)]) as u64
        });
        let mut popped = [element(0); 3];
        let count = consumer.pop_slice(&mut popped);
        assert!(count == 0 || count == 2);
        let pushed = pushing.join().unwrap();
        let rest = consumer.pop_slice(&mut popped[count..]);
        let expected: Vec<Element> = (1..=2 + pushed).map(element).collect();
        assert_eq!(popped[..count + rest], expected[..(count + rest).min(expected.len())]);
        assert_eq!(count + rest, expected.len().min(3));
    });
}

#[test]
fn who_pushes_stops_once_nobody_pops() {
    model(|| {
        let (mut producer, mut consumer) = ring();
        let popping = thread::spawn(move || consumer.pop());
        let mut number = 1;
        while !producer.is_abandoned() {
            if producer.push(element(number)) {
                number += 1;
            } else {
                thread::yield_now();
            }
        }
        let popped = popping.join().unwrap();
        assert!(popped.is_none() || popped == Some(element(1)));
    });
}
