//! Over TLS, and by a token, with a broker that lets nobody else in.

use hermes_msg::{Client, ConnectOptions, Error, Start, TopicOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

fn hermes(home: &Path, arguments: &[&str]) -> String {
    let bin = std::env::var_os("HERMES_BIN").expect("HERMES_BIN is where hermesd is");
    let output =
        Command::new(PathBuf::from(bin).join("hermes")).args(arguments).env("HERMES_HOME", home).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

#[test]
fn what_is_published_over_tls_comes() {
    let home = std::env::temp_dir().join(format!("hermes-test-rust-tls-{}", std::process::id()));
    std::fs::create_dir_all(&home).unwrap();
    hermes(&home, &["cert", "server"]);
    let secret = hermes(&home, &["auth", "token", "create", "desk"]);
    std::fs::write(home.join("hermes.conf"), "[net]\nlisten = tls://127.0.0.1:0\n[auth]\nrequired = true\n").unwrap();
    let bin = PathBuf::from(std::env::var_os("HERMES_BIN").unwrap());
    let mut broker = Command::new(bin.join("hermesd"))
        .env("HERMES_HOME", &home)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(broker.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("serving"));
    let url = lines.next().unwrap().unwrap().split_whitespace().last().unwrap().to_string();

    let mut options = ConnectOptions { token: Some(secret.clone()), ..Default::default() };
    let refused = Client::connect_with(&url, &options).map(drop).unwrap_err();
    assert!(matches!(refused, Error::AccessDenied(_)) && refused.to_string().contains("not trusted here"), "{refused}");
    options.tls_ca = Some(home.join("certs/ca.crt"));
    assert!(!format!("{options:?}").contains(&secret));
    assert_eq!(Client::connect_with(&url, &options).unwrap().transport(), "shm"); // it is this host's
    let stays = url.clone() + "?shm=no";
    let client = Client::connect_with(&stays, &options).unwrap();
    assert_eq!(client.transport(), "tls");
    client.create_topic("t", &TopicOptions::default()).unwrap();
    client.publisher("t").unwrap().publish(b"hello").unwrap();
    let mut subscriber = client.subscriber("t", Start::First).unwrap();
    assert_eq!(subscriber.wait(Duration::from_secs(60)).unwrap().unwrap().payload(), b"hello");
    options.token = Some("hms_of_nobody".into());
    assert!(matches!(Client::connect_with(&url, &options).map(drop), Err(Error::AccessDenied(_))));

    drop((subscriber, client));
    broker.kill().unwrap();
    broker.wait().unwrap();
    std::fs::remove_dir_all(&home).unwrap();
}
