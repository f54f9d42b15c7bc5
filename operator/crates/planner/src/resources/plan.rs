//! The ConfigMaps that keep a plan of moves which was approved, until it is carried out.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;

use super::Build;
use crate::names;

/// One chunk of a plan.
pub(super) struct Chunk<'a> {
    /// Which one, from 0.
    pub(super) number: usize,
    /// How many there are.
    pub(super) count: usize,
    /// The chunk itself.
    pub(super) bytes: &'a [u8],
}

pub(super) fn build(build: &Build<'_>, hash: &str, chunk: Chunk<'_>) -> ConfigMap {
    let mut metadata = build.metadata(names::plan_chunk(&build.cluster.name, chunk.number));
    let labels = metadata.labels.get_or_insert_default();
    labels.insert(names::PLAN_LABEL.to_owned(), hash.to_owned());
    ConfigMap {
        metadata,
        data: Some(BTreeMap::from([(names::PLAN_COUNT.to_owned(), chunk.count.to_string())])),
        binary_data: Some(BTreeMap::from([(names::PLAN_CHUNK.to_owned(), ByteString(chunk.bytes.to_vec()))])),
        ..ConfigMap::default()
    }
}
