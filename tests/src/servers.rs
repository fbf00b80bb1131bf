//! Servers of a lab, in threads of the test: an HTTP server for one config, an NTP server.
//!
//! Their sockets are made inside the lab's network namespace and stay there; their threads end with the
//! test's process.

use crate::sandbox::{Lab, lab};
use anyhow::{Context as _, Result};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest wait for a client that has connected and says nothing.
const CLIENT_MAX: Duration = Duration::from_secs(30);
/// Longest line of a request.
const LINE_MAX: u64 = 16 * 1024;
/// Seconds from 1900, where NTP counts from, to 1970 (RFC 5905, figure 4).
const NTP_EPOCH: u64 = 2_208_988_800;

/// Answers each GET with the same body.
#[derive(Debug, Clone)]
pub struct ConfigServer {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    body: Vec<u8>,
    asked: Vec<String>,
}

impl ConfigServer {
    /// Serves `body` on the lab's own address.
    ///
    /// # Errors
    /// The port is in use.
    pub fn start(lab: &Lab, port: u16, body: Vec<u8>) -> Result<Self> {
        let listener =
            lab.inside(|| TcpListener::bind((lab::ADDRESS, port)).context("bind the HTTP port"))?;
        let shared = Arc::new(Mutex::new(Shared {
            body,
            asked: Vec::new(),
        }));
        let server = Self {
            shared: Arc::clone(&shared),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A client that goes away in the middle is its own problem.
                let _ = answer(stream, &shared);
            }
        });
        Ok(server)
    }

    /// Serves another body from now on.
    pub fn change(&self, body: Vec<u8>) {
        self.lock().body = body;
    }

    /// The targets that were asked for, in order: "/node?mac=...".
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.lock().asked.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(mut stream: TcpStream, shared: &Mutex<Shared>) -> std::io::Result<()> {
    use std::io::Read as _;
    stream.set_read_timeout(Some(CLIENT_MAX))?;
    let mut lines = BufReader::new(stream.try_clone()?.take(LINE_MAX)).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let body = {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.asked.push(target);
        shared.body.clone()
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}

/// Serves this host's time plus `ahead` by NTP (RFC 5905, section 7.3) on the lab's own address.
///
/// # Errors
/// The port is in use.
pub fn serve_time(lab: &Lab, ahead: Duration) -> Result<()> {
    let socket =
        lab.inside(|| UdpSocket::bind((lab::ADDRESS, 123)).context("bind the NTP port"))?;
    std::thread::spawn(move || {
        let mut request = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut request) {
            if let Some(request) = request[..length].first_chunk() {
                let _ = socket.send_to(&time_answer(request, ahead), from);
            }
        }
    });
    Ok(())
}

fn time_answer(request: &[u8; 48], ahead: Duration) -> [u8; 48] {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        + ahead;
    // 32 bits of seconds, which wrap, and 32 of a second's fraction.
    let seconds = (since.as_secs() + NTP_EPOCH) & u64::from(u32::MAX);
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    let now = (seconds << 32 | fraction).to_be_bytes();
    let mut packet = [0; 48];
    // Version 4, mode 4 (server), stratum 1, poll as asked, precision 2^-20 s.
    packet[..4].copy_from_slice(&[4 << 3 | 4, 1, request[2], 0xec]);
    packet[12..16].copy_from_slice(b"TEST");
    packet[16..24].copy_from_slice(&now);
    packet[24..32].copy_from_slice(&request[40..48]);
    packet[32..40].copy_from_slice(&now);
    packet[40..48].copy_from_slice(&now);
    packet
}
