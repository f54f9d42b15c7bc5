//! The simulated disk and its controls. No I/O.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::crash;
use super::fault::{Faults, SimError, SimFault, SimOp};
use super::file::{Node, SimFile};
use super::names::{Entry, Names};
use super::rng::Rng;
use crate::disk::{Disk, DiskFile, OpenMode};

/// A disk in memory. Clones share it, as processes share a disk.
///
/// What was not synced is kept apart: [`SimDisk::crash`] is a power cut and loses it, [`SimDisk::kill`] is the
/// end of the process alone and loses nothing. Either makes all open handles useless.
#[derive(Clone, Debug)]
pub struct SimDisk {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared(Mutex<State>);

#[derive(Debug)]
pub(super) struct State {
    pub(super) rng: Rng,
    pub(super) names: Names,
    pub(super) faults: Faults,
    pub(super) generation: u64,
    capacity_bytes: u64,
    /// Handles that are open.
    pub(super) open_count: usize,
    /// Syncs of files and directories.
    pub(super) sync_count: usize,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn files(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.names.live.values().filter_map(|entry| match entry {
            Entry::File(node) => Some(node),
            Entry::Dir => None,
        })
    }

    pub(super) fn free_bytes(&self) -> u64 {
        if self.capacity_bytes == u64::MAX {
            return u64::MAX;
        }
        let used: u64 = self.files().map(|node| node.content().taken() as u64).sum();
        self.capacity_bytes.saturating_sub(used)
    }

    fn is_dir(&self, path: &Path) -> bool {
        path == Path::new("")
            || path == Path::new("/")
            || matches!(self.names.live.get(path), Some(Entry::Dir))
    }
}

impl SimDisk {
    /// An empty disk without a limit; `seed` decides how much of a failing write is written.
    pub fn new(seed: u64) -> SimDisk {
        let state = State {
            rng: Rng::new(seed),
            names: Names::default(),
            faults: Faults::default(),
            generation: 0,
            capacity_bytes: u64::MAX,
            open_count: 0,
            sync_count: 0,
        };
        SimDisk { shared: Arc::new(Shared(Mutex::new(state))) }
    }

    /// Cuts the power: `seed` decides which unsynced writes and names survive, and how torn they are.
    pub fn crash(&self, seed: u64) {
        let mut state = self.shared.lock();
        let mut rng = Rng::new(seed);
        let kept = rng.below(state.names.pending_count() + 1);
        state.names.crash(kept);
        for node in state.files() {
            crash::crash(&mut node.content(), &mut rng);
        }
        state.faults.clear();
        state.generation += 1;
    }

    /// Ends the process that holds the disk: handles stop working, nothing is lost.
    pub fn kill(&self) {
        let mut state = self.shared.lock();
        state.faults.clear();
        state.generation += 1;
    }

    /// Makes one later call fail.
    pub fn inject(&self, fault: SimFault) {
        self.shared.lock().faults.add(fault);
    }

    /// Forgets the faults that have not happened.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// Limits the bytes of all files together; a write beyond it fails with ENOSPC. `u64::MAX` is no limit.
    pub fn set_capacity_bytes(&self, capacity_bytes: u64) {
        self.shared.lock().capacity_bytes = capacity_bytes;
    }

    /// Files that are open now, counted once a handle.
    pub fn open_count(&self) -> usize {
        self.shared.lock().open_count
    }

    /// Syncs of files and directories until now.
    pub fn sync_count(&self) -> usize {
        self.shared.lock().sync_count
    }

    fn begin(&self, op: SimOp) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.shared.lock();
        match state.faults.count(op) {
            Some(error) => Err(error.error()),
            None => Ok(state),
        }
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.begin(SimOp::Open)?;
        let node = match state.names.live.get(path) {
            Some(Entry::File(node)) => node.clone(),
            Some(Entry::Dir) => return Err(io::ErrorKind::IsADirectory.into()),
            None if mode == OpenMode::Create => {
                if !path.parent().is_some_and(|dir| state.is_dir(dir)) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                if state.free_bytes() == 0 {
                    return Err(SimError::NoSpace.error());
                }
                let node = Arc::new(Node::default());
                state.names.link(path, Entry::File(node.clone()));
                node
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        let generation = state.generation;
        state.open_count += 1;
        let writable = mode != OpenMode::Read;
        Ok(Arc::new(SimFile { shared: self.shared.clone(), node, generation, writable }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.begin(SimOp::CreateDir)?;
        let mut missing: Vec<&Path> = path.ancestors().filter(|dir| !state.is_dir(dir)).collect();
        missing.reverse();
        for dir in missing {
            if state.names.live.contains_key(dir) {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            state.names.link(dir, Entry::Dir);
        }
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.begin(SimOp::Remove)?;
        if !state.is_dir(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.names.unlink(path);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.begin(SimOp::Remove)?;
        if !matches!(state.names.live.get(path), Some(Entry::File(_))) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.names.unlink(path);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.begin(SimOp::Rename)?;
        if !state.names.live.contains_key(from) || !to.parent().is_some_and(|dir| state.is_dir(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.names.rename(from, to);
        Ok(())
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.begin(SimOp::ListDir)?;
        if !state.is_dir(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(state.names.live.keys().filter(|other| other.parent() == Some(path)).cloned().collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.begin(SimOp::Exists)?;
        Ok(state.is_dir(path) || state.names.live.contains_key(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.begin(SimOp::SyncDir)?;
        state.sync_count += 1;
        if !state.is_dir(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.names.sync(path);
        Ok(())
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(self.begin(SimOp::FreeBytes)?.free_bytes())
    }
}
