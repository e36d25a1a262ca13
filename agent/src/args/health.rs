//! `mesh health` and `mesh-agent health`: asks an ingress or an agent how it is, for containers that
//! have nothing but this program.
//!
//! Everything happens on a thread that nobody waits for longer than the timeout, looking the name
//! up included: the program's end is its end.

#![expect(clippy::disallowed_types, reason = "this is a program of its own, without the loop")]

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::num::NonZeroU16;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use argh::FromArgs;
use mesh_protocol::http1::scan::{HeadScan, Kind};
use mesh_protocol::http1::{ResponseHead, Storage};
use mesh_settings::value::{self, Url};
use mesh_settings::{Environment, Error, output, reason};

use crate::tunnel::TLS_ALERT;

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
/// The status is all that is wanted. The rest of the head has to fit in here, the body need not.
const HEAD_BYTES_MAX: usize = 8 * 1024;

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
        Ok(200) => {
            output::say("healthy");
            Ok(())
        }
        Ok(status) => Err(Error::new(format!("{text} answers {status}, not 200"))),
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

fn status_within(url: Url, timeout: Duration) -> Result<u16, String> {
    let answer = Arc::new((Mutex::new(None), Condvar::new()));
    let asked = Arc::clone(&answer);
    let ask = move || {
        let status = status(&url);
        *asked.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
        asked.1.notify_one();
    };
    Builder::new()
        .name("health".to_owned())
        .spawn(ask)
        .map_err(|error| format!("cannot start a thread: {}", reason(&error)))?;
    let (status, comes) = &*answer;
    let status = status.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = comes.wait_timeout_while(status, timeout, |status| status.is_none());
    let (mut status, _) = waited.unwrap_or_else(PoisonError::into_inner);
    status.take().unwrap_or_else(|| {
        Err(format!("no answer within {} seconds", value::show_seconds(&timeout)))
    })
}

/// The status of the answer to one GET.
fn status(url: &Url) -> Result<u16, String> {
    let mut stream = connect(url).map_err(|error| reason(&error))?;
    stream.write_all(request(url).as_bytes()).map_err(|error| reason(&error))?;
    let mut scan = HeadScan::new(Kind::Response, HEAD_BYTES_MAX);
    let (mut bytes, mut piece) = (Vec::new(), [0; 1024]);
    loop {
        let nonsense = |error| match bytes.starts_with(&TLS_ALERT) {
            true => "the peer speaks TLS, which this command does not".to_owned(),
            false => format!("the answer is no HTTP: {error}"),
        };
        if let Some(length) = scan.poll(&bytes).map_err(nonsense)? {
            let mut storage = Storage::new();
            let head = ResponseHead::parse(&bytes[..length], &mut storage).map_err(nonsense)?;
            if !matches!(head.status, 100..=199) || head.status == 101 {
                return Ok(head.status);
            }
            // The answer itself is still to come (RFC 9110 15.2).
            bytes.drain(..length);
            scan = HeadScan::new(Kind::Response, HEAD_BYTES_MAX);
            continue;
        }
        match stream.read(&mut piece) {
            Ok(0) => return Err("closed before the end of the answer's head".to_owned()),
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(reason(&error)),
        }
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
