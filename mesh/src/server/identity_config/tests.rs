use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use argh::FromArgs;
use mesh_ingress::Admission;
use mesh_ingress::identity::{
    AwsPrincipal, Claim, Decision, Method, Policy, Principal, Requirement,
};
use mesh_settings::{Environment, Error, Settings};

use super::PolicySource;
use crate::server::ServerArgs;
use crate::server::config::Startup;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const ID: [&str; 2] = ["--server-id", "mesh.example.com"];
const ROLE: [&str; 2] = ["--allowed-role-arns", "arn:aws:iam::123456789012:role/mesh-*"];

/// A file that is gone at the end of the test.
struct TempFile(PathBuf);

impl TempFile {
    fn new(content: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("mesh-identity-{}-{number}", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        file.write(content);
        file
    }

    fn write(&self, content: &str) {
        std::fs::write(&self.0, content).unwrap();
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn settings(words: &[&str], variables: &[(&str, &str)]) -> Result<Settings, Error> {
    let args = ServerArgs::from_args(&["mesh", "server"], words).unwrap();
    Settings::load(args.flags(), variables.iter().copied().collect())
}

fn start(words: &[&str], variables: &[(&str, &str)]) -> Result<Startup, Error> {
    Startup::read(&mut settings(words, variables)?)
}

fn policy(words: &[&str], variables: &[(&str, &str)]) -> Policy {
    match start(&[words, &ID].concat(), variables).unwrap().config.admission {
        Admission::Policy(policy) => *policy,
        other @ (Admission::Loopback | Admission::Anyone) => panic!("{other:?}"),
    }
}

fn role(name: &str) -> Principal {
    let arn = format!("arn:aws:sts::123456789012:assumed-role/{name}/session");
    Principal::Aws(AwsPrincipal::parse(&arn, "123456789012").unwrap())
}

fn decide(policy: &Policy, principal: &Principal, host: &str) -> Decision {
    let hosts = [host.to_owned()];
    let claim =
        Claim { hosts: &hosts, service: "", cluster: "", task: None, container_instance: None };
    policy.decide(principal, &claim)
}

fn is_denied(policy: &Policy, principal: &Principal, host: &str) -> bool {
    matches!(decide(policy, principal, host), Decision::Denied(_))
}

#[test]
fn without_any_of_it_nothing_changes() {
    let id = ["--server-id", "A.example.com.,10.0.0.1,::1"];
    let start = start(&id, &[]).unwrap();
    assert!(matches!(start.config.admission, Admission::Loopback));
    assert_eq!(start.identity.server_ids, ["a.example.com", "10.0.0.1", "::1"]);
    assert_eq!(start.identity.sts_authority(), None);
    assert_eq!(start.identity.ecs_endpoint, None);
    assert_eq!(
        (start.identity.ecs_recheck.as_secs(), start.identity.ecs_grace.as_secs()),
        (60, 900)
    );
    let anyone = self::start(&["--skip-iam-validation"], &[]).unwrap();
    assert!(matches!(anyone.config.admission, Admission::Anyone));
}

#[test]
fn roles_may_register_every_host_in_the_allowed_clusters() {
    let open = policy(&ROLE, &[]);
    assert_eq!(decide(&open, &role("mesh-agent"), "*"), Decision::Granted);
    assert!(is_denied(&open, &role("other"), "a.x"));
    assert_eq!(open.methods(), [Method::Iam]);
    let strict = policy(&[&ROLE[..], &["--allowed-clusters", "a,b"]].concat(), &[]);
    let needs = Decision::NeedsEcs(Requirement::Place);
    assert_eq!(decide(&strict, &role("mesh-agent"), "a.x"), needs);
}

#[test]
fn tokens_come_from_the_file_and_from_the_environment() {
    let file = TempFile::new(&format!("edge-1 {TOKEN} a.x\n"));
    let variables = [("MESH_TOKENS", "edge-2 fedcba9876543210 b.x; edge-3 0123456789abcdefg c.x")];
    let words = ["--token-file", file.path()];
    let policy = policy(&words, &variables);
    let token = |name: &str| Principal::Token { name: name.to_owned() };
    for (name, host) in [("edge-1", "a.x"), ("edge-2", "b.x"), ("edge-3", "c.x")] {
        assert_eq!(decide(&policy, &token(name), host), Decision::Granted, "{name}");
        assert!(is_denied(&policy, &token(name), "d.x"));
    }
    assert_eq!(policy.methods(), [Method::Token]);
    let mut settings = settings(&[&words[..], &ID].concat(), &variables).unwrap();
    let start = Startup::read(&mut settings).unwrap();
    let all = format!("{}{start:?}{settings:?}{:?}", settings.report(), settings.warnings());
    assert!(all.contains("# tokens: set"), "{all}");
    assert!(!all.contains("fedcba98") && !all.contains("01234567"), "{all}");
}

const RULES: &str = "\
rules:
  - principal: arn:aws:iam::123456789012:role/mesh-*
    hosts: [shop.x, \"*.shop.x\"]
  - account: \"123456789012\"
    cluster: production
    service: orders-*
    launch-type: external
    hosts: \"{service}.x\"
  - token: edge-*
    hosts: edge.x
  - certificate: \"*.EDGE.x\"
    hosts: [\"*\"]
";

#[test]
fn rules_are_read_from_the_file_and_shown_as_they_can_be_read_again() {
    let file = TempFile::new(RULES);
    let rules = policy(&["--config", file.path()], &[]);
    assert_eq!(rules.rules().len(), 4);
    assert_eq!(decide(&rules, &role("mesh-a"), "a.shop.x"), Decision::Granted);
    let needs = Decision::NeedsEcs(Requirement::Service);
    assert_eq!(decide(&rules, &role("other"), "orders-eu.x"), needs);
    let certificate = Principal::Certificate { names: vec!["a.edge.x".to_owned()] };
    assert_eq!(decide(&rules, &certificate, "b.y"), Decision::Granted);
    let report = |file: &TempFile| {
        let mut settings = settings(&["--config", file.path()], &[]).unwrap();
        let _ = Startup::read(&mut settings);
        settings.report()
    };
    let id = "server-id: mesh.example.com\n";
    let first = TempFile::new(&format!("{id}{RULES}"));
    let second = TempFile::new(&report(&first));
    let again = policy(&["--config", second.path()], &[]);
    assert_eq!(again.rules(), rules.rules());
    let none = TempFile::new(&format!("{id}rules: []\n"));
    let none = TempFile::new(&report(&none));
    let nobody = policy(&["--config", none.path()], &[]);
    assert!(is_denied(&nobody, &role("mesh-a"), "a.x"), "an empty list is a list");
}

#[test]
fn what_does_not_go_together_is_refused_with_one_sentence() {
    let skip = ["--skip-iam-validation"];
    let bad = |name: &'static str, text: &'static str| [name, text];
    let missing_id = ": --server-id is missing; give the host name that agents dial";
    type Case<'a> = (Vec<&'a str>, &'a [(&'a str, &'a str)], String);
    let cases: [Case<'_>; 11] = [
        (ROLE.to_vec(), &[], format!("--allowed-role-arns{missing_id}")),
        (vec![], &[("MESH_TOKENS", "a 0123456789abcdef")], format!("MESH_TOKENS{missing_id}")),
        (
            [&ROLE[..], &ID, &skip].concat(),
            &[],
            "--skip-iam-validation: agents are accepted without a proof, whatever \
             --allowed-role-arns says; remove one of them"
                .to_owned(),
        ),
        (
            bad("--allowed-clusters", "a").to_vec(),
            &[],
            "--allowed-clusters: clusters alone admit nobody; name the roles".to_owned(),
        ),
        (
            bad("--allowed-clusters", "a b").to_vec(),
            &[],
            "--allowed-clusters: \"a b\" is not a cluster".to_owned(),
        ),
        (
            bad("--allowed-role-arns", "*").to_vec(),
            &[],
            "--allowed-role-arns: \"*\" would admit everybody: anybody with an AWS account"
                .to_owned(),
        ),
        (
            bad("--server-id", "*.example.com").to_vec(),
            &[],
            "--server-id: \"*.example.com\" must be one name".to_owned(),
        ),
        (
            bad("--sts-endpoint", "sts.amazonaws.com").to_vec(),
            &[],
            "--sts-endpoint: \"sts.amazonaws.com\" is not a URL; give for example".to_owned(),
        ),
        (
            bad("--ecs-endpoint", "http://localhost/path").to_vec(),
            &[],
            "--ecs-endpoint: \"http://localhost/path\" must have no path".to_owned(),
        ),
        (
            bad("--token-file", "/nowhere").to_vec(),
            &[],
            "--token-file: cannot read /nowhere: no such file or directory".to_owned(),
        ),
        (
            vec![],
            &[("MESH_TOKENS", "a short")],
            "MESH_TOKENS line 1: the second word is".to_owned(),
        ),
    ];
    for (words, variables, expected) in cases {
        let error = start(&words, variables).unwrap_err().to_string();
        assert!(error.starts_with(&expected), "{words:?}: {error}");
    }
}

/// It would let in everybody whom the list was to keep out.
#[test]
fn a_list_without_items_is_refused() {
    let lists = [
        ("allowed-clusters", &[ROLE[0], ROLE[1]][..]),
        ("allowed-role-arns", &[]),
        ("server-id", &[]),
    ];
    for (name, others) in lists {
        let refused = |words: &[&str], culprit: &str| {
            let error = start(&[others, words].concat(), &[]).unwrap_err().to_string();
            let told =
                format!("{culprit}{name}: the list is empty; give at least one item, or remove it");
            assert!(error.starts_with(&told), "{words:?}: {error}");
        };
        for text in ["", ",", " , "] {
            refused(&[&format!("--{name}"), text], "--");
        }
        for text in ["[]", "\"\"", "\",\"", "[\"\", \" \"]"] {
            let file = TempFile::new(&format!("{name}: {text}\n"));
            refused(&["--config", file.path()], &format!("{} line 1: ", file.path()));
        }
    }
    // An empty variable counts as absent, this one too.
    assert!(start(&[&ROLE[..], &ID].concat(), &[("MESH_ALLOWED_CLUSTERS", "")]).is_ok());
}

#[test]
fn a_wrong_rule_is_named_with_file_line_and_member() {
    let principal = "principal: arn:aws:iam::123456789012:role/a";
    let cases = [
        (format!("  - {principal}\n"), "line 2: hosts: a rule without hosts allows nothing"),
        (
            "  - hosts: a\n".to_owned(),
            "line 2: rules: a rule needs one of principal, account, token and certificate",
        ),
        (
            "  - account: \"123456789012\"\n    hosts: a\n    token: b\n".to_owned(),
            "line 4: token: the rule has account already; make it two rules",
        ),
        (
            "  - hosts: a\n    token: b\n    cluster: c\n".to_owned(),
            "line 4: cluster: a token says nothing about ECS",
        ),
        (
            "  - hosts: a\n    token: b\n    launch-type: EC2\n".to_owned(),
            "line 4: launch-type: a token says nothing about ECS",
        ),
        (
            "  - hosts: a\n    certificate: b\n    service: c\n".to_owned(),
            "line 4: service: a certificate says nothing about ECS",
        ),
        (
            "  - certificate: b\n    hosts: [\"{service}.x\"]\n".to_owned(),
            "line 3: hosts: a certificate says nothing about ECS",
        ),
        ("  - token: a b\n    hosts: a\n".to_owned(), "line 2: token: \"a b\" is not a name"),
        ("  - token: [a]\n    hosts: a\n".to_owned(), "line 2: token: it takes one value"),
        ("  - account: 1234\n    hosts: a\n".to_owned(), "line 2: account: \"1234\" is not an"),
        (
            "  - principal: arn:aws:iam::*:role/a\n    hosts: a\n".to_owned(),
            "line 2: principal: \"arn:aws:iam::*:role/a\" must name its account: anybody",
        ),
        (
            format!("  - {principal}\n    hosts: [a, b/c]\n"),
            "line 3: hosts: \"b/c\" is not a host name",
        ),
        (
            format!("  - {principal}\n    hosts: a\n    launch-type: LUNAR\n"),
            "line 4: launch-type: \"LUNAR\" is not a launch type",
        ),
        (
            format!("  - {principal}\n    hosts: a\n    cluster: \"a b\"\n"),
            "line 4: cluster: \"a b\" is not a cluster",
        ),
        (
            format!("  - {principal}\n    host: a\n"),
            "line 3: host is not a member of rules; hosts may be meant",
        ),
    ];
    for (rules, expected) in cases {
        let file = TempFile::new(&format!("rules:\n{rules}"));
        let words = ["--config", file.path(), ID[0], ID[1]];
        let error = start(&words, &[]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{} {expected}", file.path())), "{error}");
    }
}

#[test]
fn roles_and_rules_for_roles_do_not_go_together() {
    let file = TempFile::new(RULES);
    let words = [&["--config", file.path()][..], &ROLE, &ID].concat();
    let error = start(&words, &[]).unwrap_err().to_string();
    let expected = format!(
        "--allowed-role-arns: these roles may register every host, whatever {} line 1: rules say; \
         make them rules too",
        file.path()
    );
    assert_eq!(error, expected);
    file.write("rules:\n  - token: edge\n    hosts: edge.x\n");
    assert_eq!(start(&words, &[]).map(drop), Ok(()));
}

#[test]
fn endpoints_are_a_scheme_a_host_and_a_port() {
    let cases = [
        ("http://127.0.0.1:5055", "127.0.0.1:5055", true),
        ("http://LocalHost:5055/", "localhost:5055", true),
        ("http://[::1]:5055", "[::1]:5055", true),
        (
            "https://vpce-1.sts.eu-central-1.vpce.amazonaws.com",
            "vpce-1.sts.eu-central-1.vpce.amazonaws.com",
            true,
        ),
        ("https://sts.example.com:443", "sts.example.com", true),
        ("http://127.0.0.1:80", "127.0.0.1", true),
        ("http://127.0.0.1:443", "127.0.0.1:443", true),
        ("http://moto:5000", "moto:5000", false),
        ("http://10.0.0.1", "10.0.0.1", false),
    ];
    for (url, authority, is_safe) in cases {
        let mut settings = settings(&["--sts-endpoint", url], &[]).unwrap();
        let start = Startup::read(&mut settings).unwrap();
        assert_eq!(start.identity.sts_authority(), Some(authority));
        assert_eq!(settings.warnings().is_empty(), is_safe, "{:?}", settings.warnings());
    }
}

#[test]
fn a_grace_that_is_over_before_anybody_asks_is_a_warning() {
    let warnings = |words: &[&str]| {
        let mut settings = settings(words, &[]).unwrap();
        Startup::read(&mut settings).unwrap();
        settings.warnings().to_vec()
    };
    let expected = "--ecs-grace (by default): it is less than --ecs-recheck-interval, so one \
                    question to ECS without an answer ends registrations";
    assert_eq!(warnings(&["--ecs-recheck-interval", "3600"]), [expected]);
    assert_eq!(warnings(&["--ecs-recheck-interval", "900"]), [""; 0]);
    // Whoever bears none means it.
    assert_eq!(warnings(&["--ecs-grace", "0"]), [""; 0]);
}

/// Only the name of the session ties an identity to a task.
#[test]
fn whoever_lets_every_role_count_as_that_of_a_task_is_warned() {
    let warnings = |who: &str, more: &str, words: &[&str]| {
        let rule = format!("rules:\n  - {who}\n    hosts: a.x\n{more}");
        let file = TempFile::new(&rule);
        let words = [&["--config", file.path()], &ID[..], words].concat();
        let mut settings = settings(&words, &[]).unwrap();
        Startup::read(&mut settings).unwrap();
        settings.warnings().to_vec()
    };
    let account = "account: \"123456789012\"";
    let any_role = "principal: arn:aws:iam::123456789012:role/*";
    let any_session = "principal: arn:aws:sts::123456789012:assumed-role/**/a*";
    for who in [account, any_role, any_session] {
        let (member, _) = who.split_once(':').unwrap();
        let expected =
            format!("line 2: {member}: every role of the account counts as the role of a task");
        let cluster = "cluster: a\n    service: '*'";
        for more in ["cluster: a", "service: a", "launch-type: FARGATE", cluster] {
            let warnings = warnings(who, &format!("    {more}\n"), &[]);
            assert_eq!(warnings.len(), 1, "{who}, {more}: {warnings:?}");
            assert!(warnings[0].contains(&expected), "{warnings:?}");
        }
        assert_eq!(warnings(who, "", &["--allowed-clusters", "a"]).len(), 1);
        assert_eq!(warnings(who, "", &[]), [""; 0], "nothing is asked of ECS");
    }
    let role = "principal: arn:aws:iam::123456789012:role/mesh-agent-*";
    let more = "    cluster: a\n    service: '*'\n";
    assert_eq!(warnings(role, more, &["--allowed-clusters", "a"]), [""; 0]);

    let warnings = |role: &str, more: &[&str]| {
        let role = format!("arn:aws:iam::123456789012:role/{role}");
        let words = [&["--allowed-role-arns", &role], &ID[..], more].concat();
        let mut settings = settings(&words, &[]).unwrap();
        Startup::read(&mut settings).unwrap();
        settings.warnings().to_vec()
    };
    let warned = warnings("*", &["--allowed-clusters", "a"]);
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].starts_with("--allowed-role-arns: every role of the account"), "{warned:?}");
    assert_eq!(warnings("*", &[]), [""; 0]);
    assert_eq!(warnings("mesh-*", &["--allowed-clusters", "a"]), [""; 0]);
}

#[test]
fn an_empty_token_file_is_a_warning() {
    let file = TempFile::new("# nobody yet\n");
    let words = ["--token-file", file.path(), ID[0], ID[1]];
    let mut settings = settings(&words, &[]).unwrap();
    let start = Startup::read(&mut settings).unwrap();
    assert!(matches!(start.config.admission, Admission::Policy(_)));
    assert_eq!(settings.warnings(), ["--token-file: there is no token"]);
}

#[test]
fn the_policy_is_made_again_from_the_files() {
    let tokens = TempFile::new(&format!("edge-1 {TOKEN} a.x\n"));
    let file = TempFile::new(&format!("{RULES}token-file: {}\n", tokens.path()));
    let words = ["--config", file.path(), ID[0], ID[1]];
    let flags = ServerArgs::from_args(&["mesh", "server"], &words).unwrap().flags();
    let variables = [("MESH_TOKENS", "edge-9 fedcba9876543210 z.x")];
    let environment: Environment = variables.into_iter().collect();
    let mut source = PolicySource::new(flags, environment);
    assert!(source.watched(&source.settings().unwrap()).is_some());
    assert_eq!(source.files, [file.0.clone(), tokens.0.clone()]);
    let (one, two) = ("edge-1", "edge-2");
    let may = |policy: &Policy, name: &str, host: &str| {
        decide(policy, &Principal::Token { name: name.to_owned() }, host) == Decision::Granted
    };
    let first = source.load().unwrap();
    assert!(may(&first, one, "a.x") && !may(&first, two, "b.x") && may(&first, "edge-9", "z.x"));
    tokens.write(&format!("edge-2 {TOKEN} b.x\n"));
    file.write(&format!("rules: []\ntoken-file: {}\n", tokens.path()));
    let second = source.load().unwrap();
    assert!(!may(&second, one, "a.x") && may(&second, two, "b.x") && may(&second, "edge-9", "z.x"));
    assert_eq!(second.rules(), []);
    tokens.write("edge-1 short\n");
    let error = source.load().unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("{} line 1: the second word is shorter", tokens.path())),
        "{error}"
    );
    tokens.write("");
    assert!(!may(&source.load().unwrap(), two, "b.x"), "taking all tokens away is no mistake");
    // Nobody watches that one.
    let others = TempFile::new(&format!("edge-1 {TOKEN} a.x\n"));
    file.write(&format!("{RULES}token-file: {}\n", others.path()));
    let error = source.load().unwrap_err().to_string();
    assert!(error.ends_with("token-file: a new path needs a restart"), "{error}");
    file.write(RULES);
    assert!(!may(&source.load().unwrap(), one, "a.x"), "no path takes the tokens away");
}

#[test]
fn an_empty_list_of_rules_is_nobody_s_fault() {
    let file = TempFile::new("rules: []\n");
    let tokens = [("MESH_TOKENS", "edge-1 0123456789abcdef")];
    let error = start(&["--config", file.path()], &tokens).unwrap_err().to_string();
    assert!(error.starts_with("MESH_TOKENS: --server-id is missing"), "{error}");
}

#[test]
fn a_list_that_lost_its_items_makes_no_policy() {
    let file = TempFile::new("allowed-clusters: [other]\n");
    let words = [&["--config", file.path()], &ROLE[..], &ID].concat();
    let flags = ServerArgs::from_args(&["mesh", "server"], &words).unwrap().flags();
    let mut source = PolicySource::new(flags, Environment::default());
    assert!(source.watched(&source.settings().unwrap()).is_some());
    let needs = Decision::NeedsEcs(Requirement::Place);
    assert_eq!(decide(&source.load().unwrap(), &role("mesh-a"), "a.x"), needs);
    file.write("allowed-clusters: []\n");
    let error = source.load().unwrap_err().to_string();
    assert!(error.contains("line 1: allowed-clusters: the list is empty"), "{error}");
    file.write("");
    assert_eq!(decide(&source.load().unwrap(), &role("mesh-a"), "a.x"), Decision::Granted);
}

#[test]
fn what_can_be_read_once_only_is_not_watched() {
    let words = ["--config", "/dev/null", ID[0], ID[1]];
    let flags = ServerArgs::from_args(&["mesh", "server"], &words).unwrap().flags();
    let mut source = PolicySource::new(flags, Environment::default());
    assert!(source.watched(&source.settings().unwrap()).is_none());
}

#[test]
fn without_anything_left_nobody_is_admitted() {
    let file = TempFile::new("bind: 127.0.0.1\n");
    let flags = ServerArgs::from_args(&["mesh", "server"], &["--config", file.path()]);
    let mut source = PolicySource::new(flags.unwrap().flags(), Environment::default());
    assert!(source.watched(&source.settings().unwrap()).is_some());
    let policy = source.load().unwrap();
    assert!(is_denied(&policy, &role("mesh-a"), "a.x"));
    assert_eq!(policy.methods(), []);
}
