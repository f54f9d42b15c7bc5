//! The StatefulSet. It restarts nothing by itself: the rollout names each pod.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PodTemplateSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::{Build, pod};
use crate::names;

pub(super) fn build(build: &Build<'_>) -> StatefulSet {
    let cluster = build.cluster;
    StatefulSet {
        metadata: build.metadata(names::brokers(&cluster.name)),
        spec: StatefulSetSpec {
            replicas: Some(build.replicas),
            service_name: Some(names::headless(&cluster.name)),
            // Voters need each other to become ready, so all start at once.
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                ..StatefulSetUpdateStrategy::default()
            }),
            // Whoever scales or deletes the StatefulSet by hand must not lose data: claims are the operator's.
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: Some("Retain".to_owned()),
                when_scaled: Some("Retain".to_owned()),
            }),
            revision_history_limit: Some(1),
            selector: LabelSelector {
                match_labels: Some(names::selector(&cluster.name)),
                ..LabelSelector::default()
            },
            template: PodTemplateSpec { metadata: Some(pod_metadata(build)), spec: Some(pod::spec(build)) },
            volume_claim_templates: Some(vec![claim(build)]),
            ..StatefulSetSpec::default()
        },
        ..StatefulSet::default()
    }
}

fn pod_metadata(build: &Build<'_>) -> ObjectMeta {
    let asked = build.cluster.template.metadata.clone().unwrap_or_default();
    let mut labels = asked.labels;
    labels.extend(names::labels(&build.cluster.name));
    labels.insert(names::REVISION_LABEL.to_owned(), build.revision());
    let mut annotations = asked.annotations;
    // kubectl logs and exec choose the broker even if somebody injects another container.
    annotations.insert("kubectl.kubernetes.io/default-container".to_owned(), pod::CONTAINER.to_owned());
    ObjectMeta { labels: Some(labels), annotations: Some(annotations), ..ObjectMeta::default() }
}

fn claim(build: &Build<'_>) -> PersistentVolumeClaim {
    let cluster = build.cluster;
    let size = build.claim_size.unwrap_or(&cluster.storage.size).to_owned();
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(pod::DATA_VOLUME.to_owned()),
            labels: Some(names::selector(&cluster.name)),
            annotations: Some(BTreeMap::from([(
                names::CLUSTER_ID_ANNOTATION.to_owned(),
                build.cluster_id.to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: cluster.storage.class.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), Quantity(size))])),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}
