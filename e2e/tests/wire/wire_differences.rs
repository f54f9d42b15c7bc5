//! Apache Kafka's broker and ours get the same requests, at every version that we serve, and give the same answers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use ottla_broker_protocol::ApiKey;
use ottla_e2e::{ApacheBrokers, Brokers, BrokersOptions, kafka};
use serde_json::json;

use crate::differences::{Meant, Report, Schemas, Side, exchanges};
use crate::turns::beside_others;

#[tokio::test(flavor = "multi_thread")]
async fn our_answers_are_apache_kafkas() -> Result<()> {
    let Some(kafka) = kafka() else { return Ok(()) };
    let _turn = beside_others().await;
    let settings =
        BrokersOptions::new(1).with("offsets.topic.num.partitions", "1").with("broker.rack", "rack-0");
    let (theirs, ours) = tokio::join!(ApacheBrokers::start(&kafka, 1), Brokers::start(settings));
    let (apache, brokers) = (theirs?, ours?);
    let mut theirs = Side::at((Ipv4Addr::LOCALHOST, apache.port(0)).into());
    let mut ours = Side::at((Ipv4Addr::LOCALHOST, brokers.ports(0).kafka).into());

    let schemas = Schemas::load()?;
    let (listed, served) = (theirs.listed(&schemas).await?, ours.listed(&schemas).await?);
    let (mut meant, mut report) = (Meant::load()?, Report::default());
    let mut count = 0;
    for exchange in exchanges()? {
        let schema = schemas.get(&exchange.api)?;
        let key =
            ApiKey::ALL.iter().copied().find(|key| key.name() == exchange.api).context("no such API")?;
        let versions = |of: &BTreeMap<i64, _>| of.get(&i64::from(key.code())).copied();
        let (theirs_has, ours_has) = (versions(&listed).context("not Kafka's")?, versions(&served));
        let ours_has = ours_has.unwrap_or(theirs_has);
        let versions = (theirs_has.0.max(ours_has.0), theirs_has.1.min(ours_has.1));
        for version in exchange.versions(schema, versions)? {
            let (theirs, ours) = tokio::join!(
                theirs.answer(schema, &exchange, version),
                ours.answer(schema, &exchange, version)
            );
            // One that fails is told, and must not hide what else differs.
            let failed = theirs.is_err() || ours.is_err();
            let theirs = theirs.unwrap_or_else(|error| json!(format!("fails: {error:#}")));
            let ours = ours.unwrap_or_else(|error| json!(format!("fail: {error:#}")));
            if failed || !exchange.prepares {
                let about = (exchange.title.as_str(), exchange.api.as_str(), version);
                report.compare(&mut meant, about, &theirs, &ours);
                count += 1;
            }
        }
    }
    let lines = report.lines();
    ensure!(lines.is_empty(), "{} differences in {count} answers:\n{}", lines.len(), lines.join("\n"));
    ensure!(meant.unmet().is_empty(), "these meant differences are none: {:#?}", meant.unmet());
    Ok(())
}
