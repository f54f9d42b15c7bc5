//! What every client asks: what a broker serves, where partitions lie, and their records.

pub(super) mod api_versions;
pub(super) mod fetch;
pub(super) mod init_producer_id;
pub(super) mod list_offsets;
pub(super) mod metadata;
pub(super) mod offset_for_leader_epoch;
mod old_clients;
pub(super) mod produce;
