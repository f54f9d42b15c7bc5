//! Tests of a whole log, by kind of claim; parts are tested beside their code.

mod append;
mod compaction;
mod compaction_crash;
mod compaction_model;
mod crash_consistency;
mod disk_faults;
mod formats;
mod hostile;
mod model;
mod producers;
mod read;
mod real_disk;
mod reopen;
mod retention;
mod rig;
mod roll;
mod timestamps;
mod transactions;
mod truncate;
