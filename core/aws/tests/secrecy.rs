//! Nothing secret is logged, neither by us nor by the libraries below, at any level, but for the one
//! target that every logger has to drop.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, SystemTime};

use log::{LevelFilter, Log, Metadata, Record};
use mesh_aws::{Chain, Ecs, Endpoint, Environment, Region, SECRET_LOG_TARGET, SignedRequest, Sts};

struct Collector(Mutex<String>);

static COLLECTOR: Collector = Collector(Mutex::new(String::new()));

impl Log for Collector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.target() == SECRET_LOG_TARGET {
            return;
        }
        let line = format!("{} {}\n", record.target(), record.args());
        self.0.lock().unwrap().push_str(&line);
    }

    fn flush(&self) {}
}

const SECRET: &str = "secretsecretsecretsecretsecretsecret";
const TOKEN: &str = "tokentokentokentokentokentokentoken";
const PASS: &str = "passpasspasspasspasspass";

/// Answers each request with credentials, whatever it was.
fn endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let body = format!(
        "{{\"AccessKeyId\":\"ASIAEXAMPLE\",\"SecretAccessKey\":\"{SECRET}\",\"Token\":\"{TOKEN}\"}}"
    );
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap() > 2 {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        }
    });
    format!("http://{address}")
}

#[test]
fn nothing_secret_is_logged() {
    log::set_logger(&COLLECTOR).unwrap();
    log::set_max_level(LevelFilter::Trace);
    let url = endpoint();
    let environment: Environment = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", PASS),
    ]
    .into_iter()
    .collect();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    let chain = Chain::new(&environment).unwrap();
    let region = Region::parse("eu-central-1").unwrap();
    let there = Endpoint::at(&url, region, "test").unwrap();

    chain.get(now).unwrap();
    let sts = Sts::new(&environment).unwrap();
    let own = sts.caller_identity(&chain, &there, now).unwrap_err();
    let headers = [("authorization", PASS), ("x-amz-security-token", TOKEN)];
    let request = SignedRequest { host: "sts.amazonaws.com", headers: &headers, body: "a=b" };
    let other = sts.forward(request, Some(&url)).unwrap_err();
    let ecs = Ecs::new(&environment, there).unwrap();
    let body = serde_json::json!({});
    let tasks = ecs.call::<Vec<String>>(&chain, "DescribeTasks", &body, now).unwrap_err();

    let mut text = COLLECTOR.0.lock().unwrap().clone();
    assert!(text.contains("ureq"), "the libraries do log: {text}");
    text.push_str(&format!("{own:?} {other:?} {tasks:?} {chain:?} {sts:?} {ecs:?}"));
    for secret in [SECRET, TOKEN, PASS, "Signature="] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
