//! Writing status: only when it differs, with the operator's one field manager.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use ottla_operator_planner::names::FIELD_MANAGER;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Writes the status of an object; with `seen` only if it is still at that resource version.
pub async fn write<K, S>(
    client: &Client,
    namespace: &str,
    name: &str,
    seen: Option<&str>,
    status: &S,
) -> Result<(), kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    S: Serialize + Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let mut patch = serde_json::json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": name, "namespace": namespace },
        "status": status,
    });
    if let Some(seen) = seen {
        patch["metadata"]["resourceVersion"] = seen.into();
    }
    api.patch_status(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&patch)).await?;
    Ok(())
}
