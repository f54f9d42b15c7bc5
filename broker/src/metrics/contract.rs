//! What scrapers, dashboards and alerts rely on: names and types that stay, and counters that never fall.

use std::collections::BTreeMap;

use ottla_broker_metadata::Record;
use ottla_broker_protocol::batch::Compression;
use ottla_broker_types::{TopicId, Uuid};

use super::page;
use crate::partitions::RequiredAcks;
use crate::testing::{Rig, batch};

/// The names that are promised, as the JMX exporter's usual rules make them of Kafka's beans, and their types.
const PROMISED: [(&str, &str); 43] = [
    ("kafka_cluster_partition_highwatermark", "gauge"),
    ("kafka_consumergroup_committed_offset", "gauge"),
    ("kafka_controller_controllerstats_leaderelectionrateandtimems_total", "counter"),
    ("kafka_controller_controllerstats_uncleanleaderelections_total", "counter"),
    ("kafka_controller_kafkacontroller_activebrokercount", "gauge"),
    ("kafka_controller_kafkacontroller_activecontrollercount", "gauge"),
    ("kafka_controller_kafkacontroller_fencedbrokercount", "gauge"),
    ("kafka_controller_kafkacontroller_globalpartitioncount", "gauge"),
    ("kafka_controller_kafkacontroller_globaltopiccount", "gauge"),
    ("kafka_controller_kafkacontroller_offlinepartitionscount", "gauge"),
    ("kafka_controller_kafkacontroller_preferredreplicaimbalancecount", "gauge"),
    ("kafka_coordinator_group_groupmetadatamanager_numgroups", "gauge"),
    ("kafka_coordinator_group_groupmetadatamanager_numgroupsdead", "gauge"),
    ("kafka_coordinator_group_groupmetadatamanager_numgroupsempty", "gauge"),
    ("kafka_coordinator_group_groupmetadatamanager_numgroupsstable", "gauge"),
    ("kafka_log_log_logendoffset", "gauge"),
    ("kafka_log_log_logstartoffset", "gauge"),
    ("kafka_log_log_size", "gauge"),
    ("kafka_log_logcleanermanager_uncleanable_partitions_count", "gauge"),
    ("kafka_network_requestmetrics_requests_total", "counter"),
    ("kafka_network_requestmetrics_totaltime_seconds", "histogram"),
    ("kafka_server_brokertopicmetrics_bytesin_total", "counter"),
    ("kafka_server_brokertopicmetrics_bytesout_total", "counter"),
    ("kafka_server_brokertopicmetrics_failedfetchrequests_total", "counter"),
    ("kafka_server_brokertopicmetrics_failedproducerequests_total", "counter"),
    ("kafka_server_brokertopicmetrics_messagesin_total", "counter"),
    ("kafka_server_brokertopicmetrics_replicationbytesin_total", "counter"),
    ("kafka_server_brokertopicmetrics_replicationbytesout_total", "counter"),
    ("kafka_server_fetchsessioncache_numincrementalfetchsessions", "gauge"),
    ("kafka_server_replicamanager_atminisrpartitioncount", "gauge"),
    ("kafka_server_replicamanager_isrexpands_total", "counter"),
    ("kafka_server_replicamanager_isrshrinks_total", "counter"),
    ("kafka_server_replicamanager_leadercount", "gauge"),
    ("kafka_server_replicamanager_offlinereplicacount", "gauge"),
    ("kafka_server_replicamanager_partitioncount", "gauge"),
    ("kafka_server_replicamanager_underminisrpartitioncount", "gauge"),
    ("kafka_server_replicamanager_underreplicatedpartitions", "gauge"),
    ("kafka_server_socket_server_metrics_connection_count", "gauge"),
    ("ottla_disk_free_bytes", "gauge"),
    ("ottla_disk_full", "gauge"),
    ("ottla_log_cleaner_bytes_read_total", "counter"),
    ("ottla_log_cleaner_bytes_written_total", "counter"),
    ("ottla_log_cleaner_passes_total", "counter"),
];

/// A page as a scraper reads it.
struct Scraped {
    /// Each family's type, by its name.
    types: BTreeMap<String, String>,
    /// Each sample's value, by its name and labels.
    samples: BTreeMap<String, f64>,
}

fn scrape(rig: &Rig) -> Scraped {
    let mut scraped = Scraped { types: BTreeMap::new(), samples: BTreeMap::new() };
    let mut family = String::new();
    for line in page(&rig.broker).lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            family = name.to_owned();
            let twice = scraped.types.insert(name.to_owned(), kind.to_owned());
            assert_eq!(twice, None, "{name} is there twice");
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(rest.split_once(' ').is_some_and(|(_, help)| help.ends_with('.')), "{line}");
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            let parts = ["", "_bucket", "_sum", "_count"];
            assert!(parts.iter().any(|part| format!("{family}{part}") == name), "{name} under {family}");
            let twice = scraped.samples.insert(sample.to_owned(), value.parse().unwrap());
            assert_eq!(twice, None, "{sample} is there twice");
        }
    }
    scraped
}

impl Scraped {
    /// The samples that may only grow.
    fn counters(&self) -> impl Iterator<Item = (&String, f64)> {
        self.samples.iter().filter_map(|(sample, value)| {
            let name = sample.split('{').next()?;
            let ends = ["_bucket", "_sum", "_count"];
            let family = ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            let kind = self.types.get(name).or(self.types.get(family))?;
            (kind != "gauge").then_some((sample, *value))
        })
    }
}

fn produce(rig: &Rig, hosted: &crate::partitions::HostedPartition) {
    hosted.append(rig.broker.clock.now(), &mut batch(Compression::None), RequiredAcks::Leader).unwrap();
}

#[test]
fn the_promised_names_are_there_with_their_types() {
    let mut rig = Rig::new();
    rig.topic("t", &[1]);
    let types = scrape(&rig).types;
    for (name, kind) in PROMISED {
        assert_eq!(types.get(name).map(String::as_str), Some(kind), "{name}");
    }
}

#[test]
fn names_follow_prometheus_conventions() {
    let mut rig = Rig::new();
    rig.topic("t", &[1]);
    for (name, kind) in scrape(&rig).types {
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{name}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
    }
}

#[test]
fn totals_never_fall_when_topics_come_and_go() {
    let mut rig = Rig::new();
    let ids = [1, 2, 3].map(|life| TopicId(Uuid([life; 16])));
    let mut before = scrape(&rig);
    let mut check = |rig: &Rig| {
        let after = scrape(rig);
        for (sample, value) in before.counters().filter(|(sample, _)| !sample.contains("topic=")) {
            let now = after.samples.get(sample);
            assert!(now.is_some_and(|now| *now >= value), "{sample} was {value} and is {now:?}");
        }
        before = after;
    };
    for id in ids {
        let hosted = rig.life("t", id, &[1]);
        produce(&rig, &hosted);
        check(&rig);
        // Somebody still counts in a topic that is gone.
        let counters = rig.broker.metrics.topic("t");
        rig.commit(&[Record::RemoveTopic { id }]);
        check(&rig);
        counters.bytes_in.fetch_add(7, std::sync::atomic::Ordering::Relaxed);
        check(&rig);
        drop((hosted, counters));
        check(&rig);
    }
    let total = scrape(&rig).samples["kafka_server_brokertopicmetrics_messagesin_total"];
    assert_eq!(total, 3.0);
}
