//! AWS as the ingress and the agents see it, scripted: who signed what, and which tasks run.
//!
//! The signature is a digest of the agent's key and of everything that a real one covers, so that
//! a proof that is moved elsewhere fails here as it does there.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mesh_agent::identity as agent;
use mesh_ingress::identity::ecs::{Cluster, ContainerInstance, Deployment, Service, Task};
use mesh_ingress::identity::{EcsAnswers, EcsQuestion, StsRequest};
use mesh_ingress::jobs::{Answer, Failure, Job, StsIdentity};
use mesh_protocol::control::{IamProof, Proof};
use mesh_protocol::proof;

/// What a test knows and changes of it.
#[derive(Debug)]
pub(crate) struct Sky {
    /// How long each question takes.
    pub(crate) latency: Duration,
    /// How long an agent needs for its credentials.
    pub(crate) signing: Duration,
    /// How long it takes an agent to find them, the first time and anew.
    pub(crate) searching: Duration,
    /// Whether nobody answers.
    pub(crate) is_down: bool,
    /// Agents whose tasks ECS gives no answer about, nor about whatever is asked with them.
    pub(crate) unanswered: BTreeSet<usize>,
    /// Agents about whose tasks, and whatever is asked with them, ECS takes no question.
    pub(crate) strange: BTreeSet<usize>,
    /// How many questions ECS bears at once, and how many more each second; those beyond it answers
    /// none of.
    pub(crate) bears: Option<Bucket>,
    /// How many it did not bear.
    pub(crate) throttled: usize,
    /// Agents about whose tasks, and whatever is asked with them, ECS thinks for as long as this.
    pub(crate) pondered: (BTreeSet<usize>, Duration),
    /// Agents for whose proofs STS needs as long as this, and says nothing then. They are signed for
    /// another region.
    pub(crate) unreachable: (BTreeSet<usize>, Duration),
    /// Agents whose tasks nobody started for a service.
    pub(crate) loose: BTreeSet<usize>,
    /// Agents whose tasks are called as those of a service that did not start them.
    pub(crate) pretenders: BTreeSet<usize>,
    /// Whether ECS does not know the service.
    pub(crate) is_without_service: bool,
    /// Agents on hosts, which are no tasks.
    pub(crate) hosts: BTreeSet<usize>,
    /// Those of them whose host is to be emptied.
    pub(crate) draining: BTreeSet<usize>,
    /// Agents whose task ECS does not call running yet.
    pub(crate) pending: BTreeSet<usize>,
    /// Agents whose task ECS does not know.
    pub(crate) missing: BTreeSet<usize>,
    /// Agents whose task has stopped.
    pub(crate) stopped: BTreeSet<usize>,
    /// Agents whose task runs and is to stop.
    pub(crate) stopping: BTreeSet<usize>,
    /// Agents whose credentials are another role's by now.
    pub(crate) renamed: BTreeSet<usize>,
    /// Agents that sign with somebody else's key.
    pub(crate) forgers: BTreeSet<usize>,
    /// Questions so far.
    pub(crate) asked: Asked,
    /// Questions to ECS that ask for the services of tasks.
    pub(crate) of_services: usize,
}

/// How often somebody was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Asked {
    /// STS, about the proof of an agent.
    pub(crate) proofs: usize,
    /// ECS, about tasks and what belongs to them.
    pub(crate) descriptions: usize,
}

/// Questions that are borne.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) left: f64,
    pub(crate) per_second: f64,
    pub(crate) since: Option<Instant>,
}

/// A handle on it.
#[derive(Debug, Clone)]
pub(crate) struct Cloud(Rc<RefCell<Sky>>);

pub(crate) const CLUSTER: &str = "arn:aws:ecs:eu-central-1:123456789012:cluster/production";

/// The task of an agent.
pub(crate) fn task_arn(number: usize) -> String {
    format!("arn:aws:ecs:eu-central-1:123456789012:task/production/{number:032x}")
}

/// The host of an agent.
pub(crate) fn instance_arn(number: usize) -> String {
    format!("arn:aws:ecs:eu-central-1:123456789012:container-instance/production/{number:032x}")
}

/// What Systems Manager calls it.
fn instance_id(number: usize) -> String {
    format!("mi-{number:017x}")
}

/// The service of all tasks, and its deployment.
const SERVICE: &str = "orders";
const DEPLOYMENT: &str = "ecs-svc/1";

impl Cloud {
    pub(crate) fn new(latency: Duration) -> Self {
        let sky = Sky {
            latency,
            signing: Duration::from_millis(1),
            searching: Duration::ZERO,
            is_down: false,
            unanswered: BTreeSet::new(),
            strange: BTreeSet::new(),
            bears: None,
            throttled: 0,
            pondered: (BTreeSet::new(), Duration::ZERO),
            unreachable: (BTreeSet::new(), Duration::ZERO),
            loose: BTreeSet::new(),
            pretenders: BTreeSet::new(),
            is_without_service: false,
            hosts: BTreeSet::new(),
            draining: BTreeSet::new(),
            pending: BTreeSet::new(),
            missing: BTreeSet::new(),
            stopped: BTreeSet::new(),
            stopping: BTreeSet::new(),
            renamed: BTreeSet::new(),
            forgers: BTreeSet::new(),
            asked: Asked::default(),
            of_services: 0,
        };
        Self(Rc::new(RefCell::new(sky)))
    }

    /// What is known and may be changed of it; to be dropped before the world goes on.
    pub(crate) fn sky(&self) -> RefMut<'_, Sky> {
        self.0.borrow_mut()
    }

    /// Makes the proofs of one agent.
    pub(crate) fn agent(
        &self,
        number: usize,
    ) -> impl FnMut(agent::Job, Instant) -> (Duration, agent::Answer) + use<> {
        let sky = Rc::clone(&self.0);
        let mut holds = false;
        move |agent::Job::Prove { conn, question, anew }, _| {
            let is_search = anew || !std::mem::replace(&mut holds, true);
            let key = format!("AKIA{number:016}");
            let secret = match sky.borrow().forgers.contains(&number) {
                true => "forged",
                false => key.as_str(),
            };
            let binding = question.binding();
            let text = [secret, binding.hello, binding.nonce, binding.server_id].join(" ");
            let region = match sky.borrow().unreachable.0.contains(&number) {
                true => "sa-east-1",
                false => "eu-central-1",
            };
            let proof = Proof::Iam(IamProof {
                host: format!("sts.{region}.amazonaws.com"),
                region: region.to_owned(),
                date: "20260101T000000Z".to_owned(),
                security_token: None,
                signature: proof::digest_hello(text.as_bytes()),
                access_key_id: key,
            });
            let sky = sky.borrow();
            let search = if is_search { sky.searching } else { Duration::ZERO };
            (search + sky.signing, agent::Answer::Proved { conn, outcome: Ok(proof) })
        }
    }

    /// Answers the questions of the ingress.
    pub(crate) fn ingress(&self) -> impl FnMut(Job, Instant) -> (Duration, Answer) + use<> {
        let sky = Rc::clone(&self.0);
        move |job, now| {
            let mut sky = sky.borrow_mut();
            let latency = sky.latency(&job);
            sky.of_services += usize::from(asks_for_services(&job));
            let answer = match job {
                Job::Identify { conn, request, .. } => {
                    sky.asked.proofs += 1;
                    Answer::Identified { conn, outcome: sky.identify(&request) }
                }
                Job::Inspect { conns, question } => {
                    sky.asked.descriptions += 1;
                    Answer::Inspected { conns, outcome: sky.describe(&question, now) }
                }
                Job::Recheck { conns, question } => {
                    sky.asked.descriptions += 1;
                    Answer::Rechecked { conns, outcome: sky.describe(&question, now) }
                }
            };
            (latency, answer)
        }
    }
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        let passed = self.since.replace(now).map_or(Duration::ZERO, |since| now - since);
        self.left = self.per_second.mul_add(passed.as_secs_f64(), self.left);
        let is_borne = self.left >= 1.0;
        self.left -= if is_borne { 1.0 } else { 0.0 };
        is_borne
    }
}

impl Sky {
    fn latency(&self, job: &Job) -> Duration {
        let ((pondered, long), (_, vain)) = (&self.pondered, &self.unreachable);
        let is_pondered = |question: &EcsQuestion| {
            pondered.iter().any(|number| question.tasks.contains(&task_arn(*number)))
        };
        match job {
            Job::Identify { request, .. } if is_far(request) => *vain,
            Job::Inspect { question, .. } | Job::Recheck { question, .. }
                if is_pondered(question) =>
            {
                *long
            }
            Job::Identify { .. } | Job::Inspect { .. } | Job::Recheck { .. } => self.latency,
        }
    }

    fn identify(&self, request: &StsRequest) -> Result<StsIdentity, Failure> {
        if self.is_down || is_far(request) {
            return Err(Failure::Unreachable("STS is down".to_owned()));
        }
        let header = |name: &str| {
            let found = request.headers.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.as_str()).expect("the request is whole")
        };
        let authorization = header("authorization");
        let (_, rest) = authorization.split_once("Credential=").expect("it is signed");
        let (key, _) = rest.split_once('/').expect("the scope follows");
        let signed = [
            key,
            header(proof::HELLO_HEADER),
            header(proof::NONCE_HEADER),
            header(proof::SERVER_ID_HEADER),
        ];
        let expected = proof::digest_hello(signed.join(" ").as_bytes());
        if !authorization.ends_with(&format!("Signature={expected}")) {
            return Err(Failure::Refused("STS: SignatureDoesNotMatch".to_owned()));
        }
        let number: usize = key[4..].parse().expect("an agent's key");
        let session = match self.hosts.contains(&number) {
            true => instance_id(number),
            false => format!("{number:032x}"),
        };
        let role = if self.renamed.contains(&number) { "others" } else { "agents" };
        Ok(StsIdentity {
            arn: format!("arn:aws:sts::123456789012:assumed-role/{role}/{session}"),
            account: "123456789012".to_owned(),
        })
    }

    fn describe(&mut self, question: &EcsQuestion, now: Instant) -> Result<EcsAnswers, Failure> {
        if self.bears.as_mut().is_some_and(|bucket| !bucket.take(now)) {
            self.throttled += 1;
            return Err(Failure::Unreachable("ECS is asked too much".to_owned()));
        }
        let is_about = |number: &usize| question.tasks.contains(&task_arn(*number));
        if self.strange.iter().any(is_about) {
            return Err(Failure::Invalid("ECS refuses with InvalidParameterException".to_owned()));
        }
        let is_lost = |number: &usize| question.tasks.contains(&task_arn(*number));
        if self.is_down || self.unanswered.iter().any(is_lost) {
            return Err(Failure::Unreachable("ECS is down".to_owned()));
        }
        let cluster = Cluster {
            cluster_arn: CLUSTER.to_owned(),
            cluster_name: "production".to_owned(),
            status: "ACTIVE".to_owned(),
        };
        let tasks = question.tasks.iter().filter_map(|arn| self.task(arn)).collect();
        let hosts = self.hosts.iter().map(|number| self.instance(*number));
        let is_asked =
            |one: &ContainerInstance| question.instances.contains(&one.container_instance_arn);
        let instances = hosts.filter(is_asked).collect();
        let services = match question.tasks_of_services.is_empty() || self.is_without_service {
            true => Vec::new(),
            false => vec![service()],
        };
        let clusters = vec![cluster];
        Ok(EcsAnswers { clusters, tasks, instances, services, ..EcsAnswers::default() })
    }

    fn instance(&self, number: usize) -> ContainerInstance {
        let is_draining = self.draining.contains(&number);
        ContainerInstance {
            container_instance_arn: instance_arn(number),
            ec2_instance_id: Some(instance_id(number)),
            status: if is_draining { "DRAINING" } else { "ACTIVE" }.to_owned(),
        }
    }

    fn task(&self, arn: &str) -> Option<Task> {
        let is_in = |set: &BTreeSet<usize>| set.iter().any(|number| task_arn(*number) == arn);
        let (is_stopped, is_stopping) = (is_in(&self.stopped), is_in(&self.stopping));
        let is_of_service = !is_in(&self.loose);
        let is_started = is_of_service && !is_in(&self.pretenders);
        let last_status = match (is_stopped, is_in(&self.pending)) {
            (true, _) => "STOPPED",
            (false, true) => "PENDING",
            (false, false) => "RUNNING",
        };
        (!is_in(&self.missing)).then(|| Task {
            task_arn: arn.to_owned(),
            cluster_arn: CLUSTER.to_owned(),
            last_status: last_status.to_owned(),
            desired_status: if is_stopped || is_stopping { "STOPPED" } else { "RUNNING" }
                .to_owned(),
            launch_type: Some("EXTERNAL".to_owned()),
            started_by: is_started.then(|| DEPLOYMENT.to_owned()),
            group: is_of_service.then(|| format!("service:{SERVICE}")),
            container_instance_arn: None,
        })
    }
}

fn asks_for_services(job: &Job) -> bool {
    match job {
        Job::Inspect { question, .. } | Job::Recheck { question, .. } => {
            !question.tasks_of_services.is_empty()
        }
        Job::Identify { .. } => false,
    }
}

/// Whether it is for the region from which no answer comes.
fn is_far(request: &StsRequest) -> bool {
    request.host.contains("sa-east-1")
}

fn service() -> Service {
    Service {
        service_name: SERVICE.to_owned(),
        cluster_arn: CLUSTER.to_owned(),
        status: "ACTIVE".to_owned(),
        deployments: vec![Deployment { id: DEPLOYMENT.to_owned() }],
        task_sets: Vec::new(),
    }
}
