//! Manual rebalancing as a user goes through it, the same on Kubernetes and in local mode.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_operator_crd::KafkaClusterStatus;
use ottla_operator_crd::cluster::{RebalancePhase, RebalanceStatus};

use crate::wait::{Waited, until};

/// The hash of no plan.
const OTHER_HASH: &str = "0123456789abcdef";

/// A KafkaCluster that a test sees and edits as a user does.
pub trait EditedCluster {
    /// Where replicas are.
    type Placement: PartialEq + Debug;

    /// The status of the present spec; `None` while it is that of a former one.
    fn status(&self) -> impl Future<Output = Result<Option<KafkaClusterStatus>>>;

    /// Sets the annotation that approves the plan with this hash.
    fn approve(&self, hash: &str) -> impl Future<Output = Result<()>>;

    /// Where replicas are now.
    fn placement(&self) -> impl Future<Output = Result<Self::Placement>>;
}

/// Waits until `find` finds something in the status.
pub async fn until_status<T>(
    cluster: &impl EditedCluster,
    what: &str,
    limit: Duration,
    find: impl Fn(KafkaClusterStatus) -> Option<T>,
) -> Result<T> {
    until(what, limit, async || {
        let Some(status) = cluster.status().await? else {
            return Ok(Waited::not_yet("status is that of a former spec"));
        };
        let told = format!("{:?} {:?}", status.conditions, status.rebalance);
        Ok(match find(status) {
            Some(found) => Waited::Done(found),
            None => Waited::NotYet(told),
        })
    })
    .await
}

/// A plan is shown, refused under another hash, moves nothing until then, and is carried out under its own hash. `before`
/// is where replicas were before it was asked for. Gives status as the plan was shown and as it was when all had moved.
///
/// # Errors
/// If it goes otherwise, or a step takes longer than `limit`.
pub async fn approve_plan<C: EditedCluster>(
    cluster: &C,
    before: &C::Placement,
    limit: Duration,
) -> Result<(RebalanceStatus, RebalanceStatus)> {
    let rebalance = async |what: &str, holds: fn(&RebalanceStatus) -> bool| {
        until_status(cluster, what, limit, |status| status.rebalance.filter(holds)).await
    };
    let shown = rebalance("a plan is shown", |plan| {
        plan.phase == RebalancePhase::ProposalReady && plan.plan_hash.is_some() && plan.moves > 0
    })
    .await?;
    let hash = shown.plan_hash.clone().context("it has a hash")?;
    println!("plan {hash}: {} moves, at least {}", shown.moves, shown.lower_bound_moves);
    cluster.approve(OTHER_HASH).await?;
    let refused = rebalance("it is refused", |plan| plan.refused_approval.is_some()).await?;
    let told = format!("the approval of {OTHER_HASH} is refused");
    ensure!(refused.message.contains(&told), "{}", refused.message);
    let now = cluster.placement().await?;
    ensure!(now == *before, "replicas moved without an approval: {now:?}");
    cluster.approve(&hash).await?;
    let over = rebalance("it is carried out", |plan| plan.executed_hash.is_some()).await?;
    ensure!(over.executed_hash.as_ref() == Some(&hash), "{over:?}");
    ensure!((over.moves, over.moves_done) == (shown.moves, shown.moves), "{over:?}");
    Ok((shown, over))
}
