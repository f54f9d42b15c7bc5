//! The small text files beside the segments, in Kafka's formats (`FORMAT.md`).

mod checkpoints;
mod clean_shutdown;
mod epochs;
mod meta_properties;
mod offsets;
mod partition_dir;
mod partition_metadata;
mod recovery_limit;
mod text;

pub use checkpoints::Checkpoints;
pub use clean_shutdown::{
    CLEAN_SHUTDOWN_FILE, read_clean_shutdown, remove_clean_shutdown, write_clean_shutdown,
};
pub(crate) use epochs::{EPOCHS_FILE, decode_epochs, encode_epochs};
pub use meta_properties::{
    META_PROPERTIES_FILE, MetaProperties, read_meta_properties, write_meta_properties,
};
pub use offsets::{CLEANED_ENDS_FILE, HIGH_WATERMARKS_FILE, LOG_STARTS_FILE, RECOVERY_POINTS_FILE};
pub(crate) use partition_dir::deleted_dir_name;
pub use partition_dir::{
    METADATA_DIR, PartitionDir, is_metadata_log, partition_dir_name, stray_dir_name, unhosted_logs,
};
pub(crate) use partition_metadata::{PARTITION_METADATA_FILE, decode_metadata, encode_metadata};
pub(crate) use recovery_limit::{RECOVERY_LIMIT_FILE, read_recovery_limit, write_recovery_limit};
pub use text::CheckpointError;
pub(crate) use text::Unreadable;
#[cfg(test)]
pub(crate) use text::VERSION;
