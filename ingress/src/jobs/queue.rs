//! What waits to be asked of AWS, and what of it is asked next.
//!
//! ```text
//!   Recheck                   first: registered agents depend on it
//!   Inspect    cluster        then: these agents have proved who they are; in turn, cluster by cluster,
//!              cluster        and of each all that wait
//!   Identify   host of STS    in turn, host by host
//!              host of STS
//! ```
//!
//! A cluster gets one question at once about agents that want to register. While it is open, others of
//! the cluster wait, and go into the next one together: when all agents come at once, ECS, which bears
//! some 20 questions a second of an account, is asked fewer.
//!
//! Which host of STS is asked about an agent is the agent's choice, before it has proved anything,
//! and each question to one that cannot be reached occupies a thread for seconds. So hosts are fast or
//! slow by the last question to them, and slow ones, whatever waits for them, leave threads to others.
//! Only an answer of STS itself shows that a host is fast.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use mesh_protocol::ConnId;

use super::{EcsInquiry, Job, batches};
use crate::identity::ecs::{Form, SUBJECTS_MAX};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// What waits for nothing but a thread.
    ready: VecDeque<Job>,
    /// By ARN, those whose ARNs are of the old form apart; only those with agents that wait, or about
    /// which a question is open.
    clusters: BTreeMap<(String, Form), Cluster>,
    /// Which cluster a question is about, by the first of the agents that it is about.
    inspecting: BTreeMap<ConnId, (String, Form)>,
    /// By name. The names are those of a list, so they are few.
    hosts: BTreeMap<String, Host>,
    /// Which host is being asked about whom, and since when.
    asking: BTreeMap<ConnId, (String, Instant)>,
    /// Questions so far, but for rechecks.
    turns: u64,
}

/// A cluster with agents that want to register.
#[derive(Debug, Default)]
struct Cluster {
    waiting: VecDeque<(ConnId, EcsInquiry)>,
    /// Whether a question is open.
    is_asked: bool,
    /// When it was its turn.
    turn: u64,
}

/// A host of STS.
#[derive(Debug, Default)]
struct Host {
    waiting: VecDeque<(ConnId, Job)>,
    /// Questions to it under way.
    asking: usize,
    pace: Pace,
    /// When it was its turn.
    turn: u64,
}

/// How soon a host answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Pace {
    /// It has not answered soon so far.
    #[default]
    Unproved,
    /// Its last answer came soon.
    Fast,
    /// That did not, and others did: it may well be fast again.
    Slowed,
}

/// What an answer of STS never takes unless something is wrong; a failed connection takes 5 s.
const SOON: Duration = Duration::from_secs(2);
/// Questions at once to one host that is slow.
const SLOW_EACH: usize = 3;
/// Questions at once to all hosts that are slow: half of what the shell does at once.
const SLOW_ALL: usize = 8;

impl Pace {
    /// After a question that took long.
    const fn slowed(self) -> Self {
        match self {
            Self::Unproved => Self::Unproved,
            Self::Fast | Self::Slowed => Self::Slowed,
        }
    }
}

impl Queue {
    /// Takes somebody in who wants to register, and about whom ECS is to be asked.
    pub(crate) fn inspect(&mut self, conn: ConnId, asked: EcsInquiry) {
        let (cluster, form) = asked.subject.group();
        self.clusters
            .entry((cluster.to_owned(), form))
            .or_default()
            .waiting
            .push_back((conn, asked));
    }

    /// Takes a job in.
    pub(crate) fn push(&mut self, job: Job) {
        match &job {
            Job::Recheck { .. } | Job::Inspect { .. } => self.ready.push_back(job),
            Job::Identify { conn, request, .. } => {
                let (conn, name) = (*conn, request.host.to_ascii_lowercase());
                self.hosts.entry(name).or_default().waiting.push_back((conn, job));
            }
        }
    }

    /// The next job, for a thread that is free now.
    pub(crate) fn poll(&mut self, now: Instant, is_wanted: impl Fn(ConnId) -> bool) -> Option<Job> {
        while let Some(job) = self.ready.pop_front() {
            match &job {
                Job::Inspect { conns, .. } if !conns.iter().any(|conn| is_wanted(*conn)) => {}
                Job::Inspect { .. } | Job::Recheck { .. } | Job::Identify { .. } => {
                    return Some(job);
                }
            }
        }
        if let Some(job) = self.next_inspection(&is_wanted) {
            return Some(job);
        }
        let turn = self.turns + 1;
        while let Some((name, host)) = self.next_host() {
            let (conn, job) = host.waiting.pop_front()?;
            if is_wanted(conn) {
                let name = name.clone();
                host.asking += 1;
                host.turn = turn;
                self.turns = turn;
                self.asking.insert(conn, (name, now));
                return Some(job);
            }
        }
        None
    }

    /// A question about all that wait of the cluster whose turn it is.
    fn next_inspection(&mut self, is_wanted: &impl Fn(ConnId) -> bool) -> Option<Job> {
        loop {
            let idle = self.clusters.iter_mut().filter(|(_, cluster)| !cluster.is_asked);
            let (name, cluster) = idle.min_by_key(|(_, cluster)| cluster.turn)?;
            let mut together = Vec::new();
            while together.len() < SUBJECTS_MAX
                && let Some((conn, asked)) = cluster.waiting.pop_front()
            {
                if is_wanted(conn) {
                    together.push((conn, asked));
                }
            }
            let name = name.clone();
            // So many of one cluster and form fit into one question.
            let Some((conns, question)) = batches(&together).pop() else {
                self.clusters.remove(&name);
                continue;
            };
            self.turns += 1;
            (cluster.is_asked, cluster.turn) = (true, self.turns);
            self.inspecting.extend(conns.first().map(|first| (*first, name)));
            return Some(Job::Inspect { conns, question });
        }
    }

    /// ECS was asked about these agents: it may be asked about others of their cluster.
    pub(crate) fn inspected(&mut self, conns: &[ConnId]) {
        let name = conns.first().and_then(|first| self.inspecting.remove(first));
        let Some((name, cluster)) =
            name.and_then(|name| self.clusters.get_mut(&name).map(|cluster| (name, cluster)))
        else {
            return;
        };
        cluster.is_asked = false;
        if cluster.waiting.is_empty() {
            self.clusters.remove(&name);
        }
    }

    /// The host whose turn it is: of those that may be asked, the one that was not for longest. Hosts that
    /// slowed down do not wait for all that anybody can name, with some of the questions at once.
    fn next_host(&mut self) -> Option<(&String, &mut Host)> {
        if self.hosts.values().all(|host| host.waiting.is_empty()) {
            // As in nearly every turn of the loop.
            return None;
        }
        let slow = self.hosts.values().filter(|host| host.pace != Pace::Fast);
        let slow: usize = slow.map(|host| host.asking).sum();
        let slowed = self.hosts.values().filter(|host| host.pace == Pace::Slowed);
        let prefers_slowed = slowed.map(|host| host.asking).sum::<usize>() < SLOW_ALL - SLOW_EACH;
        let may_be_asked =
            |host: &Host| host.pace == Pace::Fast || (host.asking < SLOW_EACH && slow < SLOW_ALL);
        let waiting = self.hosts.iter_mut().filter(|(_, host)| !host.waiting.is_empty());
        waiting
            .filter(|(_, host)| may_be_asked(host))
            .min_by_key(|(_, host)| (prefers_slowed && host.pace != Pace::Slowed, host.turn))
    }

    /// STS said something about this agent.
    pub(crate) fn answered(&mut self, conn: ConnId, now: Instant) {
        if let Some((host, took)) = self.end(conn, now) {
            host.pace = if took < SOON { Pace::Fast } else { host.pace.slowed() };
        }
    }

    /// STS said nothing about this agent, or was not even asked: soon or not, that shows no host fast.
    pub(crate) fn unanswered(&mut self, conn: ConnId, now: Instant) {
        if let Some((host, took)) = self.end(conn, now)
            && took >= SOON
        {
            host.pace = host.pace.slowed();
        }
    }

    /// A question is over: to which host, and how long it took.
    fn end(&mut self, conn: ConnId, now: Instant) -> Option<(&mut Host, Duration)> {
        let (name, since) = self.asking.remove(&conn)?;
        let host = self.hosts.get_mut(&name)?;
        host.asking -= 1;
        Some((host, now.saturating_duration_since(since)))
    }

    /// This agent is gone: nothing is kept for it.
    pub(crate) fn forget(&mut self, gone: ConnId) {
        self.clusters.retain(|_, cluster| {
            cluster.waiting.retain(|(conn, _)| *conn != gone);
            cluster.is_asked || !cluster.waiting.is_empty()
        });
        for host in self.hosts.values_mut() {
            host.waiting.retain(|(conn, _)| *conn != gone);
        }
    }

    /// How many questions wait, before those about one cluster are put together.
    pub(crate) fn len(&self) -> usize {
        let proofs: usize = self.hosts.values().map(|host| host.waiting.len()).sum();
        let inspections: usize = self.clusters.values().map(|one| one.waiting.len()).sum();
        self.ready.len() + inspections + proofs
    }
}

#[cfg(test)]
mod tests;
