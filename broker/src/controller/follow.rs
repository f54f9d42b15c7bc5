//! Follows the committed metadata and publishes each state: from the own log where this node takes part in the
//! quorum and hears of it, else from a voter over the private listener.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use ottla_broker_metadata::{Image, image, record};
use ottla_broker_node::Heartbeats;
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::metadata_fetch_request::MetadataFetchRequest;
use ottla_broker_protocol::messages::metadata_fetch_response::MetadataFetchResponse;
use ottla_broker_quorum::{Committed, MetadataLog, Term};
use ottla_broker_types::{NodeId, Offset};
use tokio::task::JoinSet;

use super::hosting;
use crate::broker::Broker;
use crate::clock;
use crate::peers::{self, PeerConnection};
use crate::view::View;

/// How long a voter may hold an observer's request open, at most.
const POLL_WAIT_MAX: Duration = Duration::from_millis(500);
/// Bytes of records per observer's request.
const POLL_BYTES_MAX: i32 = 1 << 20;
/// Pause before the next voter is asked.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Pause before a voter without a quorum looks again whether it has formed one: a new broker waits for that.
const ALONE_PAUSE: Duration = Duration::from_millis(2);
/// The only version of the private request.
const VERSIONS: RangeInclusive<i16> = 0..=0;
/// How often a node that is not in the quorum looks whether it is by now.
const MEMBERSHIP_CHECK: Duration = Duration::from_millis(500);

/// Follows until the broker stops; an error means that the metadata cannot be understood, which is final.
pub async fn run(broker: Arc<Broker>) -> anyhow::Result<()> {
    // Ends with this task.
    let mut hosting = JoinSet::new();
    hosting.spawn(hosting::run(Arc::clone(&broker)));
    tokio::select! {
        followed = follow(&broker) => followed,
        ended = hosting.join_next() => bail!("what is hosted follows the metadata no longer: {ended:?}"),
    }
}

async fn follow(broker: &Arc<Broker>) -> anyhow::Result<()> {
    let mut image = Image::default();
    let mut voters = Voters::default();
    loop {
        let from = image.applied_end();
        let parts = match local_log(broker) {
            Some(log) if !broker.controller.is_cut_off() => read_local(log, from).await?,
            own => {
                tokio::select! {
                    biased;
                    // Only the quorum that this node takes part in moves its own log's end.
                    () = until_local(broker, from) => match own {
                        Some(log) => read_local(log, from).await?,
                        None => Vec::new(),
                    },
                    // A voter that its leader does not reach may reach another one: told of its own fencing, it sends
                    // clients to those who lead now.
                    parts = voters.poll(broker, from) => parts,
                }
            }
        };
        if !parts.is_empty() {
            let before = image.clone();
            for part in parts {
                apply(&mut image, part)?;
            }
            learn_addresses(broker, &before, &image);
            broker.controller.active.applied(&image);
        }
        if let Some(log) = local_log(broker)
            && log.snapshot_due()
            && *log.committed_end().borrow() >= image.applied_end()
        {
            offer_snapshot(log, &image).await;
        }
    }
}

/// The own log, if this node is a member of the quorum and its disk goes on taking what is committed: one that is stuck
/// must not keep from clients who leads elsewhere by now.
fn local_log(broker: &Broker) -> Option<&Arc<dyn MetadataLog>> {
    let log = broker.controller.log().filter(|_| broker.disk.stuck_for().is_none())?;
    let membership = log.membership();
    let is_self = |id: &ottla_broker_quorum::Member| {
        id.id.node == broker.node_id && id.id.directory == broker.directory_id
    };
    (membership.voters.iter().any(is_self) || membership.observers.iter().any(is_self)).then_some(log)
}

/// Resolves when this node's own log holds something at or after `from`.
async fn until_local(broker: &Broker, from: Offset) {
    let Some(log) = broker.controller.log() else { return std::future::pending().await };
    let mut end = log.committed_end();
    if end.wait_for(|end| *end > from).await.is_err() || local_log(broker).is_none() {
        std::future::pending().await
    }
}

async fn read_local(log: &Arc<dyn MetadataLog>, from: Offset) -> anyhow::Result<Vec<Committed>> {
    let mut stream = log.committed(from);
    match tokio::time::timeout(MEMBERSHIP_CHECK, stream.next()).await {
        Err(_) => Ok(Vec::new()),
        Ok(None) => anyhow::bail!("the metadata log has stopped; its disk may have failed"),
        Ok(Some(Err(ottla_broker_quorum::ReadError::BeyondEnd { .. }))) => {
            tokio::time::sleep(RETRY_PAUSE).await;
            Ok(Vec::new())
        }
        Ok(Some(first)) => {
            let mut parts = vec![first.context("read the metadata log")?];
            while let Some(part) = stream.try_next().context("read the metadata log")? {
                parts.push(part);
            }
            Ok(parts)
        }
    }
}

fn apply(image: &mut Image, part: Committed) -> anyhow::Result<()> {
    match part {
        Committed::Snapshot { end, bytes } => {
            *image = image::decode_snapshot(&bytes, end).context("read the metadata snapshot")?;
        }
        Committed::Batch { offset, records, .. } => {
            let decoded: Result<Vec<_>, _> = records.iter().map(|bytes| record::decode(bytes)).collect();
            let decoded = decoded.with_context(|| format!("read the metadata batch at {offset}"))?;
            image
                .apply_batch(&decoded, offset)
                .with_context(|| format!("apply the metadata batch at {offset}"))?;
        }
    }
    Ok(())
}

fn learn_addresses(broker: &Broker, before: &Image, image: &Image) {
    let view = View::new(image.clone());
    for id in &image.changes_since(before).brokers {
        if let Some(endpoint) = view.endpoint(*id, &broker.config.inter_broker_listener_name)
            && let Ok(port) = u16::try_from(endpoint.port)
        {
            broker.peers.set_address(*id, peers::PeerAddress { host: endpoint.host, port });
        }
    }
}

async fn offer_snapshot(log: &Arc<dyn MetadataLog>, image: &Image) {
    match image::encode_snapshot(image) {
        Ok(bytes) => {
            if let Err(error) = log.offer_snapshot(image.applied_end(), bytes).await {
                tracing::warn!(%error, "the metadata snapshot is not taken; trying again later");
            }
        }
        Err(error) => tracing::error!(%error, "the metadata cannot be encoded as a snapshot"),
    }
}

/// Where an observer asks: the voters in turn, staying with one that answers.
#[derive(Default)]
struct Voters {
    next: usize,
    /// Its own, because a voter answers in order: heartbeats behind a request that is held open would come late.
    connection: Option<(NodeId, Arc<PeerConnection>)>,
}

impl Voters {
    async fn poll(&mut self, broker: &Arc<Broker>, from: Offset) -> Vec<Committed> {
        let others: Vec<NodeId> = broker
            .config
            .quorum
            .voters
            .iter()
            .map(|voter| voter.id)
            .filter(|id| *id != broker.node_id)
            .collect();
        let Some(node) = others.get(self.next % others.len().max(1)).copied() else {
            // A single voter that is not in its own quorum waits to be made its first member.
            tokio::time::sleep(ALONE_PAUSE).await;
            return Vec::new();
        };
        match self.ask(broker, node, from).await {
            Ok(parts) => parts,
            Err(error) => {
                self.connection = None;
                tracing::debug!(%node, error = format!("{error:#}"), "metadata cannot be fetched");
                self.next = self.next.wrapping_add(1);
                broker.controller.lost_sight_of(node);
                tokio::time::sleep(clock::jittered(RETRY_PAUSE)).await;
                Vec::new()
            }
        }
    }

    async fn ask(
        &mut self,
        broker: &Arc<Broker>,
        node: NodeId,
        from: Offset,
    ) -> anyhow::Result<Vec<Committed>> {
        let connection = match &self.connection {
            Some((to, connection)) if *to == node && !connection.is_lost() => Arc::clone(connection),
            _ => {
                let opened = broker.peers.dedicated(node).await?;
                self.connection = Some((node, Arc::clone(&opened)));
                opened
            }
        };
        ask(broker, &connection, from).await
    }
}

async fn ask(broker: &Arc<Broker>, voter: &PeerConnection, from: Offset) -> anyhow::Result<Vec<Committed>> {
    // An observer learns from it who leads, so a voter that says nothing is left as soon as a controller is.
    let silence_max = Heartbeats::silence_max(broker.config.quorum.broker_lease_ms).to_std();
    let wait = silence_max.min(POLL_WAIT_MAX);
    let request = MetadataFetchRequest {
        node_id: broker.node_id.0,
        from_offset: from.get(),
        leader_term: -1,
        max_bytes: POLL_BYTES_MAX,
        max_wait_ms: i32::try_from(wait.as_millis()).unwrap_or(0),
        ..Default::default()
    };
    let answer = voter.call_silent(&request, &VERSIONS, wait + silence_max).await?;
    let response: MetadataFetchResponse<'_> = answer.decode()?;
    let code = ErrorCode::from_wire(response.error_code);
    anyhow::ensure!(code == ErrorCode::None, "{}: {}", code.name(), code.message());
    broker.controller.observe_leader(NodeId::from_wire(response.leader_id));
    let mut parts = Vec::new();
    if let Some(bytes) = &response.snapshot {
        let end = Offset::clamped(response.snapshot_end);
        parts.push(Committed::Snapshot { end, bytes: Bytes::copy_from_slice(bytes) });
    }
    parts.extend(response.entries.iter().map(|entry| Committed::Batch {
        offset: Offset::clamped(entry.offset),
        term: Term(u64::try_from(entry.term).unwrap_or(0)),
        records: entry.records.iter().map(|record| Bytes::copy_from_slice(record)).collect(),
    }));
    Ok(parts)
}
