//! What lies on a broker's disks.

use std::collections::BTreeMap;

use ottla_broker_protocol::messages::describe_log_dirs_request::DescribeLogDirsRequest;
use ottla_broker_protocol::messages::describe_log_dirs_response::DescribeLogDirsResponse;
use ottla_broker_types::{NodeId, PartitionIndex};

use crate::client::AdminClient;
use crate::error::AdminError;

/// One replica on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaSize {
    /// Its bytes on disk.
    pub bytes: u64,
    /// Records by which it lags behind the leader.
    pub offset_lag: i64,
}

/// The disks of one broker, taken together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerLogDirs {
    /// Bytes of the volumes; `None` if the broker does not tell.
    pub total_bytes: Option<u64>,
    /// Free bytes of the volumes; `None` if the broker does not tell.
    pub usable_bytes: Option<u64>,
    /// Every replica, by topic and partition.
    pub replicas: BTreeMap<(String, PartitionIndex), ReplicaSize>,
}

impl AdminClient {
    /// What lies on the disks of `broker`.
    pub async fn describe_log_dirs(&self, broker: NodeId) -> Result<BrokerLogDirs, AdminError> {
        let request = DescribeLogDirsRequest { topics: None, ..Default::default() };
        self.call_broker(broker, &request, |response: DescribeLogDirsResponse<'_>| {
            AdminError::check(response.error_code, None)?;
            let mut found = BrokerLogDirs::default();
            for directory in &response.results {
                AdminError::check(directory.error_code, None)?;
                found.total_bytes = add(found.total_bytes, directory.total_bytes);
                found.usable_bytes = add(found.usable_bytes, directory.usable_bytes);
                for topic in &directory.topics {
                    // A copy that moves between folders of the broker is not a replica of its own.
                    for partition in topic.partitions.iter().filter(|copy| !copy.is_future_key) {
                        let key =
                            (topic.name.clone().into_owned(), PartitionIndex(partition.partition_index));
                        let size = ReplicaSize {
                            bytes: u64::try_from(partition.partition_size).unwrap_or(0),
                            offset_lag: partition.offset_lag,
                        };
                        found.replicas.insert(key, size);
                    }
                }
            }
            Ok(found)
        })
        .await?
    }
}

/// Adds a volume's bytes; a negative number means that the broker does not know.
fn add(sum: Option<u64>, volume_bytes: i64) -> Option<u64> {
    match u64::try_from(volume_bytes) {
        Ok(bytes) => Some(sum.unwrap_or(0) + bytes),
        Err(_) => sum,
    }
}
