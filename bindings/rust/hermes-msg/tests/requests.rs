//! A broker that does not run (SIGSTOP) beside everything that is asked of it. One test, for its process is told how long an
//! answer may take.

mod common;

use common::{small, Broker, LONG};
use hermes_msg::{Client, Confirmation, Error, GroupOptions, Start};
use std::time::{Duration, Instant};

/// Of a request, which else has 10 s.
const ANSWER: Duration = Duration::from_millis(300);
/// Generously: a machine may be busy.
const GENEROUS: Duration = Duration::from_secs(5);

fn timed<T>(call: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (call(), start.elapsed())
}

#[test]
fn requests_end_when_an_answer_takes_too_long() {
    std::env::set_var("HERMES_REQUEST_TIMEOUT_MS", ANSWER.as_millis().to_string());
    let broker = Broker::start();
    let client = broker.connect();
    client.create_topic("t", &small()).unwrap();
    client.create_group("t", "g", &GroupOptions::default()).unwrap();
    let mut publisher = client.publisher("t").unwrap();
    publisher.publish_all((0..40).map(|_| vec![0u8; 60000])).unwrap(); // more than a window: the beginning is in the store
    publisher.wait(Confirmation::Durable, LONG).unwrap();
    let mut subscriber = client.subscriber("t", Start::End).unwrap();
    let path = broker.home.join("broker.sock");
    broker.pause();
    type Call<'a> = (&'a str, &'a mut dyn FnMut() -> hermes_msg::Result<()>);
    let calls: [Call; 14] = [
        ("connect", &mut || Client::connect_to_path(&path).map(drop)),
        ("ping", &mut || client.ping()),
        ("create_topic", &mut || client.create_topic("u", &small())),
        ("set_retention", &mut || client.set_retention("t", 0, Duration::ZERO)),
        ("topic", &mut || client.topic("t").map(drop)),
        ("topics", &mut || client.topics().map(drop)),
        ("delete_topic", &mut || client.delete_topic("v")),
        ("verify_topic", &mut || client.verify_topic("t").map(drop)),
        ("publisher", &mut || client.publisher("t").map(drop)),
        ("subscriber", &mut || client.subscriber("t", Start::End).map(drop)),
        ("set_lease", &mut || client.set_lease("t", "g", LONG)),
        ("group", &mut || client.group("t", "g").map(drop)),
        ("groups", &mut || client.groups("t").map(drop)),
        ("seek", &mut || subscriber.seek(Start::First)),
    ];
    for (name, call) in calls {
        let (done, took) = timed(call);
        assert!(matches!(done, Err(Error::Timeout(_) | Error::Disconnected(_))), "{name}: {done:?}");
        assert!(took >= ANSWER && took < ANSWER + GENEROUS, "{name}: {took:?}");
    }
    let (_, took) = timed(|| drop((publisher, subscriber)));
    assert!(took < ANSWER + GENEROUS, "{took:?}");
    broker.go_on();
    client.ping().unwrap(); // the session is as it was
}
