//! Whose an object of the API server is: what is not this cluster's is neither changed nor deleted. Pure.
//!
//! | what | its mark |
//! |--|--|
//! | what is made for a cluster and goes with it | an owner reference to the KafkaCluster, by uid |
//! | claims, which may outlive the KafkaCluster | the label of the cluster and the cluster's id in an annotation |
//! | pods | controlled by the cluster's StatefulSet |
//!
//! A person hands an object over by the annotation [`names::ADOPT_ANNOTATION`] with the cluster's name, a claim by the
//! marks themselves.

use ottla_operator_crd::ValidatedCluster;

use crate::names;

/// What an object says about whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Objects that it goes with.
    pub owners: Vec<Owner>,
    /// The cluster that its label names.
    pub cluster: Option<String>,
    /// The id of the cluster whose data it holds.
    pub cluster_id: Option<String>,
    /// The cluster that a person hands it over to.
    pub adopt: Option<String>,
}

/// An object that another goes with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Whether it is the one that looks after it.
    pub controller: bool,
}

/// Whose an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This cluster's, or handed over to it.
    Ours,
    /// An earlier cluster's of this name: it is about to go.
    Former,
    /// Somebody else's: a sentence with its name and the way out.
    Others(String),
}

/// Whose the object `label` (kind and name) is that has the name of one that the cluster needs.
pub fn whose(cluster: &ValidatedCluster, label: &str, marks: &Marks) -> Whose {
    let of_cluster = |owner: &&Owner| owner.kind == "KafkaCluster" && owner.name == cluster.name;
    if is_owned_by(marks, &cluster.uid) {
        return Whose::Ours;
    }
    if marks.owners.iter().any(|owner| of_cluster(&owner)) {
        return Whose::Former;
    }
    let name = &cluster.name;
    let controller = marks.owners.iter().find(|owner| owner.controller);
    if let Some(Owner { kind, name: other, .. }) = controller {
        return Whose::Others(format!(
            "{label} belongs to {kind} {other}, and KafkaCluster {name} needs that name: rename either of them"
        ));
    }
    if marks.adopt.as_ref() == Some(name) {
        return Whose::Ours;
    }
    Whose::Others(format!(
        "{label} was not made by KafkaCluster {name}, which needs that name, and is left as it is: delete or rename it, or hand it over with the annotation {}={name} on it",
        names::ADOPT_ANNOTATION
    ))
}

/// Whose the claim `name` is that a broker of the cluster would use.
pub fn whose_claim(cluster: &ValidatedCluster, cluster_id: &str, name: &str, marks: &Marks) -> Whose {
    let is_labelled = marks.cluster.as_ref() == Some(&cluster.name);
    match marks.cluster_id.as_deref() {
        Some(id) if id == cluster_id && is_labelled => Whose::Ours,
        Some(id) if id != cluster_id => Whose::Others(format!(
            "PersistentVolumeClaim {name} holds data of cluster {id}, and this is cluster {cluster_id}: move it away or delete it"
        )),
        _ => Whose::Others(format!(
            "PersistentVolumeClaim {name} was not made by KafkaCluster {}, whose broker would use it, and is left as it is: delete it, or hand it over with the label {}={} and the annotation {}={cluster_id} on it",
            cluster.name,
            names::CLUSTER_LABEL,
            cluster.name,
            names::CLUSTER_ID_ANNOTATION
        )),
    }
}

/// Whether an object goes with the KafkaCluster of that uid.
pub fn is_owned_by(marks: &Marks, uid: &str) -> bool {
    marks.owners.iter().any(|owner| owner.uid == uid && owner.kind == "KafkaCluster")
}

/// Whether a pod is one of the cluster's StatefulSet.
pub fn is_broker(marks: &Marks, cluster: &str) -> bool {
    let set = names::brokers(cluster);
    marks.owners.iter().any(|owner| owner.controller && owner.kind == "StatefulSet" && owner.name == set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::cluster;

    fn owner(kind: &str, name: &str, uid: &str) -> Marks {
        let owner =
            Owner { kind: kind.to_owned(), name: name.to_owned(), uid: uid.to_owned(), controller: true };
        Marks { owners: vec![owner], ..Marks::default() }
    }

    fn others(whose: Whose) -> String {
        let Whose::Others(text) = whose else { panic!("{whose:?}") };
        text
    }

    #[test]
    fn only_an_owner_reference_by_uid_makes_an_object_ours() {
        let demo = cluster(3);
        let of = |marks: &Marks| whose(&demo, "Service demo-bootstrap", marks);
        assert_eq!(of(&owner("KafkaCluster", "demo", "u")), Whose::Ours);
        assert_eq!(of(&owner("KafkaCluster", "demo", "before")), Whose::Former);
        let labelled = Marks { cluster: Some("demo".to_owned()), ..Marks::default() };
        let text = others(of(&labelled));
        assert!(text.contains("Service demo-bootstrap") && text.contains("ottla.dev/adopt=demo"), "{text}");
    }

    #[test]
    fn an_object_is_handed_over_by_an_annotation_for_exactly_this_cluster_unless_another_looks_after_it() {
        let demo = cluster(3);
        let handed = |to: &str, marks: Marks| Marks { adopt: Some(to.to_owned()), ..marks };
        let of = |marks: &Marks| whose(&demo, "Service demo-bootstrap", marks);
        assert_eq!(of(&handed("demo", Marks::default())), Whose::Ours);
        assert!(matches!(of(&handed("other", Marks::default())), Whose::Others(_)));
        let looked_after = handed("demo", owner("Gateway", "edge", "g"));
        assert!(others(of(&looked_after)).contains("belongs to Gateway edge"));
    }

    #[test]
    fn a_claim_is_ours_by_label_and_id_together() {
        let demo = cluster(3);
        let marks = |label: Option<&str>, id: Option<&str>| Marks {
            cluster: label.map(str::to_owned),
            cluster_id: id.map(str::to_owned),
            ..Marks::default()
        };
        let of = |label, id| whose_claim(&demo, "x", "data-demo-broker-0", &marks(label, id));
        assert_eq!(of(Some("demo"), Some("x")), Whose::Ours);
        assert!(others(of(Some("demo"), Some("y"))).contains("holds data of cluster y"));
        for (label, id) in [(None, None), (Some("demo"), None), (None, Some("x"))] {
            assert!(others(of(label, id)).contains("ottla.dev/cluster-id=x"), "{label:?} {id:?}");
        }
    }

    #[test]
    fn a_pod_is_a_broker_by_its_controller_and_not_by_its_labels() {
        assert!(is_broker(&owner("StatefulSet", "demo-broker", "s"), "demo"));
        assert!(!is_broker(&owner("StatefulSet", "web", "s"), "demo"));
        assert!(!is_broker(&Marks { cluster: Some("demo".to_owned()), ..Marks::default() }, "demo"));
    }
}
