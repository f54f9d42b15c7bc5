//! One run of local mode: reconcile and show, again and again, until a signal.
//!
//! Everything happens on the main thread, one thing after the other: brokers are tied to that thread.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use ottla_broker_types::{DurationMs, NodeId, TimestampMs};
use ottla_operator_crd::{KafkaClusterStatus, ValidatedTopic};
use ottla_operator_kafka_admin::{AdminClient, Endpoint};
use ottla_operator_planner::Defaults;
use ottla_operator_planner::facts::KafkaFacts;
use ottla_operator_planner::resources::OperatorPods;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::data_folder::{FleetSpec, Folder, State};
use super::execute::Executor;
use super::fleet::{Fleet, GRACE_MS, Template};
use super::manifests::{Desired, Objects, Refused};
use super::observe::{IMAGE, Sources, observe};
use super::ports::{Claims, PortPlan};
use super::process::{Home, program};
use super::removed_topics::RemovedTopics;
use super::screen::Screen;
use super::view::{BrokerRow, TopicRow, View, doing};
use super::watch::Watch;
use super::{settings, topics};
use crate::brokers::plan::{Planned, Request, plan};
use crate::clock;

/// A broker on loopback that takes longer to answer is treated as one that does not.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two glances at processes and files while all brokers serve.
const GLANCE: Duration = Duration::from_millis(200);
/// The same while one starts or stops.
const GLANCE_STARTING: Duration = Duration::from_millis(20);
/// Between two reconciles while something goes on.
const REQUEUE_BUSY_MS: i64 = 250;
/// Between two reconciles at a cluster at rest, so that sizes in the table stay fresh.
const REQUEUE_IDLE_MS: i64 = 2_000;
/// The planner asks for the next reconcile within this time while it works on something.
const BUSY_REQUEUE_MS: u64 = 1_000;
/// How long brokers of an operator that was killed may take to give up their ports.
const PORT_PATIENCE_MS: i64 = 30_000;
/// Between two reconciles at a port in use.
const PORT_PAUSE: Duration = Duration::from_millis(100);

/// How long topics wait for the last broker of a start: made before, they would leave it without replicas.
const START_PATIENCE_MS: i64 = 10_000;
/// A start that takes longer is shown step by step.
const START_SILENCE_MS: i64 = 3_000;

/// How local mode is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// File or folder with the manifests.
    pub file: PathBuf,
    /// Folder of the data; each cluster has a folder in it.
    pub data: PathBuf,
    /// The first port; see the module `ports` for the others.
    pub port: u16,
}

/// Runs the cluster of the manifests until a signal.
///
/// # Errors
/// If it cannot start: bad manifests, ports in use, a folder in use or not writable.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let begun = clock::now();
    let mut stop = Stop::new()?;
    let mut session = tokio::select! {
        session = Session::open(&options, begun) => session?,
        () = stop.wait() => return Ok(()),
    };
    // Whatever a reconcile was about when the signal came is left undone: the next start begins anew.
    let outcome = tokio::select! {
        ended = session.go_on() => ended,
        () = stop.wait() => Ok(()),
    };
    session.end(&mut stop).await;
    outcome
}

struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> anyhow::Result<Stop> {
        let terminate = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("watch for SIGINT")?;
        Ok(Stop { terminate, interrupt })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

struct Session {
    watch: Watch,
    folder: Folder,
    state: State,
    desired: Desired,
    refused: Vec<String>,
    /// Topics whose manifests went while this ran.
    removed: RemovedTopics,
    fleet: Fleet,
    template: Template,
    admin: (i32, AdminClient),
    screen: Screen,
    begun: TimestampMs,
    serving: bool,
    /// Every broker that shall serve does, or has had its time: what can be done is done.
    may_work: bool,
    /// The first reconcile since the brokers' last answer.
    silent_since: Option<TimestampMs>,
    next_reconcile: TimestampMs,
    /// What happened before the first line was told.
    early: Vec<String>,
    /// The failure of the last reconcile, told once.
    failure: Option<String>,
}

impl Session {
    async fn open(options: &Options, begun: TimestampMs) -> anyhow::Result<Session> {
        let ports = PortPlan::new(options.port).map_err(anyhow::Error::msg)?;
        let program = program()?;
        let mut watch = Watch::new(options.file.clone());
        let objects = Objects::read(&watch.read()?);
        let Some(name) = objects.cluster_name().map(str::to_owned) else {
            objects.check(&KafkaClusterStatus::default())?;
            bail!("the KafkaCluster has no metadata.name");
        };
        // A bad name must not become a folder.
        if let Err(refused) = Objects::read(&watch.read()?).check(&KafkaClusterStatus::default())
            && refused.0.iter().any(|problem| problem.contains("metadata.name"))
        {
            return Err(refused.into());
        }
        let mut folder = Folder::open(options.data.join(&name))?;
        let state = folder.load()?;
        let desired = objects.check(&state.status)?;
        let template = Template {
            cluster: name,
            program,
            ports,
            listeners: desired.cluster.listeners.len(),
            bootstrapped: state.status.bootstrapped,
        };
        let mut session = Session {
            watch,
            admin: (0, AdminClient::new(vec![], ADMIN_TIMEOUT)),
            folder,
            state,
            desired,
            refused: vec![],
            removed: RemovedTopics::default(),
            fleet: Fleet::default(),
            template,
            screen: Screen::new(),
            begun,
            serving: false,
            may_work: false,
            silent_since: None,
            next_reconcile: begun,
            early: vec![],
            failure: None,
        };
        session.fleet = Fleet::new(session.claim_ports().await?);
        Ok(session)
    }

    /// Ports must be free; brokers of an operator that was killed are still giving them up.
    async fn claim_ports(&mut self) -> anyhow::Result<Claims> {
        let count =
            self.state.fleet.as_ref().map_or(0, |fleet| fleet.replicas).max(self.desired.cluster.replicas);
        let mut told = false;
        loop {
            let mut claims = Claims::default();
            let ids = (0..count).map(NodeId);
            let Err(problem) = claims.take(self.template.ports, ids, self.template.listeners) else {
                return Ok(claims);
            };
            let resumes = self.state.fleet.is_some() && clock::now().0 - self.begun.0 < PORT_PATIENCE_MS;
            if !resumes {
                bail!(problem);
            }
            if !told {
                self.screen.tell(format!("waiting for brokers of an earlier run to stop: {problem}"));
                told = true;
            }
            tokio::time::sleep(PORT_PAUSE).await;
        }
    }

    async fn go_on(&mut self) -> anyhow::Result<()> {
        loop {
            let now = clock::now();
            self.read_changes();
            let news = self.step_fleet(now);
            news.into_iter().for_each(|line| self.tell(line));
            let changed = !self.fleet.is_settled() && self.fleet.probe(self.template.ports, now).await;
            if changed || now >= self.next_reconcile {
                let busy = self.reconcile().await;
                self.folder.save(&self.state)?;
                let pause = if busy { REQUEUE_BUSY_MS } else { REQUEUE_IDLE_MS };
                self.next_reconcile = TimestampMs(clock::now().0 + pause);
                self.show();
            }
            let settled = self.fleet.is_settled();
            tokio::time::sleep(if settled { GLANCE } else { GLANCE_STARTING }).await;
        }
    }

    /// Takes new manifests over if they can be used.
    fn read_changes(&mut self) {
        if self.watch.changed(clock::now()) {
            self.read();
            self.next_reconcile = clock::now();
        }
    }

    /// Reads the manifests and takes them over if they can be used; whether they can.
    fn read(&mut self) -> bool {
        let read = self.watch.read().and_then(|files| Objects::read(&files).check(&self.state.status));
        let read = read.and_then(|desired| {
            let (was, is) = (&self.desired.cluster, &desired.cluster);
            if was.name == is.name && was.listeners.len() == is.listeners.len() {
                return Ok(desired);
            }
            let problem =
                "another cluster or number of listeners needs a new start: press Ctrl-C and start again";
            Err(Refused(vec![problem.to_owned()]))
        });
        match read {
            Ok(desired) => {
                let former = std::mem::take(&mut self.desired.topics);
                self.removed.compare(former, &desired.topics, clock::now());
                self.refused.clear();
                if self.desired.cluster != desired.cluster {
                    self.screen.tell("the manifest of the cluster has changed");
                }
                self.desired = desired;
                true
            }
            Err(Refused(problems)) => {
                self.refused = problems;
                false
            }
        }
    }

    fn step_fleet(&mut self, now: TimestampMs) -> Vec<String> {
        let Session { fleet, folder, template, desired, state, .. } = self;
        let cluster_id = state.status.cluster_id.clone().unwrap_or_default();
        let home = |id: NodeId| Home { folder: folder.broker(id) };
        let ports = template.ports;
        let of =
            |id: NodeId, home: &Home| settings::of(&desired.cluster, &cluster_id, ports, id, &home.data());
        template.bootstrapped = state.status.bootstrapped;
        fleet.step(template, &of, &home, now)
    }

    /// One reconcile: facts, plan, actions, topics. Whether the next one is due soon.
    async fn reconcile(&mut self) -> bool {
        let now = clock::now();
        self.fleet.probe(self.template.ports, now).await;
        self.connect();
        let (Planned { plan, refused }, kafka) = self.plan(now).await;
        self.tell_first_service(plan.status.ready_replicas);
        let mut executor =
            Executor { fleet: &mut self.fleet, folder: &self.folder, admin: &self.admin.1, now };
        let mut failure = refused;
        let mut news = vec![];
        // As on Kubernetes, actions do not depend on each other, and one that fails holds up no other.
        for action in &plan.actions {
            match executor.execute(action).await {
                Ok(told) => news.extend(told),
                Err(error) => {
                    failure.get_or_insert(format!("{error:#}; it is tried again"));
                }
            }
        }
        news.into_iter().for_each(|line| self.tell(line));
        let fresh = self.state.status.cluster_id.is_none();
        self.state.status = plan.status;
        self.state.fleet = self.fleet.spec().cloned().or_else(|| self.state.fleet.take());
        let topics = self.reconcile_topics(kafka.as_ref(), now).await;
        let busy = match topics {
            Ok(busy) => busy,
            Err(error) => {
                failure.get_or_insert(format!("{error:#}"));
                true
            }
        };
        if let Some(failure) = failure.clone().filter(|_| self.failure != failure) {
            self.tell(failure);
        }
        self.failure = failure;
        if fresh || self.fleet.is_empty() {
            // The identity was drawn, or nobody was started yet: the next step needs no facts to change.
            self.begin();
        }
        busy || self.failure.is_some() || plan.requeue.0 <= BUSY_REQUEUE_MS
    }

    /// The next reconcile is due at once.
    fn begin(&mut self) {
        self.next_reconcile = TimestampMs(0);
    }

    /// The admin client knows every broker that runs or shall.
    fn connect(&mut self) {
        let shall = self.fleet.spec().map_or(0, |spec| spec.replicas).max(self.desired.cluster.replicas);
        if self.admin.0 == shall {
            return;
        }
        let endpoints = (0..shall).map(|id| Endpoint {
            host: "127.0.0.1".to_owned(),
            port: self.template.ports.internal(NodeId(id)),
        });
        self.admin = (shall, AdminClient::new(endpoints.collect(), ADMIN_TIMEOUT));
    }

    /// The plan and what brokers told for it.
    async fn plan(&self, now: TimestampMs) -> (Planned, Option<KafkaFacts>) {
        let former = &self.state.status;
        let sources = Sources {
            cluster: &self.desired.cluster,
            fleet: &self.fleet,
            template: &self.template,
            folder: &self.folder,
            admin: &self.admin.1,
        };
        let spec: Option<&FleetSpec> = self.fleet.spec().or(self.state.fleet.as_ref());
        let mut observed = observe(&sources, former, spec).await;
        let defaults = Defaults {
            image: IMAGE.to_owned(),
            image_pull_policy: None,
            cluster_domain: "local".to_owned(),
            operator: OperatorPods::default(),
        };
        let request = Request { cluster: &self.desired.cluster, former, defaults: &defaults, now };
        let ports = self.template.ports;
        let ready: Vec<_> = self.fleet.ready().map(|id| (id, PortPlan::address(ports.http(id)))).collect();
        let planned = plan(&request, &mut observed, &ready).await;
        (planned, observed.kafka.ok())
    }

    /// Topics wait until the cluster is up; whether something goes on with them.
    async fn reconcile_topics(
        &mut self,
        kafka: Option<&KafkaFacts>,
        now: TimestampMs,
    ) -> anyhow::Result<bool> {
        self.begin_work(now);
        if kafka.is_none() || !self.may_work {
            let since = *self.silent_since.get_or_insert(now);
            let lasts = DurationMs(now.0.saturating_sub(since.0).max(0).unsigned_abs());
            topics::unseen(&self.desired.cluster, &self.desired.topics, &mut self.state.topics, lasts, now);
            return Ok(true);
        }
        self.silent_since = None;
        self.remove_topics(now).await;
        let (cluster, wanted) = (&self.desired.cluster, &self.desired.topics);
        let outcome = topics::step(&self.admin.1, cluster, wanted, &mut self.state.topics, now).await?;
        outcome.news.into_iter().for_each(|line| self.screen.tell(line));
        Ok(outcome.busy || !self.removed.is_empty())
    }

    /// Deletes topics whose manifests are gone for good: a second reading says so, too.
    async fn remove_topics(&mut self, now: TimestampMs) {
        if !self.removed.is_due(now) || !self.read() {
            return;
        }
        for topic in self.removed.due(now) {
            let told = topics::remove(&self.admin.1, &self.desired.cluster, &topic).await;
            self.screen.tell(told);
            self.removed.forget(&topic.object_name);
            self.state.topics.remove(&topic.object_name);
        }
    }

    /// A broker that is missing at the start holds the others up for a while only.
    fn begin_work(&mut self, now: TimestampMs) {
        if self.may_work {
            return;
        }
        let overdue = now.0 - self.begun.0 >= START_PATIENCE_MS;
        self.may_work = self.serving || overdue || self.fleet.has_stuck();
        let ready = self.fleet.ready().count();
        if self.may_work && !self.serving && ready > 0 {
            let (cluster, bootstrap) = (&self.template.cluster, self.bootstrap());
            let wanted = self.desired.cluster.replicas;
            self.tell(format!("{cluster}: {ready} of {wanted} brokers serve; bootstrap {bootstrap}"));
        }
    }

    fn bootstrap(&self) -> String {
        let first = self.fleet.ready().next().unwrap_or(NodeId(0));
        format!("localhost:{}", self.template.ports.client(0, first))
    }

    /// The first line that a person reads.
    fn tell_first_service(&mut self, count: i32) {
        if self.serving || count < self.desired.cluster.replicas {
            return;
        }
        self.serving = true;
        let seconds = (clock::now().0 - self.begun.0) as f64 / 1000.0;
        let (cluster, bootstrap) = (&self.template.cluster, self.bootstrap());
        self.screen
            .tell(format!("{cluster}: {count} brokers serve after {seconds:.2} s; bootstrap {bootstrap}"));
        std::mem::take(&mut self.early).into_iter().for_each(|line| self.screen.tell(line));
    }

    /// Whether the start may still be quick, so that its steps are not worth telling.
    fn is_silent(&self) -> bool {
        !self.serving && clock::now().0 - self.begun.0 < START_SILENCE_MS
    }

    /// Tells something now, or below the first line.
    fn tell(&mut self, line: String) {
        if self.is_silent() {
            self.early.push(line);
        } else {
            std::mem::take(&mut self.early).into_iter().for_each(|line| self.screen.tell(line));
            self.screen.tell(line);
        }
    }

    fn show(&mut self) {
        if self.is_silent() {
            return;
        }
        let (state, doing) = doing(&self.state.status);
        let ports = self.template.ports;
        let broker = |status| BrokerRow::new(status, ports.client(0, NodeId(status.id)));
        let topic = |(name, topic): (&String, &ValidatedTopic)| {
            let status = self.state.topics.get(name).cloned().unwrap_or_default();
            TopicRow::new(topic.topic.as_str(), &status)
        };
        let view = View {
            cluster: self.template.cluster.clone(),
            bootstrap: self.bootstrap(),
            state,
            doing,
            refused: self.refused.clone(),
            brokers: self.state.status.brokers.iter().map(broker).collect(),
            topics: self.desired.topics.iter().map(topic).collect(),
        };
        self.screen.show(view);
    }

    /// Stops every broker; a second signal, or too long a wait, kills them.
    async fn end(&mut self, stop: &mut Stop) {
        self.screen.leave();
        let begun = clock::now();
        let count = self.fleet.running().len();
        self.screen.tell(format!("stopping {count} brokers; press Ctrl-C again to kill them"));
        self.fleet.stop_all(begun);
        loop {
            let running = self.fleet.running();
            if running.is_empty() {
                break;
            }
            let late = clock::now().0 - begun.0 > GRACE_MS;
            let again = tokio::time::timeout(GLANCE_STARTING, stop.wait()).await.is_ok();
            if late || again {
                let ids: Vec<String> = running.iter().map(NodeId::to_string).collect();
                self.screen.tell(format!("killing brokers {}", ids.join(", ")));
                self.fleet.kill_all();
            }
        }
        let seconds = (clock::now().0 - begun.0) as f64 / 1000.0;
        let cluster = &self.template.cluster;
        self.screen
            .tell(format!("{cluster}: all brokers have stopped after {seconds:.1} s; their data is kept"));
    }
}
