//! The ServiceAccount of the brokers: it has no rights and its token is not mounted.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::Build;
use crate::names;

pub(super) fn build(build: &Build<'_>) -> ServiceAccount {
    ServiceAccount {
        metadata: build.metadata(names::brokers(&build.cluster.name)),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
