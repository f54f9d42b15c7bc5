//! The operator goes: brokers serve on, topics stay, and nothing holds up what it looked after.

use anyhow::{Result, ensure};
use ottla_e2e::Stopwatch;

use crate::demo::Demo;

#[tokio::test]
async fn a_namespace_can_be_deleted_after_the_operator_is_gone() -> Result<()> {
    let Some(mut demo) = Demo::start("uninstall").await? else { return Ok(()) };
    if std::env::var_os("OTTLA_E2E_KEEP").is_some() {
        return Ok(());
    }
    demo.start_cluster().await?;
    demo.create_topic("kept", 3).await?;
    let finalizers = ["get", "kafkatopic", "kept", "--output", "jsonpath={.metadata.finalizers}"];
    let before = demo.kubectl(&finalizers).await?;
    ensure!(before.contains("ottla.dev/topic"), "the topic is not held: {before:?}");
    let watch = Stopwatch::start();
    demo.uninstall();
    println!("the operator was gone after {:.1?}", watch.elapsed());
    let after = demo.kubectl(&finalizers).await?;
    ensure!(after.trim().is_empty(), "the topic is still held: {after:?}");
    let metadata = demo.metadata().await?;
    ensure!(metadata.topics.iter().any(|topic| topic.name == "kept"), "the topic in Kafka is gone");
    demo.remove().await
}
