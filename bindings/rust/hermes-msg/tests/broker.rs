//! The client against a real broker: the hermesd of $HERMES_BIN.

mod common;

use common::{small, Broker, LONG};
use hermes_msg::{
    decode, encode, encode_plain, Ack, Client, Confirmation, Durability, Error, GroupOptions, Letter, MessageId,
    PublisherOptions, Start, Subscriber, SubscriberOptions, TopicOptions, WhenFull,
};
#[cfg(feature = "tokio")]
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

const SIZES: [usize; 8] = [0, 1, 31, 32, 33, 64, 65535, 65536];

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 7 % 251) as u8).collect()
}

#[test]
fn all_sizes_all_ways() {
    let broker = Broker::start();
    let client = broker.connect();
    for shared in [false, true] {
        for durability in [Durability::Memory, Durability::Async, Durability::Sync] {
            let name = format!("t-{shared}-{durability:?}");
            client.create_topic(&name, &TopicOptions { shared, durability, ..small() }).unwrap();
            let mut subscriber = client.subscriber(&name, Start::End).unwrap();
            let mut publisher = client.publisher(&name).unwrap();
            for (i, length) in SIZES.into_iter().enumerate() {
                let payload = pattern(length);
                assert_eq!(publisher.publish(&payload).unwrap(), 2 * i as u64 + 1);
                let mut claim = publisher.claim(length).unwrap();
                assert_eq!(claim.len(), length);
                claim.copy_from_slice(&payload);
                assert_eq!(claim.commit().unwrap(), 2 * i as u64 + 2);
                for way in 1..=2 {
                    let message = subscriber.wait(LONG).unwrap().unwrap();
                    assert_eq!(message.payload(), &payload[..]);
                    assert_eq!(message.sequence(), 2 * i as u64 + way);
                    assert!(message.has_checksum());
                }
            }
            assert!(matches!(publisher.publish(&[0; 65537]), Err(Error::TooLarge(_))));
            assert!(matches!(publisher.claim(65537), Err(Error::TooLarge(_))));
            publisher.claim(100).unwrap().abort();
            drop(publisher.claim(64).unwrap());
            std::mem::forget(publisher.claim(10).unwrap()); // leaked: it is aborted by the next
            drop(publisher.claim(10).unwrap());
            let numbers: Vec<[u8; 4]> = (0..500u32).map(u32::to_le_bytes).collect();
            assert_eq!(publisher.publish_all(&numbers[..100]).unwrap(), 100);
            assert_eq!(publisher.publish_batch(&numbers[100..130]).unwrap(), 30);
            assert_eq!(publisher.publish_batch(&numbers[130..]).unwrap(), 370);
            assert_eq!(publisher.publish_batch::<&[u8]>(&[]).unwrap(), 0);
            for i in 0..500u32 {
                assert_eq!(subscriber.wait(LONG).unwrap().unwrap().payload(), i.to_le_bytes());
            }
            assert!(subscriber.poll().unwrap().is_none());
            publisher.wait(Confirmation::Committed, LONG).unwrap();
            assert_eq!(publisher.confirmed(Confirmation::Committed), 516);
            assert_eq!(publisher.sequence(), 516);
            let durable = publisher.wait_for(516, Confirmation::Durable, LONG);
            assert_eq!(durable.is_err(), durability == Durability::Memory, "{durable:?}");
            assert!(matches!(publisher.wait_for(517, Confirmation::Committed, LONG), Err(Error::InvalidArgument(_))));
        }
    }
}

#[test]
fn topics() {
    let broker = Broker::start();
    let client = broker.connect();
    client.ping().unwrap();
    let options = TopicOptions {
        shared: true,
        durability: Durability::Sync,
        keep_bytes: 5 << 20,
        keep: Duration::from_secs(3600),
        when_full: WhenFull::Wait,
        ..small()
    };
    client.create_topic("a", &options).unwrap();
    let a = client.topic("a").unwrap();
    assert_eq!((a.name.as_str(), a.shared, a.durability), ("a", true, Durability::Sync));
    assert_eq!((a.keep_bytes, a.keep, a.when_full), (5 << 20, Duration::from_secs(3600), WhenFull::Wait));
    client.set_retention("a", 0, Duration::ZERO).unwrap();
    client.set_when_full("a", WhenFull::Error).unwrap();
    let a = client.topic("a").unwrap();
    assert_eq!((a.keep_bytes, a.keep, a.when_full), (0, Duration::ZERO, WhenFull::Error));
    for i in 0..150 {
        client.create_topic(&format!("t{i:03}"), &TopicOptions { durability: Durability::Memory, ..small() }).unwrap();
    }
    let names: Vec<String> = client.topics().unwrap().into_iter().map(|t| t.name).collect();
    assert_eq!(names.len(), 151);
    assert_eq!((names[0].as_str(), names[150].as_str()), ("a", "t149"));
    assert!(matches!(client.create_topic("a", &options), Err(Error::Exists(_))));
    assert!(matches!(client.create_topic("x/y", &options), Err(Error::InvalidName(_))));
    assert!(matches!(client.create_topic("x\0y", &options), Err(Error::NullCharacter(_))));
    assert!(matches!(
        client.create_topic("b", &TopicOptions { window_bytes: 1000, ..small() }),
        Err(Error::InvalidArgument(_))
    ));
    let unknown = client.publisher("unknown").map(drop).unwrap_err();
    assert!(matches!(unknown, Error::NotFound(_)) && unknown.to_string().contains("unknown"));
    assert!(matches!(client.subscriber("unknown", Start::End).map(drop), Err(Error::NotFound(_))));
    assert!(matches!(client.verify_topic("t000"), Err(Error::NotSupported(_))));
    client.purge_topic("t000").unwrap();
    assert!(matches!(client.purge_topic("unknown"), Err(Error::NotFound(_))));
    client.delete_topic("t000").unwrap();
    assert!(matches!(client.topic("t000"), Err(Error::NotFound(_))));
    let _exclusive = client.publisher("t001").unwrap();
    let busy = client.publisher("t001").map(drop).unwrap_err();
    assert!(matches!(busy, Error::Busy(_)) && busy.is_retryable());
    assert!(matches!(client.delete_topic("t001"), Err(Error::Busy(_))));
    assert!(matches!(Client::connect_to("tcp://localhost:1").map(drop), Err(Error::Disconnected(_))));
    assert!(matches!(Client::connect_to("ftp://localhost:1").map(drop), Err(Error::NotSupported(_))));
    let nobody = Client::connect_to("unix:/nowhere/broker.sock").map(drop).unwrap_err();
    assert!(matches!(nobody, Error::Disconnected(_)) && nobody.to_string().contains("/nowhere/broker.sock"));
}

#[test]
fn starts_and_seeks() {
    let broker = Broker::start();
    let client = broker.connect();
    client.create_topic("t", &small()).unwrap();
    let before = SystemTime::now();
    let mut publisher = client.publisher("t").unwrap();
    publisher.publish_all((1..=10u8).map(|i| [i])).unwrap();
    let first = |start| client.subscriber("t", start).unwrap().wait(Duration::ZERO).unwrap().map(|m| m.payload()[0]);
    assert_eq!(first(Start::First), Some(1));
    assert_eq!(first(Start::End), None);
    assert_eq!(first(Start::Sequence(4)), Some(4));
    assert_eq!(first(Start::Time(before)), Some(1));
    assert_eq!(first(Start::Time(before + LONG)), None);
    let mut subscriber = client.subscriber("t", Start::First).unwrap();
    let third = subscriber.messages().nth(2).unwrap().unwrap();
    assert_eq!((third.sequence, &third.payload[..]), (3, &[3][..]));
    assert!(third.time() >= before && third.time() <= SystemTime::now());
    assert!(subscriber.position() > third.position);
    subscriber.seek(Start::Position(third.position)).unwrap();
    assert_eq!(subscriber.poll().unwrap().unwrap().to_owned(), third);
    assert!(matches!(subscriber.seek(Start::Position(1)), Err(Error::InvalidArgument(_))));
    publisher.wait(Confirmation::Durable, LONG).unwrap();
    let verified = client.verify_topic("t").unwrap();
    assert_eq!((verified.messages, verified.damaged), (10, vec![]));
    drop(publisher);
    client.delete_topic("t").unwrap();
    assert_eq!(subscriber.messages().count(), 7); // it ends
    assert!(matches!(subscriber.poll(), Err(Error::Closed(_))));
}

#[test]
fn a_subscriber_is_what_comes_until_the_topic_is_deleted() {
    let broker = Broker::start();
    let client = broker.connect();
    client.create_topic("t", &small()).unwrap();
    let mut subscriber = client.subscriber("t", Start::First).unwrap();
    let publishing = std::thread::spawn(move || {
        client.publisher("t").unwrap().publish_all((1..=10u8).map(|i| [i])).unwrap();
        client.delete_topic("t").unwrap();
    });
    let first: Vec<u8> = subscriber.by_ref().take(4).map(|message| message.unwrap().payload[0]).collect();
    assert_eq!(first, [1, 2, 3, 4]);
    let mut next = 5;
    for message in &mut subscriber {
        assert_eq!(message.unwrap().payload[..], [next]);
        next += 1;
    }
    assert!(next == 11 && subscriber.next().is_none());
    publishing.join().unwrap();
}

#[test]
fn everything_says_what_it_is_and_how_far() {
    let broker = Broker::start();
    let client = broker.connect();
    assert!(format!("{client:?}").contains("broker.sock"));
    client.create_topic("quotes", &small()).unwrap();
    let mut publisher = client.publisher("quotes").unwrap();
    publisher.publish(b"x").unwrap();
    assert_eq!(format!("{publisher:?}"), r#"Publisher { topic: "quotes", accepted: 1, sequence: 1 }"#);
    let claim = publisher.claim(3).unwrap();
    assert!(format!("{claim:?}").starts_with(r#"Claim { publisher: Publisher { topic: "quotes""#));
    drop(claim);
    let options = SubscriberOptions { group: Some("risk".into()), start: Start::First, ..Default::default() };
    let mut member = client.subscriber_with("quotes", &options).unwrap();
    let message = member.wait(LONG).unwrap().unwrap();
    assert!(format!("{message:?}").starts_with("Message { sequence: 1, position: 0, timestamp: "));
    let told = r#"topic: "quotes", place: Some("risk"), position: 64, lost: 0, corrupt: 0, awaits_broker: false"#;
    assert_eq!(format!("{member:?}"), format!("Subscriber {{ {told} }}"));
    assert_eq!(format!("{:?}", member.messages()), format!("Messages {{ subscriber: Subscriber {{ {told} }} }}"));
}

#[test]
fn time_stamps_of_ones_own() {
    let broker = Broker::start();
    let client = broker.connect();
    client.create_topic("t", &small()).unwrap();
    let mut publisher = client.publisher("t").unwrap();
    assert_eq!(publisher.publish_at(77, b"a").unwrap(), 1);
    assert_eq!(publisher.publish_batch_at(&[(i64::MAX as u64, "b"), (1, "c")]).unwrap(), 2);
    let mut claim = publisher.claim(1).unwrap();
    claim.copy_from_slice(b"d");
    assert_eq!(claim.commit_at(5).unwrap(), 4);
    for none in [0, 1 << 63, u64::MAX] {
        assert!(matches!(publisher.publish_at(none, b"x"), Err(Error::InvalidArgument(_))));
        assert!(matches!(publisher.publish_batch_at(&[(none, "x")]), Err(Error::InvalidArgument(_))));
        assert!(matches!(publisher.claim(1).unwrap().commit_at(none), Err(Error::InvalidArgument(_))));
    }
    let mut subscriber = client.subscriber("t", Start::First).unwrap();
    for expected in [77, i64::MAX as u64, 1, 5] {
        assert_eq!(subscriber.wait(LONG).unwrap().unwrap().timestamp(), expected);
    }
    subscriber.seek(Start::Time(SystemTime::UNIX_EPOCH + Duration::from_nanos(78))).unwrap();
    assert_eq!(subscriber.wait(LONG).unwrap().unwrap().sequence(), 2);
}

#[test]
fn damage_is_told_and_passed() {
    let mut broker = Broker::start();
    let client = broker.connect();
    client.create_topic("t", &small()).unwrap();
    let mut publisher = client.publisher("t").unwrap();
    publisher.publish_all([[1u8; 100]; 100]).unwrap();
    publisher.wait(Confirmation::Durable, LONG).unwrap();
    let position = client.subscriber("t", Start::Sequence(51)).unwrap().poll().unwrap().unwrap().position();
    drop((publisher, client));
    broker.stop("-TERM");
    let segment = broker.home.join("data/topics/t/00000000000000000000.log");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[64 + position as usize + 40] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    broker.process = Broker::launch(&broker.home);
    let client = broker.connect();
    let mut subscriber = client.subscriber("t", Start::First).unwrap();
    let (mut good, mut damaged) = (0, 0);
    while good + damaged < 100 {
        match subscriber.wait(LONG) {
            Ok(message) => good += u32::from(message.is_some()),
            Err(e) => damaged += u32::from(matches!(e, Error::Checksum(_))),
        }
    }
    assert_eq!((good, damaged, subscriber.corrupt()), (99, 1, 1));
    let verified = client.verify_topic("t").unwrap();
    assert_eq!((verified.messages, verified.damaged.len()), (99, 1));
    assert_eq!(verified.damaged[0].from_position, position);
    assert!(matches!(verified.damaged[0].error, Error::Checksum(_)));
}

#[test]
fn brokers_come_and_go() {
    for signal in ["-TERM", "-KILL"] {
        for shared in [false, true] {
            let mut broker = Broker::start();
            let client = broker.connect();
            client.create_topic("t", &TopicOptions { shared, ..small() }).unwrap();
            let options = PublisherOptions { timeout: LONG, ..Default::default() };
            let mut publisher = client.publisher_with("t", &options).unwrap();
            let mut subscriber = client.subscriber("t", Start::End).unwrap();
            let thread = std::thread::spawn(move || {
                for i in 1..=3000u64 {
                    publisher.publish(&i.to_le_bytes()).unwrap();
                }
                publisher.wait(Confirmation::Committed, LONG).unwrap();
            });
            for i in 1..=3000u64 {
                let payload = subscriber.messages().next().unwrap().unwrap().payload;
                assert_eq!(payload[..], i.to_le_bytes());
                if i % 1000 == 0 {
                    broker.restart(signal);
                }
            }
            thread.join().unwrap();
            assert_eq!(client.topic("t").unwrap().last_sequence, 3000);
        }
    }
}

#[test]
fn memory_topics_tell_what_was_overwritten() {
    let broker = Broker::start();
    let client = broker.connect();
    client.create_topic("m", &TopicOptions { durability: Durability::Memory, ..small() }).unwrap();
    let options = PublisherOptions { checksum: false, ..Default::default() };
    let mut publisher = client.publisher_with("m", &options).unwrap();
    let mut subscriber = client.subscriber("m", Start::End).unwrap();
    publisher.publish(b"first").unwrap();
    assert!(!subscriber.wait(LONG).unwrap().unwrap().has_checksum());
    publisher.publish_all((0..10000).map(|_| [0u8; 100])).unwrap();
    assert!(matches!(subscriber.poll(), Err(Error::Gone(_))));
    let sequence = subscriber.poll().unwrap().unwrap().sequence();
    assert_eq!(subscriber.lost(), sequence - 2);
}

#[test]
fn nothing_leaks() {
    let broker = Broker::start();
    broker.connect().create_topic("t", &small()).unwrap();
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let round = || {
        let client = broker.connect();
        let mut publisher = client.publisher("t").unwrap();
        let mut subscriber = client.subscriber("t", Start::End).unwrap();
        publisher.publish(b"x").unwrap();
        assert!(subscriber.wait(LONG).unwrap().is_some());
        subscriber.event_fd().unwrap();
        assert!(client.publisher("unknown").is_err());
    };
    for _ in 0..10 {
        round();
    }
    // Other tests of this process open and close descriptors meanwhile: the least that is seen must not grow.
    let least = |rounds| (0..rounds).map(|_| (round(), descriptors()).1).min().unwrap();
    let before = least(50);
    assert!(least(1000) <= before + 16);
}

#[test]
fn vectors() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/vectors/messages.txt"));
    let bytes = |hex: &str| -> Vec<u8> {
        let hex = if hex == "-" { "" } else { hex };
        (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
    };
    let mut seen = 0;
    for line in text.unwrap().lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(' ').collect();
        let (sequence, timestamp) = (fields[2].parse().unwrap(), fields[3].parse().unwrap());
        let (payload, encoded) = (bytes(fields[4]), bytes(fields[5]));
        if fields[0] != "1" {
            assert!(matches!(decode(&encoded), Err(Error::Malformed(_))));
            continue;
        }
        let checksum = fields[1] == "1";
        let ours = if checksum { encode } else { encode_plain }(&payload, sequence, timestamp).unwrap();
        assert_eq!(ours, encoded);
        let message = decode(&encoded).unwrap();
        assert_eq!(message.payload(), payload);
        assert_eq!((message.sequence(), message.timestamp(), message.has_checksum()), (sequence, timestamp, checksum));
        for bit in 0..if checksum { encoded.len() * 8 } else { 0 } {
            let mut flipped = encoded.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped).is_err(), "bit {bit}");
        }
        for length in 0..encoded.len() {
            assert!(decode(&encoded[..length]).is_err());
        }
        seen += 1;
    }
    assert!(seen > 20);
    assert!(matches!(encode(&[0; 65537], 1, 1), Err(Error::TooLarge(_))));
}

#[cfg(feature = "tokio")]
mod stream {
    use super::*;
    use futures_util::StreamExt;

    #[tokio::test]
    async fn sleeps_wakes_and_ends() {
        let mut broker = Broker::start();
        let client = broker.connect();
        client.create_topic("t", &small()).unwrap();
        let mut streams: Vec<_> =
            (0..5).map(|_| client.subscriber("t", Start::First).unwrap().into_stream().unwrap()).collect();
        let mut publisher = client.publisher("t").unwrap();
        let (tell, caught_up) = std::sync::mpsc::channel();
        let publishing = std::thread::spawn(move || {
            for i in 0..2000u64 {
                publisher.publish(&i.to_le_bytes()).unwrap();
                if i % 50 == 49 {
                    caught_up.recv().unwrap(); // the first stream has it all, and sleeps next
                }
            }
        });
        for stream in &mut streams {
            for i in 0..2000u64 {
                let message = tokio::time::timeout(LONG, stream.next()).await.unwrap().unwrap().unwrap();
                assert_eq!(message.payload[..], i.to_le_bytes());
                if i % 50 == 49 {
                    let _ = tell.send(()); // nobody listens once all is published
                }
            }
        }
        publishing.join().unwrap();
        broker.restart("-KILL");
        let waiting = tokio::spawn(async move { (streams[0].next().await.unwrap().unwrap(), streams) });
        tokio::task::yield_now().await; // on this one thread it runs until it sleeps
        let client = broker.connect();
        client.publisher("t").unwrap().publish(b"after").unwrap();
        let (message, mut streams) = tokio::time::timeout(LONG, waiting).await.unwrap().unwrap();
        assert_eq!(&message.payload[..], b"after");
        client.delete_topic("t").unwrap();
        assert!(tokio::time::timeout(LONG, streams[0].next()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn lets_others_run() {
        let broker = Broker::start();
        let client = broker.connect();
        client.create_topic("t", &small()).unwrap();
        client.publisher("t").unwrap().publish_all([[0u8]; 5000]).unwrap();
        let stream = client.subscriber("t", Start::First).unwrap().into_stream().unwrap();
        let turns = std::sync::Arc::new(AtomicU32::new(0));
        let counting = turns.clone();
        let other = tokio::spawn(async move {
            loop {
                counting.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(stream.take(5000).count().await, 5000);
        assert!(turns.load(Ordering::Relaxed) >= 70);
        other.abort();
    }
}

// ---- groups ----

fn numbers(broker: &Broker, count: u32) -> Client {
    let client = broker.connect();
    client.create_topic("t", &TopicOptions::default()).unwrap();
    let mut publisher = client.publisher("t").unwrap();
    for i in 1..=count {
        publisher.publish(&i.to_le_bytes()).unwrap();
    }
    client
}

fn member(client: &Client, ack: Ack) -> Subscriber {
    let options = SubscriberOptions { start: Start::First, group: Some("risk".into()), ack, ..Default::default() };
    client.subscriber_with("t", &options).unwrap()
}

fn expect(subscriber: &mut Subscriber, sequence: u64) -> MessageId {
    let message = subscriber.wait(LONG).unwrap().expect("a message");
    assert_eq!(message.sequence(), sequence);
    message.id()
}

#[test]
fn members_share_and_acknowledge() {
    let broker = Broker::start();
    let client = numbers(&broker, 10);
    let (mut a, mut b) = (member(&client, Ack::Manual), member(&client, Ack::Manual));
    let (one, two) = (expect(&mut a, 1), expect(&mut b, 2));
    a.ack(one).unwrap();
    b.renew(two).unwrap();
    b.nack(two).unwrap();
    let again = expect(&mut a, 2);
    assert_eq!(a.deliveries(again), 2);
    assert!(matches!(b.ack(two), Err(Error::Expired(_))));
    let kept = a.wait(LONG).unwrap().unwrap().to_owned();
    a.ack(&kept).unwrap();
    let info = client.group("t", "risk").unwrap();
    assert_eq!((info.members, info.in_flight, info.redelivered, info.durable), (2, 1, 1, false));
    assert_eq!(client.groups("t").unwrap(), [info]);
    drop(a); // in the middle of the second message
    expect(&mut b, 2);
    assert!(matches!(b.seek(Start::First), Err(Error::InvalidArgument(_))));
    assert!(matches!(client.delete_group("t", "risk"), Err(Error::Busy(_))));
    drop(b);
    client.delete_group("t", "risk").unwrap();
    assert!(matches!(client.group("t", "risk"), Err(Error::NotFound(_))));
}

#[test]
fn acknowledged_by_asking_for_more_or_never() {
    let broker = Broker::start();
    let client = numbers(&broker, 10);
    let mut a = member(&client, Ack::Auto);
    assert_eq!(a.messages().take(3).map(|m| m.unwrap().sequence).collect::<Vec<_>>(), [1, 2, 3]);
    drop(a);
    expect(&mut member(&client, Ack::None), 3);
    expect(&mut member(&client, Ack::None), 4);
    for wrong in [
        SubscriberOptions { ack: Ack::Manual, ..Default::default() },
        SubscriberOptions { group: Some("g".into()), name: Some("n".into()), ..Default::default() },
        SubscriberOptions { group: Some("g".into()), start: Start::Sequence(3), ..Default::default() },
        SubscriberOptions { name: Some("n".into()), ack: Ack::None, ..Default::default() },
    ] {
        assert!(matches!(client.subscriber_with("t", &wrong), Err(Error::InvalidArgument(_))), "{wrong:?}");
    }
}

#[test]
fn dead_letters_leases_and_resets() {
    let broker = Broker::start();
    let client = numbers(&broker, 10);
    let options = GroupOptions {
        start: Start::Sequence(4),
        lease: Duration::from_millis(100),
        max_deliveries: 2,
        dead_letter: Some("letters".into()),
        ..Default::default()
    };
    client.create_group("t", "risk", &options).unwrap();
    assert!(matches!(client.create_group("t", "risk", &options), Err(Error::Exists(_))));
    let mut letters = client.subscriber("letters", Start::First).unwrap();
    let mut a = member(&client, Ack::Manual);
    expect(&mut a, 4);
    let mut b = member(&client, Ack::Manual);
    for sequence in 5..=10 {
        let id = expect(&mut b, sequence);
        b.ack(id).unwrap();
    }
    let again = expect(&mut b, 4); // once the lease of a ran out
    b.nack(again).unwrap();
    assert!(b.poll().unwrap().is_none());
    let message = letters.wait(LONG).unwrap().unwrap();
    let letter = Letter::of(&message).unwrap();
    assert_eq!((&*letter.topic, &*letter.group, letter.sequence, letter.deliveries), ("t", "risk", 4, 2));
    assert_eq!(letter.payload, 4u32.to_le_bytes());
    let info = client.group("t", "risk").unwrap();
    assert_eq!((info.expired, info.dead, info.dead_letter.as_deref()), (1, 1, Some("letters")));
    client.set_lease("t", "risk", Duration::from_secs(3600)).unwrap();
    client.set_max_deliveries("t", "risk", 0).unwrap();
    client.reset_group("t", "risk", Start::Sequence(9)).unwrap();
    expect(&mut b, 9);
    let info = client.group("t", "risk").unwrap();
    assert_eq!((info.lease, info.max_deliveries), (Duration::from_secs(3600), 0));
}

#[test]
fn durable_subscriptions_go_on() {
    let mut broker = Broker::start();
    let client = numbers(&broker, 10);
    let options = SubscriberOptions { start: Start::First, name: Some("desk".into()), ..Default::default() };
    let mut s = client.subscriber_with("t", &options).unwrap();
    assert!(matches!(client.subscriber_with("t", &options), Err(Error::Busy(_))));
    expect(&mut s, 1);
    expect(&mut s, 2);
    drop(s);
    broker.restart("-TERM");
    let client = broker.connect();
    expect(&mut client.subscriber_with("t", &options).unwrap(), 2);
    assert!(client.group("t", "desk").unwrap().durable);
}

#[test]
fn publishers_wait_for_who_asks() {
    let broker = Broker::start();
    let client = broker.connect();
    let topic = TopicOptions {
        durability: Durability::Memory,
        window_bytes: 256 << 10,
        segment_bytes: 1 << 20,
        push_back: true,
        ..Default::default()
    };
    client.create_topic("t", &topic).unwrap();
    let options = SubscriberOptions { push_back: true, ..Default::default() };
    let mut slow = client.subscriber_with("t", &options).unwrap();
    assert_eq!(client.topic("t").unwrap().waited_for, 1);
    let publisher = PublisherOptions { timeout: Duration::from_millis(1), ..Default::default() };
    let mut publisher = client.publisher_with("t", &publisher).unwrap();
    let mut sent = 0;
    let error = loop {
        match publisher.publish(&[0; 1000]) {
            Ok(_) => sent += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::NoRoom(_)) && error.is_retryable());
    for _ in 0..sent {
        assert!(slow.poll().unwrap().is_some());
    }
    publisher.publish(&[1]).unwrap();
    drop(slow);
    for _ in 0..1000 {
        publisher.publish(&[0; 1000]).unwrap();
    }
}
