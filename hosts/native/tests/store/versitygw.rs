//! Versity's S3 gateway over a folder: a real S3 server on loopback.

#![allow(dead_code, reason = "each test file is a crate of its own and uses a part")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The server's one bucket.
pub(crate) const BUCKET: &str = "cars";
/// Another one may take a port between its being found free and the server's start.
const ATTEMPTS: u32 = 5;
/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server, and the folder that it serves. It ends when dropped.
#[derive(Debug)]
pub(crate) struct Versitygw {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Versitygw {
    /// Starts the program that `HOVERBOARD_VERSITYGW` names. `cargo xtask test` always names one; without it there is
    /// no server, and it is said aloud.
    pub(crate) fn start() -> Option<Self> {
        let Ok(program) = std::env::var("HOVERBOARD_VERSITYGW") else {
            eprintln!("NOT TESTED over S3: HOVERBOARD_VERSITYGW does not name the server; `cargo xtask test` does");
            return None;
        };
        let started = (0..ATTEMPTS).find_map(|_| Self::try_start(&program));
        Some(started.expect("versitygw starts on a free port"))
    }

    fn try_start(program: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join(BUCKET)).expect("a bucket");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let mut process = Command::new(program)
            .args(["--port", &format!("127.0.0.1:{port}"), "--keep-alive", "--quiet", "--health", "/health", "posix"])
            .arg(folder.path())
            .env("ROOT_ACCESS_KEY_ID", "test")
            .env("ROOT_SECRET_ACCESS_KEY", "testsecret")
            .stdout(Stdio::null())
            .spawn()
            .expect("versitygw runs");
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if is_healthy(port) {
                return Some(Self { process, port, folder });
            }
            if process.try_wait().expect("a child").is_some() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = process.kill();
        let _ = process.wait();
        None
    }

    /// The variables by which S3 clients find it.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "testsecret".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port)),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Where an object lies on the disk.
    pub(crate) fn object(&self, key: &str) -> std::path::PathBuf {
        self.folder.path().join(BUCKET).join(key)
    }
}

impl Drop for Versitygw {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_healthy(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        write!(stream, "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
