//! A client that adds nothing to what is measured: one blocking socket, requests encoded once, answers in order.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ottla_broker_protocol::batch::{BatchBuilder, BatchOptions};
use ottla_broker_protocol::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use ottla_broker_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use ottla_broker_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use ottla_broker_protocol::{ErrorCode, Records, frame};
use ottla_e2e::Stopwatch;

/// How long anything may take: Kafka needs seconds to start beside other work.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a broker that is starting: far below what a start is measured in.
const LOOK_INTERVAL: Duration = Duration::from_micros(200);
/// The largest answer that is believed.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// The last version of Produce and of Fetch that names topics, and one of CreateTopics that both brokers serve.
const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 12;
const CREATE_TOPICS_VERSION: i16 = 5;
/// Who the client says it is.
const CLIENT_ID: &str = "ottla-bench";

/// A connection to a broker, or to the floor program.
pub struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Client {
    /// Connects, as soon as somebody listens on 127.0.0.1:`port`.
    pub fn connect(port: u16) -> Result<Client> {
        let started = Stopwatch::start();
        loop {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(stream) => {
                    stream.set_nodelay(true).context("set TCP_NODELAY")?;
                    stream.set_read_timeout(Some(PATIENCE)).context("bound the wait for answers")?;
                    return Ok(Client { stream, answer: Vec::new() });
                }
                Err(error) if started.elapsed() > PATIENCE => {
                    return Err(error).with_context(|| format!("nobody listens on port {port}"));
                }
                Err(_) => std::thread::sleep(LOOK_INTERVAL),
            }
        }
    }

    /// Another handle to the connection, for a thread that receives while this one sends.
    pub fn share(&self) -> Result<Client> {
        Ok(Client { stream: self.stream.try_clone().context("share a connection")?, answer: Vec::new() })
    }

    /// Sends a whole frame.
    pub fn send(&mut self, frame: &[u8]) -> Result<()> {
        self.stream.write_all(frame).context("send a request")
    }

    /// The next answer, without its length.
    pub fn receive(&mut self) -> Result<&[u8]> {
        let mut prefix = [0; frame::SIZE_LEN];
        self.stream.read_exact(&mut prefix).context("wait for an answer")?;
        let len = frame::size(&prefix, ANSWER_BYTES_MAX)?.context("an answer without a length")?;
        self.answer.resize(len, 0);
        self.stream.read_exact(&mut self.answer).context("read an answer")?;
        Ok(&self.answer)
    }

    /// The bytes of the next answer, which the kernel drops unread; returns how many there were.
    pub fn drain(&mut self) -> Result<usize> {
        let mut prefix = [0; frame::SIZE_LEN];
        self.stream.read_exact(&mut prefix).context("wait for an answer")?;
        let len = frame::size(&prefix, ANSWER_BYTES_MAX)?.context("an answer without a length")?;
        self.discard(len)?;
        Ok(len)
    }

    /// Drops the next `len` bytes unread.
    pub fn discard(&mut self, len: usize) -> Result<()> {
        self.answer.resize(1 << 20, 0);
        let mut left = len;
        while left > 0 {
            let room = left.min(self.answer.len());
            let flags = rustix::net::RecvFlags::TRUNC;
            let (_, dropped) =
                rustix::net::recv(&self.stream, &mut self.answer[..room], flags).context("read an answer")?;
            ensure!(dropped > 0, "the connection ended within an answer");
            left -= dropped;
        }
        Ok(())
    }

    /// Creates a topic of one partition; a broker that is not yet ready is asked again.
    pub fn create_topic(&mut self, name: &str) -> Result<()> {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: 1,
            replication_factor: 1,
            // The records' times are not today's, and what is fetched must still be there.
            configs: vec![CreatableTopicConfig {
                name: "retention.ms".into(),
                value: Some("-1".into()),
                ..CreatableTopicConfig::default()
            }],
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
        let frame = frame::encode_request(&request, CREATE_TOPICS_VERSION, 0, Some(CLIENT_ID))?;
        self.until_accepted("create a topic", &frame, |answer| {
            let (_, response) =
                frame::decode_response::<CreateTopicsRequest<'_>>(answer, CREATE_TOPICS_VERSION)?;
            Ok(response.topics.first().context("an answer without a topic")?.error_code)
        })
    }

    /// Produces until an acknowledgement comes.
    pub fn produce_first(&mut self, produce: &Produce) -> Result<()> {
        self.until_accepted("produce", &produce.frame, produced)
    }

    fn until_accepted(
        &mut self,
        what: &str,
        frame: &[u8],
        code_of: impl Fn(&[u8]) -> Result<i16>,
    ) -> Result<()> {
        let started = Stopwatch::start();
        loop {
            self.send(frame)?;
            let code = ErrorCode::from_wire(code_of(self.receive()?)?);
            match code {
                ErrorCode::None => return Ok(()),
                _ if started.elapsed() > PATIENCE => bail!("{what}: {}", code.name()),
                _ => std::thread::sleep(LOOK_INTERVAL),
            }
        }
    }
}

/// A Produce request that is sent many times.
pub struct Produce {
    /// The request.
    pub frame: Vec<u8>,
    /// Bytes of its one batch.
    pub batch_bytes: usize,
}

impl Produce {
    /// One batch of `records` values of `value_bytes` for partition 0 of `topic`, acks=all, no producer id.
    pub fn new(topic: &str, records: usize, value_bytes: usize) -> Result<Produce> {
        // Not compressible, as a reminder that nothing may depend on it.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut value = vec![0; value_bytes];
        let mut builder = BatchBuilder::new(BatchOptions::default());
        for _ in 0..records {
            for byte in &mut value {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *byte = (state >> 56) as u8;
            }
            builder.append(None, Some(&value), 1_700_000_000_000);
        }
        let batch = builder.build()?;
        let partition = PartitionProduceData {
            records: Some(Records::Borrowed(&batch)),
            ..PartitionProduceData::default()
        };
        let data = TopicProduceData {
            name: topic.into(),
            partition_data: vec![partition],
            ..TopicProduceData::default()
        };
        let request =
            ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![data], ..Default::default() };
        let frame = frame::encode_request(&request, PRODUCE_VERSION, 0, Some(CLIENT_ID))?;
        Ok(Produce { frame: frame.to_vec(), batch_bytes: batch.len() })
    }
}

/// The error code of an answered Produce.
pub fn produced(answer: &[u8]) -> Result<i16> {
    let (_, response) = frame::decode_response::<ProduceRequest<'_>>(answer, PRODUCE_VERSION)?;
    let topic = response.responses.first().context("an answer without a topic")?;
    Ok(topic.partition_responses.first().context("an answer without a partition")?.error_code)
}

/// Bytes of the records in an answered Fetch of one partition.
pub fn fetched_bytes(answer: &[u8]) -> Result<usize> {
    let (_, response) = frame::decode_response::<FetchRequest<'_>>(answer, FETCH_VERSION)?;
    let topic = response.responses.first().context("an answer without a topic")?;
    let partition = topic.partitions.first().context("an answer without a partition")?;
    ensure!(partition.error_code == 0, "a fetch failed with code {}", partition.error_code);
    Ok(partition.records.as_ref().and_then(|records| records.as_borrowed()).map_or(0, <[u8]>::len))
}

/// A Fetch of at most `bytes_max` from partition 0 of `topic`.
pub fn fetch(topic: &str, offset: i64, bytes_max: usize) -> Result<Vec<u8>> {
    let bytes_max = i32::try_from(bytes_max).context("a limit of a fetch")?;
    let partition = FetchPartition {
        fetch_offset: offset,
        current_leader_epoch: -1,
        partition_max_bytes: bytes_max,
        ..FetchPartition::default()
    };
    let wanted = FetchTopic { topic: topic.into(), partitions: vec![partition], ..FetchTopic::default() };
    let request = FetchRequest {
        replica_id: -1,
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: bytes_max,
        session_epoch: -1,
        topics: vec![wanted],
        ..FetchRequest::default()
    };
    Ok(frame::encode_request(&request, FETCH_VERSION, 0, Some(CLIENT_ID))?.to_vec())
}
