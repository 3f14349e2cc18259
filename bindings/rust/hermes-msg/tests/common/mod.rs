//! A real broker, the hermesd of $HERMES_BIN, of the test's own.
#![allow(dead_code)] // not every test needs all of it

use hermes_msg::{Client, TopicOptions};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub const LONG: Duration = Duration::from_secs(60);

/// A broker of the test's own, killed and removed at its end.
pub struct Broker {
    pub home: PathBuf,
    pub process: Child,
}

impl Broker {
    pub fn start() -> Broker {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("hermes-test-rust-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let home = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&home).unwrap();
        let process = Broker::launch(&home);
        Broker { home, process }
    }

    pub fn launch(home: &PathBuf) -> Child {
        let bin = std::env::var_os("HERMES_BIN").expect("HERMES_BIN is where hermesd is");
        let mut process = Command::new(PathBuf::from(bin).join("hermesd"))
            .env("HERMES_HOME", home)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("serving"));
        process
    }

    pub fn stop(&mut self, signal: &str) {
        self.signal(signal);
        self.signal("-CONT"); // a test that failed may have left it halted
        self.process.wait().unwrap();
    }

    /// Halts it: it holds what it has, and does nothing.
    pub fn pause(&self) {
        self.signal("-STOP");
        let stat = format!("/proc/{}/stat", self.process.id());
        let is_halted = || std::fs::read_to_string(&stat).unwrap().rsplit(')').next().unwrap().starts_with(" T");
        while !is_halted() {
            std::thread::yield_now();
        }
    }

    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").arg(signal).arg(self.process.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    pub fn restart(&mut self, signal: &str) {
        self.stop(signal);
        self.process = Broker::launch(&self.home);
    }

    pub fn connect(&self) -> Client {
        Client::connect_to_path(self.home.join("broker.sock")).unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.stop("-TERM");
        }
        std::fs::remove_dir_all(&self.home).unwrap();
    }
}

pub fn small() -> TopicOptions {
    TopicOptions { window_bytes: 256 << 10, segment_bytes: 1 << 20, ..Default::default() }
}
