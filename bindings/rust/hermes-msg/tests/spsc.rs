//! The ring as its users see it. Every interleaving of it: `bindings/rust/model`.

use hermes_msg::{Error, SpscRing};

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
fn what_there_is_no_memory_for_is_an_error() {
    for capacity in [1 << 61, 1 << (usize::BITS - 1)] {
        assert!(matches!(SpscRing::<u64>::new(capacity), Err(Error::OutOfMemory(_))));
    }
}

#[test]
fn who_leaves_when_the_producer_has_left_has_it_all() {
    for round in 0..if cfg!(miri) { 20 } else { 3000u64 } {
        let (mut producer, mut consumer) = SpscRing::<u64>::new(4).unwrap().split();
        let thread = std::thread::spawn(move || assert!(producer.push(round)));
        let mut last = None;
        loop {
            match consumer.pop() {
                Some(element) => last = Some(element),
                None if consumer.is_abandoned() => break,
                None => std::thread::yield_now(),
            }
        }
        assert_eq!(last, Some(round));
        thread.join().unwrap();
    }
}

#[test]
fn who_pushes_learns_that_nobody_pops() {
    let (mut producer, consumer) = SpscRing::<u8>::new(2).unwrap().split();
    assert!(producer.push(1) && !producer.is_abandoned());
    drop(consumer);
    assert!(producer.is_abandoned());
}

#[test]
fn both_ends_say_how_they_are() {
    let ring = SpscRing::<u8>::new(8).unwrap();
    assert_eq!(format!("{ring:?}"), "SpscRing { capacity: 8 }");
    let (mut producer, consumer) = ring.split();
    assert!(producer.push(1));
    assert_eq!(format!("{producer:?}"), "Producer { capacity: 8, waiting: 1, is_abandoned: false }");
    drop(producer);
    assert_eq!(format!("{consumer:?}"), "Consumer { capacity: 8, waiting: 1, is_abandoned: false }");
}

#[test]
fn hands_over_between_threads() {
    let count = if cfg!(miri) { 500u64 } else { 500_000 };
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
            std::thread::yield_now();
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
