//! The ConfigMap with `server.properties`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::Build;
use crate::{names, settings};

pub(super) fn build(build: &Build<'_>) -> ConfigMap {
    let text = settings::properties(&build.settings(), build.bootstrapped);
    ConfigMap {
        metadata: build.metadata(build.config_map_name()),
        data: Some(BTreeMap::from([(names::SETTINGS_FILE.to_owned(), text)])),
        ..ConfigMap::default()
    }
}
