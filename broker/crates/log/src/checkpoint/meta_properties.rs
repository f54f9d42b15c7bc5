//! `meta.properties`: to which cluster and node a log directory belongs. I/O through [`Disk`] only.

use std::path::Path;

use ottla_broker_types::{ClusterId, DirectoryId, NodeId};

use super::text::{CheckpointError, Unreadable, check_version, io_error, read_text};
use crate::disk::{Disk, replace_file};

/// The file's name within the log directory.
pub const META_PROPERTIES_FILE: &str = "meta.properties";
/// Kafka's version of the file in KRaft mode.
const VERSION: u32 = 1;
const QUORUM_MEMBER: &str = "ottla.quorum.member";

/// The identity of a log directory, Kafka's version 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// `cluster.id`.
    pub cluster_id: ClusterId,
    /// `node.id`.
    pub node_id: NodeId,
    /// `directory.id`; directories that Kafka formatted before 3.7 have none.
    pub directory_id: Option<DirectoryId>,
    /// `ottla.quorum.member`: the node took part in the metadata quorum with this directory. Kafka ignores it.
    pub quorum_member: bool,
}

/// The identity of the log directory `dir`; `None` if it was never formatted.
pub fn read_meta_properties(disk: &dyn Disk, dir: &Path) -> Result<Option<MetaProperties>, CheckpointError> {
    let path = dir.join(META_PROPERTIES_FILE);
    let Some(text) = read_text(disk, &path)? else { return Ok(None) };
    decode(&text).map(Some).map_err(|unreadable| unreadable.at(&path))
}

/// Writes the identity of the log directory `dir`, durably and in one step.
pub fn write_meta_properties(
    disk: &dyn Disk,
    dir: &Path,
    identity: &MetaProperties,
) -> Result<(), CheckpointError> {
    let path = dir.join(META_PROPERTIES_FILE);
    replace_file(disk, &path, encode(identity).as_bytes()).map_err(io_error(&path))
}

fn encode(identity: &MetaProperties) -> String {
    let mut text = format!("#\ncluster.id={}\n", escape(&identity.cluster_id.0));
    if let Some(directory_id) = identity.directory_id {
        text.push_str(&format!("directory.id={directory_id}\n"));
    }
    text.push_str(&format!("node.id={}\n", identity.node_id));
    if identity.quorum_member {
        text.push_str(&format!("{QUORUM_MEMBER}=true\n"));
    }
    text.push_str(&format!("version={VERSION}\n"));
    text
}

fn decode(text: &str) -> Result<MetaProperties, Unreadable> {
    let malformed = Unreadable::Malformed;
    let value = |key: &str| {
        text.lines().map(str::trim).filter(|line| !line.starts_with(['#', '!'])).find_map(|line| {
            let (found, value) = line.split_once('=')?;
            (found.trim() == key).then(|| unescape(value.trim()))
        })
    };
    check_version(value("version").as_deref(), VERSION, "its version is not 1")?;
    let cluster_id =
        value("cluster.id").filter(|id| !id.is_empty()).ok_or(malformed("it has no cluster.id"))?;
    let node_id = value("node.id").and_then(|id| id.parse().ok()).and_then(NodeId::from_wire);
    let directory_id = match value("directory.id") {
        Some(id) => Some(id.parse().map_err(|_| malformed("its directory.id is not an id"))?),
        None => None,
    };
    let node_id = node_id.ok_or(malformed("it has no node.id, or one that is not a number from zero on"))?;
    let quorum_member = value(QUORUM_MEMBER).as_deref() == Some("true");
    Ok(MetaProperties { cluster_id: ClusterId(cluster_id), node_id, directory_id, quorum_member })
}

/// Escapes what has a meaning in a value of Java's properties.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | '=' | ':' | '#' | '!') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn unescape(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_round_trips() {
        let identity = MetaProperties {
            cluster_id: ClusterId("a=b:c\\d#e".to_owned()),
            node_id: NodeId(3),
            directory_id: Some("MkU3OEVBNTcwNTJENDM2Qg".parse().unwrap()),
            quorum_member: false,
        };
        assert_eq!(decode(&encode(&identity)), Ok(identity.clone()));
        let identity = MetaProperties { quorum_member: true, ..identity };
        assert_eq!(decode(&encode(&identity)), Ok(identity));
    }

    #[test]
    fn a_file_of_kafka_is_understood() {
        let text = "#\n#Sat Nov 21 09:00:00 UTC 2026\ncluster.id=MkU3OEVBNTcwNTJENDM2Qk\ndirectory.id=\
                    MkU3OEVBNTcwNTJENDM2Qg\nnode.id=1\nversion=1\n";
        let identity = decode(text).unwrap();
        assert_eq!((identity.cluster_id.0.as_str(), identity.node_id), ("MkU3OEVBNTcwNTJENDM2Qk", NodeId(1)));
    }

    #[test]
    fn an_identity_without_its_parts_is_malformed() {
        for text in
            ["", "version=1\nnode.id=1\n", "version=1\ncluster.id=c\n", "version=0\ncluster.id=c\nnode.id=1"]
        {
            assert!(decode(text).is_err(), "{text:?}");
        }
    }
}
