//! A producer of our own that waits until all replicas have a record, and what its round trips cost the brokers.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_broker_protocol::batch::{BatchBuilder, BatchOptions};
use ottla_broker_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use ottla_broker_protocol::messages::produce_response::ProduceResponse;
use ottla_broker_protocol::{ErrorCode, Records};
use ottla_broker_types::Uuid;
use ottla_operator_kafka_admin::Connection;

use crate::brokers::Brokers;

/// How long an answer may take, beside other work on a small machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A producer with acks=all on one connection that waits for each answer.
#[derive(Debug)]
pub struct AckedProducer {
    connection: Connection,
    topic: String,
    topic_id: Uuid,
}

impl AckedProducer {
    /// A producer to the partitions of a topic that a broker leads.
    pub async fn of(brokers: &Brokers, topic: &str, broker: usize) -> Result<AckedProducer> {
        let found = brokers.admin().describe_topics(Some(&[topic.to_owned()])).await?;
        let id = found.first().and_then(|found| found.id).context("the topic has an id")?;
        let connection = Connection::open(&brokers.bootstrap_of([broker]), PATIENCE).await?;
        Ok(AckedProducer { connection, topic: topic.to_owned(), topic_id: id.0 })
    }

    /// Sends a record of `value_bytes` to a partition and waits until all replicas have it; the bytes of its batch.
    pub async fn send(&mut self, partition: i32, value_bytes: usize) -> Result<usize> {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(None, Some(&vec![7; value_bytes]), 1);
        let batch = builder.build()?;
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: i32::try_from(PATIENCE.as_millis())?,
            topic_data: vec![TopicProduceData {
                topic_id: self.topic_id,
                partition_data: vec![PartitionProduceData {
                    index: partition,
                    records: Some(Records::Borrowed(&batch)),
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let code = |response: ProduceResponse<'_>| {
            response.responses.first()?.partition_responses.first().map(|partition| partition.error_code)
        };
        let code = self.connection.call(&request, code).await?.context("an answer for the partition")?;
        ensure!(code == 0, "{}: {}", self.topic, ErrorCode::from_wire(code).name());
        Ok(batch.len())
    }

    /// Processor time of all brokers for `count` records, one after the other; the cheapest of so many `measurements`
    /// counts, since other work on the machine only adds.
    pub async fn round_trips(
        &mut self,
        brokers: &Brokers,
        count: usize,
        measurements: usize,
    ) -> Result<Duration> {
        let mut best = Duration::MAX;
        for _ in 0..measurements {
            let before = brokers.processor_time()?;
            for _ in 0..count {
                self.send(0, 100).await?;
            }
            best = best.min(brokers.processor_time()?.saturating_sub(before));
        }
        Ok(best)
    }
}
