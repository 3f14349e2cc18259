//! One side of test_acks.py in Rust: acks.c says what it does.

use hermes_msg::{Ack, Client, Letter, MessageId, OwnedMessage, Reason, Result, Start, Subscriber, SubscriberOptions};
use std::collections::HashMap;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(10);

struct Port {
    client: Client,
    subscribers: HashMap<String, Subscriber>,
    messages: HashMap<String, OwnedMessage>,
}

impl Port {
    fn open(&mut self, s: &str, rest: &[&str]) -> Result<String> {
        let mut options = SubscriberOptions { start: Start::First, ..Default::default() };
        match rest[0] {
            "group" => options.group = Some(rest[1].into()),
            "name" => options.name = Some(rest[1].into()),
            _ => (),
        }
        options.ack = match rest.get(2) {
            Some(&"manual") => Ack::Manual,
            Some(&"none") => Ack::None,
            _ => Ack::Auto,
        };
        let topic = if rest[0] == "dead" { "t.dead" } else { "t" };
        self.subscribers.insert(s.into(), self.client.subscriber_with(topic, &options)?);
        Ok("ok".into())
    }

    fn take(&mut self, s: &str, m: &str, wait: bool) -> Result<String> {
        let subscriber = self.subscribers.get_mut(s).expect("a subscriber");
        let message = if wait { subscriber.wait(LONG)? } else { subscriber.poll()? };
        let Some(message) = message else { return Ok("nothing".into()) };
        let (id, owned) = (message.id(), message.to_owned());
        assert_eq!(MessageId::from(&owned), id);
        let sequence = owned.sequence;
        self.messages.insert(m.into(), owned);
        Ok(match subscriber.deliveries(id) {
            1 => sequence.to_string(),
            deliveries => format!("{sequence} x{deliveries}"),
        })
    }

    fn read_letter(&mut self, s: &str) -> Result<String> {
        let subscriber = self.subscribers.get_mut(s).expect("a subscriber");
        let Some(message) = subscriber.wait(LONG)? else { return Ok("nothing".into()) };
        let Some(letter) = Letter::of(&message) else { return Ok("no letter".into()) };
        let reason = if letter.reason == Reason::Deliveries { "deliveries" } else { "unknown" };
        Ok(format!(
            "{} {} {} x{} {reason} {} {}",
            letter.topic,
            letter.group,
            letter.sequence,
            letter.deliveries,
            letter.length,
            String::from_utf8_lossy(letter.payload)
        ))
    }

    fn obey(&mut self, line: &str) -> Result<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (what, s, rest) = (words[0], words[1], &words[2..]);
        match what {
            "open" => return self.open(s, rest),
            "take" => return self.take(s, rest[0], true),
            "poll" => return self.take(s, rest[0], false),
            "letter" => return self.read_letter(s),
            "close" => {
                self.subscribers.remove(s);
                return Ok("ok".into());
            }
            _ => (),
        }
        let subscriber = self.subscribers.get_mut(s).expect("a subscriber");
        let message = &self.messages[rest[0]];
        match what {
            "ack" => subscriber.ack(message)?,
            "nack" => subscriber.nack(message)?,
            "renew" => subscriber.renew(message)?,
            _ => return Ok(subscriber.deliveries(message).to_string()),
        }
        Ok("ok".into())
    }
}

fn main() -> Result<()> {
    let mut port = Port { client: Client::connect()?, subscribers: HashMap::new(), messages: HashMap::new() };
    for line in std::io::stdin().lines() {
        match port.obey(&line.expect("a line")) {
            Ok(said) => println!("{said}"),
            Err(error) => println!("error {}", error.code()),
        }
    }
    Ok(())
}
