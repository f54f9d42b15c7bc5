//! The one table of every setting, in parts, and the look-up by name. Pure data.

mod groups;
mod log;
mod lookup;
mod node;
mod reasons;
mod removed;
mod replication;
mod security;
mod topic;

pub use lookup::{
    broker_setting, broker_settings, group_setting, group_settings, quota_settings, topic_setting,
    topic_settings,
};
pub use removed::{removed_broker_setting, removed_topic_setting};
