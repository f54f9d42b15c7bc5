//! The CustomResourceDefinitions as they are installed. Pure.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_core::crd::CustomResourceExt;
use serde_json::Value;

use crate::{KafkaCluster, KafkaTopic};

/// The API group of all resources.
pub const API_GROUP: &str = "ottla.dev";

/// Every CustomResourceDefinition, in a fixed order.
pub fn custom_resource_definitions() -> Vec<CustomResourceDefinition> {
    vec![tidied(KafkaCluster::crd()), tidied(KafkaTopic::crd())]
}

/// Removes what derived schemas say and an API server does not need: without `nullable` it drops nulls by
/// itself, which is what a person means who writes `class: ` and nothing behind it.
fn tidied(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let name = crd.metadata.name.clone();
    let mut json = serde_json::to_value(crd).expect("a derived definition is JSON");
    tidy(&mut json);
    let mut crd: CustomResourceDefinition =
        serde_json::from_value(json).expect("removing keys keeps a definition readable");
    crd.metadata.name = name;
    crd
}

fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if map.get("nullable").is_some_and(Value::is_boolean) {
                map.remove("nullable");
            }
            if let Some(Value::Array(words)) = map.get_mut("enum") {
                words.retain(|word| !word.is_null());
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
