//! Certificates of the ingress and of agents: required, refused, replaced while in use, and wrong.

use std::time::Instant;

use rustls::version::TLS13;

use crate::peers::caller::{HOST, read_response, request};
use crate::peers::papers::{Authority, Folder, Papers, is_shown};
use crate::peers::place::own_ip;
use crate::peers::process::{Process, Server};
use crate::peers::service::Service;
use crate::peers::wire::{AT_ONCE, PATIENCE, wait_until};
use crate::server_tls::Secure;

/// Puts an agent's papers into files; the flags that name them.
fn own(secure: &Secure, papers: &Papers) -> [String; 4] {
    let certificate = secure.folder.put("agent.pem", &papers.certificate);
    let key = secure.folder.put("agent.key", &papers.key);
    ["--client-cert".to_owned(), certificate, "--client-key".to_owned(), key]
}

fn agent(secure: &Secure, service: &Service, papers: &Papers) -> Process {
    let words = own(secure, papers);
    secure.agent(service.address, &words.each_ref().map(String::as_str))
}

#[test]
fn agents_need_a_certificate_of_the_right_authority_that_is_still_good() {
    let secure = Secure::start_for_known_agents();
    let service = Service::start("a");
    // The names in a certificate are the hosts that its owner may register.
    let names = [HOST];
    let nobody = secure.agent(service.address, &[]);
    nobody.wait_log("received fatal alert: CertificateRequired");
    secure.server.process.wait_log("the TLS handshake failed: peer sent no certificates");
    drop(nobody);
    let foreign = agent(&secure, &service, &Authority::new("others").issue(&names));
    foreign.wait_log("received fatal alert: UnknownCA");
    secure.server.process.wait_log("UnknownIssuer");
    drop(foreign);
    let expired = agent(&secure, &service, &secure.agents.issue_until(&names, 2020));
    expired.wait_log("the certificate in");
    expired.wait_log("has expired");
    expired.wait_log("received fatal alert: CertificateExpired");
    drop(expired);
    assert_eq!(secure.server.metric("mesh_tunnels", ""), 0);
    let _good = agent(&secure, &service, &secure.agents.issue(&names));
    secure.server.wait_available(1);
    // Callers need none.
    assert_eq!(secure.get("/").status, 200);
}

#[test]
fn an_agent_comes_in_once_its_certificate_was_renewed() {
    let secure = Secure::start_for_known_agents();
    let service = Service::start("a");
    let expired = secure.agents.issue_until(&[HOST], 2020);
    let agent = agent(&secure, &service, &expired);
    agent.wait_log("received fatal alert: CertificateExpired");
    own(&secure, &secure.agents.issue(&[HOST]));
    agent.signal("HUP");
    agent.wait_log("was reloaded");
    secure.server.wait_available(1);
    assert_eq!(secure.get("/").status, 200);
}

/// New papers for the ingress, in its files.
fn renew(secure: &Secure) -> Papers {
    let papers = secure.authority.issue(&[&secure.server.traffic.ip().to_string()]);
    secure.folder.put("server.pem", &papers.certificate);
    secure.folder.put("server.key", &papers.key);
    papers
}

/// Whether whoever connects now sees this certificate.
fn is_served(secure: &Secure, papers: &Papers) -> bool {
    let mut wire = secure.call(&TLS13);
    wire.send(request("GET", "/", ""));
    assert_eq!(read_response(&mut wire).unwrap().status, 200);
    is_shown(&wire, papers)
}

#[test]
fn a_signal_brings_the_new_certificate_and_leaves_connections_alone() {
    let (secure, service) = (Secure::start(&[]), Service::start("a"));
    let _agent = secure.agent(service.address, &[]);
    secure.server.wait_available(1);
    let mut old = secure.call(&TLS13);
    old.send(request("GET", "/before", ""));
    assert_eq!(read_response(&mut old).unwrap().status, 200);
    let papers = renew(&secure);
    assert!(!is_served(&secure, &papers), "nobody has looked yet");
    secure.server.process.signal("HUP");
    secure.server.process.wait_log("was reloaded");
    assert!(is_served(&secure, &papers));
    old.send(request("GET", "/after", ""));
    assert_eq!(read_response(&mut old).unwrap().status, 200);
    assert_eq!(secure.server.metric("mesh_tunnels", ""), 1, "the tunnel goes on");
}

#[test]
fn a_new_file_is_found_without_a_signal() {
    let (secure, service) = (Secure::start(&[]), Service::start("a"));
    let _agent = secure.agent(service.address, &[]);
    secure.server.wait_available(1);
    let papers = renew(&secure);
    // The first look may have been just before, and the second one is to see that it is over.
    let due = Instant::now() + PATIENCE + AT_ONCE;
    while !is_served(&secure, &papers) {
        assert!(Instant::now() < due, "{}", secure.server.process.log());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    secure.server.process.expect_log("was reloaded", 1);
}

#[test]
fn a_broken_new_certificate_is_warned_about_and_the_old_one_kept() {
    let (secure, service) = (Secure::start(&[]), Service::start("a"));
    let _agent = secure.agent(service.address, &[]);
    secure.server.wait_available(1);
    let papers = renew(&secure);
    secure.server.process.signal("HUP");
    wait_until("the new certificate is served", || is_served(&secure, &papers));
    let files = ["server.pem", "server.key"].map(|name| secure.folder.path(name));
    let other = secure.authority.issue(&["other.example.com"]);
    let cases = [
        ("server.key", &*other.key, "the private key belongs to another certificate"),
        ("server.key", "", "the file holds no private key"),
        ("server.pem", "nonsense", "the file holds no certificate"),
    ];
    for (name, text, reason) in cases {
        secure.folder.put(name, text);
        secure.server.process.signal("HUP");
        let path = secure.folder.path(name);
        let sentence = format!("cannot use {path}: {reason}");
        secure.server.process.wait_log(&sentence);
        let log = secure.server.process.log();
        let line = log.lines().find(|line| line.contains(&sentence)).unwrap();
        let start = format!("TLS from {} stays as it is: --tls-", files.join(", "));
        assert!(line.contains("WARN") && line.contains(&start), "{line}");
        assert!(is_served(&secure, &papers));
    }
    std::fs::remove_file(&files[0]).unwrap();
    secure.server.process.signal("HUP");
    secure.server.process.wait_log(&format!("cannot read {}: no such file", files[0]));
    assert!(is_served(&secure, &papers));
    let papers = renew(&secure);
    secure.server.process.signal("HUP");
    wait_until("all is well again", || is_served(&secure, &papers));
}

#[test]
fn what_stands_around_a_certificate_does_not_matter() {
    let (secure, service) = (Secure::start(&[]), Service::start("a"));
    let _agent = secure.agent(service.address, &[]);
    secure.server.wait_available(1);
    let papers = secure.authority.issue(&[&secure.server.traffic.ip().to_string()]);
    // Marks of an editor, and a comment from before UTF-8.
    let mark: &[u8] = b"\xef\xbb\xbf";
    let certificate = papers.certificate.as_bytes();
    secure.folder.put("server.pem", [mark, certificate, b"Caf\xe9\n", certificate].concat());
    secure.folder.put("server.key", [mark, papers.key.as_bytes()].concat());
    secure.server.process.signal("HUP");
    wait_until("the new certificate is served", || is_served(&secure, &papers));
    // A certificate in DER.
    secure.folder.put("server.pem", [0x30, 0x82, 0x01, 0xff]);
    secure.server.process.signal("HUP");
    secure.server.process.wait_log("the file holds no certificate in PEM");
}

#[test]
fn a_key_from_a_pipe_holds_no_other_file_up() {
    let folder = Folder::new(own_ip());
    let papers = Authority::new("servers").issue(&["mesh.test"]);
    let certificate = folder.put("server.pem", &papers.certificate);
    let key = folder.pipe("server.key", papers.key);
    let rules = folder.put("server.yaml", "rules: []\n");
    let server =
        Server::start(&["--tls-cert", &certificate, "--tls-key", &key, "--config", &rules]);
    server.process.wait_log("WARN  [mesh] agents must prove who they are, and none can;");
    folder.put("server.yaml", "# changed\nrules: []\n");
    server.process.signal("HUP");
    server.process.wait_log(&format!("the policy from {rules} was reloaded"));
    server.process.wait_log(&format!(
        "--tls-key: {key} cannot be read again, so {certificate} is read only at the start too"
    ));
}

/// What a server or an agent says that does not start.
fn complaint(words: &[&str]) -> String {
    let mut process = Process::start(words);
    let status = process.wait_exit();
    assert!(!status.success(), "{words:?}");
    // The last line may still be on its way.
    wait_until("a sentence", || process.log().ends_with('\n'));
    let log = process.log();
    assert_eq!(log.lines().count(), 1, "{log}");
    log
}

#[test]
fn files_of_no_use_keep_a_server_and_an_agent_from_starting() {
    let ip = own_ip();
    let folder = Folder::new(ip);
    let authority = Authority::new("servers");
    let papers = authority.issue(&["mesh.test"]);
    let certificate = folder.put("server.pem", &papers.certificate);
    let key = folder.put("server.key", &papers.key);
    let other = folder.put("other.key", &authority.issue(&["mesh.test"]).key);
    let locked = folder.put("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n");
    let missing = folder.path("missing");
    let cases: [(&[&str], String); 5] = [
        (&["--tls-cert", &missing, "--tls-key", &key], format!("cannot read {missing}: no such")),
        (&["--tls-cert", &key, "--tls-key", &key], format!("cannot use {key}: the file holds no")),
        (
            &["--tls-cert", &certificate, "--tls-key", &other],
            format!("--tls-key: cannot use {other}: the private key belongs to another"),
        ),
        (
            &["--tls-cert", &certificate, "--tls-key", &locked],
            format!("cannot use {locked}: the private key is locked with a password"),
        ),
        (
            &["--tls-cert", &certificate, "--tls-key", &key, "--client-ca-file", &key],
            format!("--client-ca-file: cannot use {key}: the file holds no certificate"),
        ),
    ];
    for (words, expected) in cases {
        let said = complaint(&[&["server"], words].concat());
        assert!(said.contains(&expected), "{said} instead of {expected}");
    }
    let endpoint = ["client", "--host", "a", "--ingress-endpoint", "wss://mesh.test"];
    let said = complaint(
        &[&endpoint[..], &["--client-cert", &certificate, "--client-key", &other]].concat(),
    );
    let expected = format!("--client-key: cannot use {other}: the private key belongs to another");
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn a_certificate_that_has_expired_is_served_with_a_warning() {
    let ip = own_ip();
    let folder = Folder::new(ip);
    let papers = Authority::new("servers").issue_until(&["mesh.test"], 2020);
    let certificate = folder.put("server.pem", &papers.certificate);
    let key = folder.put("server.key", &papers.key);
    let server = Server::start(&["--tls-cert", &certificate, "--tls-key", &key]);
    let warning = format!("--tls-cert: the certificate in {certificate} has expired");
    server.process.wait_log(&warning);
    server.process.expect_log(&warning, 1);
}
