//! The processes of all brokers: what a StatefulSet and the kubelet are on Kubernetes.
//!
//! Invariants: a broker has one process at most; one that was told to stop is started anew only if it still shall
//! run, with the settings of that moment; one that ends by itself is started again with the settings that it had,
//! after a pause that grows. It decides nothing about who stops when.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ottla_broker_types::{NodeId, TimestampMs};
use ottla_operator_planner::facts::PodFacts;
use ottla_operator_planner::names;

use super::data_folder::FleetSpec;
use super::ports::{Claims, PortPlan};
use super::process::{Home, Process, ending, last_words};
use crate::http;

/// The pause before a broker that ended is started again; it doubles with each failure in a row.
const PAUSE_MIN_MS: i64 = 200;
/// Beyond it the pause does not grow.
const PAUSE_MAX_MS: i64 = 10_000;
/// Failures in a row after which a broker counts as one that cannot start.
const FAILURES_STUCK: u32 = 3;
/// A broker that ran for so long had started well: its next failure is the first again.
const STEADY_MS: i64 = 30_000;
/// How long a broker may take to hand over and flush before it is killed.
pub(super) const GRACE_MS: i64 = 30_000;
/// A broker on loopback that answers later counts as one that is not ready.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// What brokers are started with; it is asked for at each first start.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// Name of the cluster.
    pub(super) cluster: String,
    pub(super) program: PathBuf,
    /// Ports.
    pub(super) ports: PortPlan,
    /// Client listeners of each broker.
    pub(super) listeners: usize,
    /// Whether the quorum has formed once.
    pub(super) bootstrapped: bool,
}

/// One broker that shall run or still does.
#[derive(Debug)]
struct Member {
    home: Home,
    settings: BTreeMap<String, String>,
    revision: String,
    process: Option<Process>,
    ready: bool,
    /// When readiness last changed, or it was made.
    since: TimestampMs,
    started: TimestampMs,
    /// When it was told to stop.
    stopping: Option<TimestampMs>,
    killed: bool,
    failures: u32,
    next_start: TimestampMs,
    stuck: Option<String>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    members: BTreeMap<NodeId, Member>,
    spec: Option<FleetSpec>,
    claims: Claims,
}

impl Fleet {
    /// A fleet with the ports of its first brokers; it claims those of further ones as they come.
    pub(super) fn new(claims: Claims) -> Fleet {
        Fleet { claims, ..Fleet::default() }
    }

    /// Sets who shall run.
    pub(super) fn set(&mut self, spec: FleetSpec) {
        self.spec = Some(spec);
    }

    /// Who shall run.
    pub(super) fn spec(&self) -> Option<&FleetSpec> {
        self.spec.as_ref()
    }

    /// Tells a broker to stop; it comes back if it still shall run.
    pub(super) fn restart(&mut self, id: NodeId, now: TimestampMs) {
        if let Some(member) = self.members.get_mut(&id) {
            member.stop(now);
        }
    }

    /// Whether a process runs.
    pub(super) fn is_empty(&self) -> bool {
        self.members.values().all(|member| member.process.is_none())
    }

    /// Whether every broker that shall run is ready and no other is left.
    pub(super) fn is_settled(&self) -> bool {
        let wanted = self.spec.as_ref().map_or(0, |spec| usize::try_from(spec.replicas).unwrap_or(0));
        self.members.len() == wanted
            && self.members.values().all(|member| member.ready && member.stopping.is_none())
    }

    /// Makes, reaps, starts and stops processes as is due; what happened is told in sentences.
    ///
    /// `settings` and `home` give those of a broker that is made now.
    pub(super) fn step(
        &mut self,
        template: &Template,
        settings: &dyn Fn(NodeId, &Home) -> BTreeMap<String, String>,
        home: &dyn Fn(NodeId) -> Home,
        now: TimestampMs,
    ) -> Vec<String> {
        let mut news = vec![];
        let Some(spec) = self.spec.clone() else { return news };
        for (id, member) in &mut self.members {
            news.extend(member.reap(*id, now));
            if id.get() >= spec.replicas {
                member.stop(now);
            }
            news.extend(member.lose_patience(*id, now));
        }
        self.members.retain(|_, member| member.stopping.is_none() || member.process.is_some());
        for id in (0..spec.replicas).map(NodeId) {
            let member = self.members.entry(id).or_insert_with(|| {
                let home = home(id);
                Member::new(settings(id, &home), home, spec.revision.clone(), now)
            });
            if member.process.is_none() && member.stopping.is_none() && member.next_start <= now {
                news.extend(member.start(id, template, &mut self.claims, now));
            }
        }
        news
    }

    /// Asks every running broker whether it is ready; whether anything changed.
    pub(super) async fn probe(&mut self, ports: PortPlan, now: TimestampMs) -> bool {
        let running = self.members.iter().filter(|(_, member)| member.process.is_some());
        let ids: Vec<NodeId> = running.map(|(id, _)| *id).collect();
        let asked = ids.iter().map(|id| {
            let address = PortPlan::address(ports.http(*id));
            tokio::time::timeout(PROBE_TIMEOUT, http::ask(address, "/readyz"))
        });
        let answers = futures::future::join_all(asked).await;
        let mut changed = false;
        for (id, answer) in ids.iter().zip(answers) {
            let ready = matches!(answer, Ok(Ok(_)));
            let Some(member) = self.members.get_mut(id) else { continue };
            if member.ready != ready {
                (member.ready, member.since, changed) = (ready, now, true);
            }
            if ready {
                member.stuck = None;
            }
        }
        changed
    }

    /// Tells every broker to stop.
    pub(super) fn stop_all(&mut self, now: TimestampMs) {
        if let Some(spec) = &mut self.spec {
            spec.replicas = 0;
        }
        self.members.values_mut().for_each(|member| member.stop(now));
    }

    /// Ends every broker at once.
    pub(super) fn kill_all(&mut self) {
        self.members.values().filter_map(|member| member.process.as_ref()).for_each(Process::kill);
    }

    /// Brokers with a process that have ended are forgotten; those that run.
    pub(super) fn running(&mut self) -> Vec<NodeId> {
        for member in self.members.values_mut() {
            if member.process.as_mut().is_some_and(|process| process.ended().is_some()) {
                member.process = None;
            }
        }
        let running = self.members.iter().filter(|(_, member)| member.process.is_some());
        running.map(|(id, _)| *id).collect()
    }

    /// Whether a broker cannot start, as far as anybody knows.
    pub(super) fn has_stuck(&self) -> bool {
        self.members.values().any(|member| member.stuck.is_some())
    }

    /// Brokers that are ready and stay.
    pub(super) fn ready(&self) -> impl Iterator<Item = NodeId> {
        let ready = self.members.iter().filter(|(_, member)| member.ready && member.stopping.is_none());
        ready.map(|(id, _)| *id)
    }

    /// The facts that pods give on Kubernetes; `rack` is that of a broker.
    pub(super) fn pods(
        &self,
        template: &Template,
        image: &str,
        rack: &dyn Fn(NodeId) -> Option<String>,
    ) -> BTreeMap<NodeId, PodFacts> {
        let facts = |(id, member): (&NodeId, &Member)| {
            let pod = PodFacts {
                name: names::pod(&template.cluster, *id),
                uid: String::new(),
                revision: Some(member.revision.clone()),
                image: Some(image.to_owned()),
                ready: member.ready,
                terminating: member.stopping.is_some(),
                overdue: false,
                trouble: None,
                node: None,
                stuck: member.stuck.clone(),
                halted: false,
                since: Some(member.since),
                rack: rack(*id),
                node_rack: rack(*id),
                restart_asked: false,
            };
            (*id, pod)
        };
        self.members.iter().map(facts).collect()
    }
}

impl Member {
    fn new(settings: BTreeMap<String, String>, home: Home, revision: String, now: TimestampMs) -> Member {
        Member {
            home,
            settings,
            revision,
            process: None,
            ready: false,
            since: now,
            started: now,
            stopping: None,
            killed: false,
            failures: 0,
            next_start: now,
            stuck: None,
        }
    }

    fn stop(&mut self, now: TimestampMs) {
        if self.stopping.is_some() {
            return;
        }
        (self.stopping, self.ready, self.since) = (Some(now), false, now);
        if let Some(process) = &self.process {
            process.terminate();
        }
    }

    /// Takes note of an end; a sentence if nobody asked for it.
    fn reap(&mut self, id: NodeId, now: TimestampMs) -> Option<String> {
        let status = self.process.as_mut()?.ended()?;
        self.process = None;
        if self.stopping.is_some() {
            return None;
        }
        (self.ready, self.since) = (false, now);
        // One that was killed had no chance to say why.
        let words = status.code().and_then(|_| last_words(&self.home.log()));
        let words = words.unwrap_or_else(|| ending(status));
        Some(self.failed(&format!("broker {id} ended with {}", ending(status)), &words, now))
    }

    fn failed(&mut self, what: &str, why: &str, now: TimestampMs) -> String {
        if now.0 - self.started.0 > STEADY_MS {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let pause = (PAUSE_MIN_MS << self.failures.min(10)).min(PAUSE_MAX_MS);
        self.next_start = TimestampMs(now.0 + pause);
        if self.failures >= FAILURES_STUCK {
            self.stuck = Some(why.to_owned());
        }
        let log = self.home.log();
        format!(
            "{what}; it starts again in {:.1} s. Why: {why} (see {})",
            pause as f64 / 1000.0,
            log.display()
        )
    }

    fn start(
        &mut self,
        id: NodeId,
        template: &Template,
        claims: &mut Claims,
        now: TimestampMs,
    ) -> Option<String> {
        self.started = now;
        if let Err(problem) = claims.take(template.ports, [id].into_iter(), template.listeners) {
            self.failures = self.failures.max(FAILURES_STUCK);
            return Some(self.failed(&format!("broker {id} cannot start"), &problem, now));
        }
        match Process::start(&template.program, &self.home, &self.settings, template.bootstrapped) {
            Ok(process) => {
                self.process = Some(process);
                None
            }
            Err(error) => Some(self.failed(&format!("broker {id} cannot start"), &format!("{error:#}"), now)),
        }
    }

    /// Kills a broker that does not stop.
    fn lose_patience(&mut self, id: NodeId, now: TimestampMs) -> Option<String> {
        let asked = self.stopping?;
        if self.killed || now.0 - asked.0 < GRACE_MS {
            return None;
        }
        self.killed = true;
        self.process.as_ref()?.kill();
        Some(format!("broker {id} did not stop in {} s and is killed", GRACE_MS / 1000))
    }
}
