//! The status of KafkaCluster: everything that a person or a tool may want to know, and nothing made up.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator last saw and does now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaClusterStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Reconciling, Stalled, Degraded and UpgradeAvailable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Brokers that exist.
    #[serde(default)]
    pub replicas: i32,
    /// Brokers that serve clients.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Label selector of the brokers' pods, as the scale subresource needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The cluster's id, drawn once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// Where clients connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap_servers: Option<String>,
    /// Ids of the brokers that keep the metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 5))]
    pub controllers: Option<Vec<i32>>,
    /// The image that all brokers served with last: a cluster without spec.image keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Whether the quorum has formed once; from then on an empty disk never forms another.
    #[serde(default)]
    pub bootstrapped: bool,
    /// Size that the volumes have: spec.storage.size cannot go below it. Absent while there is no volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub storage_size: Option<String>,
    /// Names of the dynamic settings that this object has set, so that one removed goes back to its default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managed_config: Vec<String>,
    /// Settings of the spec that are accepted and change nothing, and what happens instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Each broker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub brokers: Vec<BrokerStatus>,
    /// A restart of brokers that is going on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roll: Option<RollStatus>,
    /// A removal of brokers that is going on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainStatus>,
    /// Replicas that move or moved last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<RebalanceStatus>,
}

/// One broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BrokerStatus {
    /// Its id.
    pub id: i32,
    /// Its pod.
    pub pod: String,
    /// What it does.
    pub state: BrokerState,
    /// Its rack, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<String>,
    /// Partitions that it leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaders: Option<i32>,
    /// Replicas that it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Bytes of its replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// Revision of the settings that it runs with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// What keeps it from serving, in Kubernetes' words and its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What a broker does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BrokerState {
    /// Its pod is not there yet, or does not run yet.
    #[default]
    Pending,
    /// It runs and does not serve yet.
    Starting,
    /// It served, and the other brokers hear nothing of it any more.
    Silent,
    /// It serves clients.
    Serving,
    /// It serves while its replicas move away.
    Draining,
    /// It stops.
    Stopping,
    /// It cannot start; the message of the condition says why.
    Failing,
}

/// A restart of brokers that is going on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollStatus {
    /// Revision that brokers are brought to.
    pub revision: String,
    /// Brokers that run with it.
    pub updated: i32,
    /// Brokers in all.
    pub total: i32,
    /// Broker that is next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i32>,
    /// Broker that was restarted last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_restarted: Option<i32>,
    /// Why it is restarted, or what is waited for.
    pub message: String,
}

/// A removal of brokers that is going on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainStatus {
    /// Brokers to be removed.
    pub brokers: Vec<i32>,
    /// Brokers that were to be removed and stay after all, until moves off them are cancelled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub returning: Vec<i32>,
    /// Replicas that are still on them.
    pub remaining_replicas: i32,
    /// When they were first seen empty, in milliseconds since 1970; a second look later confirms it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_since_ms: Option<i64>,
    /// What is being done or waited for.
    pub message: String,
}

/// How far a plan of moves is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RebalancePhase {
    /// Waits for brokers before it plans.
    #[default]
    Pending,
    /// A plan is made and waits to be approved.
    ProposalReady,
    /// Replicas move.
    Executing,
    /// No new moves are started.
    Paused,
    /// All replicas are where they belong.
    Done,
    /// There is no plan that could work; the message says why.
    Failed,
}

/// Replicas that move or moved last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceStatus {
    /// How far it is.
    pub phase: RebalancePhase,
    /// Brokers and racks that replicas were last evened out for, as 0=rack,1=rack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balanced_for: Option<String>,
    /// Brokers, racks and removals that the plan was made for, in the same words: for others, another is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_for: Option<String>,
    /// Identifies the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_hash: Option<String>,
    /// Replicas that the plan moves.
    #[serde(default)]
    pub moves: i64,
    /// The least number of moves that any plan would need.
    #[serde(default)]
    pub lower_bound_moves: i64,
    /// Bytes that the plan copies, as large as partitions were when it was made; absent if no broker told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// The fewest bytes that any plan to the same balance would copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower_bound_bytes: Option<i64>,
    /// Partitions whose preferred leader the plan changes.
    #[serde(default)]
    pub leader_transfers: i64,
    /// Hash of the plan that was approved and carried out last: its approval counts once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executed_hash: Option<String>,
    /// An approval that was refused, because it is of another plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_approval: Option<String>,
    /// Replicas moved so far.
    #[serde(default)]
    pub moves_done: i64,
    /// Partitions that move now.
    #[serde(default)]
    pub moves_running: i64,
    /// Share of the moves that is done, 0 to 100.
    #[serde(default)]
    pub percent: i32,
    /// Bytes per second that each broker may copy; absent means no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle: Option<i64>,
    /// What is being done or waited for.
    pub message: String,
}
