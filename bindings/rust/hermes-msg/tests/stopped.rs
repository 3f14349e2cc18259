//! A broker that does not run (SIGSTOP) beside every call but requests: those that are not asked to wait do not, the others
//! end with their time-outs, a signal does what it should, and nothing else of the program is held up.

mod common;

use common::{small, Broker, LONG};
use hermes_msg::{
    Ack, Client, Confirmation, Error, Publisher, PublisherOptions, Start, Subscriber, SubscriberOptions, TopicOptions,
};
use std::os::unix::thread::JoinHandleExt;
use std::time::{Duration, Instant};

const MOMENT: Duration = Duration::from_millis(100);
/// Generously: a machine may be busy; who waits for an answer does so for 10 s.
const GENEROUS: Duration = Duration::from_secs(5);

fn timed<T>(call: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (call(), start.elapsed())
}

/// Of this thread.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: time is written to.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn publish_one(client: &Client, number: u8) {
    client.publisher("t").unwrap().publish(&[number]).unwrap();
}

/// It has read the first message of a topic that had a publisher since, whose window the broker, halted by now, has.
fn awaiting(broker: &Broker, options: SubscriberOptions) -> Subscriber {
    let client = broker.connect();
    client.create_topic("t", &small()).unwrap();
    publish_one(&client, 1);
    let mut subscriber = client.subscriber_with("t", &options).unwrap();
    assert_eq!(subscriber.wait(LONG).unwrap().unwrap().payload(), [1]);
    publish_one(&client, 2);
    broker.pause();
    subscriber
}

fn kinds() -> [SubscriberOptions; 3] {
    let alone = SubscriberOptions { start: Start::First, ..Default::default() };
    [
        SubscriberOptions { group: Some("g".into()), ..alone.clone() },
        SubscriberOptions { name: Some("d".into()), ..alone.clone() },
        alone,
    ]
}

#[test]
fn reading_waits_as_long_as_it_is_told() {
    for options in kinds() {
        let broker = Broker::start();
        let mut subscriber = awaiting(&broker, options);
        for _ in 0..3 {
            assert!(subscriber.poll().unwrap().is_none());
            assert!(subscriber.awaits_broker() && format!("{subscriber:?}").contains("awaits_broker: true"));
            assert!(subscriber.arm().unwrap());
        }
        let (none, took) = timed(|| subscriber.wait(MOMENT).map(|message| message.is_none()));
        assert!(none.unwrap() && took >= MOMENT && took < GENEROUS, "{took:?}");
        broker.go_on();
        assert_eq!(subscriber.wait(LONG).unwrap().unwrap().payload(), [2]);
    }
}

#[test]
fn who_waits_for_the_broker_burns_no_processor() {
    let broker = Broker::start();
    let mut subscriber = awaiting(&broker, SubscriberOptions { start: Start::First, ..Default::default() });
    let before = processor_time();
    assert!(subscriber.wait(5 * MOMENT).unwrap().is_none());
    assert!(processor_time() - before < 5 * MOMENT / 2); // generously: it would be all of it
}

#[test]
fn acknowledgements_wait_for_nothing() {
    let broker = Broker::start();
    let options =
        SubscriberOptions { group: Some("g".into()), ack: Ack::Manual, start: Start::First, ..Default::default() };
    let client = broker.connect();
    client.create_topic("t", &small()).unwrap();
    client.publisher("t").unwrap().publish_all([[1], [2], [3]]).unwrap();
    let mut member = client.subscriber_with("t", &options).unwrap();
    let ids: Vec<_> = (0..3).map(|_| member.wait(LONG).unwrap().unwrap().id()).collect();
    broker.pause();
    let (_, took) = timed(|| {
        member.ack(ids[0]).unwrap();
        member.renew(ids[1]).unwrap();
        member.nack(ids[2]).unwrap();
        assert_eq!(member.deliveries(ids[1]), 1);
    });
    broker.go_on();
    assert!(took < GENEROUS, "{took:?}");
}

fn publisher(client: &Client, timeout: Duration) -> Publisher {
    client.publisher_with("t", &PublisherOptions { timeout, ..Default::default() }).unwrap()
}

#[test]
fn publishing_waits_as_long_as_it_is_told() {
    for shared in [false, true] {
        let broker = Broker::start();
        let client = broker.connect();
        client.create_topic("t", &TopicOptions { shared, ..small() }).unwrap();
        for timeout in [Duration::ZERO, MOMENT] {
            let mut publisher = publisher(&client, timeout);
            publisher.publish(&[0]).unwrap();
            broker.pause();
            let expect = |error: Error, took: Duration| {
                assert!(matches!(error, Error::NoRoom(_)) && error.is_retryable(), "{error:?}");
                assert!(took >= timeout && took < timeout + GENEROUS, "{took:?}");
            };
            // An exclusive topic's persister is a thread of the broker, too.
            let error = loop {
                if let (Err(error), took) = timed(|| publisher.publish(&[1; 60000])) {
                    break (error, took);
                }
            };
            expect(error.0, error.1);
            let (error, took) = timed(|| publisher.publish_batch(&[[1u8; 60000]; 5]).unwrap_err());
            expect(error, took);
            let (error, took) = timed(|| publisher.claim(60000).map(drop).unwrap_err());
            expect(error, took);
            let (waited, took) = timed(|| publisher.wait(Confirmation::Durable, MOMENT));
            assert!(matches!(waited, Err(Error::Timeout(_))) && took >= MOMENT && took < GENEROUS, "{took:?}");
            publisher.confirmed(Confirmation::Committed);
            broker.go_on();
        }
    }
}

extern "C" fn note(_signal: libc::c_int) {}

/// From now on a handler runs, and calls of the system end.
fn handle_signals() {
    // SAFETY: a handler that does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = note as extern "C" fn(libc::c_int) as usize;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
    }
}

#[test]
fn a_signal_ends_a_wait_and_no_iteration() {
    handle_signals();
    let broker = Broker::start();
    let mut subscriber = awaiting(&broker, SubscriberOptions { start: Start::First, ..Default::default() });
    let waiting = std::thread::spawn(move || {
        let interrupted = subscriber.wait(LONG).map(|message| message.is_none());
        (interrupted, subscriber)
    });
    while !waiting.is_finished() {
        // SAFETY: not joined yet.
        unsafe { libc::pthread_kill(waiting.as_pthread_t(), libc::SIGUSR1) };
        std::thread::sleep(Duration::from_millis(1));
    }
    let (interrupted, mut subscriber) = waiting.join().unwrap();
    assert!(matches!(interrupted, Err(Error::Interrupted(_))), "{interrupted:?}");
    let iterating = std::thread::spawn(move || subscriber.next().unwrap().unwrap());
    for i in 0..200 {
        // SAFETY: not joined yet.
        unsafe { libc::pthread_kill(iterating.as_pthread_t(), libc::SIGUSR1) };
        std::thread::sleep(Duration::from_millis(1));
        if i == 100 {
            assert!(!iterating.is_finished());
            broker.go_on();
        }
    }
    assert_eq!(iterating.join().unwrap().payload[..], [2]);
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_stream_holds_no_other_task_up() {
    use futures_util::StreamExt;
    let broker = Broker::start();
    let mut subscriber = awaiting(&broker, SubscriberOptions { start: Start::First, ..Default::default() });
    assert!(subscriber.poll().unwrap().is_none());
    let mut stream = subscriber.into_stream().unwrap();
    let ticking = tokio::spawn(async {
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let start = Instant::now();
            tokio::time::sleep(Duration::from_millis(5)).await;
            longest = longest.max(start.elapsed());
        }
        longest
    });
    let before = processor_time();
    let start = Instant::now();
    assert!(tokio::time::timeout(5 * MOMENT, stream.next()).await.is_err());
    assert!(start.elapsed() < GENEROUS);
    assert!(processor_time() - before < 5 * MOMENT / 2, "it sleeps");
    let longest = ticking.await.unwrap();
    broker.go_on();
    assert!(longest < GENEROUS, "{longest:?}");
    let message = tokio::time::timeout(LONG, stream.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(message.payload[..], [2]);
}
