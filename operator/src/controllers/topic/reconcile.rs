//! One reconcile of all topics of a cluster: observe, validate, plan, execute, write status.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::ResourceExt;
use ottla_broker_types::{DurationMs, TimestampMs};
use ottla_operator_crd::cluster::DeletionPolicy;
use ottla_operator_crd::conditions::{DEGRADED, STALLED, holds};
use ottla_operator_crd::{KafkaCluster, KafkaTopic, KafkaTopicStatus, ValidatedCluster, ValidatedTopic};
use ottla_operator_kafka_admin::AdminClient;
use ottla_operator_planner::topics::{self, Claimant, Unseen};

use super::deletion::{self, Deleted};
use crate::brokers::topics as brokers;
use crate::brokers::topics::{Job, Pace, TopicWorld};
use crate::clock;
use crate::controllers::context::Context;
use crate::controllers::status;
use crate::metrics::Metrics;
use crate::workers::{ClusterKey, Next};

/// Between two reconciles while something goes on.
const REQUEUE_BUSY: Duration = Duration::from_millis(500);
/// Before a change that did not work is tried again: an election of a controller takes about as long.
const REQUEUE_AGAIN: Duration = Duration::from_secs(2);
/// Between two reconciles at rest; changes of objects wake the worker at once.
const REQUEUE_IDLE: Duration = Duration::from_secs(30);
/// Settings of topics at rest are read again after so many reconciles, to undo changes by hand of what the object names.
const RESYNC_RECONCILES: u64 = 10;
/// Statuses written at once; the API server limits each client's share anyway.
const WRITES_MAX: usize = 16;

/// What a worker remembers between two reconciles.
pub struct Worker {
    context: Arc<Context>,
    key: ClusterKey,
    reconciles: u64,
    /// The first reconcile since the brokers' last answer.
    silent_since: Option<TimestampMs>,
    /// The status written last, by uid: the stores may still show an older one.
    written: BTreeMap<String, KafkaTopicStatus>,
}

/// A status to be written.
struct Verdict {
    object: Arc<KafkaTopic>,
    status: KafkaTopicStatus,
}

impl Worker {
    /// A worker for the topics of the cluster of that key.
    pub fn new(context: Arc<Context>, key: ClusterKey) -> Worker {
        Worker { context, key, reconciles: 0, silent_since: None, written: BTreeMap::new() }
    }

    async fn reconcile(&mut self) -> Next {
        let context = Arc::clone(&self.context);
        let objects = context.stores.topics_of(&self.key);
        if objects.is_empty() {
            return Next::Stop;
        }
        Metrics::add(&context.metrics.reconciles, 1);
        self.reconciles += 1;
        let uids: std::collections::BTreeSet<String> =
            objects.iter().filter_map(|object| object.uid()).collect();
        self.written.retain(|uid, _| uids.contains(uid));
        let now = clock::now();
        let cluster = context.stores.cluster(&self.key).filter(|c| c.metadata.deletion_timestamp.is_none());
        let Some(manifest) = cluster else {
            return self.without_cluster(objects, now).await;
        };
        let Ok(cluster) = ValidatedCluster::new(&manifest) else {
            return self.blind(objects, &manifest, None, Unseen::Invalid).await;
        };
        if is_quorum_lost(&manifest) {
            return self.blind(objects, &manifest, Some(&cluster), Unseen::QuorumLost).await;
        }
        let admin = context.admin(&self.key, cluster.replicas).await;
        match brokers::observe(&admin, cluster.replicas).await {
            Ok(world) => {
                self.silent_since = None;
                let deleted = self.deleted(&objects, &manifest);
                deletion::finalize(&context.client, Some(&admin), &deleted, now).await;
                let staying = objects.into_iter().filter(|o| o.metadata.deletion_timestamp.is_none());
                let next = self.work(staying.collect(), &manifest, &cluster, &admin, world, now).await;
                if deleted.is_empty() { next } else { Next::After(REQUEUE_BUSY) }
            }
            Err(error) => {
                tracing::debug!(cluster = %self.key, %error, "no broker answers");
                let since = *self.silent_since.get_or_insert(now);
                let lasts = DurationMs(clock::now().0.saturating_sub(since.0).max(0).unsigned_abs());
                self.blind(objects, &manifest, Some(&cluster), Unseen::Silent(lasts)).await
            }
        }
    }

    /// The cluster is gone: deleted objects lose their finalizer, others say what is missing.
    async fn without_cluster(&mut self, objects: Vec<Arc<KafkaTopic>>, now: TimestampMs) -> Next {
        let context = Arc::clone(&self.context);
        let (ending, staying): (Vec<_>, Vec<_>) =
            objects.into_iter().partition(|object| object.metadata.deletion_timestamp.is_some());
        let ending: Vec<Deleted> =
            ending.into_iter().map(|object| Deleted { object, delete: None }).collect();
        deletion::finalize(&context.client, None, &ending, now).await;
        let text = format!("there is no KafkaCluster {}: make it or correct spec.cluster", self.key);
        let verdicts = staying.into_iter().map(|object| {
            let former = self.former(&object);
            let status = topics::denied(&former, object.metadata.generation, "ClusterNotFound", &text, now);
            Verdict { object, status }
        });
        let verdicts = verdicts.collect();
        self.write(verdicts).await;
        Next::After(REQUEUE_IDLE)
    }

    /// The objects that are being deleted, each with the topic to delete first; a topic that another object names is kept.
    fn deleted(&self, objects: &[Arc<KafkaTopic>], cluster: &KafkaCluster) -> Vec<Deleted> {
        let (ending, staying): (Vec<_>, Vec<_>) =
            objects.iter().partition(|object| object.metadata.deletion_timestamp.is_some());
        let claimed: BTreeSet<String> = staying.iter().map(|object| topic_name(object)).collect();
        let with_topic = ending.into_iter().map(|object| {
            let claimed = claimed.contains(&topic_name(object));
            let delete = deletion::topic_to_delete(object, cluster, claimed);
            Deleted { object: Arc::clone(object), delete }
        });
        with_topic.collect()
    }

    /// Nobody can see the topics. What does not hang on them is told all the same: objects that the cluster does not
    /// take, or that another one is older than.
    async fn blind(
        &mut self,
        objects: Vec<Arc<KafkaTopic>>,
        manifest: &KafkaCluster,
        cluster: Option<&ValidatedCluster>,
        why: Unseen,
    ) -> Next {
        let context = Arc::clone(&self.context);
        let now = clock::now();
        let deleted = self.deleted(&objects, manifest);
        let staying: Vec<_> =
            objects.into_iter().filter(|object| object.metadata.deletion_timestamp.is_none()).collect();
        // Without an answer every deletion fails, and those that waited for long lose their finalizer.
        let silent = AdminClient::new(vec![], Duration::from_millis(1));
        deletion::finalize(&context.client, Some(&silent), &deleted, now).await;
        let owners = cluster.map(|cluster| owners(&staying, cluster));
        let checks = cluster.zip(owners.as_ref());
        let cluster = self.key.to_string();
        let verdicts = staying.into_iter().map(|object| {
            let admitted = checks.map(|(cluster, owners)| self.admit(&object, cluster, owners, now));
            let status = match admitted {
                Some(Err(status)) => *status,
                Some(Ok(_)) | None => {
                    topics::unseen(&self.former(&object), object.metadata.generation, &cluster, why, now)
                }
            };
            Verdict { object, status }
        });
        let verdicts = verdicts.collect();
        self.write(verdicts).await;
        Next::After(REQUEUE_AGAIN)
    }

    async fn work(
        &mut self,
        objects: Vec<Arc<KafkaTopic>>,
        manifest: &KafkaCluster,
        cluster: &ValidatedCluster,
        admin: &AdminClient,
        mut world: TopicWorld,
        now: TimestampMs,
    ) -> Next {
        let context = Arc::clone(&self.context);
        let owners = owners(&objects, cluster);
        let (mut verdicts, mut admitted, mut jobs) = (vec![], vec![], vec![]);
        for object in objects {
            match self.admit(&object, cluster, &owners, now) {
                Ok(job) => {
                    admitted.push(object);
                    jobs.push(job);
                }
                Err(status) => verdicts.push(Verdict { object, status: *status }),
            }
        }
        for object in &admitted {
            let wanted = deletion::policy(object, manifest) == DeletionPolicy::Delete;
            if let Err(error) = deletion::set_finalizer(&context.client, object, wanted).await {
                tracing::warn!(topic = object.name_any(), %error, "the finalizer was not changed");
            }
        }
        let resync = self.reconciles % RESYNC_RECONCILES == 1;
        brokers::read_settings(admin, &jobs, &mut world, resync).await;
        let reconciled = brokers::reconcile(admin, &jobs, &world, now).await;
        let statuses = reconciled.outcomes.into_iter().map(|outcome| outcome.status);
        let reconciled_objects = admitted.into_iter().zip(statuses);
        verdicts.extend(reconciled_objects.map(|(object, status)| Verdict { object, status }));
        self.write(verdicts).await;
        Next::After(match reconciled.pace {
            Pace::Retry => REQUEUE_AGAIN,
            Pace::Busy => REQUEUE_BUSY,
            Pace::Idle => REQUEUE_IDLE,
        })
    }

    /// The job of an object; `Err` is the status of one that gets none.
    fn admit(
        &self,
        object: &KafkaTopic,
        cluster: &ValidatedCluster,
        owners: &BTreeMap<String, String>,
        now: TimestampMs,
    ) -> Result<Job, Box<KafkaTopicStatus>> {
        let former = self.former(object);
        let generation = object.metadata.generation;
        let topic = ValidatedTopic::new(object)
            .map_err(|problems| topics::invalid(&former, generation, "InvalidSpec", &problems, now))?;
        if !cluster.takes_topics_of(&topic.namespace) {
            let text = format!(
                "cluster {} takes no topics of namespace {}: add it to the cluster's spec.topics.allowedNamespaces",
                self.key, topic.namespace
            );
            return Err(Box::new(topics::denied(&former, generation, "NamespaceNotAllowed", &text, now)));
        }
        match owners.get(topic.topic.as_str()) {
            Some(owner) if *owner != claim_name(object) => {
                let text = format!(
                    "the older KafkaTopic {owner} manages topic {}: delete this object or give it another topicName",
                    topic.topic
                );
                Err(Box::new(topics::denied(&former, generation, "Conflict", &text, now)))
            }
            _ => Ok(Job { topic, former }),
        }
    }

    fn former(&self, object: &KafkaTopic) -> KafkaTopicStatus {
        let written = object.uid().and_then(|uid| self.written.get(&uid).cloned());
        written.or_else(|| object.status.clone()).unwrap_or_default()
    }

    /// Writes statuses that changed, and publishes what a person must know.
    async fn write(&mut self, verdicts: Vec<Verdict>) {
        let context = Arc::clone(&self.context);
        let changed = verdicts.into_iter().filter(|verdict| self.former(&verdict.object) != verdict.status);
        let changed: Vec<(Verdict, bool)> = changed
            .map(|verdict| {
                let stalled = holds(&verdict.status.conditions, STALLED);
                let news = stalled && !holds(&self.former(&verdict.object).conditions, STALLED);
                (verdict, news)
            })
            .collect();
        let written: Vec<(Arc<KafkaTopic>, KafkaTopicStatus)> = futures::stream::iter(changed)
            .map(|(verdict, news)| write_one(Arc::clone(&context), verdict, news))
            .buffer_unordered(WRITES_MAX)
            .filter_map(|written| async move { written })
            .collect()
            .await;
        Metrics::add(&context.metrics.statuses, written.len() as u64);
        for (object, status) in written {
            if let Some(uid) = object.uid() {
                self.written.insert(uid, status);
            }
        }
    }
}

async fn write_one(
    context: Arc<Context>,
    verdict: Verdict,
    news: bool,
) -> Option<(Arc<KafkaTopic>, KafkaTopicStatus)> {
    let Verdict { object, status } = verdict;
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    if let Err(error) =
        status::write::<KafkaTopic, _>(&context.client, &namespace, &name, None, &status).await
    {
        tracing::warn!(topic = name, %error, "the status was not written");
        return None;
    }
    let stalled = status.conditions.iter().find(|condition| condition.type_ == STALLED);
    if let Some(condition) = stalled.filter(|_| news) {
        let event = ottla_operator_planner::Event {
            warning: true,
            reason: "NotAsAskedFor",
            subject: None,
            text: condition.message.clone(),
        };
        context.publish(object.as_ref(), &event).await;
    }
    Some((object, status))
}

/// Whether the cluster's own reconcile found that it has no controller: its brokers answer all the same.
fn is_quorum_lost(cluster: &KafkaCluster) -> bool {
    let conditions = cluster.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    conditions.iter().any(|c| c.type_ == DEGRADED && c.status == "True" && c.reason == "QuorumLost")
}

/// Who decides about each topic, as `namespace/name`; objects that the cluster does not take have no say.
fn owners(objects: &[Arc<KafkaTopic>], cluster: &ValidatedCluster) -> BTreeMap<String, String> {
    let mut claimants: BTreeMap<String, Vec<Claimant>> = BTreeMap::new();
    for object in objects {
        let namespace = object.namespace().unwrap_or_default();
        if !cluster.takes_topics_of(&namespace) {
            continue;
        }
        let topic = topic_name(object);
        let created =
            object.metadata.creation_timestamp.as_ref().map_or(i64::MAX, |time| time.0.as_millisecond());
        let newcomer = object.status.as_ref().is_none_or(|status| status.topic_id.is_none());
        let claimant = Claimant { created_ms: created, newcomer, namespace, name: object.name_any() };
        claimants.entry(topic).or_default().push(claimant);
    }
    let owner =
        |list: &Vec<Claimant>| topics::owner(list).map(|owner| format!("{}/{}", owner.namespace, owner.name));
    claimants.iter().filter_map(|(topic, list)| Some((topic.clone(), owner(list)?))).collect()
}

fn topic_name(object: &KafkaTopic) -> String {
    object.spec.topic_name.clone().unwrap_or_else(|| object.name_any())
}

fn claim_name(object: &KafkaTopic) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

/// One reconcile.
pub async fn reconcile(mut worker: Worker) -> (Worker, Next) {
    let next = worker.reconcile().await;
    (worker, next)
}
