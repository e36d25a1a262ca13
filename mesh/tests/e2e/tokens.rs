//! Agents that prove themselves with a pre-shared token: who is let in, with which hosts, and that
//! the token itself is nowhere to be read.

use std::net::SocketAddr;
use std::process::Command;

use crate::harness::binaries::{MESH, mesh_agent};
use crate::peers::caller::{ask, get};
use crate::peers::frames::{CHALLENGE, HELLO};
use crate::peers::papers::Folder;
use crate::peers::place::own_ip;
use crate::peers::process::{Place, Process, Server};
use crate::peers::raw_agent::{RawAgent, hello};
use crate::peers::service::Service;
use crate::peers::wire::wait_until;

pub(crate) const ONE: &str = "5c0d0a3f6d0b4f0e9a7c1f2e8b3d4c5a";
pub(crate) const TWO: &str = "a4e1d7c2b9f04836a5d2e1c7b8f90342";

/// What an agent reads that proves nothing.
pub(crate) const UNKNOWN: &str = "refused (Unauthenticated): the ingress does not know this agent's \
                                  token";

/// An ingress that asks for tokens, and a service behind its agents.
pub(crate) struct Gate {
    pub(crate) server: Server,
    pub(crate) service: Service,
    pub(crate) folder: Folder,
}

impl Gate {
    /// With this token file, and called as its agents dial it.
    pub(crate) fn start(tokens: &str, words: &[&str]) -> Self {
        let place = Place::own();
        let ip = place.ip();
        let folder = Folder::new(ip);
        let (file, id) = (folder.put("tokens", tokens), ip.to_string());
        let own = ["--server-id", &id, "--token-file", &file];
        let server = Server::start_at(place, &[&own, words].concat());
        Self { server, service: Service::start("a"), folder }
    }

    /// `mesh client` with that token in its variable.
    pub(crate) fn agent(&self, token: &str, hosts: &[&str]) -> Process {
        self.agent_of(MESH, &[("MESH_TOKEN", token)], &words(&[], hosts))
    }

    /// The same, whose log tells each attempt.
    fn talkative_agent(&self, token: &str, hosts: &[&str]) -> Process {
        let variables = [("MESH_TOKEN", token), ("MESH_LOG_LEVEL", "debug")];
        self.agent_of(MESH, &variables, &words(&[], hosts))
    }

    fn agent_of(&self, program: &str, variables: &[(&str, &str)], words: &[String]) -> Process {
        start_agent(program, self.server.tunnels, &self.service, variables, words)
    }

    /// The status for a caller of that host.
    pub(crate) fn status(&self, host: &str) -> u16 {
        status(self.server.traffic, host)
    }

    fn replace(&self, tokens: &str) {
        self.folder.put("tokens", tokens);
        let before = self.server.process.log_count("was reloaded");
        self.server.process.signal("HUP");
        wait_until("the tokens are read", || {
            self.server.process.log_count("was reloaded") > before
        });
    }
}

/// `mesh client` or `mesh-agent`, quick to come back.
pub(crate) fn start_agent(
    program: &str,
    tunnels: SocketAddr,
    service: &Service,
    variables: &[(&str, &str)],
    words: &[String],
) -> Process {
    let mut command = Command::new(program);
    if program == MESH {
        command.arg("client");
    }
    command
        .args([format!("--ingress-endpoint=ws://{tunnels}")])
        .args([format!("--local-endpoint={}", service.url())])
        .args(["--reconnect-min=0.05", "--reconnect-max=0.2", "--health-check-interval=0.1"])
        .args(words)
        .envs(variables.iter().copied());
    Process::spawn(&mut command)
}

pub(crate) fn words(words: &[&str], hosts: &[&str]) -> Vec<String> {
    let words = words.iter().map(|word| (*word).to_owned());
    words.chain(hosts.iter().map(|host| format!("--host={host}"))).collect()
}

pub(crate) fn status(traffic: SocketAddr, host: &str) -> u16 {
    ask(traffic, format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).status
}

#[test]
fn a_good_token_lets_in_from_a_variable_and_from_a_file_with_either_program() {
    let gate = Gate::start(&format!("edge-1 {ONE} a.test,*.a.test\nedge-2 {TWO} b.test\n"), &[]);
    let file = gate.folder.put("token", format!("\n  {TWO} \n"));
    let agent = mesh_agent().to_str().unwrap();
    for program in [MESH, agent] {
        let variable = [("MESH_TOKEN", ONE)];
        let first = gate.agent_of(program, &variable, &words(&[], &["a.test", "x.a.test"]));
        let second = gate.agent_of(program, &[], &words(&["--token-file", &file], &["b.test"]));
        gate.server.wait_available(2);
        assert_eq!(["a.test", "x.a.test", "b.test"].map(|host| gate.status(host)), [200; 3]);
        assert_eq!(gate.status("y.a.test"), 404);
        drop((first, second));
        gate.server.wait_metric("mesh_tunnels", 0);
    }
    let page = gate.server.metric("mesh_registrations_total", r#"method="token""#);
    assert_eq!(page, 4, "{}", gate.server.page("/metrics").text());
    gate.server.process.wait_log("registered b.test as token edge-2 (by token)");
}

#[test]
fn an_unknown_token_and_the_hosts_of_another_token_are_refused_in_one_sentence() {
    let gate = Gate::start(&format!("edge-1 {ONE} a.test\nedge-2 {TWO} b.test\n"), &[]);
    let stranger = gate.agent("0123456789abcdef", &["a.test"]);
    stranger.wait_log(&format!("the ingress refused this agent: {UNKNOWN}"));
    assert!(!stranger.log().contains("edge"), "{}", stranger.log());
    drop(stranger);
    let greedy = gate.talkative_agent(ONE, &["a.test", "b.test"]);
    greedy.wait_log(
        "the ingress refused this agent: refused (Forbidden): token edge-1 may not register \
         b.test: no rule for it",
    );
    // Again and again, but only once for the operator.
    wait_until("it tries again", || greedy.log_count("connecting again in") > 3);
    greedy.expect_log(" ERROR ", 1);
    let pattern = gate.agent(ONE, &["*.test"]);
    pattern.wait_log("token edge-1 may not register *.test: no rule for it");
    assert_eq!(gate.server.metric("mesh_tunnels", ""), 0);
    assert_eq!(gate.status("a.test"), 404);
}

#[test]
fn a_refusal_is_an_error_again_when_it_changes_and_after_a_success() {
    let gate = Gate::start(&format!("edge-2 {TWO} a.test\n"), &[]);
    let agent = gate.talkative_agent(ONE, &["a.test"]);
    let lines = |level: &str, text: &str| {
        let log = agent.log();
        log.lines().filter(|line| line.contains(level) && line.contains(text)).count()
    };
    let errors = |text: &str| lines(" ERROR ", text);
    let denied = "may not register a.test";
    wait_until("it is refused", || errors(UNKNOWN) == 1);
    gate.replace(&format!("edge-1 {ONE} b.test\n"));
    wait_until("it is refused otherwise", || errors(denied) == 1);
    gate.replace(&format!("edge-1 {ONE} a.test\n"));
    gate.server.wait_available(1);
    gate.replace(&format!("edge-1 {ONE} b.test\n"));
    wait_until("it is refused again", || errors(denied) >= 2);
    wait_until("it tries again", || agent.log_count("connecting again in") > 6);
    assert_eq!((errors(UNKNOWN), errors(denied)), (1, 2), "{}", agent.log());
    // What that costs is news again, too.
    assert_eq!((lines(" WARN ", UNKNOWN), lines(" WARN ", denied)), (1, 2), "{}", agent.log());
}

#[test]
fn a_file_may_have_thousands_of_tokens_and_each_is_its_own() {
    let lines = (0..5000).map(|number| format!("n-{number} {number:032x} h{number}.test # x\n"));
    let gate = Gate::start(&lines.collect::<String>(), &[]);
    for number in [0, 2500, 4999] {
        let host = format!("h{number}.test");
        let agent = gate.agent(&format!("{number:032x}"), &[&host]);
        gate.server.wait_available(1);
        assert_eq!(gate.status(&host), 200);
        drop(agent);
        gate.server.wait_metric("mesh_tunnels", 0);
    }
}

#[test]
fn new_tokens_admit_and_removed_or_changed_ones_end_registrations_at_once() {
    let gate = Gate::start(
        &format!("keep {ONE} keep.test\nremoved {TWO} removed.test\nchanged {TWO}x changed.test\n"),
        &[],
    );
    let _keep = gate.agent(ONE, &["keep.test"]);
    let removed = gate.agent(TWO, &["removed.test"]);
    let changed = gate.agent(&format!("{TWO}x"), &["changed.test"]);
    let new = gate.agent(&format!("{TWO}z"), &["new.test"]);
    gate.server.wait_available(3);
    new.wait_log(UNKNOWN);
    gate.server.process.expect_log("registered keep.test", 1);
    gate.replace(&format!(
        "keep {ONE} keep.test\nchanged {TWO}y changed.test\nnew {TWO}z new.test\n"
    ));
    for agent in [&removed, &changed] {
        agent.wait_log("refused (Unauthenticated): this agent's token was withdrawn");
    }
    gate.server.wait_available(2);
    assert_eq!(gate.status("new.test"), 200);
    assert_eq!(gate.status("keep.test"), 200);
    assert_eq!([gate.status("removed.test"), gate.status("changed.test")], [503; 2]);
    // It was let alone.
    gate.server.process.expect_log("registered keep.test", 1);
    assert_eq!(gate.server.metric("mesh_registrations_withdrawn_total", ""), 2);
    for name in ["removed", "changed"] {
        let line = format!("(token {name}) is withdrawn: ");
        gate.server.process.expect_log(&line, 1);
    }
}

#[test]
fn a_changed_token_file_is_found_without_a_signal() {
    let gate = Gate::start(&format!("edge-1 {ONE} a.test\n"), &[]);
    let _old = gate.agent(ONE, &["a.test"]);
    let _new = gate.agent(TWO, &["a.test"]);
    gate.server.wait_available(1);
    gate.folder.put("tokens", format!("edge-1 {TWO} a.test\n"));
    gate.server.process.wait_log("new rules are in force");
    gate.server.process.wait_log("(token edge-1) is withdrawn: this agent's token was withdrawn");
    gate.server.wait_available(1);
}

#[test]
fn a_token_file_that_was_emptied_ends_everything_and_is_warned_about() {
    let gate = Gate::start(&format!("edge-1 {ONE} a.test\n"), &[]);
    let agent = gate.agent(ONE, &["a.test"]);
    gate.server.wait_available(1);
    gate.folder.put("tokens", "");
    gate.server.process.signal("HUP");
    gate.server.process.wait_log("by the new rules no token and no AWS identity may register");
    gate.server.wait_metric("mesh_tunnels", 0);
    // Of certificates, for which nobody is asked, it hears nothing.
    agent.wait_log(
        "refused (Unauthenticated): the ingress has no token and no rule about an AWS identity, so \
         that no agent can prove who it is",
    );
}

#[test]
fn a_broken_token_file_changes_nothing_and_is_warned_about() {
    let gate = Gate::start(&format!("edge-1 {ONE} a.test\n"), &[]);
    let _agent = gate.agent(ONE, &["a.test"]);
    gate.server.wait_available(1);
    let path = gate.folder.path("tokens");
    let cases = [
        (format!("edge-1 {ONE}\nedge-2 short\n"), "line 2: the second word is shorter than"),
        (format!("edge-1 {ONE}\n{TWO}\n"), "line 2: a line needs a name and a token"),
        (format!("edge-1 {ONE} a.test, b.test\n"), "line 1: too many words"),
        (
            format!("edge-1 {ONE}\nedge-2 {ONE}\n"),
            "line 2: this token is there already under another name",
        ),
        (format!("edge-1 {ONE} *a.test\n"), "line 1: "),
    ];
    for (text, reason) in cases {
        gate.folder.put("tokens", &text);
        gate.server.process.signal("HUP");
        gate.server.process.wait_log(reason);
        let log = gate.server.process.log();
        let line = log.lines().find(|line| line.contains(reason)).unwrap();
        assert!(line.contains(" WARN ") && line.contains(&path), "{line}");
        assert!(line.contains("stays as it is") && !line.contains(TWO), "{line}");
    }
    std::fs::remove_file(&path).unwrap();
    gate.server.process.signal("HUP");
    gate.server.process.wait_log(&format!("cannot read {path}"));
    assert_eq!((gate.status("a.test"), gate.server.metric("mesh_tunnels", "")), (200, 1));
    assert_eq!(gate.server.process.log_count("withdrawn"), 0);
    gate.replace("");
    gate.server.wait_metric("mesh_tunnels", 0);
}

#[test]
fn tokens_that_nobody_could_be_asked_for_are_not_taken() {
    let place = Place::own();
    let folder = Folder::new(place.ip());
    let file = folder.put("tokens", "");
    let server = Server::start_at(place, &["--token-file", &file]);
    folder.put("tokens", format!("edge-1 {ONE} a.test\n"));
    server.process.signal("HUP");
    server.process.wait_log("--server-id is missing");
    assert_eq!(server.process.log_count("new rules are in force"), 0);
}

#[test]
fn an_agent_uses_the_new_token_of_its_file_when_it_connects_again() {
    let gate = Gate::start(&format!("edge-1 {ONE} a.test\n"), &[]);
    let file = gate.folder.put("token", ONE);
    let agent = gate.agent_of(MESH, &[], &words(&["--token-file", &file], &["a.test"]));
    gate.server.wait_available(1);
    gate.folder.put("token", TWO);
    gate.replace(&format!("edge-1 {TWO} a.test\n"));
    wait_until("it came back", || gate.server.metric("mesh_registrations_total", "") == 2);
    gate.server.wait_available(1);
    gate.folder.put("token", "two words");
    gate.replace(&format!("edge-1 {ONE} a.test\n"));
    agent.signal("HUP");
    agent.wait_log(&format!("{file} holds no token: a token is one word of printable ASCII"));
    std::fs::remove_file(&file).unwrap();
    agent.signal("HUP");
    agent.wait_log(&format!("--token-file: cannot read {file}: no such file"));
    gate.folder.put("token", ONE);
    gate.server.wait_available(1);
}

#[test]
fn an_agent_whose_token_file_is_gone_goes_on_with_the_token_that_it_had() {
    let gate = Gate::start(&format!("edge-1 {ONE} a.test\n"), &[]);
    let file = gate.folder.put("token", ONE);
    let agent = gate.agent_of(MESH, &[], &words(&["--token-file", &file], &["a.test"]));
    gate.server.wait_available(1);
    std::fs::remove_file(&file).unwrap();
    agent.signal("HUP");
    let stays = format!("the token in {file} stays as it is: --token-file: cannot read {file}");
    agent.wait_log(&stays);
    // The agent has to prove it once more.
    gate.replace(&format!("edge-2 {TWO} b.test\n"));
    gate.server.wait_metric("mesh_tunnels", 0);
    gate.replace(&format!("edge-1 {ONE} a.test\n"));
    gate.server.wait_available(1);
    assert_eq!(agent.log_count(&file), 1, "{}", agent.log());
    assert_eq!(agent.log_count("no proof of identity"), 0, "{}", agent.log());
}

#[test]
fn an_agent_moves_to_another_token_of_its_file_without_a_failed_request() {
    let both = format!("old {ONE} a.test\nnew {TWO} a.test\n");
    let gate = Gate::start(&both, &[]);
    let file = gate.folder.put("token", ONE);
    let given = ["--token-file", &file, "--tunnels-per-ingress=2", "--workers=2"];
    let agent = gate.agent_of(MESH, &[], &words(&given, &["a.test"]));
    gate.server.wait_available(2);
    let proved_by = |token: &str| {
        let page = gate.server.page("/debug/services").text();
        page.matches(&format!(r#""principal":"token {token}""#)).count()
    };
    // Nothing is new here.
    agent.signal("HUP");
    agent.wait_log("was reloaded");
    assert_eq!(proved_by("old"), 2);
    assert_eq!(agent.log_count("there is a new token"), 0);
    gate.folder.put("token", TWO);
    agent.signal("HUP");
    wait_until("all tunnels are of the new token", || {
        assert_eq!(gate.status("a.test"), 200);
        (proved_by("new"), proved_by("old")) == (2, 0)
    });
    gate.replace(&format!("new {TWO} a.test\n"));
    assert_eq!(gate.status("a.test"), 200);
    assert_eq!(gate.server.metric("mesh_registrations_total", ""), 4);
    assert_eq!(gate.server.metric("mesh_registrations_withdrawn_total", ""), 0);
}

/// A health check must not restart it: the token that serves would be gone.
#[test]
fn an_agent_whose_new_token_is_not_known_yet_stays_healthy_and_moves_once_it_is() {
    let gate = Gate::start(&format!("old {ONE} a.test\n"), &[]);
    let file = gate.folder.put("token", ONE);
    let given = ["--token-file", &file, "--workers=2", "--health-port=0"];
    let agent = gate.agent_of(MESH, &[], &words(&given, &["a.test"]));
    let page: SocketAddr = agent.wait_said("listening health ").parse().unwrap();
    let is_well = || (get(page, "/health").status, gate.status("a.test")) == (200, 200);
    gate.server.wait_available(1);
    wait_until("it is healthy", is_well);
    gate.folder.put("token", TWO);
    agent.signal("HUP");
    wait_until("it was refused, and tries again", || {
        assert!(is_well(), "{}", agent.log());
        gate.server.metric("mesh_registrations_refused_total", "") > 3
    });
    agent.expect_log(&format!("the ingress refused this agent: {UNKNOWN}"), 1);
    gate.replace(&format!("old {ONE} a.test\nnew {TWO} a.test\n"));
    wait_until("the tunnel of the new token is the only one", || {
        assert!(is_well(), "{}", agent.log());
        let page = gate.server.page("/debug/services").text();
        page.contains(r#""principal":"token new""#) && !page.contains(r#""principal":"token old""#)
    });
}

#[test]
fn an_agent_that_loses_its_last_tunnel_warns_of_that_though_its_new_token_was_refused() {
    let gate = Gate::start(&format!("old {ONE} a.test\n"), &[]);
    let file = gate.folder.put("token", ONE);
    let given = ["--token-file", &file, "--log-level=warn"];
    let agent = gate.agent_of(MESH, &[], &words(&given, &["a.test"]));
    gate.server.wait_available(1);
    gate.folder.put("token", TWO);
    agent.signal("HUP");
    agent.wait_log(UNKNOWN);
    gate.server.process.signal("KILL");
    agent.expect_log(" was lost)", 1);
}

#[test]
fn a_token_from_a_pipe_is_kept_for_each_proof() {
    let gate = Gate::start(&format!("edge-1 {ONE} a.test\n"), &[]);
    let pipe = gate.folder.pipe("token", format!("{ONE}\n"));
    let _agent = gate.agent_of(MESH, &[], &words(&["--token-file", &pipe], &["a.test"]));
    gate.server.wait_available(1);
    // The agent has to prove it once more.
    gate.replace(&format!("edge-2 {TWO} b.test\n"));
    gate.server.wait_metric("mesh_tunnels", 0);
    gate.replace(&format!("edge-1 {ONE} a.test\n"));
    gate.server.wait_available(1);
}

#[test]
fn tokens_of_a_variable_are_parted_by_semicolons() {
    let place = Place::own();
    let id = place.ip().to_string();
    let tokens = format!("edge-1 {ONE} a.test; edge-2 {TWO} b.test\nedge-3 {ONE}x c.test;");
    let variables = [("MESH_TOKENS", &*tokens)];
    let server = Server::start_among(place, &variables, &["--server-id", &id]);
    let service = Service::start("a");
    let agents = [(ONE, "a.test"), (TWO, "b.test"), (&format!("{ONE}x"), "c.test")];
    let start = |(token, host): (&str, &str)| {
        let variables = [("MESH_TOKEN", token)];
        start_agent(MESH, server.tunnels, &service, &variables, &words(&[], &[host]))
    };
    let _agents = agents.map(start);
    server.wait_available(3);
    assert_eq!(["a.test", "b.test", "c.test"].map(|host| status(server.traffic, host)), [200; 3]);
}

#[test]
fn an_agent_without_a_token_says_what_it_needs() {
    let gate = Gate::start(&format!("edge-1 {ONE} a.test\n"), &[]);
    let agent = gate.talkative_agent("", &["a.test"]);
    agent.wait_log(
        "the ingress asks for a proof of identity (token), and this agent has none: give a token \
         with --token-file or MESH_TOKEN",
    );
    wait_until("it tries again", || agent.log_count("connecting again in") > 3);
    agent.expect_log(" ERROR ", 1);
    let log = &gate.server.process;
    log.wait_log(
        ", who asked for \"a.test\": it left before it was registered, asked for a proof of \
         identity: closed by the peer with code 1000: \"no proof of identity\"",
    );
    // An ingress that lets nobody in would be told by nothing else.
    assert!(log.log_count("WARN  [mesh_ingress::audit] refused the agent from ") > 0);
    let refused = r#"reason="unauthenticated""#;
    assert!(gate.server.metric("mesh_registrations_refused_total", refused) > 0);
}

#[test]
fn an_agent_that_is_cut_off_before_its_proof_is_not_refused() {
    let gate = Gate::start(&format!("edge-1 {ONE} a.test\n"), &[]);
    let mut agent = RawAgent::connect(gate.server.tunnels);
    agent.send(HELLO, 0, 0, hello("a.test").as_bytes());
    agent.expect(CHALLENGE);
    drop(agent);
    gate.server.process.wait_log("left before it was registered, asked for a proof of identity");
    assert_eq!(gate.server.process.log_count("refused"), 0);
    assert_eq!(gate.server.metric("mesh_registrations_refused_total", ""), 0);
}

#[test]
fn a_token_that_is_none_or_given_twice_keeps_an_agent_from_starting() {
    let folder = Folder::new(own_ip());
    let (good, empty) = (folder.put("good", ONE), folder.put("empty", " \n"));
    let (latin, missing) = (folder.put("latin", "tok\u{e9}n-of-sixteen-bytes"), folder.path("no"));
    let none =
        |culprit: &str| format!("{culprit} holds no token: a token is one word of printable ASCII");
    let cases: [(&str, Option<&str>, String); 6] = [
        (ONE, Some(&good), "there are two tokens, this and MESH_TOKEN".to_owned()),
        ("two words", None, none("MESH_TOKEN")),
        ("tok\u{e9}n", None, none("MESH_TOKEN")),
        ("unset", Some(&empty), none(&empty)),
        ("unset", Some(&latin), none(&latin)),
        ("unset", Some(&missing), format!("cannot read {missing}: no such file")),
    ];
    for program in [MESH, mesh_agent().to_str().unwrap()] {
        for (token, file, reason) in &cases {
            let variables: &[_] = if *token == "unset" { &[] } else { &[("MESH_TOKEN", *token)] };
            let file = file.map(|file| format!("--token-file={file}"));
            let words = file.into_iter().chain(words(&[], &["a.test"]));
            let service = Service::start("a");
            let all: Vec<_> = words.collect();
            let mut process = start_agent(program, service.address, &service, variables, &all);
            assert_eq!(process.wait_exit().code(), Some(1), "{reason}");
            wait_until("a sentence", || process.log().ends_with('\n'));
            let log = process.log();
            assert!(log.contains(reason) && log.lines().count() == 1, "{log} and not {reason}");
            assert!(!log.contains(ONE), "{log}");
        }
    }
}

#[test]
fn a_token_is_in_no_log_page_metric_or_command_line() {
    let trace = ["--log-level", "trace"];
    let gate = Gate::start(&format!("edge-1 {ONE} a.test\nedge-2 {TWO} b.test\n"), &trace);
    let file = gate.folder.put("token", TWO);
    let first = gate.agent_of(MESH, &[("MESH_TOKEN", ONE)], &words(&trace, &["a.test"]));
    let from_file = words(&["--log-level", "trace", "--token-file", &file], &["b.test"]);
    let second = gate.agent_of(mesh_agent().to_str().unwrap(), &[], &from_file);
    gate.server.wait_available(2);
    let stranger = gate.agent_of(MESH, &[("MESH_TOKEN", "0123456789abcdef!")], &from_stranger());
    stranger.wait_log(UNKNOWN);
    assert_eq!([gate.status("a.test"), gate.status("b.test")], [200; 2]);
    gate.replace(&format!("edge-1 {ONE} a.test\n"));
    second.wait_log(UNKNOWN.split(": ").next().unwrap());
    let pages = ["/debug/services", "/metrics", "/health", "/"].map(|path| {
        let page = gate.server.page(path);
        format!("{}{}", page.head, page.text())
    });
    let logs = [&gate.server.process, &first, &second, &stranger].map(Process::log);
    for text in pages.iter().chain(&logs) {
        for token in [ONE, TWO, "0123456789abcdef!"] {
            assert!(!text.contains(token), "{text}");
        }
    }
    for words in [&[MESH, "client"][..], &[MESH, "server"], &[mesh_agent().to_str().unwrap()]] {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg("--help").env("MESH_TOKEN", ONE).env("MESH_TOKENS", TWO);
        let mut process = Process::spawn(&mut command);
        assert!(process.wait_exit().success());
        wait_until("the options", || {
            process.said().iter().any(|line| line.contains("--token-file"))
        });
        let said = process.said().join("\n");
        assert!(!said.contains(ONE) && !said.contains(TWO) && !said.contains("--token "), "{said}");
    }
}

fn from_stranger() -> Vec<String> {
    words(&["--log-level", "trace"], &["a.test"])
}
