//! What clients are told to connect to, and where brokers listen: names, IPv6, both kinds of addresses at once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, ensure};
use ottla_broker_protocol::ApiKey;
use ottla_e2e::{Brokers, BrokersOptions};
use serde_json::json;

use crate::differences::{Schemas, Side};
use crate::turns::beside_others;

/// Restarts the only broker with other listeners for clients; `advertised` may be left out.
async fn listening(brokers: &mut Brokers, host: &str, advertised: bool) -> Result<()> {
    brokers.stop(0).await?;
    let file = brokers.folder(0).join("server.properties");
    let settings = std::fs::read_to_string(&file).context("read the settings")?;
    let ports = brokers.ports(0);
    let keep = |line: &&str| !line.starts_with("listeners=") && !line.starts_with("advertised.listeners=");
    let mut lines: Vec<&str> = settings.lines().filter(keep).collect();
    let listeners = format!("INTERNAL://127.0.0.1:{},PLAINTEXT://{host}:{}", ports.internal, ports.kafka);
    let (bound, told) = (format!("listeners={listeners}"), format!("advertised.listeners={listeners}"));
    lines.push(&bound);
    lines.extend(advertised.then_some(told.as_str()));
    std::fs::write(&file, lines.join("\n")).context("write the settings")?;
    brokers.start_broker(0)?;
    brokers.until_ready(0).await
}

/// The host and port that a client is told which came to `address`.
async fn told(address: IpAddr, port: u16) -> Result<(String, u16)> {
    let schemas = Schemas::load()?;
    let schema = schemas.get(ApiKey::DescribeCluster.name())?;
    let mut side = Side::at((address, port).into());
    let answer = side.ask(schema, ApiKey::DescribeCluster.name(), 0, 0, &json!({})).await?;
    let broker = answer.pointer("/brokers/0").with_context(|| format!("no broker: {answer}"))?;
    let host = broker["host"].as_str().context("no host")?.to_owned();
    Ok((host, u16::try_from(broker["port"].as_i64().context("no port")?)?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_without_a_host_serves_every_address_and_tells_the_machines_name() -> Result<()> {
    let _turn = beside_others().await;
    let mut brokers = Brokers::start(BrokersOptions::new(1)).await?;
    let port = brokers.ports(0).kafka;
    listening(&mut brokers, "", false).await?;
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let (host, told_port) = told(address, port).await?;
        ensure!(host.starts_with(&name) || host == "localhost", "{address}: told {host}, it is {name}");
        ensure!(told_port == port, "{address}: told port {told_port}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_on_an_ipv6_address_is_told_as_it_is() -> Result<()> {
    let _turn = beside_others().await;
    let mut brokers = Brokers::start(BrokersOptions::new(1)).await?;
    let port = brokers.ports(0).kafka;
    for advertised in [false, true] {
        listening(&mut brokers, "[::1]", advertised).await?;
        ensure!(
            told(Ipv6Addr::LOCALHOST.into(), port).await? == ("::1".to_owned(), port),
            "it is told otherwise"
        );
    }
    Ok(())
}
