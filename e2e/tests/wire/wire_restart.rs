//! A broker that comes back.

use anyhow::{Result, ensure};
use ottla_e2e::{Brokers, BrokersOptions};

use crate::turns::beside_others;

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_restarts_does_not_wait_for_the_lease_of_its_former_self() -> Result<()> {
    let _turn = beside_others().await;
    let mut brokers = Brokers::start(BrokersOptions::new(1)).await?;
    for kill in [false, true] {
        if kill {
            brokers.kill(0).await?;
        } else {
            brokers.stop(0).await?;
        }
        brokers.start_broker(0)?;
        brokers.until_ready(0).await?;
        let log = brokers.process(0)?.log();
        ensure!(!log.contains("DUPLICATE_BROKER_REGISTRATION"), "it took itself for another broker:\n{log}");
    }
    Ok(())
}
