//! An ingress, its agents, their services and the callers in one world.

use std::time::Duration;

use mesh_agent::{Agent, Endpoint, Identity};
use mesh_ingress::invariants::Census;
use mesh_ingress::{ADMIN, Admission, Ingress, TRAFFIC, TUNNEL};
use mesh_protocol::{ListenerId, Rng, Security};
use mesh_sim::peers::{HttpClient, HttpService, Request, Response};
use mesh_sim::{DoJob, Fault, FaultRates, Life, LinkConfig, LinkRules, NodeId, World};

use crate::answers::answer;
use crate::ask::{Ask, Weather};
use crate::cloud::{Cloud, instance_arn, task_arn};
use crate::watch;

/// The host that every agent registers.
pub(crate) const HOST: &str = "a.example";
/// Where callers connect.
pub(crate) const TRAFFIC_ADDRESS: &str = "ingress:8080";
/// Where load balancers ask for `/health`.
pub(crate) const ADMIN_ADDRESS: &str = "ingress:8081";
/// Where agents connect.
pub(crate) const TUNNEL_ADDRESS: &str = "ingress:8082";

/// Connections that one caller loses in one history, at the most.
const ENDINGS_MAX: usize = 100;

/// See the module.
pub(crate) struct Stage {
    pub(crate) world: World,
    /// The process, and its first worker.
    pub(crate) ingress: NodeId,
    /// All of its workers.
    pub(crate) workers: Vec<NodeId>,
    pub(crate) agents: Vec<NodeId>,
    pub(crate) services: Vec<NodeId>,
    pub(crate) callers: Vec<Caller>,
    pub(crate) plan: Plan,
    rng: Rng,
}

/// A caller with the answers it has to get.
pub(crate) struct Caller {
    pub(crate) node: NodeId,
    pub(crate) asks: Vec<Ask>,
}

/// What a history is made of.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) agents: usize,
    /// Workers of the ingress; without it, the seed says how many.
    pub(crate) workers: Option<u8>,
    /// Workers of each agent.
    pub(crate) agent_workers: u8,
    /// Each agent also has a host of its own: [`own_host`].
    pub(crate) own_hosts: bool,
    /// What the agents take for their service; without it, each has its own.
    pub(crate) local: Option<Endpoint>,
    pub(crate) ingress: mesh_ingress::Config,
    pub(crate) agent: mesh_agent::Config,
    pub(crate) tunnel_links: LinkRules,
    pub(crate) service_links: LinkRules,
    pub(crate) caller_links: LinkRules,
    /// Whom the ingress asks about agents, where it has to.
    pub(crate) cloud: Option<Cloud>,
}

impl Plan {
    /// One agent, default limits, and links that are fast and never fail.
    pub(crate) fn calm() -> Self {
        let fast = LinkRules::fixed(LinkConfig::fast());
        let mut ingress = mesh_ingress::Config { admission: Admission::Anyone, ..<_>::default() };
        // Links may be slow: less than a window in half a minute.
        ingress.timeouts.request = Duration::from_secs(120);
        ingress.timeouts.stream_idle = Duration::from_secs(300);
        let agent = mesh_agent::Config {
            proxy: None,
            ingress: endpoint("ingress", 8082),
            local: endpoint("service", 3000),
            hosts: vec![HOST.to_owned()],
            service: "sample".to_owned(),
            cluster: "simulated".to_owned(),
            task: String::new(),
            container_instance: String::new(),
            identity: Identity::Offer,
            server_id: "ingress".to_owned(),
            health: mesh_agent::HealthCheck::default(),
            timeouts: mesh_agent::Timeouts {
                stream_idle: Duration::from_secs(300),
                ..mesh_agent::Timeouts::default()
            },
            limits: mesh_agent::Limits::default(),
        };
        Self {
            agents: 1,
            workers: None,
            agent_workers: 1,
            own_hosts: false,
            local: None,
            ingress,
            agent,
            tunnel_links: fast,
            service_links: fast,
            caller_links: fast,
            cloud: None,
        }
    }

    /// Any links, and faults at these rates on all of them.
    pub(crate) fn drawn(faults: FaultRates) -> Self {
        let links = LinkRules::drawn(faults);
        let mut plan = Self::calm();
        (plan.tunnel_links, plan.service_links, plan.caller_links) = (links, links, links);
        plan
    }

    pub(crate) const fn with_workers(mut self, workers: u8) -> Self {
        self.workers = Some(workers);
        self
    }

    /// So many workers of each agent, and so many tunnels.
    pub(crate) const fn with_agent_workers(mut self, workers: u8, tunnels: usize) -> Self {
        self.agent_workers = workers;
        self.agent.limits.tunnels_per_ingress = tunnels;
        self
    }

    /// Services that take their bytes little by little.
    pub(crate) const fn with_slow_services(mut self) -> Self {
        let slow =
            LinkConfig { bytes_per_second: Some(100_000), capacity: 4096, ..LinkConfig::fast() };
        self.service_links = LinkRules::fixed(slow);
        self
    }

    /// One in half of all histories, else two or three.
    pub(crate) fn workers_at(&self, seed: u64) -> u8 {
        self.workers.unwrap_or([1, 2, 1, 3][(seed % 4) as usize])
    }

    /// Who does the jobs of a worker of an agent.
    fn agent_jobs(&self, number: usize) -> Box<DoJob<Agent>> {
        match &self.cloud {
            Some(cloud) => Box::new(cloud.agent(number)),
            None => Box::new(|_, _| panic!("there is nobody for jobs")),
        }
    }

    /// Who does the jobs of a worker of the ingress.
    fn ingress_jobs(&self) -> Box<DoJob<Ingress>> {
        match &self.cloud {
            Some(cloud) => Box::new(cloud.ingress()),
            None => Box::new(|_, _| panic!("there is nobody for jobs")),
        }
    }

    pub(crate) const fn with_agents(mut self, agents: usize) -> Self {
        self.agents = agents;
        self
    }

    /// What a process is given that begins now in this place: agents know it by a word of its own.
    fn ingress_of(&self, world: &World, place: &str) -> mesh_ingress::Config {
        let process = format!("{place} of {:?}", world.elapsed());
        mesh_ingress::Config { process, ..self.ingress.clone() }
    }

    /// Adds an ingress of that name, at the usual ports.
    pub(crate) fn add_ingress(&self, world: &mut World, name: &str, workers: u8) -> Vec<NodeId> {
        let apps = Ingress::workers(&self.ingress_of(world, name), world.now(), workers);
        let ports = [(8080, TRAFFIC), (8081, ADMIN), (8082, TUNNEL)];
        let addresses = ports.map(|(port, listener)| (format!("{name}:{port}"), listener));
        let listeners = addresses.each_ref().map(|(address, id)| (address.as_str(), *id));
        let workers = world.add_workers(name, apps, &listeners, || self.ingress_jobs());
        for worker in &workers {
            watch::ingress(world, *worker, &self.ingress);
        }
        workers
    }
}

pub(crate) fn endpoint(host: &str, port: u16) -> Endpoint {
    let path = "/".to_owned();
    Endpoint { host: host.to_owned(), port, security: Security::Plain, path }
}

/// The host that only this agent serves.
pub(crate) fn own_host(number: usize) -> String {
    format!("agent{number}.example")
}

/// What all workers of an ingress have.
pub(crate) fn census(world: &World, ingress: NodeId) -> Census {
    let workers = world.workers_of(ingress).into_iter();
    workers.map(|id| world.app::<Ingress>(id).census()).fold(Census::default(), Census::plus)
}

/// What all workers of an agent have.
pub(crate) fn agent_census(world: &World, agent: NodeId) -> mesh_agent::invariants::Census {
    let workers = world.workers_of(agent).into_iter();
    let each = workers.map(|id| world.app::<Agent>(id).census());
    each.fold(<_>::default(), mesh_agent::invariants::Census::plus)
}

impl Stage {
    /// Everybody but the callers. The agents begin to connect at once.
    pub(crate) fn new(seed: u64, plan: Plan) -> Self {
        let mut world = World::new(seed);
        let workers = plan.add_ingress(&mut world, "ingress", plan.workers_at(seed));
        let mut stage = Self {
            world,
            ingress: workers[0],
            workers,
            agents: Vec::new(),
            services: Vec::new(),
            callers: Vec::new(),
            rng: Rng::from_seed(!seed),
            plan,
        };
        for _ in 0..stage.plan.agents {
            stage.add_agent();
        }
        stage
    }

    /// Another process takes the place of the ingress.
    pub(crate) fn restart_ingress(&mut self) {
        self.restart_ingress_of(&self.workers.clone());
    }

    /// Another process takes the place of the ingress that has these workers.
    pub(crate) fn restart_ingress_of(&mut self, workers: &[NodeId]) {
        let count = u8::try_from(workers.len()).expect("few workers");
        let config = self.plan.ingress_of(&self.world, &format!("{:?}", workers[0]));
        let apps = Ingress::workers(&config, self.world.now(), count);
        let plan = &self.plan;
        self.world.restart_workers(workers, apps, || plan.ingress_jobs());
    }

    /// One more agent with a service of its own.
    pub(crate) fn add_agent(&mut self) -> NodeId {
        let number = self.agents.len();
        let apps = self.agent_apps(number);
        let (name, plan) = (format!("agent{number}"), &self.plan);
        let visited = format!("{name}:8081");
        let listeners = [(visited.as_str(), ListenerId(0))];
        let workers = self.world.add_workers(&name, apps, &listeners, || plan.agent_jobs(number));
        for worker in &workers {
            watch::agent(&mut self.world, *worker);
        }
        let agent = workers[0];
        let address = format!("service{number}:3000");
        let name = format!("service{number}");
        let service = self.world.add_peer(&name, HttpService::new(), &[&address]);
        self.world.set_links(agent, self.ingress, self.plan.tunnel_links);
        self.world.set_links(agent, service, self.plan.service_links);
        self.agents.push(agent);
        self.services.push(service);
        agent
    }

    /// Another process takes the place of an agent.
    pub(crate) fn restart_agent(&mut self, number: usize) {
        let (workers, apps) = (self.world.workers_of(self.agents[number]), self.agent_apps(number));
        let plan = &self.plan;
        self.world.restart_workers(&workers, apps, || plan.agent_jobs(number));
    }

    /// The workers of an agent that begins now.
    fn agent_apps(&self, number: usize) -> Vec<Agent> {
        let mut config = self.plan.agent.clone();
        config.local.host = format!("service{number}");
        if let Some(local) = &self.plan.local {
            config.local = local.clone();
        }
        config.task = task_arn(number);
        config.container_instance = instance_arn(number);
        if self.plan.own_hosts {
            config.hosts.push(own_host(number));
        }
        let (now, workers) = (self.world.now(), self.plan.agent_workers);
        Agent::workers(&config, now, &format!("agent{number}"), workers)
    }

    /// Runs until every running agent is registered and its service known to be healthy.
    pub(crate) fn expect_ready(&mut self, limit: Duration) {
        let (ingress, agents) = (self.ingress, self.agents.clone());
        let tunnels = self.plan.agent.limits.all_tunnels();
        let ready = move |world: &World| {
            let running = |id: &&NodeId| world.life(**id) == Life::Running;
            let wanted = agents.iter().filter(running).count() * tunnels;
            let census = census(world, ingress);
            wanted > 0 && census.healthy == wanted && census.tunnels == wanted
        };
        self.world.expect("every agent is registered and healthy", ready, limit);
    }

    /// Runs until some agent has been registered.
    pub(crate) fn expect_known(&mut self, limit: Duration) {
        let ingress = self.ingress;
        let known = move |world: &World| census(world, ingress).healthy > 0;
        self.world.expect("an agent gets through", known, limit);
    }

    /// Tunnels of registered agents.
    pub(crate) fn tunnels(&self) -> usize {
        census(&self.world, self.ingress).tunnels
    }

    /// Runs until so many tunnels are those of registered agents.
    pub(crate) fn expect_tunnels(&mut self, count: usize, limit: Duration) {
        let ingress = self.ingress;
        let reached = move |world: &World| census(world, ingress).tunnels == count;
        self.world.expect("so many tunnels are registered", reached, limit);
    }

    /// Runs until the services behind so many tunnels are known to be healthy.
    pub(crate) fn expect_healthy(&mut self, count: usize, limit: Duration) {
        let ingress = self.ingress;
        let reached = move |world: &World| census(world, ingress).healthy == count;
        self.world.expect("so many services are healthy", reached, limit);
    }

    /// Adds a caller that asks in order and expects the right answers.
    pub(crate) fn add_caller(
        &mut self,
        asks: Vec<Ask>,
        manners: impl FnOnce(HttpClient) -> HttpClient,
    ) -> NodeId {
        let number = self.callers.len();
        let name = format!("caller{number}");
        let mut script = Vec::new();
        let mut named = Vec::new();
        for (turn, mut ask) in asks.into_iter().enumerate() {
            ask.sign(&format!("{number}-{turn}"));
            script.push(ask.request.clone());
            named.push(ask);
        }
        let client = manners(HttpClient::new(TRAFFIC_ADDRESS, script));
        let node = self.world.add_peer(&name, client, &[]);
        self.world.set_links(node, self.ingress, self.plan.caller_links);
        self.callers.push(Caller { node, asks: named });
        node
    }

    /// A draw for the test's own decisions.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.rng.below(bound)
    }

    pub(crate) const fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Runs until every caller has an outcome for each of its requests.
    pub(crate) fn expect_answers(&mut self, limit: Duration) {
        let callers = self.nodes_of_callers();
        let done = move |world: &World| {
            callers.iter().all(|caller| world.peer::<HttpClient>(*caller).is_done())
        };
        self.world.expect("every request has its outcome", done, limit);
    }

    /// Runs until every caller has an outcome, although some are behind links on which nothing
    /// comes back. The ingress gives those up in time; only then do they hear of it.
    pub(crate) fn expect_endings(&mut self) {
        for _ in 0..ENDINGS_MAX {
            let (ingress, callers) = (self.ingress, self.nodes_of_callers());
            let is_done =
                |world: &World, caller: &NodeId| world.peer::<HttpClient>(*caller).is_done();
            let over = |world: &World| {
                callers.iter().all(|caller| is_done(world, caller))
                    || census(world, ingress).callers == 0
            };
            self.world.expect("no request is forgotten", over, Duration::from_secs(3_600));
            let lost: Vec<_> =
                callers.iter().filter(|caller| !is_done(&self.world, caller)).collect();
            if lost.is_empty() {
                return;
            }
            for caller in lost {
                self.world.strike(*caller, ingress, Fault::Cut);
            }
            self.world.run_for(Duration::from_secs(1));
        }
        panic!("a caller hears of nothing whatever happens to its connection");
    }

    fn nodes_of_callers(&self) -> Vec<NodeId> {
        self.callers.iter().map(|caller| caller.node).collect()
    }

    /// Compares every outcome with what was asked for, and with what the services got.
    pub(crate) fn judge(&self, weather: Weather) {
        for caller in &self.callers {
            let responses = self.responses(caller.node);
            for (ask, response) in caller.asks.iter().zip(responses) {
                ask.judge(response, weather);
                ask.judge_service(&self.served(ask), response);
            }
        }
    }

    pub(crate) fn responses(&self, caller: NodeId) -> &[Response] {
        self.world.peer::<HttpClient>(caller).responses()
    }

    /// A page of the ingress's health port.
    pub(crate) fn page(&mut self, path: &str) -> String {
        self.page_of(ADMIN_ADDRESS, path)
    }

    /// A page of somebody's health port.
    pub(crate) fn page_of(&mut self, address: &str, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: whoever\r\nConnection: close\r\n\r\n");
        answer(self, address, &request).text
    }

    /// The value of a metric, whose labels are part of its name; `None` when it is not there.
    pub(crate) fn metric(&mut self, name: &str) -> Option<u64> {
        let page = self.page("/metrics");
        let values = page.lines().filter_map(|line| line.strip_prefix(name));
        let mut values = values.filter_map(|value| value.strip_prefix(' ')?.trim().parse().ok());
        values.next()
    }

    /// What the services got of a request, and how often.
    pub(crate) fn served(&self, ask: &Ask) -> Vec<&mesh_sim::peers::Served> {
        let services = self.services.iter().map(|id| self.world.peer::<HttpService>(*id));
        let served = services.flat_map(|service| &service.served);
        served.filter(|served| served.header("x-ask").as_deref() == Some(&ask.name)).collect()
    }

    /// All links become good ones: present connections break, and new ones are fast.
    pub(crate) fn clear_up(&mut self) {
        let fast = LinkRules::fixed(LinkConfig::fast());
        self.plan.tunnel_links = fast;
        self.plan.service_links = fast;
        self.plan.caller_links = fast;
        for (agent, service) in self.agents.iter().zip(&self.services) {
            self.world.set_links(*agent, self.ingress, fast);
            self.world.set_links(*agent, *service, fast);
            self.world.strike(*agent, self.ingress, Fault::Cut);
            self.world.strike(*service, *agent, Fault::Cut);
        }
        for caller in &self.callers {
            self.world.set_links(caller.node, self.ingress, fast);
        }
        self.world.run_for(Duration::from_secs(1));
    }

    /// A plain request succeeds at once.
    pub(crate) fn probe(&mut self) {
        let ask = Ask::new(Request::get(HOST, "/bytes/1000"));
        let prober = self.add_caller(vec![ask], |client| client);
        self.expect_answers(Duration::from_secs(10));
        let caller = self.callers.last().expect("just added");
        caller.asks[0].judge(&self.responses(prober)[0], Weather::Fair);
    }

    /// After a while without requests nothing is left but tunnels; after a drain of the agents,
    /// and then of the ingress, nothing at all.
    pub(crate) fn expect_empty_after_drain(&mut self) {
        self.world.run_for(Duration::from_secs(100));
        let all = census(&self.world, self.ingress);
        let tunnels = all.tunnels;
        assert_eq!((all.callers, all.in_flight, all.streams), (0, 0, 0), "{all:?}");
        assert_eq!(all.reserved, 0, "somebody counts as coming for good: {all:?}");
        assert_eq!(all.connections, tunnels, "only tunnels are left: {all:?}");
        for (agent, service) in self.agents.clone().into_iter().zip(self.services.clone()) {
            if self.world.life(agent) != Life::Running {
                continue;
            }
            let census = agent_census(&self.world, agent);
            assert_eq!((census.streams, census.busy, census.idle), (0, 0, 0), "{census:?}");
            self.world.drain(agent);
            let gone = move |world: &World| world.life(agent) == Life::Exited;
            self.world.expect("the agent leaves", gone, Duration::from_secs(31));
            assert_eq!(self.world.open_links(agent), 0);
            let left =
                move |world: &World| world.peer::<HttpService>(service).open_connections() == 0;
            self.world.expect("its connections are closed", left, Duration::from_secs(5));
        }
        let ingress = self.ingress;
        let lonely = move |world: &World| census(world, ingress) == Census::default();
        self.world.expect("the ingress has nothing left", lonely, Duration::from_secs(5));
        self.world.drain(ingress);
        let gone = move |world: &World| world.life(ingress) == Life::Exited;
        self.world.expect("the ingress leaves", gone, Duration::from_secs(2));
        assert!(self.world.run_until_quiet(Duration::from_secs(5)));
        self.world.check_settled();
    }
}
