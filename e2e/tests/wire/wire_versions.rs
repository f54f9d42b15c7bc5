//! What ApiVersions lists is served: every version of every API gets an answer in its own schema.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_broker_protocol::batch::{BatchBuilder, BatchOptions};
use ottla_broker_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use ottla_broker_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use ottla_broker_protocol::messages::{AnyRequest, AnyResponse, api_versions_request, api_versions_response};
use ottla_broker_protocol::{
    ApiKey, Encode, Reader, Records, RequestHeader, ResponseHeader, Segment, Writer,
};
use ottla_e2e::{Brokers, BrokersOptions};
use ottla_operator_kafka_admin::TopicDescription;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::clients::create_topic;
use crate::turns::beside_others;

/// Kafka's code of a broker that does not lead the partition.
const NOT_LEADER_OR_FOLLOWER: i16 = 6;
/// How long an answer may take; joins and fetches of nothing are answered at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn every_listed_version_is_answered_in_its_own_schema() -> Result<()> {
    let _turn = beside_others().await;
    let brokers = Brokers::start(BrokersOptions::new(1)).await?;
    let port = brokers.ports(0).kafka;
    let listed = listed_versions(port).await?;
    ensure!(listed.len() >= 30, "only {} APIs are listed", listed.len());
    let mut failures = Vec::new();
    for (key, min, max) in listed {
        let api = ApiKey::from_i16(key).with_context(|| format!("unknown key {key} is listed"))?;
        // Produce lists versions that exist for librdkafka's sake only.
        for version in min.max(*api.versions().start())..=max {
            if let Err(error) = exchange(port, api, version).await {
                failures.push(format!("{} {version}: {error:#}", api.name()));
            }
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_lead_says_so_in_every_version() -> Result<()> {
    let _turn = beside_others().await;
    let brokers = Brokers::start(BrokersOptions::new(2)).await?;
    let topic = create_topic(&brokers, "elsewhere", 1, 1).await?;
    let partition = topic.partitions.first().context("no partition")?;
    let follower = usize::from(partition.leader.map(|id| id.0) == Some(0));
    let port = brokers.ports(follower).kafka;
    let mut failures = Vec::new();
    for api in [ApiKey::Fetch, ApiKey::Produce] {
        for version in api.versions() {
            let code = refusal(port, api, version, &topic).await;
            if !matches!(code, Ok(Some(NOT_LEADER_OR_FOLLOWER))) {
                failures.push(format!("{} {version}: {code:?}", api.name()));
            }
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// The error code with which a broker answers for the only partition of a topic that it does not lead.
async fn refusal(port: u16, api: ApiKey, version: i16, topic: &TopicDescription) -> Result<Option<i16>> {
    let name = topic.name.as_str();
    let id = topic.id.context("no topic id")?.0;
    let request = match api {
        ApiKey::Fetch => AnyRequest::Fetch(FetchRequest {
            topics: vec![FetchTopic {
                topic: if version <= 12 { name.into() } else { "".into() },
                topic_id: if version <= 12 { Default::default() } else { id },
                partitions: vec![FetchPartition { partition_max_bytes: 1024, ..Default::default() }],
                ..Default::default()
            }],
            ..Default::default()
        }),
        _ => AnyRequest::Produce(ProduceRequest {
            acks: 1,
            timeout_ms: 1000,
            topic_data: vec![TopicProduceData {
                name: if version <= 12 { name.into() } else { "".into() },
                topic_id: if version <= 12 { Default::default() } else { id },
                partition_data: vec![PartitionProduceData {
                    records: Some(one_record()?),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        }),
    };
    let answer = send(port, &body(api, version, &request)?).await?;
    let mut reader = Reader::new(&answer);
    ResponseHeader::decode(&mut reader, api, version)?;
    Ok(match AnyResponse::decode(api, &mut reader, version)? {
        AnyResponse::Fetch(response) => {
            response.responses.first().and_then(|topic| topic.partitions.first()).map(|row| row.error_code)
        }
        AnyResponse::Produce(response) => response
            .responses
            .first()
            .and_then(|topic| topic.partition_responses.first())
            .map(|row| row.error_code),
        _ => None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_version_of_api_versions_is_answered_in_version_0() -> Result<()> {
    let _turn = beside_others().await;
    let brokers = Brokers::start(BrokersOptions::new(1)).await?;
    let header = [0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff];
    let answer = send(brokers.ports(0).kafka, &header).await?;
    let mut reader = Reader::new(&answer);
    ensure!(reader.i32()? == 7, "another correlation id");
    let response = <api_versions_response::ApiVersionsResponse<'_> as ottla_broker_protocol::Decode>::decode(
        &mut reader,
        0,
    )?;
    ensure!(response.error_code == 35, "error {}", response.error_code);
    ensure!(response.api_keys.iter().any(|api| api.api_key == 18), "its own versions are not listed");
    Ok(())
}

/// A batch with one record.
fn one_record() -> Result<Records<'static>> {
    let mut batch = BatchBuilder::new(BatchOptions::default());
    batch.append(None, Some(b"value"), 1_000);
    Ok(Records::Segments(vec![Segment::Bytes(batch.build()?)]))
}

async fn listed_versions(port: u16) -> Result<Vec<(i16, i16, i16)>> {
    let request = api_versions_request::ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1".into(),
        ..Default::default()
    };
    let answer = send(port, &body(ApiKey::ApiVersions, 3, &request)?).await?;
    let mut reader = Reader::new(&answer);
    ResponseHeader::decode(&mut reader, ApiKey::ApiVersions, 3)?;
    let AnyResponse::ApiVersions(response) = AnyResponse::decode(ApiKey::ApiVersions, &mut reader, 3)? else {
        anyhow::bail!("another response");
    };
    Ok(response.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect())
}

/// Sends the emptiest request of a version and reads the answer to its last byte.
async fn exchange(port: u16, api: ApiKey, version: i16) -> Result<()> {
    let request = empty(api);
    let bytes = body(api, version, &request).context("encode")?;
    let answer = send(port, &bytes).await?;
    let mut reader = Reader::new(&answer);
    let header = ResponseHeader::decode(&mut reader, api, version)?;
    ensure!(header.correlation_id == 7, "another correlation id");
    AnyResponse::decode(api, &mut reader, version).context("decode")?;
    ensure!(reader.remaining() == 0, "{} bytes are left", reader.remaining());
    Ok(())
}

/// The default of each request, with what a default must not leave out.
fn empty(api: ApiKey) -> AnyRequest<'static> {
    let mut request = AnyRequest::default_of(api);
    match &mut request {
        AnyRequest::ApiVersions(request) => {
            request.client_software_name = "test".into();
            request.client_software_version = "1".into();
        }
        AnyRequest::Produce(request) => request.acks = 1,
        AnyRequest::DescribeCluster(request) => request.endpoint_type = 1,
        _ => {}
    }
    request
}

fn body(api: ApiKey, version: i16, request: &impl Encode) -> Result<Vec<u8>> {
    let header = RequestHeader {
        api_key: api.code(),
        api_version: version,
        correlation_id: 7,
        client_id: Some("t".into()),
    };
    let mut writer = Writer::new();
    header.encode(&mut writer)?;
    request.encode(&mut writer, version)?;
    Ok(writer.into_bytes().context("a file in a request")?.to_vec())
}

async fn send(port: u16, frame: &[u8]) -> Result<Vec<u8>> {
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_i32(i32::try_from(frame.len()).unwrap_or(i32::MAX)).await?;
        stream.write_all(frame).await?;
        let len = stream.read_i32().await?;
        let mut answer = vec![0; usize::try_from(len).unwrap_or(0)];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    tokio::time::timeout(ANSWER_TIMEOUT, exchange)
        .await
        .context("no answer")?
        .context("the connection was closed")
}
