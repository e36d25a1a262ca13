//! Agents that prove themselves with a certificate: which hosts its names give, what rules change
//! about that, and what follows where it is not enough.

use std::process::Command;

use crate::harness::binaries::MESH;
use crate::peers::papers::{Authority, Folder, Papers};
use crate::peers::place::own_ip;
use crate::peers::process::{Process, Server};
use crate::peers::service::Service;
use crate::peers::wire::wait_until;
use crate::tokens::{ONE, TWO, UNKNOWN};

/// An ingress that takes agents of one authority alone.
struct Gate {
    server: Server,
    service: Service,
    agents: Authority,
    folder: Folder,
}

impl Gate {
    /// With this configuration file.
    fn start(configuration: &str) -> Self {
        let ip = own_ip();
        let (servers, agents) = (Authority::new("servers"), Authority::new("agents"));
        let (folder, name) = (Folder::new(ip), ip.to_string());
        let papers = servers.issue(&[&name]);
        folder.put("servers.pem", &servers.pem);
        let [certificate, key, ca, tokens, rules] = [
            ("server.pem", &*papers.certificate),
            ("server.key", &papers.key),
            ("agents.pem", &agents.pem),
            ("tokens", &format!("edge-1 {ONE} token.test\n")),
            ("server.yaml", configuration),
        ]
        .map(|(name, text)| folder.put(name, text));
        let tls = ["--bind", &name, "--tls-cert", &certificate, "--tls-key", &key];
        let who = ["--client-ca-file", &ca, "--config", &rules, "--server-id", &name];
        let tokens = ["--token-file", &tokens];
        let tokens: &[&str] = if configuration.contains("# tokens") { &tokens } else { &[] };
        let server = Server::start(&[&tls, &who, tokens].concat());
        Self { server, service: Service::start("a"), agents, folder }
    }

    /// An agent with a certificate for these names.
    fn agent(&self, names: &[&str], hosts: &[&str]) -> Process {
        self.agent_with(&self.agents.issue(names), "", hosts)
    }

    fn agent_with(&self, papers: &Papers, token: &str, hosts: &[&str]) -> Process {
        // Each has files of its own: they are read anew when they change.
        let ip = own_ip();
        let certificate = self.folder.put(&format!("{ip}.pem"), &papers.certificate);
        let key = self.folder.put(&format!("{ip}.key"), &papers.key);
        let mut command = Command::new(MESH);
        command
            .args(["client", &format!("--ingress-endpoint=wss://{}", self.server.tunnels)])
            .arg(format!("--local-endpoint={}", self.service.url()))
            .args(["--reconnect-min=0.05", "--reconnect-max=0.2", "--health-check-interval=0.1"])
            .args(["--ca-file", &self.folder.path("servers.pem")])
            .args(["--client-cert", &certificate, "--client-key", &key])
            .args(hosts.iter().map(|host| format!("--host={host}")))
            .env("MESH_TOKEN", token);
        Process::spawn(&mut command)
    }

    /// The agent gets in, and is shown by its names.
    fn assert_welcome(&self, agent: Process, principal: &str) {
        self.server.wait_available(1);
        let page = self.server.page("/debug/services").text();
        assert!(page.contains(&format!(r#""principal":"{principal}""#)), "{page}");
        assert_eq!(agent.log_count(" ERROR "), 0, "{}", agent.log());
        drop(agent);
        self.server.wait_metric("mesh_tunnels", 0);
    }

    /// The agent is told exactly this, and has nothing.
    fn assert_refused(&self, agent: &Process, sentence: &str) {
        agent.wait_log(&format!("the ingress refused this agent: {sentence}"));
        assert_eq!(self.server.metric("mesh_tunnels", ""), 0);
        agent.expect_log(" ERROR ", 1);
    }
}

#[test]
fn a_certificate_gives_its_names_and_a_star_in_it_one_label() {
    let gate = Gate::start("");
    let names = ["SHOP.example.com", "*.edge.example.com"];
    let who = "certificate of shop.example.com, *.edge.example.com";
    let good: [&[&str]; 3] = [
        &["shop.example.com"],
        &["a.edge.example.com", "b.edge.example.com"],
        &["Shop.Example.com.", "A.edge.EXAMPLE.com"],
    ];
    for hosts in good {
        gate.assert_welcome(gate.agent(&names, hosts), who);
    }
    for host in [
        "other.example.com",
        "a.shop.example.com",
        "edge.example.com",
        "b.a.edge.example.com",
        "*.edge.example.com",
        "*.a.edge.example.com",
        "*.example.com",
        "*",
        "xedge.example.com",
        "shop.example.com.evil.test",
    ] {
        let sentence = format!(
            "refused (Forbidden): {who} may not register {host}: it is not among the names of the \
             certificate"
        );
        gate.assert_refused(&gate.agent(&names, &[host]), &sentence);
    }
    let both = gate.agent(&names, &["shop.example.com", "other.example.com"]);
    both.wait_log("may not register other.example.com");
    assert_eq!(gate.server.metric("mesh_tunnels", ""), 0, "all of it or nothing");
}

#[test]
fn a_certificate_without_host_names_is_none() {
    let gate = Gate::start("");
    // Stars that stand for something else than the first label are no names of hosts.
    let strange = ["*", "*.*.example.com", "s*.example.com", "shop.*.com"];
    for names in [&[][..], &["127.0.0.1"], &strange] {
        gate.assert_refused(
            &gate.agent(names, &["shop.example.com"]),
            "refused (Unauthenticated): the ingress accepts client certificates only, and this \
             agent has shown none with a host name in it",
        );
    }
}

#[test]
fn rules_about_certificates_take_the_place_of_their_names() {
    let gate = Gate::start(
        "rules:\n  - certificate: \"*.edge.example.com\"\n    hosts: [\"*.shop.example.com\"]\n  \
         - certificate: office.example.com\n    hosts: [\"*\"]\n",
    );
    let edge = "certificate of a.edge.example.com";
    let names = ["a.edge.example.com"];
    gate.assert_welcome(gate.agent(&names, &["x.shop.example.com"]), edge);
    gate.assert_welcome(gate.agent(&names, &["*.shop.example.com"]), edge);
    gate.assert_welcome(
        gate.agent(&["office.example.com"], &["*"]),
        "certificate of office.example.com",
    );
    for host in ["a.edge.example.com", "shop.example.com", "*"] {
        gate.assert_refused(
            &gate.agent(&names, &[host]),
            &format!("refused (Forbidden): {edge} may not register {host}: no rule for it"),
        );
    }
    for name in ["edge.example.com", "a.edge.example.com.evil.test", "office.example.org"] {
        gate.assert_refused(
            &gate.agent(&[name], &["x.shop.example.com"]),
            &format!(
                "refused (Forbidden): certificate of {name} may not register x.shop.example.com: \
                 no rule is about this identity"
            ),
        );
    }
}

#[test]
fn an_agent_whose_certificate_is_not_enough_may_prove_itself_with_a_token() {
    let gate = Gate::start("# tokens\n");
    let papers = gate.agents.issue(&["edge.example.com"]);
    // The certificate settles it, and no token is asked for.
    let by_names = gate.agent_with(&papers, "", &["edge.example.com"]);
    gate.assert_welcome(by_names, "certificate of edge.example.com");
    let by_token = gate.agent_with(&papers, ONE, &["token.test"]);
    gate.assert_welcome(by_token, "token edge-1");
    let nameless = gate.agent_with(&gate.agents.issue(&[]), ONE, &["token.test"]);
    gate.assert_welcome(nameless, "token edge-1");
    // One identity has to do for all of it.
    gate.assert_refused(
        &gate.agent_with(&papers, ONE, &["edge.example.com", "token.test"]),
        "refused (Forbidden): token edge-1 may not register edge.example.com: no rule for it",
    );
    gate.assert_refused(&gate.agent_with(&papers, TWO, &["token.test"]), UNKNOWN);
    let without = gate.agent_with(&papers, "", &["token.test"]);
    without.wait_log("the ingress asks for a proof of identity (token), and this agent has none");
    // The token alone is not enough either: TLS comes first.
    let foreign = Authority::new("others").issue(&["edge.example.com"]);
    let foreign = gate.agent_with(&foreign, ONE, &["token.test"]);
    foreign.wait_log("received fatal alert: UnknownCA");
    assert_eq!(gate.server.metric("mesh_tunnels", ""), 0);
}

#[test]
fn a_server_with_nothing_but_authorities_says_that_it_takes_certificates() {
    let folder = Folder::new(own_ip());
    let (servers, agents) = (Authority::new("servers"), Authority::new("agents"));
    let papers = servers.issue(&[&own_ip().to_string()]);
    let [certificate, key, ca] = [
        ("server.pem", &papers.certificate),
        ("server.key", &papers.key),
        ("agents.pem", &agents.pem),
    ]
    .map(|(name, text)| folder.put(name, text));
    let words = ["--tls-cert", &certificate, "--tls-key", &key, "--client-ca-file", &ca];
    let server = Server::start(&words);
    server.process.wait_log("accepted proofs: certificate");
    // There are no files of rules, and nothing to say of them.
    server.process.signal("HUP");
    server.process.wait_log("agents.pem was reloaded");
    server.process.expect_log("was reloaded", 1);
    assert_eq!(server.process.log_count("new rules"), 0);
}

#[test]
fn new_authorities_count_for_new_connections_and_new_rules_for_all() {
    let gate = Gate::start("rules:\n  - certificate: a.test\n    hosts: [a.test]\n");
    let _old = gate.agent(&["a.test"], &["a.test"]);
    gate.server.wait_available(1);
    let next = Authority::new("next agents");
    gate.folder.put("agents.pem", &next.pem);
    gate.server.process.signal("HUP");
    gate.server.process.wait_log("agents.pem was reloaded");
    let late = gate.agent(&["a.test"], &["a.test"]);
    late.wait_log("received fatal alert: UnknownCA");
    let _new = gate.agent_with(&next.issue(&["a.test"]), "", &["a.test"]);
    gate.server.wait_available(2);
    let ours = gate.folder.put("agents.pem", "nonsense");
    gate.server.process.signal("HUP");
    gate.server.process.wait_log(&format!("cannot use {ours}: the file holds no certificate"));
    gate.folder.put("server.yaml", "rules:\n  - certificate: b.test\n    hosts: [b.test]\n");
    gate.server.process.signal("HUP");
    gate.server.wait_metric("mesh_tunnels", 0);
    let withdrawn = "(certificate of a.test) is withdrawn: certificate of a.test may not register \
                     a.test: no rule is about this identity";
    wait_until("both are told", || gate.server.process.log_count(withdrawn) == 2);
}
