//! `mesh health` and `mesh-agent health`: asks an ingress or an agent how it is, for containers that
//! have nothing but this program.
//!
//! Everything happens on a thread that nobody waits for longer than the timeout, looking the name
//! up included: the program's end is its end.

#![expect(clippy::disallowed_types, reason = "this is a program of its own, without the loop")]

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::num::NonZeroU16;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use argh::FromArgs;
use mesh_protocol::http1::scan::{HeadScan, Kind};
use mesh_protocol::http1::{ResponseHead, Storage};
use mesh_settings::value::{self, Url};
use mesh_settings::{Environment, Error, output, reason};
use serde::Deserialize;

use crate::faults::TLS_ALERT;

/// Ask an ingress or an agent how it is: exit with 0 when it answers 200, and with 1 and one sentence when it
/// does not.
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "health",
    usage = "[<options>]",
    note = "An agent answers if it was given a --health-port."
)]
pub struct HealthArgs {
    /// an http:// URL [default: http://127.0.0.1:8081/health, with the port of MESH_HEALTH_PORT and
    /// the address of MESH_BIND if these are set]
    #[argh(option)]
    url: Option<String>,
    /// seconds that it may take altogether, 0.1 to 300 [default: 2]
    #[argh(option)]
    timeout: Option<String>,
    /// print the version, and exit
    #[argh(switch)]
    pub version: bool,
}

/// The default where nobody says otherwise, and an example for complaints.
const EXAMPLE: &str = "http://127.0.0.1:8081/health";
const DEFAULT_PORT: NonZeroU16 = NonZeroU16::new(8081).expect("it is not zero");
/// Where those who share an environment listen, unless they are told otherwise.
const PORT: &str = "MESH_HEALTH_PORT";
const BIND: &str = "MESH_BIND";
/// Whoever asks is on the same machine, and asks again soon.
const TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUT_MIN: Duration = Duration::from_millis(100);
const TIMEOUT_MAX: Duration = Duration::from_secs(300);
/// The head has to fit in here, the body need not.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// What is read of a body that may say why the status is another one than 200.
const BODY_BYTES_MAX: usize = 8 * 1024;
/// A text that is longer than that is a document.
const WORDS_BYTES_MAX: usize = 80;
/// What is shown of a reason.
const REASON_CHARS_MAX: usize = 500;

/// What is known so far.
#[derive(Debug, Default)]
struct Reply {
    status: Option<Result<u16, String>>,
    /// Why the status is another one than 200, where the answer says so.
    reason: Option<String>,
    /// Nothing more comes.
    is_over: bool,
}

/// Asks once.
///
/// # Errors
/// It is not well, or cannot be asked.
pub fn start(args: HealthArgs) -> Result<(), Error> {
    let text = match args.url {
        Some(url) => url,
        None => default_url(&Environment::of_process())?,
    };
    let named = |flag, complaint| Error::new(format!("{flag}: {complaint}"));
    let url =
        value::url(&text, &["http"], EXAMPLE).map_err(|complaint| named("--url", complaint))?;
    let timeout = match &args.timeout {
        Some(text) => timeout(text).map_err(|complaint| named("--timeout", complaint))?,
        None => TIMEOUT,
    };
    match status_within(url, timeout) {
        Ok((200, _)) => {
            output::say("healthy");
            Ok(())
        }
        Ok((status, reason)) => {
            let reason = reason.map_or_else(String::new, |reason| format!(": {reason:?}"));
            Err(Error::new(format!("{text} answers {status}, not 200{reason}")))
        }
        Err(sentence) => Err(Error::new(format!("{text}: {sentence}"))),
    }
}

/// Where an ingress or an agent in the same environment answers.
fn default_url(environment: &Environment) -> Result<String, Error> {
    let port = match environment.get(PORT) {
        None => DEFAULT_PORT,
        Some(port) => port.parse::<NonZeroU16>().map_err(|_| {
            Error::new(format!(
                "{PORT}: nobody can be asked at port {port:?}; give 1 to 65535 there, or --url"
            ))
        })?,
    };
    let address = environment.get(BIND).map(value::address).transpose();
    let address = address.map_err(|complaint| Error::new(format!("{BIND}: {complaint}")))?;
    // Who listens on all addresses takes what comes over IPv4 on any of them.
    let address = address.filter(|address| !address.is_unspecified());
    let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Ok(format!("http://{}/health", SocketAddr::new(address, port.get())))
}

fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = value::seconds(text)?;
    if (TIMEOUT_MIN..=TIMEOUT_MAX).contains(&timeout) {
        return Ok(timeout);
    }
    let [min, max] = [TIMEOUT_MIN, TIMEOUT_MAX].map(|bound| value::show_seconds(&bound));
    Err(format!("{text:?} must be from {min} to {max} seconds"))
}

fn status_within(url: Url, timeout: Duration) -> Result<(u16, Option<String>), String> {
    let answer = Arc::new((Mutex::new(Reply::default()), Condvar::new()));
    let asked = Arc::clone(&answer);
    let ask = move || {
        let outcome = ask(&url, &asked.0);
        let mut reply = lock(&asked.0);
        if let Err(sentence) = outcome {
            reply.status.get_or_insert(Err(sentence));
        }
        reply.is_over = true;
        asked.1.notify_one();
    };
    Builder::new()
        .name("health".to_owned())
        .spawn(ask)
        .map_err(|error| format!("cannot start a thread: {}", reason(&error)))?;
    let (reply, comes) = &*answer;
    let waited = comes.wait_timeout_while(lock(reply), timeout, |reply| !reply.is_over);
    let (mut reply, _) = waited.unwrap_or_else(PoisonError::into_inner);
    let late = || Err(format!("no answer within {} seconds", value::show_seconds(&timeout)));
    let status = reply.status.take().unwrap_or_else(late)?;
    Ok((status, reply.reason.take()))
}

fn lock(reply: &Mutex<Reply>) -> MutexGuard<'_, Reply> {
    reply.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes what is answered to one GET.
fn ask(url: &Url, reply: &Mutex<Reply>) -> Result<(), String> {
    let mut stream = connect(url).map_err(|error| reason(&error))?;
    stream.write_all(request(url).as_bytes()).map_err(|error| reason(&error))?;
    let mut scan = HeadScan::new(Kind::Response, HEAD_BYTES_MAX);
    let mut bytes = Vec::new();
    loop {
        let nonsense = |error| match bytes.starts_with(&TLS_ALERT) {
            true => "the peer speaks TLS, which this command does not".to_owned(),
            false => format!("the answer is not HTTP: {error}"),
        };
        if let Some(length) = scan.poll(&bytes).map_err(nonsense)? {
            let mut storage = Storage::new();
            let head = ResponseHead::parse(&bytes[..length], &mut storage).map_err(nonsense)?;
            if !matches!(head.status, 100..=199) || head.status == 101 {
                let body = if head.status == 200 { 0 } else { body_length(&head) };
                lock(reply).status = Some(Ok(head.status));
                bytes.drain(..length);
                return read_reason(&mut stream, bytes, body, reply);
            }
            // The answer itself is still to come (RFC 9110 15.2).
            bytes.drain(..length);
            scan = HeadScan::new(Kind::Response, HEAD_BYTES_MAX);
            continue;
        }
        if read(&mut stream, &mut bytes)? == 0 {
            return Err("closed before the end of the answer's head".to_owned());
        }
    }
}

fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<usize, String> {
    let mut piece = [0; 1024];
    loop {
        match stream.read(&mut piece) {
            Ok(count) => {
                bytes.extend_from_slice(&piece[..count]);
                return Ok(count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(reason(&error)),
        }
    }
}

/// How much of a body there is to read; nothing of one whose end would have to be waited for.
fn body_length(head: &ResponseHead<'_, '_>) -> usize {
    let length = head.field("content-length").and_then(|value| str::from_utf8(value).ok());
    let length = length.and_then(|text| text.parse().ok()).unwrap_or(0);
    BODY_BYTES_MAX.min(length)
}

/// Notes what a body says of the status before it.
fn read_reason(
    stream: &mut TcpStream,
    mut bytes: Vec<u8>,
    length: usize,
    reply: &Mutex<Reply>,
) -> Result<(), String> {
    while bytes.len() < length {
        if read(stream, &mut bytes)? == 0 {
            break;
        }
    }
    bytes.truncate(length);
    lock(reply).reason = reason_in(&bytes);
    Ok(())
}

/// From a page of JSON, or one that is nothing but a few words.
fn reason_in(body: &[u8]) -> Option<String> {
    if let Ok(page) = serde_json::from_slice::<Page>(body) {
        return page.into_reason();
    }
    let words = str::from_utf8(body).ok()?.trim();
    let is_short = !words.is_empty() && words.len() <= WORDS_BYTES_MAX && !words.contains('\n');
    is_short.then(|| words.to_owned())
}

/// What the page of an agent or an ingress says of itself.
#[derive(Deserialize)]
struct Page {
    reason: Option<String>,
    /// Why the service is not well that an agent stands for.
    service_reason: Option<String>,
    /// The word of an ingress.
    status: Option<String>,
}

impl Page {
    fn into_reason(self) -> Option<String> {
        let reason = match (self.reason, self.service_reason) {
            // The one need not be why the other is so.
            (Some(reason), Some(service)) => format!("{reason}; the service: {service}"),
            (Some(reason), None) => reason,
            (None, _) => self.status?,
        };
        Some(reason.chars().take(REASON_CHARS_MAX).collect())
    }
}

/// To the first address that answers; a name such as localhost may have several.
fn connect(url: &Url) -> io::Result<TcpStream> {
    let addresses = (url.host.as_str(), url.port.unwrap_or(80)).to_socket_addrs()?;
    TcpStream::connect(&*addresses.collect::<Vec<_>>())
}

fn request(url: &Url) -> String {
    let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
    let port = url.port.map_or_else(String::new, |port| format!(":{port}"));
    format!(
        "GET {} HTTP/1.1\r\nHost: {host}{port}\r\nUser-Agent: mesh/{} (health check)\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n",
        url.path,
        env!("CARGO_PKG_VERSION"),
    )
}
