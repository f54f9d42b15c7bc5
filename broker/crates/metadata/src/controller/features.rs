//! The features that this release knows, and those that a new cluster starts with (KIP-584). Pure data.

use crate::record::{FeatureRange, Record};

/// The level of the metadata records' formats.
pub const METADATA_VERSION_FEATURE: &str = "metadata.version";
/// Whether eligible leader replicas are kept (KIP-966).
pub const ELR_FEATURE: &str = "eligible.leader.replicas.version";

/// Kafka 4.0's last level, the first whose records this release writes; Kafka's tools know its name.
const METADATA_VERSION_LEVEL: i16 = 25;

/// Name, lowest and highest level, and the level of a new cluster.
const FEATURES: &[(&str, i16, i16, i16)] = &[
    (ELR_FEATURE, 0, 1, 1),
    (METADATA_VERSION_FEATURE, METADATA_VERSION_LEVEL, METADATA_VERSION_LEVEL, METADATA_VERSION_LEVEL),
];

/// The levels that this release supports, for registrations and ApiVersions.
pub fn supported_features() -> Vec<FeatureRange> {
    let range = |(name, level_min, level_max, _): &(&str, i16, i16, i16)| FeatureRange {
        name: (*name).to_owned(),
        level_min: *level_min,
        level_max: *level_max,
    };
    FEATURES.iter().map(range).collect()
}

/// The first records of a new cluster's metadata log.
pub fn bootstrap_records() -> Vec<Record> {
    let on = FEATURES.iter().filter(|(_, _, _, level)| *level > 0);
    on.map(|(name, _, _, level)| Record::FeatureLevel { name: (*name).to_owned(), level: *level }).collect()
}
