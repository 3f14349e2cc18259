//! A subscription that keeps count, and what an actor says: when it is ready, and at the end, after SIGTERM or SIGINT and
//! having taken what was published until then, a report in plain words. With the argument --progress it says the same to a
//! program that started it, in these lines:
//!
//! ```text
//! ready
//! progress received=N sequence=S sent=0         about ten times a second
//! report topic=T received=N lost=N repeated=N reordered=N p50=NS p99=NS p999=NS max=NS
//! info TEXT
//! ```

use hermes_msg::{Client, Message, Start};
use std::path::Path;
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

    fn report(mut self, actor: &Actor, topic: &str) {
        self.latencies.sort_unstable();
        let at = |share: f64| {
            let last = self.latencies.len().saturating_sub(1);
            self.latencies.get((share * last as f64) as usize).copied().unwrap_or(0)
        };
        let (received, p50, p99, p999, max) = (self.latencies.len(), at(0.5), at(0.99), at(0.999), at(1.0));
        let Counters { lost, repeated, reordered, .. } = self;
        if actor.tells_progress {
            println!(
                "report topic={topic} received={received} lost={lost} repeated={repeated} reordered={reordered} \
                 p50={p50} p99={p99} p999={p999} max={max}"
            );
            return;
        }
        let us = |ns: u64| ns as f64 / 1e3;
        actor.tell(&format!(
            "received {received} messages of {topic}, lost {lost}, repeated {repeated}, reordered {reordered}"
        ));
        actor.tell(&format!(
            "latency: median {:.1} us, 99 % {:.1} us, 99.9 % {:.1} us, maximum {:.1} us",
            us(p50),
            us(p99),
            us(p999),
            us(max)
        ));
    }
}

/// What the program was called, and told.
pub struct Actor {
    name: String,
    tells_progress: bool,
}

impl Actor {
    fn new() -> Self {
        let arguments: Vec<String> = std::env::args().collect();
        let name = Path::new(&arguments[0]).file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into());
        let tells_progress = arguments[1..] == ["--progress"];
        if arguments.len() > 1 && !tells_progress {
            eprintln!("Usage: {name} [--progress]");
            std::process::exit(64);
        }
        Actor { name, tells_progress }
    }

    /// A line of the actor's own beside the report.
    pub fn tell(&self, text: &str) {
        let name = &self.name;
        println!("{}{text}", if self.tells_progress { "info ".to_string() } else { format!("{name}: ") });
    }
}

/// Reads `topic` from its first message on, calls `handle` for each, until a signal; then prints the report.
pub fn run(topic: &str, mut handle: impl FnMut(&Message)) -> hermes_msg::Result<Actor> {
    let actor = Actor::new();
    catch_signals();
    let client = Client::connect()?;
    let mut subscriber = client.subscriber(topic, Start::First)?;
    let mut counters = Counters::default();
    let mut next_progress = Instant::now();
    let mut last = u64::MAX; // the latest time stamp that is still taken
    println!("{}", if actor.tells_progress { "ready".to_string() } else { format!("{}: ready", actor.name) });
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
        if actor.tells_progress && Instant::now() >= next_progress {
            next_progress = Instant::now() + Duration::from_millis(100);
            println!("progress received={} sequence={} sent=0", counters.latencies.len(), counters.last_sequence);
        }
    }
    counters.report(&actor, topic);
    Ok(actor)
}
