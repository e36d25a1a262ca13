//! The access log: one line for each answer to a caller.
//!
//! It goes out through `log` under a target of its own, which the shell writes where the operator
//! wants it. Of the request only what [`LoggedRequest`] names is read, so that no cookie and no credential
//! can get into a line; the query is part of the target, and stays.

use std::fmt::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use mesh_protocol::ConnId;
use mesh_protocol::http1::Version;
use serde::{Serialize, Serializer};

use crate::config::AccessLog;
use crate::ending::{Ended, Fault};
use crate::ingress::{Conn, Ingress};
use crate::replies::{HeadSeen, Reason};
use crate::tunnel::Serial;

/// The target in `log` of the lines.
const TARGET: &str = "access";

impl Ingress {
    /// Logs a request that did not become an exchange.
    pub(crate) fn log_declined(&self, conn: ConnId, reason: Reason, head: HeadSeen<'_>) {
        self.log_access(conn, head, |client, asked| Record {
            client,
            asked,
            status: reason.status(),
            error: Some(Fault::Told(reason)),
            request_bytes: 0,
            response_bytes: 0,
            duration: Duration::ZERO,
            agent: None,
            service: None,
            retried: false,
        });
    }

    /// Logs an exchange that is over.
    pub(crate) fn log_exchange(&self, conn: ConnId, ended: &Ended<'_>) {
        let seen = &ended.seen;
        self.log_access(conn, HeadSeen::Rewritten(ended.head), |client, asked| Record {
            client,
            asked,
            status: seen.status,
            error: ended.error,
            request_bytes: seen.request_bytes,
            response_bytes: seen.response_bytes,
            duration: seen.duration,
            agent: ended.tunnel,
            service: Some(seen.service),
            retried: ended.retried,
        });
    }

    fn log_access<'r>(
        &self,
        conn: ConnId,
        head: HeadSeen<'r>,
        record: impl FnOnce(IpAddr, Option<LoggedRequest<'r>>) -> Record<'r>,
    ) {
        if self.config.access_log == AccessLog::Off {
            return;
        }
        let Some(Conn::Downstream(downstream)) = self.conns.state(conn) else { return };
        let client = downstream.peer.ip().to_canonical();
        let record = record(client, LoggedRequest::read(head, downstream.http.version(), client));
        match self.config.access_log {
            AccessLog::Off => {}
            AccessLog::Text => log::info!(target: TARGET, "{}", Text(&record)),
            AccessLog::Json => log::info!(target: TARGET, "{}", record.json()),
        }
    }
}

/// What a line says.
#[derive(Debug)]
struct Record<'r> {
    client: IpAddr,
    asked: Option<LoggedRequest<'r>>,
    /// 0 when the caller left before it got one.
    status: u16,
    error: Option<Fault>,
    request_bytes: u64,
    response_bytes: u64,
    duration: Duration,
    /// By the tunnel that it had.
    agent: Option<Serial>,
    service: Option<&'r str>,
    retried: bool,
}

/// What a line says of the request head, byte for byte.
#[derive(Debug)]
struct LoggedRequest<'b> {
    method: &'b [u8],
    target: &'b [u8],
    version: Version,
    host: Option<&'b [u8]>,
    /// What proxies before this one said of the caller.
    forwarded_for: Option<Vec<u8>>,
    user_agent: Option<&'b [u8]>,
    trace_id: Option<&'b [u8]>,
}

impl<'b> LoggedRequest<'b> {
    /// Reads a head that was found good before. Its lines are looked at one by one: a rewritten
    /// head may have more fields than a received one may.
    fn read(head: HeadSeen<'b>, version: Version, client: IpAddr) -> Option<Self> {
        let (bytes, added) = match head {
            HeadSeen::None | HeadSeen::Refused(_) => return None,
            HeadSeen::Received(bytes) => (bytes, None),
            HeadSeen::Rewritten(bytes) => (bytes, Some(client)),
        };
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let mut words = lines.next()?.split(|byte| *byte == b' ');
        let (method, target) = (words.next()?, words.next()?);
        let (mut host, mut user_agent, mut trace_id, mut forwarded_for) = (None, None, None, None);
        for line in lines {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            match name.len() {
                4 if is("host") => host = host.or(Some(value)),
                10 if is("user-agent") => user_agent = user_agent.or(Some(value)),
                15 if is("x-amzn-trace-id") => trace_id = trace_id.or(Some(value)),
                15 if is("x-forwarded-for") => {
                    let list = forwarded_for.get_or_insert_with(Vec::new);
                    append(list, value);
                }
                _ => {}
            }
        }
        let forwarded_for = forwarded_for.and_then(|list| without(list, added));
        Some(Self { method, target, version, host, forwarded_for, user_agent, trace_id })
    }
}

/// Adds the list of another line (RFC 9110 5.3).
fn append(list: &mut Vec<u8>, value: &[u8]) {
    if !list.is_empty() {
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(value);
}

/// The list without the address that was added at its end; nothing when nothing else is in it.
fn without(mut list: Vec<u8>, added: Option<IpAddr>) -> Option<Vec<u8>> {
    if let Some(added) = added {
        let rest = list.strip_suffix(added.to_string().as_bytes()).unwrap_or(&list);
        let rest = rest.strip_suffix(b", ").unwrap_or(rest);
        list.truncate(rest.len());
    }
    (!list.is_empty()).then_some(list)
}

/// One value of a line.
#[derive(Debug)]
enum Value<'r> {
    None,
    /// A word that cannot be mistaken for anything.
    Word(&'static str),
    Address(IpAddr),
    /// What a peer said, and how much of it is shown.
    Said(&'r [u8], usize),
    Count(u64),
    /// A number that is a name.
    Name(u64),
    Time(Duration),
    Flag(bool),
}

/// Bytes of a target in a line.
const TARGET_MAX: usize = 2048;
/// Bytes of any other value in a line: what browsers and load balancers send is shorter.
const OTHER_MAX: usize = 512;
/// Follows a value that was cut.
const CUT: char = '…';

impl Record<'_> {
    /// Both forms have these values in this order.
    fn values(&self) -> [(&'static str, Value<'_>); 16] {
        let asked = self.asked.as_ref();
        let said =
            |value: Option<_>| value.map_or(Value::None, |said| Value::Said(said, OTHER_MAX));
        let status = match self.status {
            0 => Value::None,
            status => Value::Count(status.into()),
        };
        let version = |version| match version {
            Version::Http10 => Value::Word("HTTP/1.0"),
            Version::Http11 => Value::Word("HTTP/1.1"),
        };
        [
            ("client", Value::Address(self.client)),
            ("forwarded_for", said(asked.and_then(|asked| asked.forwarded_for.as_deref()))),
            ("method", said(asked.map(|asked| asked.method))),
            ("host", said(asked.and_then(|asked| asked.host))),
            ("target", asked.map_or(Value::None, |asked| Value::Said(asked.target, TARGET_MAX))),
            ("version", asked.map_or(Value::None, |asked| version(asked.version))),
            ("status", status),
            ("error", self.error.map_or(Value::None, |fault| Value::Word(fault.name()))),
            ("request_bytes", Value::Count(self.request_bytes)),
            ("response_bytes", Value::Count(self.response_bytes)),
            ("duration_ms", Value::Time(self.duration)),
            ("agent", self.agent.map_or(Value::None, |tunnel| Value::Name(tunnel.0))),
            ("service", said(self.service.filter(|name| !name.is_empty()).map(str::as_bytes))),
            ("retried", Value::Flag(self.retried)),
            ("user_agent", said(asked.and_then(|asked| asked.user_agent))),
            ("trace_id", said(asked.and_then(|asked| asked.trace_id))),
        ]
    }

    fn json(&self) -> String {
        serde_json::to_string(&Json(self)).expect("text grows in memory")
    }
}

/// `name=value` with spaces between; `-` where there is no value.
struct Text<'r>(&'r Record<'r>);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.values().into_iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{name}=")?;
            match value {
                Value::None => f.write_char('-')?,
                Value::Word(word) => f.write_str(word)?,
                Value::Address(address) => write!(f, "{address}")?,
                Value::Said(bytes, max) => write_quoted(f, bytes, max)?,
                Value::Count(count) => write!(f, "{count}")?,
                Value::Name(name) => write!(f, "\"{name}\"")?,
                Value::Time(time) => {
                    write!(f, "{}.{:03}", time.as_millis(), time.subsec_micros() % 1000)?;
                }
                Value::Flag(flag) => write!(f, "{flag}")?,
            }
        }
        Ok(())
    }
}

/// In quotes, so that a space or an equals sign cannot begin another value; what is not plain
/// ASCII as `\xNN`, so that nothing steers a terminal.
fn write_quoted(f: &mut fmt::Formatter<'_>, bytes: &[u8], max: usize) -> fmt::Result {
    let (shown, is_cut) = cut(bytes, max);
    f.write_char('"')?;
    for byte in shown {
        match byte {
            b'"' | b'\\' => write!(f, "\\{}", char::from(*byte))?,
            b' '..=b'~' => f.write_char(char::from(*byte))?,
            _ => write!(f, "\\x{byte:02x}")?,
        }
    }
    if is_cut {
        f.write_char(CUT)?;
    }
    f.write_char('"')
}

/// At most `max` bytes, whole characters if these are characters, and whether that is not all.
fn cut(bytes: &[u8], max: usize) -> (&[u8], bool) {
    if bytes.len() <= max {
        return (bytes, false);
    }
    let is_start = |at: usize| !matches!(bytes[at], 0x80..=0xbf);
    let end = (max.saturating_sub(3)..=max).rev().find(|at| is_start(*at)).unwrap_or(max);
    (&bytes[..end], true)
}

/// An object of these values; `null` where there is none.
struct Json<'r>(&'r Record<'r>);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.values())
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_none(),
            Self::Word(word) => serializer.serialize_str(word),
            Self::Address(address) => serializer.collect_str(address),
            Self::Said(bytes, max) => {
                let (shown, is_cut) = cut(bytes, *max);
                let mut text = String::from_utf8_lossy(shown);
                if is_cut {
                    text.to_mut().push(CUT);
                }
                serializer.serialize_str(&text)
            }
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Name(name) => serializer.collect_str(name),
            Self::Time(time) => serializer.serialize_f64(time.as_micros() as f64 / 1000.0),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
        }
    }
}

#[cfg(test)]
mod tests;
