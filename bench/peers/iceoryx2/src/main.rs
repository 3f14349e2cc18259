//! iceoryx2: publish and subscribe between two pinned processes, this one and a child of it, set so that nothing is
//! lost (no safe overflow, and a publisher that tries again until there is room). Every byte received is read.

#[path = "../../peer.rs"]
mod peer;

use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use peer::{beside_the_line, clock_cost, median, pin, scaled};
use std::error::Error;
use std::hint::{black_box, spin_loop};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Service = iceoryx2::service::ipc::Service;

const BUFFER: usize = 4096;

#[derive(Debug, Clone, Copy, ZeroCopySend)]
#[repr(C)]
struct Payload<const WORDS: usize> {
    words: [u64; WORDS],
}

fn publisher<const WORDS: usize>(node: &Node<Service>, name: &str) -> Result<Publisher<Service, Payload<WORDS>, ()>> {
    let service = node
        .service_builder(&name.try_into()?)
        .publish_subscribe::<Payload<WORDS>>()
        .enable_safe_overflow(false)
        .subscriber_max_buffer_size(BUFFER)
        .open_or_create()?;
    Ok(service.publisher_builder().backpressure_strategy(BackpressureStrategy::RetryUntilDelivered).create()?)
}

fn subscriber<const WORDS: usize>(node: &Node<Service>, name: &str) -> Result<Subscriber<Service, Payload<WORDS>, ()>> {
    let service = node
        .service_builder(&name.try_into()?)
        .publish_subscribe::<Payload<WORDS>>()
        .enable_safe_overflow(false)
        .subscriber_max_buffer_size(BUFFER)
        .open_or_create()?;
    Ok(service.subscriber_builder().buffer_size(BUFFER).create()?)
}

fn send<const WORDS: usize>(publisher: &Publisher<Service, Payload<WORDS>, ()>, word: u64) -> Result<()> {
    publisher.loan_uninit()?.write_payload(Payload { words: [word; WORDS] }).send()?;
    Ok(())
}

fn receive<const WORDS: usize>(subscriber: &Subscriber<Service, Payload<WORDS>, ()>) -> Result<u64> {
    loop {
        if let Some(sample) = subscriber.receive()? {
            return Ok(black_box(sample.words.iter().fold(0, |sum: u64, word| sum.wrapping_add(*word))));
        }
        spin_loop();
    }
}

/// Both sides have opened what they need: the child says so with a byte, and begins at ours; and it stays until we are
/// done with what it sent.
struct Other(Child);

impl Other {
    fn start<const WORDS: usize>(what: &str, count: u64, name: &str) -> Result<Self> {
        let arguments = [what, &WORDS.to_string(), &count.to_string(), name];
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        child.stdout.as_mut().ok_or("no pipe")?.read_exact(&mut [0])?;
        Ok(Self(child))
    }

    fn go(&mut self) -> Result<()> {
        let pipe = self.0.stdin.as_mut().ok_or("no pipe")?;
        pipe.write_all(&[0])?;
        Ok(pipe.flush()?)
    }

    fn end(mut self) -> Result<()> {
        drop(self.0.stdin.take());
        if self.0.wait()?.success() {
            Ok(())
        } else {
            Err("the other process failed".into())
        }
    }
}

fn child<const WORDS: usize>(what: &str, count: u64, name: &str) -> Result<()> {
    pin(1);
    let node = NodeBuilder::new().create::<Service>()?;
    let publisher = publisher::<WORDS>(&node, &format!("{name}/{}", if what == "echo" { "back" } else { "there" }))?;
    let subscriber = if what == "echo" { Some(subscriber::<WORDS>(&node, &format!("{name}/there"))?) } else { None };
    std::io::stdout().write_all(&[0])?;
    std::io::stdout().flush()?;
    std::io::stdin().read_exact(&mut [0])?;
    for i in 0..count {
        match &subscriber {
            Some(subscriber) => send(&publisher, receive(subscriber)?)?,
            None => send(&publisher, i)?,
        }
    }
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn round_trips<const WORDS: usize>(name: &str) -> Result<Vec<u64>> {
    let rounds = scaled(100_000);
    let node = NodeBuilder::new().create::<Service>()?;
    let there = publisher::<WORDS>(&node, &format!("{name}/there"))?;
    let back = subscriber::<WORDS>(&node, &format!("{name}/back"))?;
    let mut other = Other::start::<WORDS>("echo", rounds, name)?;
    other.go()?;
    let mut times = Vec::with_capacity(rounds as usize);
    for i in 0..rounds {
        let start = Instant::now();
        send(&there, i)?;
        receive(&back)?;
        times.push(start.elapsed().as_nanos() as u64);
    }
    other.end()?;
    Ok(times)
}

fn messages_per_second<const WORDS: usize>(name: &str) -> Result<f64> {
    let count = scaled(2_000_000);
    let node = NodeBuilder::new().create::<Service>()?;
    let subscriber = subscriber::<WORDS>(&node, &format!("{name}/there"))?;
    let mut other = Other::start::<WORDS>("stream", count, name)?;
    let start = Instant::now();
    other.go()?;
    for _ in 0..count {
        receive(&subscriber)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    other.end()?;
    Ok(count as f64 / seconds)
}

/// Services of this process and run alone.
fn fresh_name() -> String {
    static RUN: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let run = RUN.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("hermes-bench/{}/{run}", std::process::id())
}

fn all<const WORDS: usize>(first: &mut bool) -> Result<()> {
    let mut row = |what: &str, rest: String| {
        let comma = if std::mem::take(first) { "" } else { ",\n" };
        print!("{comma}{{\"name\":\"iceoryx2, {what}\",\"size_bytes\":{},{rest}}}", WORDS * 8);
    };
    let mut times = Ok(Vec::new());
    let line = beside_the_line(|| times = round_trips::<WORDS>(&fresh_name()));
    let times = times?;
    let (p50, p99) = (median(times.clone(), 50) - clock_cost(), median(times, 99) - clock_cost());
    row("round trip", format!("\"rtt_p50_ns\":{p50:.0},\"rtt_p99_ns\":{p99:.0},{line}"));
    let mut rate = Ok(0.0);
    let line = beside_the_line(|| rate = messages_per_second::<WORDS>(&fresh_name()));
    row("one at a time", format!("\"messages_per_second\":{:.0},{line}", rate?));
    Ok(())
}

fn main() -> Result<()> {
    set_log_level(LogLevel::Error);
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, what, words, count, name] = &arguments[..] {
        return match words.as_str() {
            "4" => child::<4>(what, count.parse()?, name),
            "8" => child::<8>(what, count.parse()?, name),
            "32" => child::<32>(what, count.parse()?, name),
            _ => child::<128>(what, count.parse()?, name),
        };
    }
    println!("{{\"results\":[");
    let mut first = true;
    all::<4>(&mut first)?;
    all::<8>(&mut first)?;
    all::<32>(&mut first)?;
    all::<128>(&mut first)?;
    println!("]}}");
    Ok(())
}
