//! crossbeam's ArrayQueue: the same work as peer.hpp and mpmc.cpp.

use crossbeam_queue::ArrayQueue;
use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const CAPACITY: usize = 4096;

extern "C" {
    fn sched_setaffinity(pid: i32, bytes: usize, mask: *const u64) -> i32;
}

fn pin(cpu: u32) {
    let mask = [1u64 << cpu, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: a CPU set of 128 bytes, as the C library has it.
    unsafe { sched_setaffinity(0, 128, mask.as_ptr()) };
}

fn idle(turns: &mut u32) {
    *turns += 1;
    if *turns % 64 == 0 {
        std::thread::yield_now();
    } else {
        spin_loop();
    }
}

fn median(mut times: Vec<u64>, share: usize) -> f64 {
    times.sort_unstable();
    times[times.len() * share / 100] as f64
}

fn clock_cost() -> f64 {
    median((0..10000).map(|_| Instant::now().elapsed().as_nanos() as u64).collect(), 50)
}

#[repr(align(128))]
struct Line(AtomicU64);

fn line_rtt() -> f64 {
    const ROUNDS: u64 = 20000;
    let mut best = f64::MAX;
    for paused in [false, true] {
        let (ping, pong) = (Line(AtomicU64::new(0)), Line(AtomicU64::new(0)));
        let wait = |line: &Line, value| {
            while line.0.load(Ordering::Acquire) != value {
                if paused {
                    spin_loop();
                }
            }
        };
        let times = std::thread::scope(|scope| {
            scope.spawn(|| {
                pin(1);
                for i in 1..=ROUNDS {
                    wait(&ping, i);
                    pong.0.store(i, Ordering::Release);
                }
            });
            pin(0);
            (1..=ROUNDS)
                .map(|i| {
                    let start = Instant::now();
                    ping.0.store(i, Ordering::Release);
                    wait(&pong, i);
                    start.elapsed().as_nanos() as u64
                })
                .collect()
        });
        best = best.min(median(times, 50));
    }
    best - clock_cost()
}

/// Runs measure between two looks at the line, again, up to eight times, where they differ by more than a fifth; the
/// end of a result.
fn beside_the_line(mut measure: impl FnMut()) -> String {
    let mut thrown_away = 0;
    loop {
        let before = line_rtt();
        measure();
        let after = line_rtt();
        let steady = before.max(after) <= 1.2 * before.min(after);
        thrown_away += i32::from(!steady);
        if steady || thrown_away == 8 {
            return format!(
                "\"line_before_ns\":{before:.0},\"line_after_ns\":{after:.0},\"thrown_away\":{thrown_away}"
            );
        }
    }
}

/// bench/compare.py --scale PERCENT.
fn scaled(work: u64) -> u64 {
    let percent = std::env::var("HERMES_BENCH_SCALE").ok().and_then(|percent| percent.parse().ok());
    (work * percent.unwrap_or(100) / 100).max(100)
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
