//! The APIs of consumer groups, one file each.

mod delete_groups;
mod describe_groups;
pub(super) mod find_coordinator;
mod heartbeat;
mod join_group;
mod leave_group;
mod list_groups;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod parts;
mod sync_group;

pub use parts::handle;
