//! crossbeam's ArrayQueue: the same work as peer.hpp and mpmc.cpp.

#[path = "../../peer.rs"]
mod peer;

use crossbeam_queue::ArrayQueue;
use peer::{beside_the_line, clock_cost, median, pin, scaled};
use std::hint::{black_box, spin_loop};
use std::time::Instant;

const CAPACITY: usize = 4096;

fn idle(turns: &mut u32) {
    *turns += 1;
    if *turns % 64 == 0 {
        std::thread::yield_now();
    } else {
        spin_loop();
    }
}

fn all<const WORDS: usize>(first: &mut bool) {
    let size = WORDS * 8;
    let mut row = |what: &str, rest: String| {
        let comma = if std::mem::take(first) { "" } else { ",\n" };
        print!("{comma}{{\"name\":\"crossbeam ArrayQueue {what}\",\"size_bytes\":{size},{rest}}}");
    };
    let element = |i: u64| {
        let mut words = [0u64; WORDS];
        words[0] = i;
        words
    };
    let read = |words: [u64; WORDS]| black_box(words.iter().fold(0u64, |sum, word| sum.wrapping_add(*word)));

    let count = scaled(10_000_000);
    let queue = ArrayQueue::new(CAPACITY);
    let start = Instant::now();
    for i in 0..count {
        let _ = queue.push(element(i));
        read(queue.pop().unwrap());
    }
    let ns = start.elapsed().as_nanos() as f64 / count as f64;
    row("push+pop, one thread", format!("\"ns_per_operation\":{ns:.3}"));

    let produce = |queue: &ArrayQueue<[u64; WORDS]>, cpu, count| {
        pin(cpu);
        let mut turns = 0;
        for i in 0..count {
            while queue.push(element(i)).is_err() {
                idle(&mut turns);
            }
        }
    };
    let consume = |queue: &ArrayQueue<[u64; WORDS]>, cpu, count| {
        pin(cpu);
        let mut turns = 0;
        for _ in 0..count {
            loop {
                if let Some(words) = queue.pop() {
                    read(words);
                    break;
                }
                idle(&mut turns);
            }
        }
    };
    for (what, sides, count) in
        [("across cores, one at a time", 1, scaled(10_000_000)), ("two and two on two cores", 2, scaled(5_000_000))]
    {
        let mut rate = 0.0;
        let line = beside_the_line(|| {
            let queue = ArrayQueue::new(CAPACITY);
            let start = Instant::now();
            std::thread::scope(|scope| {
                scope.spawn(|| produce(&queue, 1, count));
                if sides == 2 {
                    scope.spawn(|| produce(&queue, 0, count));
                    scope.spawn(|| consume(&queue, 1, count));
                }
                consume(&queue, 0, count);
            });
            rate = sides as f64 * count as f64 / start.elapsed().as_secs_f64();
        });
        row(what, format!("\"messages_per_second\":{rate:.0},{line}"));
    }

    let rounds = scaled(100_000);
    let mut times = Vec::new();
    let line = beside_the_line(|| {
        let (there, back) = (ArrayQueue::new(CAPACITY), ArrayQueue::new(CAPACITY));
        let wait = |queue: &ArrayQueue<[u64; WORDS]>| loop {
            if let Some(words) = queue.pop() {
                read(words);
                return words;
            }
            spin_loop();
        };
        times = std::thread::scope(|scope| {
            scope.spawn(|| {
                pin(1);
                for _ in 0..rounds {
                    let _ = back.push(wait(&there));
                }
            });
            pin(0);
            (0..rounds)
                .map(|i| {
                    let start = Instant::now();
                    let _ = there.push(element(i));
                    wait(&back);
                    start.elapsed().as_nanos() as u64
                })
                .collect::<Vec<u64>>()
        });
    });
    let (p50, p99) = (median(times.clone(), 50) - clock_cost(), median(times, 99) - clock_cost());
    row("round trip", format!("\"rtt_p50_ns\":{p50:.0},\"rtt_p99_ns\":{p99:.0},{line}"));
}

fn main() {
    println!("{{\"results\":[");
    let mut first = true;
    all::<1>(&mut first);
    all::<8>(&mut first);
    println!("]}}");
}
