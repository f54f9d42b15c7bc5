//! From the text of manifests to what is asked for: one cluster and its topics, checked. Pure.
//!
//! Invariant: the outcome is complete or refused. A file that cannot be read as a whole changes nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ottla_operator_crd::validate::joined;
use ottla_operator_crd::{KafkaCluster, KafkaClusterStatus, KafkaTopic, ValidatedCluster, ValidatedTopic};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ports::BROKERS_MAX;

/// The API of the manifests that are read; others in the same files are for Kubernetes.
const API_VERSION: &str = "ottla.dev/v1alpha1";
/// The group of that API: another version of it is a mistake, not somebody else's object.
const API_GROUP: &str = "ottla.dev/";

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// Where it is, for messages.
    pub(super) path: PathBuf,
    /// What it says.
    pub(super) text: String,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Desired {
    pub(super) cluster: ValidatedCluster,
    /// Its topics by the names of their objects.
    pub(super) topics: BTreeMap<String, ValidatedTopic>,
}

/// Why manifests cannot be used: sentences that say what to change, each with its file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub(super) struct Refused(pub(super) Vec<String>);

/// The objects of the files, not checked yet.
#[derive(Debug, Default)]
pub(super) struct Objects {
    clusters: Vec<(PathBuf, KafkaCluster)>,
    topics: Vec<(PathBuf, KafkaTopic)>,
    problems: Vec<String>,
}

impl Objects {
    /// Reads every document of every file.
    pub(super) fn read(files: &[File]) -> Objects {
        let mut objects = Objects::default();
        for file in files {
            // An editor that has just begun, or a disk that is full: nobody means a manifest of nothing.
            if file.text.trim().is_empty() {
                let problem = "it is empty: write a manifest, or remove the file";
                objects.problems.push(format!("{}: {problem}", file.path.display()));
                continue;
            }
            match serde_saphyr::from_multiple::<Value>(&file.text) {
                Ok(documents) => documents.into_iter().for_each(|document| objects.add(file, document)),
                Err(error) => {
                    let first = error.to_string();
                    let first = first.lines().next().unwrap_or_default();
                    objects.problems.push(format!("{}: this is no YAML: {first}", file.path.display()));
                }
            }
        }
        objects
    }

    /// The name of the cluster, once it is clear which one is meant.
    pub(super) fn cluster_name(&self) -> Option<&str> {
        match self.clusters.as_slice() {
            [(_, cluster)] => cluster.metadata.name.as_deref(),
            _ => None,
        }
    }

    /// Checks everything; `status` is what is known of the cluster already.
    pub(super) fn check(mut self, status: &KafkaClusterStatus) -> Result<Desired, Refused> {
        let cluster = self.check_cluster(status);
        let mut topics: BTreeMap<String, ValidatedTopic> = BTreeMap::new();
        for (path, object) in std::mem::take(&mut self.topics) {
            let name = object.metadata.name.clone().unwrap_or_default();
            let place = format!("{}: KafkaTopic {name}", path.display());
            match ValidatedTopic::new(&object) {
                Err(problems) => self.problems.push(format!("{place}: {}", joined(&problems))),
                Ok(topic) => {
                    if let Some(problem) = cluster.as_ref().and_then(|cluster| misplaced(cluster, &topic)) {
                        self.problems.push(format!("{place}: {problem}"));
                    }
                    let same = topics.values().find(|other| other.topic == topic.topic);
                    if let Some(other) = same {
                        self.problems.push(format!(
                            "{place}: the topic {} is that of KafkaTopic {} already: remove one of the two",
                            topic.topic, other.object_name
                        ));
                    }
                    topics.insert(name, topic);
                }
            }
        }
        match cluster {
            Some(cluster) if self.problems.is_empty() => Ok(Desired { cluster, topics }),
            _ => Err(Refused(self.problems)),
        }
    }

    fn check_cluster(&mut self, status: &KafkaClusterStatus) -> Option<ValidatedCluster> {
        let (path, object) = match self.clusters.as_mut_slice() {
            [one] => one,
            [] => {
                // A file that could not be read may hold it.
                if self.problems.is_empty() {
                    let problem = "there is no KafkaCluster: give a file or folder with exactly one";
                    self.problems.push(problem.to_owned());
                }
                return None;
            }
            [(first, _), (second, _), ..] => {
                self.problems.push(format!(
                    "{} and {} each have a KafkaCluster: local mode runs one, so name its file with -f",
                    first.display(),
                    second.display()
                ));
                return None;
            }
        };
        object.status = Some(status.clone());
        let name = object.metadata.name.clone().unwrap_or_default();
        let place = format!("{}: KafkaCluster {name}", path.display());
        if object.spec.replicas > i32::from(BROKERS_MAX) {
            let problem = format!("{place}: spec.replicas: local mode runs up to {BROKERS_MAX} brokers");
            self.problems.push(problem);
            return None;
        }
        match ValidatedCluster::new(object) {
            Ok(cluster) => Some(cluster),
            Err(problems) => {
                self.problems.push(format!("{place}: {}", joined(&problems)));
                None
            }
        }
    }

    fn add(&mut self, file: &File, document: Value) {
        if document.is_null() {
            return;
        }
        let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
        let (api, kind) = (text("apiVersion").to_owned(), text("kind").to_owned());
        let path = file.path.clone();
        match (api.as_str(), kind.as_str()) {
            ("", _) | (_, "") => self.problems.push(format!(
                "{}: a document has no apiVersion or no kind: it is no manifest",
                path.display()
            )),
            (API_VERSION, "KafkaCluster") => match typed(document) {
                Ok(cluster) => self.clusters.push((path, cluster)),
                Err(problem) => self.problems.push(format!("{}: {kind}: {problem}", path.display())),
            },
            (API_VERSION, "KafkaTopic") => match typed(document) {
                Ok(topic) => self.topics.push((path, topic)),
                Err(problem) => self.problems.push(format!("{}: {kind}: {problem}", path.display())),
            },
            (api, kind) if api.starts_with(API_GROUP) => self.problems.push(format!(
                "{}: there is no {kind} in {api}: write KafkaCluster or KafkaTopic and {API_VERSION}",
                path.display()
            )),
            _ => {}
        }
    }
}

/// Why a topic does not belong to the cluster.
fn misplaced(cluster: &ValidatedCluster, topic: &ValidatedTopic) -> Option<String> {
    if topic.cluster != cluster.name || topic.cluster_namespace != cluster.namespace {
        return Some(format!(
            "spec.cluster: it names {}/{}, but the cluster here is {}/{}: change one of them",
            topic.cluster_namespace, topic.cluster, cluster.namespace, cluster.name
        ));
    }
    (!cluster.takes_topics_of(&topic.namespace)).then(|| {
        format!(
            "the cluster takes no topics of namespace {}: add it to spec.topics.allowedNamespaces of the cluster",
            topic.namespace
        )
    })
}

/// The object, if every field that was written is one of it: a misspelt field would be ignored in silence.
fn typed<T: DeserializeOwned + Serialize>(mut document: Value) -> Result<T, String> {
    if let Some(fields) = document.as_object_mut() {
        fields.remove("status");
    }
    let object: T = serde_json::from_value(document.clone()).map_err(|error| error.to_string())?;
    let read = serde_json::to_value(&object).map_err(|error| error.to_string())?;
    match unknown(&document, &read, "") {
        Some(field) => Err(format!("{field}: there is no such field: check its spelling and its place")),
        None => Ok(object),
    }
}

/// The first field that was written and not understood. What is empty may have been left out.
fn unknown(written: &Value, read: &Value, path: &str) -> Option<String> {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => written.iter().find_map(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match read.get(name) {
                Some(read) => unknown(value, read, &path),
                None if is_empty(value) => None,
                None => Some(path),
            }
        }),
        (Value::Array(written), Value::Array(read)) => {
            let mut pairs = written.iter().zip(read).enumerate();
            pairs.find_map(|(index, (written, read))| unknown(written, read, &format!("{path}[{index}]")))
        }
        _ => None,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A valid cluster named demo with three brokers and these lines of spec.
    pub(in crate::local) fn cluster(spec: &str) -> ValidatedCluster {
        let text = format!(
            "apiVersion: ottla.dev/v1alpha1\nkind: KafkaCluster\nmetadata: {{name: demo}}\nspec:\n  storage: {{size: 1Gi}}\n  {spec}\n"
        );
        desired(&[("cluster.yaml", &text)]).expect("it is valid").cluster
    }

    /// Valid topics of these names.
    pub(in crate::local) fn topics(names: &[&str]) -> BTreeMap<String, ValidatedTopic> {
        let text = |name: &&str| format!("---\n{}", TOPIC.replace("name: t}", &format!("name: {name}}}")));
        let topics: String = names.iter().map(text).collect();
        desired(&[("all.yaml", &format!("{CLUSTER}{topics}"))]).expect("they are valid").topics
    }

    fn desired(files: &[(&str, &str)]) -> Result<Desired, Refused> {
        let files: Vec<File> =
            files.iter().map(|(path, text)| File { path: path.into(), text: (*text).to_owned() }).collect();
        Objects::read(&files).check(&KafkaClusterStatus::default())
    }

    fn refused(files: &[(&str, &str)]) -> String {
        desired(files).expect_err("it cannot work").to_string()
    }

    const CLUSTER: &str = "apiVersion: ottla.dev/v1alpha1\nkind: KafkaCluster\nmetadata: {name: demo}\nspec: {replicas: 3, storage: {size: 1Gi}}\n";
    const TOPIC: &str = "apiVersion: ottla.dev/v1alpha1\nkind: KafkaTopic\nmetadata: {name: t}\nspec: {cluster: demo, partitions: 2}\n";

    #[test]
    fn documents_of_one_file_and_of_many_are_one_cluster() {
        let both = format!("{CLUSTER}---\n{TOPIC}");
        let one = desired(&[("all.yaml", &both)]).expect("it is valid");
        let two = desired(&[("a.yaml", CLUSTER), ("b.yaml", TOPIC)]).expect("it is valid");
        assert_eq!(one, two);
        assert_eq!((one.cluster.replicas, one.topics.len()), (3, 1));
    }

    #[test]
    fn objects_for_kubernetes_alone_are_passed_over() {
        let other = "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n";
        assert!(desired(&[("n.yaml", other), ("c.yaml", CLUSTER)]).is_ok());
    }

    #[test]
    fn a_misspelt_field_is_named_with_its_place() {
        let misspelt = CLUSTER.replace("replicas", "replica");
        assert_eq!(
            refused(&[("c.yaml", &misspelt)]),
            "c.yaml: KafkaCluster: spec.replica: there is no such field: check its spelling and its place"
        );
        let deep = CLUSTER.replace("size: 1Gi", "size: 1Gi, clas: fast");
        assert!(refused(&[("c.yaml", &deep)]).contains("spec.storage.clas"));
    }

    #[test]
    fn a_bad_value_says_what_to_change() {
        let bad = CLUSTER.replace("replicas: 3", "replicas: 0");
        let told = refused(&[("c.yaml", &bad)]);
        assert!(told.contains("c.yaml: KafkaCluster demo: spec.replicas: give a number"), "{told}");
        let many = CLUSTER.replace("replicas: 3", "replicas: 101");
        assert!(refused(&[("c.yaml", &many)]).contains("up to 100 brokers"));
    }

    #[test]
    fn all_problems_are_told_together() {
        let bad = CLUSTER.replace("1Gi", "huge");
        let topic = TOPIC.replace("partitions: 2", "partitions: 0");
        assert_eq!(refused(&[("c.yaml", &bad), ("t.yaml", &topic)]).lines().count(), 2);
    }

    #[test]
    fn text_that_is_no_yaml_is_told_with_its_file() {
        let told = refused(&[("c.yaml", CLUSTER), ("x.yaml", "a: [1\n")]);
        assert!(told.starts_with("x.yaml: this is no YAML"), "{told}");
    }

    #[test]
    fn an_empty_file_is_no_manifest_that_asks_for_nothing() {
        let told = refused(&[("c.yaml", CLUSTER), ("t.yaml", " \n")]);
        assert!(told.starts_with("t.yaml: it is empty"), "{told}");
        assert!(desired(&[("c.yaml", CLUSTER), ("t.yaml", "# later\n")]).is_ok());
    }

    #[test]
    fn it_takes_exactly_one_cluster() {
        assert!(refused(&[("t.yaml", TOPIC)]).contains("no KafkaCluster"));
        let told = refused(&[("a.yaml", CLUSTER), ("b.yaml", CLUSTER)]);
        assert!(told.contains("a.yaml and b.yaml"), "{told}");
    }

    #[test]
    fn topics_of_other_clusters_and_two_of_one_name_are_refused() {
        let other = TOPIC.replace("cluster: demo", "cluster: prod");
        assert!(refused(&[("c.yaml", CLUSTER), ("t.yaml", &other)]).contains("default/prod"));
        let twin =
            TOPIC.replace("name: t}", "name: u}").replace("cluster: demo", "cluster: demo, topicName: t");
        assert!(refused(&[("c.yaml", CLUSTER), ("t.yaml", TOPIC), ("u.yaml", &twin)]).contains("remove one"));
    }

    #[test]
    fn other_versions_and_kinds_of_our_api_are_mistakes() {
        let old = CLUSTER.replace("v1alpha1", "v1");
        assert!(refused(&[("c.yaml", &old)]).contains("there is no KafkaCluster in ottla.dev/v1"));
        let kind = CLUSTER.replace("KafkaCluster", "Kafka");
        assert!(refused(&[("c.yaml", &kind)]).contains("there is no Kafka in"));
    }
}
