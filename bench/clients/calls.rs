//! What one call costs in Rust: see calls.c. And the ring, pushed and popped on one thread.

use hermes_msg::{Client, Durability, Result, SpscRing, Start, TopicOptions};
use std::time::{Duration, Instant};

const LAP: usize = 1000;
const LAPS: usize = 3000;

fn median(mut laps: Vec<Duration>) -> f64 {
    laps.sort();
    laps[laps.len() / 2].as_nanos() as f64 / LAP as f64
}

fn main() -> Result<()> {
    let client = Client::connect()?;
    client.create_topic("rust", &TopicOptions { durability: Durability::Memory, ..Default::default() })?;
    let mut publisher = client.publisher("rust")?;
    let mut subscriber = client.subscriber("rust", Start::End)?;
    let (payload, payloads) = ([0u8; 64], [[0u8; 64]; LAP]);
    let (mut send, mut batch, mut receive, mut ring) = (vec![], vec![], vec![], vec![]);
    let (mut producer, mut consumer) = SpscRing::<u64>::new(1024)?.split();
    for _ in 0..LAPS {
        let start = Instant::now();
        for _ in 0..LAP {
            publisher.publish(&payload)?;
        }
        send.push(start.elapsed());
        let start = Instant::now();
        for _ in 0..LAP {
            assert!(subscriber.poll()?.is_some());
        }
        receive.push(start.elapsed());
        let start = Instant::now();
        publisher.publish_batch(&payloads)?;
        batch.push(start.elapsed());
        for _ in 0..LAP {
            assert!(subscriber.poll()?.is_some());
        }
        let start = Instant::now();
        for i in 0..LAP as u64 {
            assert!(producer.push(i));
            assert_eq!(consumer.pop(), Some(i));
        }
        ring.push(start.elapsed());
    }
    println!(
        "{{\"send\": {:.2}, \"send_many\": {:.2}, \"receive\": {:.2}, \"ring push+pop\": {:.2}}}",
        median(send),
        median(batch),
        median(receive),
        median(ring)
    );
    Ok(())
}
