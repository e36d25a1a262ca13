use std::time::Duration;

use super::{Client, HEAD_BYTES_MAX, HttpError, INPUT_BYTES, Limits, OUTPUT_BYTES};
use crate::tests::{Folder, IMPATIENT, PATIENT, Reply, Server, TlsServer, environment, refused};

fn ask(server: &Server, limits: Limits) -> Result<(u16, Vec<u8>), HttpError> {
    Client::local(limits).get(&server.url(), &[]).map(|answer| (answer.status, answer.body))
}

#[test]
fn a_body_is_posted_with_its_length_and_the_host_that_was_asked_for() {
    let server = Server::script(vec![Reply::ok("yes")]);
    let client = Client::local(PATIENT);
    let headers = [("host", "sts.eu-central-1.amazonaws.com"), ("x-mesh-nonce", "n")];
    let answer = client.post(&format!("{}/", server.url()), &headers, b"a=b").unwrap();
    assert_eq!((answer.status, answer.body), (200, b"yes".to_vec()));
    let asked = &server.asked()[0];
    assert_eq!(asked.line, "POST / HTTP/1.1");
    let hosts: Vec<_> = asked.headers.iter().filter(|(name, _)| name == "host").collect();
    assert_eq!(hosts, [&("host".to_owned(), "sts.eu-central-1.amazonaws.com".to_owned())]);
    assert_eq!(asked.header("x-mesh-nonce"), Some("n"));
    assert_eq!(asked.header("transfer-encoding"), None);
    assert_eq!(asked.body, "a=b");
}

#[test]
fn a_redirect_is_an_answer_and_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let server = Server::script(vec![Reply::Answer(status, String::new())]);
        assert_eq!(ask(&server, PATIENT), Ok((status, Vec::new())));
        assert_eq!(server.asked().len(), 1);
    }
}

#[test]
fn an_error_status_is_an_answer() {
    let server = Server::script(vec![Reply::Answer(503, "later".to_owned())]);
    assert_eq!(ask(&server, PATIENT), Ok((503, b"later".to_vec())));
}

#[test]
fn a_large_answer_is_cut_off() {
    let largest = "x".repeat(4096);
    let server = Server::script(vec![Reply::ok(&largest), Reply::ok(format!("{largest}x"))]);
    assert_eq!(ask(&server, PATIENT).unwrap().1.len(), 4096);
    assert_eq!(ask(&server, PATIENT), Err(HttpError::TooLarge(4096)));
    let endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let chunks = b"400\r\n".iter().chain(&[b'x'; 1024]).chain(b"\r\n").copied();
    let body: Vec<_> = std::iter::repeat_n(chunks.collect::<Vec<_>>(), 64).flatten().collect();
    let server = Server::script(vec![Reply::Raw([endless, body].concat())]);
    assert_eq!(ask(&server, PATIENT), Err(HttpError::TooLarge(4096)));
}

#[test]
fn a_large_head_is_cut_off() {
    let asked = |bytes: usize| {
        let (begin, end) = ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: ", "\r\n\r\n");
        let value = "x".repeat(bytes - begin.len() - end.len());
        let head = [begin, &value, end].concat();
        ask(&Server::script(vec![Reply::Raw(head.into_bytes())]), PATIENT)
    };
    assert_eq!(asked(HEAD_BYTES_MAX), Ok((200, Vec::new())));
    for bytes in [HEAD_BYTES_MAX + 1, INPUT_BYTES, INPUT_BYTES + 1, 4 * INPUT_BYTES] {
        assert_eq!(asked(bytes), Err(HttpError::TooLarge(HEAD_BYTES_MAX as u64)), "{bytes}");
    }
}

#[test]
fn a_long_token_and_a_long_body_are_sent() {
    let server = Server::script(vec![Reply::ok("")]);
    let (token, body) = ("t".repeat(12 * 1024), "b".repeat(10 * OUTPUT_BYTES));
    let headers = [("x-amz-security-token", &*token)];
    Client::local(PATIENT).post(&server.url(), &headers, body.as_bytes()).unwrap();
    let asked = &server.asked()[0];
    assert_eq!(asked.header("x-amz-security-token"), Some(&*token));
    assert_eq!(asked.body, body);
}

#[test]
fn a_slow_answer_is_given_up() {
    let quick = Limits { total: Duration::from_millis(200), ..IMPATIENT };
    for reply in [Reply::Silence, Reply::Drip] {
        let server = Server::script(vec![reply]);
        assert_eq!(ask(&server, quick), Err(HttpError::Timeout(quick.total)));
    }
}

#[test]
fn what_went_wrong_is_told_in_words() {
    let complaint =
        |url: &str| Client::local(PATIENT).get(url, &[]).map(|_| ()).unwrap_err().to_string();
    assert_eq!(complaint(&refused()), "connection refused");
    let hangup = Server::script(vec![Reply::Hangup]);
    assert!(ask(&hangup, PATIENT).unwrap_err().is_transient());
    let noise = Server::script(vec![Reply::Raw(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec())]);
    assert_eq!(ask(&noise, PATIENT), Err(HttpError::NotHttp));
    assert_eq!(complaint("http://"), HttpError::Unsendable.to_string());
}

#[test]
fn a_header_with_a_line_break_is_not_sent() {
    let server = Server::script(vec![Reply::ok("")]);
    let sent = Client::local(PATIENT).get(&server.url(), &[("x", "a\r\nb: c")]).map(|_| ());
    assert_eq!(sent, Err(HttpError::Unsendable));
    assert_eq!(server.asked().len(), 0);
}

#[test]
fn the_bundle_must_hold_certificates() {
    let folder = Folder::new();
    let complaint = |path: &str| {
        Client::new(&environment([("AWS_CA_BUNDLE", path)]), PATIENT)
            .map(|_| ())
            .map_err(|error| error.to_string())
            .unwrap_err()
    };
    let missing = folder.path("missing.pem");
    let missing = missing.to_str().unwrap();
    assert_eq!(
        complaint(missing),
        format!("AWS_CA_BUNDLE: cannot read {missing}: no such file or directory")
    );
    let empty = folder.file("empty.pem", "nothing");
    assert!(complaint(empty.to_str().unwrap()).ends_with("holds no PEM certificate"));
    assert!(Client::new(&environment([]), PATIENT).is_ok());
}

#[test]
fn whom_tls_trusts_is_in_the_bundle_which_is_read_once_for_an_environment() {
    let server = TlsServer::start("{}");
    let folder = Folder::new();
    let bundle = folder.file("ca.pem", &server.certificate);
    let trusting = environment([("AWS_CA_BUNDLE", bundle.to_str().unwrap())]);
    let ask = |environment| {
        let client = Client::new(environment, PATIENT).unwrap();
        client.get(&server.url(), &[]).map(|answer| answer.body)
    };
    let copy = trusting.clone();
    assert_eq!(ask(&trusting), Ok(b"{}".to_vec()));
    std::fs::remove_file(bundle).unwrap();
    assert_eq!(ask(&copy), Ok(b"{}".to_vec()));
    let error = ask(&environment([])).unwrap_err();
    assert!(matches!(error, HttpError::Tls(_)), "{error:?}");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
}

#[test]
fn services_on_the_internet_are_reached_through_the_proxy_and_this_machine_is_not() {
    let proxy = Server::script(vec![Reply::Answer(403, String::new())]);
    let (host, port) = proxy.address();
    let through = environment([]).through(&host, port, Some("user:pass:word"));
    let client = Client::new(&through, PATIENT).unwrap();
    assert!(client.get("https://sts.invalid/", &[]).is_err(), "the proxy refused");
    let asked = &proxy.asked()[0];
    assert_eq!(asked.line, "CONNECT sts.invalid:443 HTTP/1.1");
    // user:pass:word
    assert_eq!(asked.header("proxy-authorization"), Some("Basic dXNlcjpwYXNzOndvcmQ="));
    let here = Server::script(vec![Reply::ok("yes")]);
    assert_eq!(ask(&here, PATIENT), Ok((200, b"yes".to_vec())));
    let secret = format!("{through:?}");
    assert!(!secret.contains("word"), "{secret}");
}

/// ureq's own resolver ends the process where the system gives no thread.
#[test]
fn names_are_looked_up_by_us_alone() {
    let internet = Client::new(&environment([]), PATIENT).unwrap();
    for client in [Client::local(PATIENT), internet] {
        let shown = format!("{client:?}");
        assert!(shown.contains("Names") && !shown.contains("DefaultResolver"), "{shown}");
    }
}
