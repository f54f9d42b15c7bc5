//! The end of a partition's log. I/O through [`crate::Disk`] only.

use std::io;
use std::path::PathBuf;

use ottla_broker_types::Uuid;

use super::Log;
use crate::checkpoint::deleted_dir_name;

impl Log {
    /// Moves the directory out of the way, durably, so that the partition can be made anew at once; works on a
    /// failed log too. Returns the moved directory, whose removal may take long and needs no log. `unique` tells it
    /// from other deleted directories of the same partition.
    pub fn delete(mut self, unique: Uuid) -> io::Result<PathBuf> {
        self.stop_cleaning();
        let moved = self.dir.with_file_name(deleted_dir_name(&self.topic, unique));
        self.disk.rename(&self.dir, &moved)?;
        if let Some(parent) = self.dir.parent() {
            self.disk.sync_dir(parent)?;
        }
        Ok(moved)
    }
}
