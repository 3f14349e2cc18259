//! What becomes of a message is one of three, an error says which, and whether to try again follows from it.

mod common;

use common::{small, Broker, LONG};
use hermes_msg::{
    Client, Confirmation, Durability, Error, Outcome, Publisher, PublisherOptions, Start, SubscriberOptions,
    TopicOptions,
};
use std::time::Duration;

const MOMENT: Duration = Duration::from_millis(50);

fn publisher(client: &Client, timeout: Duration) -> Publisher {
    client.publisher_with("t", &PublisherOptions { timeout, ..Default::default() }).unwrap()
}

/// As who publishes again whenever an error says that it may.
fn publish_obeying(publisher: &mut Publisher, number: u8) {
    while let Err(error) = publisher.publish(&[number]) {
        if !error.is_retryable() {
            assert_eq!(error.outcome().unwrap().taken(), 1, "{error}");
            return;
        }
    }
}

#[test]
fn who_obeys_publishes_each_message_once() {
    for shared in [false, true] {
        for durability in [Durability::Async, Durability::Sync] {
            let mut broker = Broker::start();
            let client = broker.connect();
            client.create_topic("t", &TopicOptions { shared, durability, ..small() }).unwrap();
            let mut publisher = publisher(&client, MOMENT);
            publish_obeying(&mut publisher, 0);
            broker.stop("-TERM");
            let told = publisher.publish(&[1]);
            let again = match &told {
                Ok(_) => false,
                Err(error) => error.is_retryable(),
            };
            if let Err(error) = told {
                let taken = error.outcome().unwrap().taken();
                assert_eq!(taken == 0, again, "{error:?}");
            }
            broker.process = Broker::launch(&broker.home);
            for number in u8::from(!again) + 1..=3 {
                publish_obeying(&mut publisher, number);
            }
            publisher.wait(Confirmation::Committed, LONG).unwrap();
            let mut subscriber = broker.connect().subscriber("t", Start::First).unwrap();
            for number in 0..=3 {
                assert_eq!(subscriber.wait(LONG).unwrap().unwrap().payload(), [number]);
            }
            assert!(subscriber.wait(MOMENT).unwrap().is_none());
        }
    }
}

#[test]
fn what_is_pending_goes_in_by_itself() {
    let mut broker = Broker::start();
    let client = broker.connect();
    client.create_topic("t", &small()).unwrap();
    let mut publisher = publisher(&client, MOMENT);
    publisher.publish(b"in").unwrap();
    broker.stop("-TERM");
    let pending = publisher.publish(b"waits").unwrap_err();
    assert_eq!(pending.outcome(), Some(Outcome::Pending { taken: 1, sequence: None }), "{pending:?}");
    assert!(!pending.is_retryable());
    let refused = publisher.publish(b"refused").unwrap_err();
    assert_eq!(refused.outcome(), Some(Outcome::NotPublished), "{refused:?}");
    assert!(refused.is_retryable());
    let waited = publisher.wait(Confirmation::Committed, MOMENT).unwrap_err();
    assert!(waited.is_retryable() && waited.outcome().is_none(), "to wait again does nothing twice: {waited:?}");
    broker.process = Broker::launch(&broker.home);
    publisher.wait(Confirmation::Committed, LONG).unwrap();
    let mut subscriber = broker.connect().subscriber("t", Start::First).unwrap();
    for expected in ["in", "waits"] {
        assert_eq!(subscriber.wait(LONG).unwrap().unwrap().payload(), expected.as_bytes());
    }
}

#[test]
fn of_a_claim_it_is_told_as_of_a_message() {
    let mut broker = Broker::start();
    let client = broker.connect();
    client.create_topic("t", &small()).unwrap();
    let mut publisher = publisher(&client, MOMENT);
    let claim = publisher.claim(8).unwrap();
    broker.stop("-TERM");
    let pending = claim.commit().unwrap_err();
    assert!(
        matches!(pending.outcome(), Some(Outcome::Pending { taken: 1, .. })) && !pending.is_retryable(),
        "{pending:?}"
    );
    let refused = publisher.claim(8).unwrap_err();
    assert!(refused.outcome() == Some(Outcome::NotPublished) && refused.is_retryable(), "{refused:?}");
    let large = publisher.publish(&[0; 65537]).unwrap_err();
    assert!(large.outcome() == Some(Outcome::NotPublished) && !large.is_retryable(), "{large:?}");
}

#[test]
fn a_publisher_that_is_closed_too_early_says_how_many_are_not_in() {
    let mut broker = Broker::start();
    let client = broker.connect();
    client.create_topic("t", &small()).unwrap();
    let mut publisher = publisher(&client, MOMENT);
    publisher.publish(b"in").unwrap();
    broker.stop("-TERM");
    let taken = publisher.publish_batch(&[b"1", b"2"]).unwrap(); // they wait for a broker
    let closed = publisher.close().unwrap_err();
    assert_eq!(closed.outcome(), Some(Outcome::Pending { taken, sequence: None }), "{closed:?}");
    assert!(!closed.is_retryable());
}

#[test]
fn many_that_find_no_room_say_how_many_did() {
    let broker = Broker::start();
    let client = broker.connect();
    let topic = TopicOptions { durability: Durability::Memory, push_back: true, ..small() };
    client.create_topic("t", &topic).unwrap();
    let options = SubscriberOptions { push_back: true, ..Default::default() };
    let mut subscriber = client.subscriber_with("t", &options).unwrap();
    let mut publisher = publisher(&client, Duration::ZERO);
    let payloads = vec![[0u8; 1000]; 1000];
    let times: Vec<_> = payloads.iter().map(|payload| (1, payload)).collect();
    type Publish<'a> = &'a dyn Fn(&mut Publisher) -> hermes_msg::Result<u64>;
    let ways: [Publish; 3] =
        [&|p| p.publish_batch(&payloads), &|p| p.publish_batch_at(&times), &|p| p.publish_all(payloads.iter())];
    for publish in ways {
        let error = publish(&mut publisher).unwrap_err();
        let Some(Outcome::Published { taken, .. }) = error.outcome() else { panic!("{error:?}") };
        assert!(matches!(error, Error::NoRoom(_)) && (1..1000).contains(&taken), "{error:?}");
        assert!(!error.is_retryable(), "those that are in would be there twice");
        let none = publish(&mut publisher).unwrap_err();
        assert!(none.outcome() == Some(Outcome::NotPublished) && none.is_retryable(), "{none:?}");
        for _ in 0..taken {
            assert!(subscriber.poll().unwrap().is_some());
        }
        assert!(subscriber.poll().unwrap().is_none());
    }
}

#[test]
fn who_was_displaced_is_told_that_it_is_over() {
    let mut broker = Broker::start();
    let client = broker.connect();
    client.create_topic("t", &small()).unwrap();
    let mut displaced = publisher(&client, MOMENT);
    displaced.publish(b"1").unwrap();
    broker.restart("-TERM");
    let mut other = publisher(&broker.connect(), MOMENT);
    other.publish(b"2").unwrap();
    drop(other);
    let error = loop {
        match displaced.publish(b"3") {
            Err(error) if error.is_retryable() => continue,
            told => break told.unwrap_err(),
        }
    };
    assert!(matches!(error, Error::Fenced(_)) && error.outcome() == Some(Outcome::NotPublished), "{error:?}");
}
