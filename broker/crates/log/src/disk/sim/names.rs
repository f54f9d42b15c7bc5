//! The names of a simulated disk: which path leads to which file, now and after a power cut. No I/O.
//! Changes are durable in their order at the latest when their directory is synced.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::Node;

/// What a path leads to.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Dir,
    File(Arc<Node>),
}

#[derive(Clone, Debug)]
enum Change {
    Link { path: PathBuf, entry: Entry },
    Unlink { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
}

type Tree = BTreeMap<PathBuf, Entry>;

/// Both views and the changes between them.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) live: Tree,
    durable: Tree,
    pending: Vec<Change>,
}

impl Names {
    pub(super) fn link(&mut self, path: &Path, entry: Entry) {
        self.change(Change::Link { path: path.to_owned(), entry });
    }

    pub(super) fn unlink(&mut self, path: &Path) {
        self.change(Change::Unlink { path: path.to_owned() });
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) {
        self.change(Change::Rename { from: from.to_owned(), to: to.to_owned() });
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.live, &change);
        self.pending.push(change);
    }

    /// Makes the changes within `dir` durable.
    pub(super) fn sync(&mut self, dir: &Path) {
        let mut at = 0;
        while at < self.pending.len() {
            let touches = match &self.pending[at] {
                Change::Link { path, .. } | Change::Unlink { path } => path.parent() == Some(dir),
                Change::Rename { from, to } => from.parent() == Some(dir) || to.parent() == Some(dir),
            };
            if !touches {
                at += 1;
                continue;
            }
            let change = self.pending.remove(at);
            if let Change::Rename { from, to } = &change {
                // What is pending below a renamed directory now happens below its new name.
                self.pending[..at].iter_mut().for_each(|earlier| earlier.move_below(from, to));
            }
            apply(&mut self.durable, &change);
        }
    }

    /// Keeps the first `kept` of the changes that are not durable yet, as a journal would.
    pub(super) fn crash(&mut self, kept: usize) {
        for change in self.pending.drain(..).take(kept) {
            apply(&mut self.durable, &change);
        }
        let tree = &self.durable;
        let lost: Vec<PathBuf> = tree.keys().filter(|path| !reachable(tree, path)).cloned().collect();
        for path in lost {
            self.durable.remove(&path);
        }
        self.live = self.durable.clone();
    }

    pub(super) fn pending_count(&self) -> usize {
        self.pending.len()
    }
}

impl Change {
    fn move_below(&mut self, from: &Path, to: &Path) {
        match self {
            Change::Link { path, .. } | Change::Unlink { path } => moved(path, from, to),
            Change::Rename { from: source, to: target } => {
                moved(source, from, to);
                moved(target, from, to);
            }
        }
    }
}

fn moved(path: &mut PathBuf, from: &Path, to: &Path) {
    if let Ok(rest) = path.strip_prefix(from)
        && rest != Path::new("")
    {
        *path = to.join(rest);
    }
}

fn apply(tree: &mut Tree, change: &Change) {
    match change {
        Change::Link { path, entry } => {
            tree.insert(path.clone(), entry.clone());
        }
        Change::Unlink { path } => tree.retain(|other, _| !other.starts_with(path)),
        Change::Rename { from, to } => {
            let affected: Vec<PathBuf> = tree.keys().filter(|path| path.starts_with(from)).cloned().collect();
            for path in affected {
                let target = match path.strip_prefix(from) {
                    Ok(rest) if rest != Path::new("") => to.join(rest),
                    _ => to.clone(),
                };
                if let Some(entry) = tree.remove(&path) {
                    tree.insert(target, entry);
                }
            }
        }
    }
}

fn reachable(tree: &Tree, path: &Path) -> bool {
    path.ancestors()
        .skip(1)
        .filter(|dir| dir.parent().is_some() && *dir != Path::new(""))
        .all(|dir| matches!(tree.get(dir), Some(Entry::Dir)))
}
