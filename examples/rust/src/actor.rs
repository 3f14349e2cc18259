//! A subscription that keeps count, and lines on standard output for whoever started the actor:
//!
//! ```text
//! ready
//! progress received=N sequence=S sent=0         about ten times a second
//! report topic=T received=N lost=N repeated=N reordered=N p50=NS p99=NS p999=NS max=NS
//! info TEXT
//! ```
//!
//! An actor runs until SIGTERM or SIGINT, takes what was published until then, and prints its report. On a terminal it
//! keeps its progress to itself.

use hermes_msg::{Client, Message, Start};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

static STOPPED: AtomicBool = AtomicBool::new(false);

extern "C" fn stop(_signal: i32) {
    STOPPED.store(true, Ordering::Relaxed);
}

extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
}

fn catch_signals() {
    const SIGINT: i32 = 2;
    const SIGTERM: i32 = 15;
    // SAFETY: the handler stores to an atomic, and nothing else.
    unsafe {
        signal(SIGINT, stop);
        signal(SIGTERM, stop);
    }
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

#[derive(Default)]
struct Counters {
    last_sequence: u64,
    lost: u64,
    repeated: u64,
    reordered: u64,
    latencies: Vec<u64>,
}

impl Counters {
    fn count(&mut self, message: &Message) {
        self.latencies.push(now_ns().saturating_sub(message.timestamp()));
        match message.sequence().cmp(&self.last_sequence) {
            std::cmp::Ordering::Equal => self.repeated += 1,
            std::cmp::Ordering::Less => self.reordered += 1,
            std::cmp::Ordering::Greater => self.lost += message.sequence() - self.last_sequence - 1,
        }
        self.last_sequence = self.last_sequence.max(message.sequence());
    }

    fn report(mut self, topic: &str) {
        self.latencies.sort_unstable();
        let at = |share: f64| {
            let last = self.latencies.len().saturating_sub(1);
            self.latencies.get((share * last as f64) as usize).copied().unwrap_or(0)
        };
        println!(
            "report topic={topic} received={} lost={} repeated={} reordered={} p50={} p99={} p999={} max={}",
            self.latencies.len(),
            self.lost,
            self.repeated,
            self.reordered,
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
    }
}

/// Reads `topic` from its first message on, calls `handle` for each, until a signal; then prints the report.
pub fn run(topic: &str, mut handle: impl FnMut(&Message)) -> hermes_msg::Result<()> {
    catch_signals();
    let client = Client::connect()?;
    let mut subscriber = client.subscriber(topic, Start::First)?;
    let mut counters = Counters::default();
    let quiet = std::io::stdout().is_terminal();
    let mut next_progress = Instant::now();
    let mut last = u64::MAX; // the latest time stamp that is still taken
    println!("ready");
    loop {
        if last == u64::MAX && STOPPED.load(Ordering::Relaxed) {
            last = now_ns();
        }
        let patience = if last == u64::MAX { Duration::from_millis(100) } else { Duration::ZERO };
        match subscriber.wait(patience) {
            Ok(Some(message)) if message.timestamp() <= last => {
                counters.count(&message);
                handle(&message);
            }
            Ok(_) if last != u64::MAX => break,
            Ok(_) | Err(hermes_msg::Error::Interrupted(_)) => {}
            Err(e) => eprintln!("{topic}: {e}"), // damage, or messages that were overwritten: it goes on behind
        }
        if !quiet && Instant::now() >= next_progress {
            next_progress = Instant::now() + Duration::from_millis(100);
            println!("progress received={} sequence={} sent=0", counters.latencies.len(), counters.last_sequence);
        }
    }
    counters.report(topic);
    Ok(())
}
