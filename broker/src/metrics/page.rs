//! The metrics page: the names that every Kafka dashboard starts from.

use std::sync::atomic::Ordering;

use ottla_broker_protocol::ApiKey;

use super::registry::{ApiCounters, TIME_BUCKETS_MICROS, TopicCounters};
use super::text::MetricsText;
use crate::broker::Broker;
use crate::partitions::PartitionFacts;

/// Everything that `/metrics` shows, in Prometheus' text format.
pub fn page(broker: &Broker) -> String {
    let mut text = MetricsText::default();
    let facts = broker.partitions.facts();
    topics(&mut text, broker);
    requests(&mut text, broker);
    replicas(&mut text, broker, &facts);
    controller(&mut text, broker);
    logs(&mut text, &facts);
    cleaner(&mut text, broker);
    disk(&mut text, broker);
    broker.groups.metrics(&mut text);
    process(&mut text, broker);
    text.finish()
}

fn topics(text: &mut MetricsText, broker: &Broker) {
    type Pick = fn(&TopicCounters) -> &std::sync::atomic::AtomicU64;
    let families: [(&str, &str, Pick); 7] = [
        ("kafka_server_brokertopicmetrics_bytesin_total", "Bytes produced by clients.", |c| &c.bytes_in),
        ("kafka_server_brokertopicmetrics_bytesout_total", "Bytes fetched by clients.", |c| &c.bytes_out),
        ("kafka_server_brokertopicmetrics_messagesin_total", "Records produced by clients.", |c| {
            &c.messages_in
        }),
        ("kafka_server_brokertopicmetrics_replicationbytesin_total", "Bytes replicated from leaders.", |c| {
            &c.replication_bytes_in
        }),
        (
            "kafka_server_brokertopicmetrics_replicationbytesout_total",
            "Bytes replicated to followers.",
            |c| &c.replication_bytes_out,
        ),
        (
            "kafka_server_brokertopicmetrics_failedproducerequests_total",
            "Partitions of produce requests that failed.",
            |c| &c.failed_produce,
        ),
        (
            "kafka_server_brokertopicmetrics_failedfetchrequests_total",
            "Partitions of fetch requests that failed.",
            |c| &c.failed_fetch,
        ),
    ];
    let topics = broker.metrics.topics();
    let all = broker.metrics.all_topics();
    for (name, help, pick) in families {
        text.family(name, "counter", help);
        // The sample without a topic is the sum over all, as the JMX exporter has it.
        text.sample(name, &[], pick(&all).load(Ordering::Relaxed));
        for (topic, counters) in &topics {
            text.sample(name, &[("topic", topic)], pick(counters).load(Ordering::Relaxed));
        }
    }
}

fn requests(text: &mut MetricsText, broker: &Broker) {
    let active: Vec<(&str, &ApiCounters)> = ApiKey::ALL
        .iter()
        .map(|api| (api.name(), broker.metrics.api(api.code())))
        .filter(|(_, counters)| counters.requests.load(Ordering::Relaxed) > 0)
        .collect();
    let name = "kafka_network_requestmetrics_requests_total";
    text.family(name, "counter", "Requests answered.");
    for (api, counters) in &active {
        text.sample(name, &[("request", api)], counters.requests.load(Ordering::Relaxed));
    }
    let name = "kafka_network_requestmetrics_totaltime_seconds";
    text.family(name, "histogram", "Time from a request's arrival to its answer.");
    for (api, counters) in &active {
        let mut seen = 0;
        for (bound, bucket) in TIME_BUCKETS_MICROS.iter().zip(&counters.time_buckets) {
            seen += bucket.load(Ordering::Relaxed);
            let le = format!("{}", *bound as f64 / 1e6);
            text.sample(&format!("{name}_bucket"), &[("request", api), ("le", &le)], seen);
        }
        let count = counters.requests.load(Ordering::Relaxed);
        text.sample(&format!("{name}_bucket"), &[("request", api), ("le", "+Inf")], count);
        let seconds = counters.time_micros.load(Ordering::Relaxed) as f64 / 1e6;
        text.sample(&format!("{name}_sum"), &[("request", api)], seconds);
        text.sample(&format!("{name}_count"), &[("request", api)], count);
    }
}

fn replicas(text: &mut MetricsText, broker: &Broker, facts: &[PartitionFacts]) {
    let count = |pick: fn(&PartitionFacts) -> bool| facts.iter().filter(|facts| pick(facts)).count();
    let gauges = [
        ("kafka_server_replicamanager_leadercount", "Partitions led here.", count(|f| f.is_leader)),
        ("kafka_server_replicamanager_partitioncount", "Partitions hosted here.", facts.len()),
        (
            "kafka_server_replicamanager_underreplicatedpartitions",
            "Partitions led here with replicas out of sync.",
            count(|f| f.is_under_replicated),
        ),
        (
            "kafka_server_replicamanager_atminisrpartitioncount",
            "Partitions led here that would refuse acks=all if one more replica fell out of sync.",
            count(|f| f.is_at_min_isr),
        ),
        (
            "kafka_server_replicamanager_underminisrpartitioncount",
            "Partitions led here that refuse acks=all.",
            count(|f| f.is_under_min_isr),
        ),
    ];
    for (name, help, value) in gauges {
        text.single(name, "gauge", help, value);
    }
    let metrics = &broker.metrics;
    let offline = metrics.offline_log_partitions.load(Ordering::Relaxed);
    text.single(
        "kafka_server_replicamanager_offlinereplicacount",
        "gauge",
        "Partitions whose log failed here.",
        offline,
    );
    let shrinks = metrics.isr_shrinks.load(Ordering::Relaxed);
    text.single("kafka_server_replicamanager_isrshrinks_total", "counter", "ISR shrinks.", shrinks);
    let expands = metrics.isr_expands.load(Ordering::Relaxed);
    text.single("kafka_server_replicamanager_isrexpands_total", "counter", "ISR expansions.", expands);
}

fn controller(text: &mut MetricsText, broker: &Broker) {
    let view = broker.view();
    let active = broker.controller.active.leadership().is_some();
    text.single(
        "kafka_controller_kafkacontroller_activecontrollercount",
        "gauge",
        "Whether this node is the active controller.",
        u8::from(active),
    );
    let offline = view.partitions().filter(|(_, _, partition)| partition.leader.is_none()).count();
    let preferred =
        |partition: &ottla_broker_metadata::Partition| partition.leader != partition.preferred_leader();
    let imbalanced = view.partitions().filter(|(_, _, partition)| preferred(partition)).count();
    let fenced = view.brokers().filter(|registered| registered.fenced).count();
    let gauges = [
        ("offlinepartitionscount", "Partitions without a leader.", offline),
        ("preferredreplicaimbalancecount", "Partitions not led by their preferred replica.", imbalanced),
        ("globaltopiccount", "Topics of the cluster.", view.topic_count()),
        ("globalpartitioncount", "Partitions of the cluster.", view.partitions().count()),
        ("activebrokercount", "Brokers in service.", view.brokers().count() - fenced),
        ("fencedbrokercount", "Brokers out of service.", fenced),
    ];
    for (name, help, value) in gauges {
        text.single(&format!("kafka_controller_kafkacontroller_{name}"), "gauge", help, value);
    }
    let silence = broker.controller.active.leases(|leases| leases.longest_silence()).unwrap_or_default();
    text.single(
        "ottla_controller_longest_silence_ms",
        "gauge",
        "The longest time for which this active controller heard nothing of a broker that then was heard again.",
        silence.0,
    );
    text.single(
        "ottla_broker_cut_off",
        "gauge",
        "Whether no controller has answered this broker for a whole lease.",
        u8::from(broker.controller.is_cut_off()),
    );
    let elections = broker.metrics.leader_elections.load(Ordering::Relaxed);
    text.single(
        "kafka_controller_controllerstats_leaderelectionrateandtimems_total",
        "counter",
        "Partitions whose leader changed by a decision of this controller.",
        elections,
    );
    let unclean = broker.metrics.unclean_elections.load(Ordering::Relaxed);
    text.single(
        "kafka_controller_controllerstats_uncleanleaderelections_total",
        "counter",
        "Partitions that a decision of this controller gave a leader which may lack acknowledged records.",
        unclean,
    );
}

fn logs(text: &mut MetricsText, facts: &[PartitionFacts]) {
    type Pick = fn(&PartitionFacts) -> i64;
    let families: [(&str, &str, Pick); 4] = [
        ("kafka_log_log_size", "Bytes on disk.", |f| i64::try_from(f.size_bytes).unwrap_or(i64::MAX)),
        ("kafka_log_log_logstartoffset", "First offset.", |f| f.log_start),
        ("kafka_log_log_logendoffset", "First offset that is not there yet.", |f| f.log_end),
        ("kafka_cluster_partition_highwatermark", "First offset that is not committed.", |f| {
            f.high_watermark
        }),
    ];
    for (name, help, pick) in families {
        text.family(name, "gauge", help);
        for facts in facts {
            let partition = facts.id.partition.to_string();
            let labels = [("topic", facts.id.topic.as_str()), ("partition", partition.as_str())];
            text.sample(name, &labels, pick(facts));
        }
    }
}

fn cleaner(text: &mut MetricsText, broker: &Broker) {
    let counters = &broker.metrics.cleaner;
    text.single(
        "kafka_log_logcleanermanager_uncleanable_partitions_count",
        "gauge",
        "Partitions whose log cannot be compacted.",
        counters.uncleanable.load(Ordering::Relaxed),
    );
    let totals = [
        ("passes", "Passes over logs that were compacted.", &counters.passes),
        ("bytes_read", "Bytes that compaction read.", &counters.bytes_read),
        ("bytes_written", "Bytes that compaction wrote.", &counters.bytes_written),
    ];
    for (name, help, counter) in totals {
        let name = format!("ottla_log_cleaner_{name}_total");
        text.single(&name, "counter", help, counter.load(Ordering::Relaxed));
    }
}

fn disk(text: &mut MetricsText, broker: &Broker) {
    let space = broker.partitions.opener().space();
    text.single(
        "ottla_disk_free_bytes",
        "gauge",
        "Bytes that are free on the disk of log.dirs.",
        space.free_bytes(),
    );
    text.single(
        "ottla_disk_full",
        "gauge",
        "Whether no records are taken, since the disk has too little space left.",
        u8::from(space.is_low()),
    );
}

fn process(text: &mut MetricsText, broker: &Broker) {
    let name = "kafka_server_socket_server_metrics_connection_count";
    text.family(name, "gauge", "Open connections.");
    let metrics = &broker.metrics;
    let clients = metrics.client_connections.load(Ordering::Relaxed);
    text.sample(name, &[("listener", "clients")], clients);
    text.sample(name, &[("listener", "brokers")], metrics.broker_connections.load(Ordering::Relaxed));
    let sessions = broker.fetch_sessions.lock().session_count();
    text.single(
        "kafka_server_fetchsessioncache_numincrementalfetchsessions",
        "gauge",
        "Open fetch sessions.",
        sessions,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rig;

    #[test]
    fn a_partition_with_just_enough_replicas_in_sync_is_at_its_min_isr() {
        let mut rig = Rig::new();
        let count = |rig: &Rig, wanted: usize| {
            let sample = format!("\nkafka_server_replicamanager_atminisrpartitioncount {wanted}\n");
            page(&rig.broker).contains(&sample)
        };
        rig.topic("one", &[1]);
        rig.topic("t", &[1, 2]);
        assert!(count(&rig, 1), "the one with a single replica");
        rig.set("t", "min.insync.replicas", "2");
        assert!(count(&rig, 2));
    }
}
