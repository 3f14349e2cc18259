//! One side of test_languages.py in Rust: port publish|consume TOPIC SIZE,SIZE...

use hermes_msg::{Client, Confirmation, Error, Result, Start};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 7 % 251) as u8).collect()
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, role, topic, sizes] = &arguments[..] else { std::process::exit(64) };
    let sizes = sizes.split(',').map(|size| size.parse().expect("a size"));
    let client = Client::connect()?;
    if role == "publish" {
        let mut publisher = client.publisher(topic)?;
        for size in sizes {
            publisher.publish(&pattern(size))?;
        }
        assert!(matches!(publisher.publish(&[0; 65537]), Err(Error::TooLarge(_))));
        publisher.wait(Confirmation::Committed, LONG)?;
    } else {
        let mut subscriber = client.subscriber(topic, Start::First)?;
        for size in sizes {
            let message = subscriber.wait(LONG)?.expect("a message");
            assert_eq!(message.payload(), pattern(size));
        }
    }
    println!("good");
    Ok(())
}
