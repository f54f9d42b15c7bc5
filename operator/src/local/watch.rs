//! Reads the manifests' files and notices when they change, by looking at them again and again.
//!
//! I/O: reads `-f`, a file or the folder's `*.yaml`, `*.yml` and `*.json`. A change counts once it has lasted for
//! [`STEADY_MS`], so that a file half written by an editor is not read, nor one missed that is being replaced.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ottla_broker_types::TimestampMs;

use super::manifests::{File, Refused};

/// How long files must look the same: editors write within a few milliseconds.
const STEADY_MS: i64 = 300;
/// A manifest is a page of text; a larger file is something else.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Manifests in a folder; more is a folder chosen by mistake.
const FILES_MAX: usize = 1000;

/// What tells one content of a file from another: inode, length, time of change.
type Mark = (u64, u64, i64, i64);

/// Where the manifests are, and what was seen of them.
#[derive(Debug)]
pub(super) struct Watch {
    path: PathBuf,
    read: BTreeMap<PathBuf, Mark>,
    last: BTreeMap<PathBuf, Mark>,
    since: TimestampMs,
}

impl Watch {
    /// A watch on a file or folder that was not read yet.
    pub(super) fn new(path: PathBuf) -> Watch {
        Watch { path, read: BTreeMap::new(), last: BTreeMap::new(), since: TimestampMs(0) }
    }

    /// Whether there is something new to read.
    pub(super) fn changed(&mut self, now: TimestampMs) -> bool {
        let marks = marks(&self.path);
        if marks != self.last {
            (self.last, self.since) = (marks, now);
        }
        self.last != self.read && now.0 - self.since.0 >= STEADY_MS
    }

    /// Reads every file.
    pub(super) fn read(&mut self) -> Result<Vec<File>, Refused> {
        self.read = marks(&self.path);
        self.last.clone_from(&self.read);
        let refuse = |problem: String| Refused(vec![problem]);
        if let Err(error) = std::fs::metadata(&self.path) {
            return Err(refuse(format!(
                "{} cannot be read ({error}): give a file or folder with manifests by -f",
                self.path.display()
            )));
        }
        if self.read.is_empty() {
            return Err(refuse(format!("{} has no .yaml, .yml or .json file", self.path.display())));
        }
        if self.read.len() > FILES_MAX {
            return Err(refuse(format!(
                "{} has more than {FILES_MAX} manifests: choose a smaller folder",
                self.path.display()
            )));
        }
        self.read.iter().map(|(path, (_, length, _, _))| read_one(path, *length).map_err(refuse)).collect()
    }
}

fn read_one(path: &Path, length: u64) -> Result<File, String> {
    if length > FILE_BYTES_MAX {
        return Err(format!("{} is larger than 1 MiB: it is no manifest", path.display()));
    }
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(File { path: path.to_owned(), text }),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}

/// The files and their marks; what cannot be looked at is left out and told when it is read.
fn marks(path: &Path) -> BTreeMap<PathBuf, Mark> {
    let mut files = BTreeMap::new();
    let mut add = |path: PathBuf| {
        if let Ok(metadata) = std::fs::metadata(&path)
            && metadata.is_file()
        {
            let mark = (metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec());
            files.insert(path, mark);
        }
    };
    if path.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let is_manifest = |path: &Path| {
            path.extension().is_some_and(|kind| kind == "yaml" || kind == "yml" || kind == "json")
        };
        entries.map(|entry| entry.path()).filter(|path| is_manifest(path)).for_each(&mut add);
    } else {
        add(path.to_owned());
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_once_it_is_steady_and_only_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.yaml");
        std::fs::write(&path, "one").expect("it is written");
        std::fs::write(dir.path().join("README.md"), "no manifest").expect("it is written");
        let mut watch = Watch::new(dir.path().to_owned());
        assert_eq!(watch.read().expect("it is there").len(), 1);
        assert!(!watch.changed(TimestampMs(0)));
        std::fs::write(&path, "other").expect("it is written");
        assert!(!watch.changed(TimestampMs(1_000)), "the first look may see a half");
        std::fs::write(&path, "another").expect("it is written");
        assert!(!watch.changed(TimestampMs(1_000 + STEADY_MS)), "it was a half");
        assert!(watch.changed(TimestampMs(1_000 + 2 * STEADY_MS)));
        watch.read().expect("it is there");
        assert!(!watch.changed(TimestampMs(10_000)));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_the_way_out() {
        let dir = tempfile::tempdir().expect("a folder");
        let told = Watch::new(dir.path().join("none")).read().expect_err("there is nothing").to_string();
        assert!(told.contains("none cannot be read") && told.contains("-f"), "{told}");
        let told = Watch::new(dir.path().to_owned()).read().expect_err("it is empty").to_string();
        assert!(told.contains("has no .yaml"), "{told}");
    }
}
