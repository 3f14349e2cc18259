//! What the peers in Rust share: as peer.hpp has it.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

extern "C" {
    fn sched_setaffinity(pid: i32, bytes: usize, mask: *const u64) -> i32;
}

pub fn pin(cpu: u32) {
    let mask = [1u64 << cpu, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: a CPU set of 128 bytes, as the C library has it.
    unsafe { sched_setaffinity(0, 128, mask.as_ptr()) };
}

pub fn median(mut times: Vec<u64>, share: usize) -> f64 {
    times.sort_unstable();
    times[times.len() * share / 100] as f64
}

pub fn clock_cost() -> f64 {
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
pub fn beside_the_line(mut measure: impl FnMut()) -> String {
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
pub fn scaled(work: u64) -> u64 {
    let percent = std::env::var("HERMES_BENCH_SCALE").ok().and_then(|percent| percent.parse().ok());
    (work * percent.unwrap_or(100) / 100).max(100)
}
