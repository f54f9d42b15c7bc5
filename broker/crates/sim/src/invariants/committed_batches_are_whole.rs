//! Every batch below a high watermark is as its producer sealed it: its checksum is right.
//!
//! Source: after a power cut the unsynced end of a log may hold any sectors of what was written; a recovery that looks at
//! headers only takes the rest for records, and serves them once it leads. No I/O.

use ottla_broker_protocol::batch::batches;
use ottla_broker_types::{NodeId, TopicPartition};

use super::violation::Violation;

/// Checks the batches that `bytes` are on `node`.
pub fn check_whole(partition: &TopicPartition, node: NodeId, bytes: &[u8]) -> Result<(), Violation> {
    for batch in batches(bytes) {
        let checked = batch.and_then(|(header, batch)| header.check_crc(batch));
        checked.map_err(|error| {
            Violation::new(
                "committed_batches_are_whole",
                format!("{partition}: {node} holds a bad batch: {error}"),
            )
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ottla_broker_protocol::batch::{BatchBuilder, BatchOptions};

    use super::super::testing::partition;
    use super::*;

    #[test]
    fn a_zeroed_record_is_a_violation() {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(None, Some(b"value"), 1);
        let mut batch = builder.build().expect("a small record").to_vec();
        assert!(check_whole(&partition(), NodeId(1), &batch).is_ok());
        *batch.last_mut().expect("it is not empty") ^= 1;
        assert!(check_whole(&partition(), NodeId(1), &batch).is_err());
    }
}
