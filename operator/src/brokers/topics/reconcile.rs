//! One reconcile of many topics: plan each, execute all plans together, say what became of each.

use ottla_broker_types::TimestampMs;
use ottla_operator_crd::KafkaTopicStatus;
use ottla_operator_kafka_admin::AdminClient;
use ottla_operator_planner::topics::{self, TopicAction, TopicInput, TopicPlan};

use super::execute::{Batch, Failure, Failures};
use super::job::Job;
use super::observe::TopicWorld;

/// What became of a topic.
pub struct Outcome {
    /// Its status now.
    pub status: KafkaTopicStatus,
    /// What was done; nothing if any of it failed.
    pub done: Vec<TopicAction>,
}

/// How soon the next reconcile is worth while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Something failed that may work the next time.
    Retry,
    /// Something is going on.
    Busy,
    /// Nothing changes by itself.
    Idle,
}

/// What became of all topics.
pub struct Reconciled {
    /// One for each job, in the order of the jobs.
    pub outcomes: Vec<Outcome>,
    /// When to go on.
    pub pace: Pace,
}

/// Plans each topic and executes all plans together.
pub async fn reconcile(
    admin: &AdminClient,
    jobs: &[Job],
    world: &TopicWorld,
    now: TimestampMs,
) -> Reconciled {
    let input = |job| input(job, world, now);
    let plans: Vec<_> = jobs.iter().map(|job| checked(&input(job))).collect();
    let busy: Vec<&str> = jobs
        .iter()
        .zip(&plans)
        .filter(|(_, plan)| plan.busy)
        .map(|(job, _)| job.topic.topic.as_str())
        .collect();
    let mut batch = Batch::default();
    for (job, plan) in jobs.iter().zip(&plans) {
        batch.add(job.topic.topic.as_str(), &plan.actions);
    }
    let failures: Failures = batch.execute(admin).await;
    let outcomes = jobs.iter().zip(plans).map(|(job, plan)| match failures.get(job.topic.topic.as_str()) {
        None => Outcome { status: plan.status, done: plan.actions },
        Some(failure) => Outcome { status: failed(&input(job), failure), done: vec![] },
    });
    let outcomes = outcomes.collect();
    let passes = |topic: &str| failures.get(topic).map(|failure| failure.passes);
    let any_passes = failures.values().any(|failure| failure.passes);
    Reconciled { outcomes, pace: pace(any_passes, busy.into_iter().map(passes)) }
}

/// The plan of one topic; if a fault is found in it, one that does nothing and says so.
fn checked(input: &TopicInput<'_>) -> TopicPlan {
    let plan = topics::plan(input);
    let faults = topics::lint(input, &plan);
    let Some(fault) = faults.first() else { return plan };
    let problem = format!("the plan is refused, {} faults were found in it, such as: {fault}", faults.len());
    tracing::error!(topic = %input.topic.topic, problem, "the plan of a topic is not executed");
    TopicPlan { actions: vec![], status: topics::delayed(input, "PlanRefused", problem), busy: true }
}

/// How soon to go on; `any_passes` says whether a failure may pass by itself. Of each topic for which something is going on
/// `busy` says whether its failure passes, if it has one. One that was refused for good waits for somebody to change it,
/// and holds nobody else up.
fn pace(any_passes: bool, mut busy: impl Iterator<Item = Option<bool>>) -> Pace {
    if any_passes {
        return Pace::Retry;
    }
    if busy.any(|failure| failure.is_none()) { Pace::Busy } else { Pace::Idle }
}

fn input<'a>(job: &'a Job, world: &'a TopicWorld, now: TimestampMs) -> TopicInput<'a> {
    let facts = world.topics.get(job.topic.topic.as_str());
    TopicInput { topic: &job.topic, former: &job.former, facts, hosts: &world.hosts, now }
}

fn failed(input: &TopicInput<'_>, failure: &Failure) -> KafkaTopicStatus {
    let Failure { reason, text, .. } = failure;
    match failure.passes {
        true => topics::delayed(input, reason, text.clone()),
        false => topics::refused(input, reason, text.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_is_refused_for_good_does_not_slow_the_others_down() {
        let refused = Some(false);
        assert_eq!(pace(false, [refused, None].into_iter()), Pace::Busy);
        assert_eq!(pace(false, [refused].into_iter()), Pace::Idle);
        assert_eq!(pace(true, [refused, None, Some(true)].into_iter()), Pace::Retry);
        assert_eq!(pace(false, [].into_iter()), Pace::Idle);
    }
}
