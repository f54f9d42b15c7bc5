//! What a person sees of the cluster: from the status to rows, and from one view to the next to lines. Pure.

use ottla_operator_crd::cluster::{BrokerStatus, RebalancePhase};
use ottla_operator_crd::conditions::READY;
use ottla_operator_crd::{KafkaClusterStatus, KafkaTopicStatus};

/// The state of everything at one time, as a person sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct View {
    /// Name of the cluster.
    pub(super) cluster: String,
    /// Where clients begin.
    pub(super) bootstrap: String,
    /// One word for what goes on.
    pub(super) state: String,
    /// What goes on and what it waits for, in sentences.
    pub(super) doing: Vec<String>,
    /// Why the manifests cannot be used.
    pub(super) refused: Vec<String>,
    pub(super) brokers: Vec<BrokerRow>,
    /// The topics of manifests.
    pub(super) topics: Vec<TopicRow>,
}

/// One broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BrokerRow {
    pub(super) id: i32,
    /// Where clients reach it.
    pub(super) port: u16,
    /// What it does.
    pub(super) state: String,
    pub(super) rack: Option<String>,
    /// Partitions that it leads.
    pub(super) leaders: Option<i32>,
    /// Replicas that it has.
    pub(super) replicas: Option<i32>,
    pub(super) bytes: Option<i64>,
}

/// One topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TopicRow {
    pub(super) name: String,
    /// What goes on with it.
    pub(super) state: String,
    pub(super) partitions: Option<i32>,
    /// Copies of each.
    pub(super) copies: Option<i32>,
    /// Partitions that miss a copy.
    pub(super) behind: i32,
    /// A sentence, if it is not as asked for.
    pub(super) message: String,
}

/// A reason and a sentence of the condition Ready.
fn ready(conditions: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition]) -> Option<(&str, &str)> {
    let ready = conditions.iter().find(|condition| condition.type_ == READY)?;
    Some((&ready.reason, &ready.message))
}

impl BrokerRow {
    /// A broker, reached at `port`.
    pub(super) fn new(status: &BrokerStatus, port: u16) -> BrokerRow {
        BrokerRow {
            id: status.id,
            port,
            state: format!("{:?}", status.state),
            rack: status.rack.clone(),
            leaders: status.leaders,
            replicas: status.replicas,
            bytes: status.bytes,
        }
    }
}

impl TopicRow {
    /// A topic.
    pub(super) fn new(name: &str, status: &KafkaTopicStatus) -> TopicRow {
        let (state, message) = ready(&status.conditions).unwrap_or(("Waiting", ""));
        TopicRow {
            name: name.to_owned(),
            state: state.to_owned(),
            partitions: status.partitions,
            copies: status.replication_factor,
            behind: status.under_replicated_partitions.unwrap_or(0),
            message: if state == "Ready" { String::new() } else { message.to_owned() },
        }
    }
}

/// The state and the sentences of a status.
pub(super) fn doing(status: &KafkaClusterStatus) -> (String, Vec<String>) {
    let (state, message) = ready(&status.conditions).unwrap_or(("Starting", "no broker runs yet"));
    let mut doing = vec![message.to_owned()];
    // What the first sentence tells already is not said twice.
    let roll = status
        .roll
        .as_ref()
        .filter(|_| state != "Rolling")
        .map(|roll| format!("roll: {} of {} brokers done; {}", roll.updated, roll.total, roll.message));
    let drain = status.drain.as_ref().filter(|_| state != "Draining").map(|drain| {
        let ids: Vec<String> = drain.brokers.iter().chain(&drain.returning).map(i32::to_string).collect();
        format!("drain of {}: {}", ids.join(", "), drain.message)
    });
    let moving = status.rebalance.as_ref().filter(|moves| moves.moves > 0 && moves.moves_done < moves.moves);
    let rebalance = moving.map(|moves| match moves.phase {
        RebalancePhase::ProposalReady => moves.message.clone(),
        _ => format!(
            "replicas: {} of {} moves done ({} %), {} under way",
            moves.moves_done, moves.moves, moves.percent, moves.moves_running
        ),
    });
    doing.extend([roll, drain, rebalance].into_iter().flatten());
    let degraded = status.conditions.iter().find(|c| c.type_ == "Degraded" && c.status == "True");
    doing.extend(degraded.map(|condition| condition.message.clone()));
    (state.to_owned(), doing)
}

/// One line per change, for output that is no terminal. Sizes and counts alone are no change.
pub(super) fn changes(before: &View, after: &View) -> Vec<String> {
    let mut lines = vec![];
    for row in &after.brokers {
        let was = before.brokers.iter().find(|was| was.id == row.id);
        if was.is_none_or(|was| was.state != row.state) {
            let held = row.replicas.map(|count| format!(", {count} replicas")).unwrap_or_default();
            lines.push(format!("broker {}: {}{held}", row.id, row.state.to_lowercase()));
        }
    }
    for was in &before.brokers {
        if !after.brokers.iter().any(|row| row.id == was.id) {
            lines.push(format!("broker {}: gone", was.id));
        }
    }
    for row in &after.topics {
        let was = before.topics.iter().find(|was| was.name == row.name);
        if was.is_none_or(|was| (&was.state, &was.message) != (&row.state, &row.message)) {
            let message = if row.message.is_empty() { String::new() } else { format!("; {}", row.message) };
            lines.push(format!("topic {}: {}{message}", row.name, row.state.to_lowercase()));
        }
    }
    for sentence in after.doing.iter().filter(|sentence| !before.doing.contains(sentence)) {
        lines.push(format!("{}: {sentence}", after.cluster));
    }
    for problem in after.refused.iter().filter(|problem| !before.refused.contains(problem)) {
        lines.push(format!("refused, nothing changes: {problem}"));
    }
    if after.refused.is_empty() && !before.refused.is_empty() {
        lines.push("the manifests can be used again".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(state: &str, doing: &str) -> View {
        let row = BrokerRow { id: 0, state: state.to_owned(), replicas: Some(4), ..BrokerRow::default() };
        let (cluster, doing) = ("demo".to_owned(), vec![doing.to_owned()]);
        View { cluster, doing, brokers: vec![row], ..View::default() }
    }

    #[test]
    fn a_change_is_told_once_and_sizes_are_none() {
        let before = view("Starting", "1 of 2 brokers serve");
        let after = view("Serving", "2 brokers serve");
        assert_eq!(changes(&before, &after), ["broker 0: serving, 4 replicas", "demo: 2 brokers serve"]);
        let mut grown = after.clone();
        grown.brokers[0].bytes = Some(1 << 30);
        grown.brokers[0].replicas = Some(5);
        assert_eq!(changes(&after, &grown), Vec::<String>::new());
    }

    #[test]
    fn what_goes_and_what_is_refused_is_told() {
        let before = view("Serving", "x");
        let mut after = before.clone();
        after.brokers.clear();
        after.refused = vec!["c.yaml: bad".to_owned()];
        assert_eq!(changes(&before, &after), ["broker 0: gone", "refused, nothing changes: c.yaml: bad"]);
        let mut fixed = after.clone();
        fixed.refused.clear();
        assert_eq!(changes(&after, &fixed), ["the manifests can be used again"]);
    }

    #[test]
    fn moves_are_shown_while_they_go_on() {
        let rebalance = ottla_operator_crd::cluster::RebalanceStatus {
            moves: 8,
            moves_done: 2,
            moves_running: 3,
            percent: 25,
            message: "6 replicas still move".to_owned(),
            ..Default::default()
        };
        let mut status = KafkaClusterStatus { rebalance: Some(rebalance), ..Default::default() };
        let shown = "replicas: 2 of 8 moves done (25 %), 3 under way".to_owned();
        assert!(doing(&status).1.contains(&shown));
        status.rebalance.as_mut().expect("it is there").moves_done = 8;
        assert_eq!(doing(&status).1.len(), 1);
    }
}
