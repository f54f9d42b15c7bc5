//! Restart safety, as the brokers themselves judge it.

use std::net::SocketAddr;

use ottla_broker_types::NodeId;
use ottla_operator_planner::facts::Safety;
use serde::Deserialize;

use crate::http;

/// Brokers asked, one after the other, until one answers.
const ASKED_MAX: usize = 3;

/// The answer of a broker; lists that do not block are left out.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    safe: bool,
    #[serde(default)]
    offline: Risks,
    #[serde(default)]
    under_min_isr: Risks,
    #[serde(default)]
    at_min_isr: Risks,
    quorum: Option<Quorum>,
}

#[derive(Debug, Default, Deserialize)]
struct Risks {
    #[serde(default)]
    count: u64,
    #[serde(default)]
    listed: Vec<Risk>,
}

#[derive(Debug, Deserialize)]
struct Risk {
    topic: String,
    partition: i32,
}

#[derive(Debug, Deserialize)]
struct Quorum {
    left: u64,
    needed: u64,
}

/// Asks whether `broker` may stop: other brokers first, since one that stops soon is the last to ask. `ready` are
/// brokers and where they serve HTTP.
pub async fn ask(broker: NodeId, ready: &[(NodeId, SocketAddr)]) -> Safety {
    let mut order: Vec<_> = ready.to_vec();
    order.sort_by_key(|(id, _)| (*id == broker, *id));
    let mut reason = "no broker is ready".to_owned();
    for (_, address) in order.into_iter().take(ASKED_MAX) {
        let path = format!("/v1/restart-safety?brokers={broker}");
        match http::ask(address, &path).await {
            Ok(body) => return read(&body),
            Err(error) => reason = format!("{error:#}"),
        }
    }
    Safety::Unknown(reason)
}

fn read(body: &[u8]) -> Safety {
    match serde_json::from_slice::<Report>(body) {
        Ok(report) if report.safe => Safety::Safe,
        Ok(report) => Safety::Unsafe(sentence(&report)),
        Err(error) => Safety::Unknown(format!("the answer cannot be read: {error}")),
    }
}

fn sentence(report: &Report) -> String {
    let of = |risks: &Risks, what: &str| {
        let first = risks.listed.first().map(|risk| format!(", such as {}-{}", risk.topic, risk.partition));
        (risks.count > 0).then(|| format!("{} partitions {what}{}", risks.count, first.unwrap_or_default()))
    };
    let quorum = report.quorum.as_ref().map(|quorum| {
        format!(
            "the metadata quorum would have {} of {} controllers that it needs",
            quorum.left, quorum.needed
        )
    });
    of(&report.offline, "would have no leader")
        .or_else(|| of(&report.under_min_isr, "would fall below min.insync.replicas"))
        .or_else(|| of(&report.at_min_isr, "are at or below min.insync.replicas already"))
        .or(quorum)
        .unwrap_or_else(|| "its brokers say so".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_risk_is_told_with_an_example() {
        let body = br#"{"safe":false,"offline":{"count":0,"listed":[]},
            "underMinIsr":{"count":2,"listed":[{"topic":"t","partition":1,"isrLeft":1,"isrNeeded":2}]},
            "atMinIsr":{"count":0,"listed":[]},"quorum":null}"#;
        let told = "2 partitions would fall below min.insync.replicas, such as t-1".to_owned();
        assert_eq!(read(body), Safety::Unsafe(told));
        assert_eq!(read(br#"{"safe":true,"quorum":null}"#), Safety::Safe);
        let quorum = read(br#"{"safe":false,"quorum":{"left":1,"needed":2}}"#);
        assert!(matches!(quorum, Safety::Unsafe(text) if text.contains("1 of 2 controllers")));
        assert!(matches!(read(b"<html>"), Safety::Unknown(_)));
    }
}
