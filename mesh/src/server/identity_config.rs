//! From settings to who may register.
//!
//! The policy is made of several settings, some of which may change while the server runs: the
//! rules in the configuration file and the tokens in theirs. [`PolicySource`] makes it again.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use log::warn;
use mesh_ingress::identity::{
    Account, ArnPattern, ClusterPattern, HostPattern, LaunchType, Pattern, Policy, Rule,
    Separators, Tokens, Who,
};
use mesh_ingress::jobs::Answer;
use mesh_ingress::{Admission, IdentityChecks};
use mesh_reactor::{Mailbox, Watched};
use mesh_settings::{
    Environment, Error, Flags, NamedFile, Record, Settings, nearest, read_text, value,
};

use super::LOG;

/// How identities are checked.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The names that agents dial, in lower case; at least one where there is a policy.
    pub(crate) server_ids: Vec<String>,
    /// What to ask instead of STS: scheme, host and port.
    pub(crate) sts_endpoint: Option<String>,
    /// What to ask instead of ECS: scheme, host and port.
    #[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "only AWS is asked there"))]
    pub(crate) ecs_endpoint: Option<String>,
    /// After which time ECS is asked again about a connected agent.
    pub(crate) ecs_recheck: Duration,
    /// How long a proof of identity is good for.
    pub(crate) lifetime: Duration,
    /// How long agents stay connected while ECS does not answer.
    pub(crate) ecs_grace: Duration,
}

/// The layers of settings, to make the policy again when a file changed. Flags and variables,
/// tokens among them, stay as they were.
pub(crate) struct PolicySource {
    flags: Flags,
    environment: Environment,
    /// What is watched.
    files: Vec<PathBuf>,
}

/// The rules, in the configuration file only.
pub(super) const RULES: &str = "rules";
/// `MESH_TOKENS`, in the environment only.
pub(super) const TOKENS: &str = "tokens";
const ROLES: &str = "allowed-role-arns";
const CLUSTERS: &str = "allowed-clusters";
const TOKEN_FILE: &str = "token-file";
const RECHECK: &str = "ecs-recheck-interval";
const GRACE: &str = "ecs-grace";
/// Read by `tls`; certificates are identities even where no rule is about them.
const CLIENT_CA: &str = "client-ca-file";

/// Whom a rule can be about; each has one of them.
const WHO: [&str; 4] = ["principal", "account", "token", "certificate"];

/// What a rule can say.
pub(super) const RULE_MEMBERS: [&str; 8] =
    ["principal", "account", "token", "certificate", "cluster", "service", "launch-type", "hosts"];

impl Identity {
    pub(crate) fn read(settings: &mut Settings) -> Result<Self, Error> {
        let default = IdentityChecks::default();
        let identity = Self {
            server_ids: list(settings, "server-id", value::server_id, String::clone)?,
            sts_endpoint: endpoint(settings, "sts-endpoint")?,
            ecs_endpoint: endpoint(settings, "ecs-endpoint")?,
            ecs_recheck: settings.seconds(RECHECK, default.recheck, 1_000..=86_400_000)?,
            lifetime: settings.seconds(
                "identity-lifetime",
                default.lifetime,
                60_000..=2_592_000_000,
            )?,
            ecs_grace: settings.seconds(GRACE, default.grace, 0..=86_400_000)?,
        };
        if !identity.ecs_grace.is_zero() && identity.ecs_grace < identity.ecs_recheck {
            settings.warn(format!(
                "{}: it is less than {}, so one question to ECS without an answer ends \
                 registrations",
                settings.culprit(GRACE),
                settings.culprit(RECHECK),
            ));
        }
        Ok(identity)
    }

    /// Whether agents can be asked for the proofs that the policy takes: they are bound to a name.
    fn can_challenge(&self, policy: &Policy) -> bool {
        !self.server_ids.is_empty() || policy.methods().is_empty()
    }

    /// The host and port of the endpoint that replaces STS, as proofs for it name them.
    pub(crate) fn sts_authority(&self) -> Option<&str> {
        self.sts_endpoint.as_deref()?.split_once("://").map(|(_, authority)| authority)
    }
}

/// An operator who says who may register believes that nobody else can: then nothing may be
/// accepted without a proof, and all that is needed to check one must be there.
pub(crate) fn admission(settings: &mut Settings, identity: &Identity) -> Result<Admission, Error> {
    let skip = settings.switch("skip-iam-validation")?;
    let Some(policy) = policy(settings)? else {
        return Ok(if skip { Admission::Anyone } else { Admission::Loopback });
    };
    let culprit = policy_culprit(settings);
    if skip {
        let reason = format!(
            "agents are accepted without a proof, whatever {culprit} says; \
                              remove one of them"
        );
        return Err(settings.blame("skip-iam-validation", &reason));
    }
    if !identity.can_challenge(&policy) {
        return Err(Error::new(format!("{culprit}: {NO_NAME}")));
    }
    Ok(Admission::Policy(Box::new(policy)))
}

/// What is wrong when nobody can be asked for a proof.
const NO_NAME: &str = "--server-id is missing; give the host name that agents dial, to which \
                       their proofs are bound so that nobody can use them elsewhere";

/// The setting because of which there is a policy.
fn policy_culprit(settings: &Settings) -> String {
    let names = [ROLES, RULES, TOKEN_FILE, TOKENS, CLIENT_CA];
    // An empty list of rules makes a policy too, where nothing else does.
    let name = names
        .into_iter()
        .find(|name| settings.has_value(name))
        .or_else(|| names.into_iter().find(|name| settings.is_set(name)));
    name.map_or_else(String::new, |name| settings.culprit(name))
}

/// The policy, if anything asks for one.
fn policy(settings: &mut Settings) -> Result<Option<Policy>, Error> {
    let roles = list(settings, ROLES, ArnPattern::parse, ArnPattern::to_string)?;
    let clusters = list(settings, CLUSTERS, ClusterPattern::parse, ClusterPattern::to_string)?;
    let tokens = tokens(settings)?;
    let records = settings.records(RULES);
    let mut rules = records.iter().map(rule).collect::<Result<Vec<_>, _>>()?;
    let has_aws_rules = rules.iter().any(|rule| rule.who.is_aws());
    if has_aws_rules && !roles.is_empty() {
        let reason = format!(
            "these roles may register every host, whatever {} say; make them rules too",
            settings.culprit(RULES)
        );
        return Err(settings.blame(ROLES, &reason));
    }
    if !has_aws_rules && roles.is_empty() && !clusters.is_empty() {
        return Err(settings.blame(
            CLUSTERS,
            "clusters alone admit nobody; name the roles with --allowed-role-arns, or make rules \
             with a principal or an account",
        ));
    }
    let is_open = roles.is_empty()
        && !settings.is_set(RULES)
        && !settings.is_set(CLIENT_CA)
        && tokens.is_none();
    let tokens = tokens.unwrap_or_default();
    for (record, rule) in records.iter().zip(&rules) {
        if let Some((member, reason)) = matches_nobody(rule, &tokens, settings) {
            let warning = record.blame(member, &format!("this rule matches nobody: {reason}"));
            settings.warn(warning.to_string());
        }
        if let Some(member) = trusts_every_role(rule, &clusters) {
            let warning = record.blame(member, EVERY_ROLE);
            settings.warn(warning.to_string());
        }
    }
    if !clusters.is_empty() && roles.iter().any(ArnPattern::is_of_any_role) {
        settings.warn(format!("{}: {EVERY_ROLE}", settings.culprit(ROLES)));
    }
    rules.extend(roles.into_iter().map(|role| Rule::any_host(Who::Arn(role))));
    Ok((!is_open).then(|| Policy::new(rules, clusters, tokens)))
}

/// A list that has items where somebody set it. An empty one would be no restriction at all, and what makes
/// lists may have failed to fill it.
fn list<T: PartialEq>(
    settings: &mut Settings,
    name: &'static str,
    parse: impl Fn(&str) -> Result<T, String>,
    show: impl Fn(&T) -> String,
) -> Result<Vec<T>, Error> {
    let items = settings.list(name, parse, show)?;
    if items.is_empty() && settings.is_set(name) {
        return Err(settings.blame(name, "the list is empty; give at least one item, or remove it"));
    }
    Ok(items)
}

/// Why nobody can be the one that a rule is about, and the member that names them.
fn matches_nobody(
    rule: &Rule,
    tokens: &Tokens,
    settings: &Settings,
) -> Option<(&'static str, String)> {
    match &rule.who {
        Who::Token(_) if tokens.is_empty() => Some(("token", "there are no tokens".to_owned())),
        // Its name is not repeated: some write the token itself there.
        Who::Token(name) if !tokens.names().any(|known| name.matches(known)) => {
            let mut known: Vec<&str> = tokens.names().collect();
            known.sort_unstable();
            let hint = nearest(name.as_str(), known)
                .map_or_else(String::new, |near| format!("; {near} may be meant"));
            Some(("token", format!("there is no token of that name{hint}")))
        }
        Who::Certificate(_) if settings.peek_file(CLIENT_CA).is_none() => {
            let reason = format!("agents are asked for certificates with --{CLIENT_CA} only");
            Some(("certificate", reason))
        }
        Who::Token(_) | Who::Certificate(_) | Who::Arn(_) | Who::Account(_) => None,
    }
}

/// The member because of which a rule takes any role for one that only ECS can assume, if it does.
fn trusts_every_role(rule: &Rule, clusters: &[ClusterPattern]) -> Option<&'static str> {
    let member = match &rule.who {
        Who::Account(_) => "account",
        Who::Arn(arn) if arn.is_of_any_role() => "principal",
        Who::Arn(_) | Who::Token(_) | Who::Certificate(_) => return None,
    };
    (rule.needs_ecs() || !clusters.is_empty()).then_some(member)
}

const EVERY_ROLE: &str = "every role of the account counts as the role of a task here: whoever may \
                          assume one can name the session after any task; name the roles of the tasks";

/// The tokens of the file and of the environment; `None` if neither is given.
fn tokens(settings: &mut Settings) -> Result<Option<Tokens>, Error> {
    let file = settings.optional(TOKEN_FILE, |text| Ok(text.to_owned()))?;
    let variable = settings.secret(TOKENS);
    if file.is_none() && variable.is_none() {
        return Ok(None);
    }
    let mut tokens = Tokens::default();
    if let Some(file) = file {
        let text = read_text(&file, &settings.culprit(TOKEN_FILE))?;
        tokens.add(&file, &text, Separators::Lines).map_err(Error::new)?;
    }
    if let Some(text) = variable {
        let origin = settings.culprit(TOKENS);
        tokens.add(&origin, &text, Separators::LinesAndSemicolons).map_err(Error::new)?;
    }
    if tokens.is_empty() {
        let culprit = if settings.is_set(TOKEN_FILE) { TOKEN_FILE } else { TOKENS };
        settings.warn(format!("{}: there is no token", settings.culprit(culprit)));
    }
    Ok(Some(tokens))
}

fn rule(record: &Record) -> Result<Rule, Error> {
    let rule = Rule {
        who: who(record)?,
        cluster: record.value("cluster", ClusterPattern::parse)?,
        service: record.value("service", Pattern::of_names)?,
        launch_type: record.value("launch-type", LaunchType::parse)?,
        hosts: record.list("hosts", HostPattern::parse)?,
    };
    rule.check().map_err(|error| record.blame(error.field, &error.reason))?;
    Ok(rule)
}

fn who(record: &Record) -> Result<Who, Error> {
    let mut given = WHO.into_iter().filter(|member| record.has(member));
    let (first, second) = (given.next(), given.next());
    if let (Some(first), Some(second)) = (first, second) {
        let reason = format!("the rule has {first} already; make it two rules");
        return Err(record.blame(second, &reason));
    }
    let token = |text: &str| Pattern::of_names(text).map(Who::Token);
    let certificate =
        |text: &str| Pattern::of_names(&text.to_ascii_lowercase()).map(Who::Certificate);
    let who = match first {
        Some("principal") => {
            record.value("principal", |text| ArnPattern::parse(text).map(Who::Arn))
        }
        Some("account") => record.value("account", |text| Account::parse(text).map(Who::Account)),
        Some("token") => record.value("token", token),
        Some("certificate") => record.value("certificate", certificate),
        Some(_) | None => Ok(None),
    };
    who?.ok_or_else(|| {
        let [others @ .., last] = WHO;
        record.blame(RULES, &format!("a rule needs one of {} and {last}", others.join(", ")))
    })
}

fn endpoint(settings: &mut Settings, name: &'static str) -> Result<Option<String>, Error> {
    let example = "http://127.0.0.1:4566";
    let endpoint = settings.optional(name, |text| {
        let url = value::url(text, &["http", "https"], example)?;
        if url.path != "/" {
            return Err(value::wrong_url(text, "must have no path", example));
        }
        let host =
            if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
        // As a `Host` field has it, and so the proofs for it.
        let own_port = if url.scheme == "https" { 443 } else { 80 };
        let port = url.port.filter(|port| *port != own_port);
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        Ok((format!("{}://{host}{port}", url.scheme), is_safe(&url)))
    })?;
    let Some((endpoint, is_safe)) = endpoint else {
        return Ok(None);
    };
    if !is_safe {
        let culprit = settings.culprit(name);
        settings.warn(format!(
            "{culprit}: whoever can change what goes over the network can be any agent; use https"
        ));
    }
    Ok(Some(endpoint))
}

/// Whether nobody between us and the endpoint can answer in its place.
fn is_safe(url: &value::Url) -> bool {
    let is_loopback = url.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    url.scheme == "https" || is_loopback || url.host == "localhost"
}

impl PolicySource {
    pub(crate) const fn new(flags: Flags, environment: Environment) -> Self {
        Self { flags, environment, files: Vec::new() }
    }

    /// The policy as it would be after a restart; one that admits nobody, if none is left.
    ///
    /// # Errors
    /// A file cannot be used: the policy that is there should stay.
    pub(crate) fn load(&self) -> Result<Policy, Error> {
        let mut settings = self.settings()?;
        if !files(&settings).iter().all(|file| self.files.contains(&PathBuf::from(file.path()))) {
            return Err(Error::new(format!("{TOKEN_FILE}: a new path needs a restart")));
        }
        let known = settings.warnings().len();
        let policy = policy(&mut settings)?;
        settings.warnings()[known..].iter().for_each(|warning| warn!(target: LOG, "{warning}"));
        let nobody = || Policy::new(Vec::new(), Vec::new(), Tokens::default());
        Ok(policy.unwrap_or_else(nobody))
    }

    /// The files that the policy is made of, as they are now, if there are any, and if they can be
    /// read again: a pipe cannot.
    pub(crate) fn watched(&mut self, settings: &Settings) -> Option<Watched> {
        let files = files(settings);
        if files.is_empty() || !files.iter().all(NamedFile::can_be_read_again) {
            return None;
        }
        let names: Vec<_> = files.iter().map(NamedFile::path).collect();
        self.files = names.iter().map(PathBuf::from).collect();
        Some(Watched::new(format!("the policy from {}", names.join(", ")), self.files.clone()))
    }

    fn settings(&self) -> Result<Settings, Error> {
        Settings::load(self.flags.clone(), self.environment.clone())
    }
}

/// The files that a policy is made of.
pub(crate) fn files(settings: &Settings) -> Vec<NamedFile> {
    ["config", TOKEN_FILE].into_iter().filter_map(|name| settings.peek_file(name)).collect()
}

/// Makes the policy again when its files change, and tells the ingress. One that could not be
/// enforced is an error, and the one before it stays.
pub(crate) fn reloading(
    source: PolicySource,
    watched: Watched,
    identity: Identity,
    mailbox: Mailbox<Answer>,
) -> Watched {
    watched.reloading(move || {
        let policy = source.load().map_err(|error| error.to_string())?;
        if !identity.can_challenge(&policy) {
            return Err(NO_NAME.to_owned());
        }
        // That may be meant. It is also what half a file says, or one that a full disk cut off.
        if policy.methods().is_empty() {
            warn!(target: LOG, "by the new rules no token and no AWS identity may register");
        }
        mailbox.tell(Answer::Policy(Box::new(policy)));
        Ok(())
    })
}

#[cfg(test)]
mod tests;
