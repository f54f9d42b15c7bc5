//! A data directory that is missing, foreign or full stops the broker with a clear error, and no file changes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Brokers, BrokersOptions, Kcat, Waited, binary, http_get, kcat, output, unmet, until};

use crate::clients::{PATIENCE, create_topic, kcat_to, read_all};
use crate::turns::beside_others;

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_directory_stops_the_broker() -> Result<()> {
    let _turn = beside_others().await;
    let mut brokers = Brokers::start(BrokersOptions::new(1)).await?;
    brokers.stop(0).await?;
    let data = brokers.folder(0).join("data");
    let elsewhere = brokers.folder(0).join("elsewhere");
    std::fs::rename(&data, &elsewhere).context("move the data away")?;
    let before = contents(&elsewhere)?;
    let said = refused(&mut brokers).await?;
    ensure!(said.contains("does not exist: mount the volume or create the directory"), "{said}");
    ensure!(!data.exists(), "the directory was made");
    ensure!(contents(&elsewhere)? == before, "files changed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_another_node_or_cluster_is_refused_untouched() -> Result<()> {
    let _turn = beside_others().await;
    for (setting, value, expected) in [
        ("node.id", "7", "belongs to node 0, but node.id is 7"),
        ("ottla.cluster.id", "another-cluster-000000", "but ottla.cluster.id is another-cluster-000000"),
    ] {
        let mut brokers = Brokers::start(BrokersOptions::new(1)).await?;
        create_topic(&brokers, "t", 1, 1).await?;
        brokers.stop(0).await?;
        let data = brokers.folder(0).join("data");
        let before = contents(&data)?;
        let properties = brokers.folder(0).join("server.properties");
        let mut settings = std::fs::read_to_string(&properties)?;
        if setting == "node.id" {
            settings = settings.replace("=0@", &format!("={value}@"));
        }
        std::fs::write(&properties, settings + &format!("\n{setting}={value}\n"))?;
        let said = refused(&mut brokers).await?;
        ensure!(said.contains(expected), "{said}");
        ensure!(contents(&data)? == before, "files changed");
    }
    Ok(())
}

/// A quorum's folder that is gone, or was renamed as a deleted partition's, never leads to a second, empty quorum.
#[tokio::test(flavor = "multi_thread")]
async fn a_voter_without_its_metadata_log_forms_no_second_quorum() -> Result<()> {
    let _turn = beside_others().await;
    let mut brokers = Brokers::start(BrokersOptions::new(1)).await?;
    create_topic(&brokers, "t", 1, 1).await?;
    brokers.stop(0).await?;
    let data = brokers.folder(0).join("data");
    let properties = std::fs::read_to_string(data.join("meta.properties"))?;
    ensure!(properties.contains("ottla.quorum.member=true"), "{properties}");
    let folder = data.join("__cluster_metadata-0");
    let renamed = data.join("__cluster_metadata-0.AAAAAAAAAAAAAAAAAAAAAA-delete");
    std::fs::rename(&folder, &renamed).context("rename the metadata log")?;
    let before = contents(&data)?;
    let said = refused(&mut brokers).await?;
    ensure!(
        said.contains("metadata log is gone") && said.contains("AAAAAAAAAAAAAAAAAAAAAA-delete"),
        "{said}"
    );
    std::fs::write(data.join("meta.properties"), properties.replace("ottla.quorum.member=true\n", ""))?;
    let said = refused(&mut brokers).await?;
    ensure!(said.contains("would form a second one"), "{said}");
    std::fs::write(data.join("meta.properties"), properties)?;
    ensure!(contents(&data)? == before, "files changed");
    std::fs::rename(&renamed, &folder).context("put the metadata log back")?;
    brokers.start_broker(0)?;
    brokers.until_ready(0).await
}

/// The directory comes before the ports, which are taken as well. When the first broker is killed, it is free at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_a_broker_uses_is_refused() -> Result<()> {
    let _turn = beside_others().await;
    let mut brokers = Brokers::start(BrokersOptions::new(1)).await?;
    create_topic(&brokers, "t", 1, 1).await?;
    let mut second = Command::new(binary("ottla-broker")?);
    second.arg("--config").arg(brokers.folder(0).join("server.properties"));
    let said = output(second.into(), b"", PATIENCE).await?;
    let said = said.stdout + &said.stderr;
    ensure!(said.contains("in use by another broker, which holds .lock: stop that one"), "{said}");
    ensure!(http_get(brokers.ports(0).http, "/readyz").await?.starts_with("ready"), "the first suffered");
    brokers.kill(0).await?;
    brokers.start_broker(0)?;
    brokers.until_ready(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_keeps_what_was_acknowledged_and_takes_more_once_it_has_grown() -> Result<()> {
    let Some(kcat) = kcat() else { return Ok(()) };
    let _turn = beside_others().await;
    let mut brokers = Brokers::start(BrokersOptions::new(1)).await?;
    brokers.stop(0).await?;
    let data = brokers.folder(0).join("data");
    let Some(small) = SmallDisk::mount(&data)? else { return Ok(()) };
    brokers.start_broker(0)?;
    brokers.until_ready(0).await?;
    create_topic(&brokers, "t", 1, 1).await?;
    let acknowledged = fill(&kcat, &brokers).await?;
    brokers.kill(0).await?;
    brokers.start_broker(0)?;
    brokers.until_ready(0).await?;

    small.grow()?;
    until("a record to be taken again", PATIENCE, async || {
        let mut command = kcat_to(&kcat, &brokers);
        command.args(["-P", "-t", "t", "-X", "acks=all", "-X", "message.timeout.ms=2000"]);
        let said = output(command, b"999999\n", PATIENCE).await?;
        Ok(if said.status.success() { Waited::Done(()) } else { Waited::NotYet(said.stderr) })
    })
    .await?;
    let stored = read_all(kcat_to(&kcat, &brokers), "t").await?.remove(&0).unwrap_or_default();
    println!("full disk: {acknowledged} records were acknowledged, {} came back", stored.len());
    ensure!(acknowledged > 0 && stored.len() > acknowledged, "acknowledged records are lost");
    let numbers: Result<Vec<u64>, _> =
        stored.iter().map(|(_, value)| value.trim_end_matches('x').parse::<u64>()).collect();
    let numbers = numbers.context("a record is not what was sent")?;
    ensure!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "records are doubled or in another order");
    Ok(())
}

/// Sends more than the disk holds; how many records were acknowledged. Each is its number and a filling.
async fn fill(kcat: &Kcat, brokers: &Brokers) -> Result<usize> {
    let mut command = kcat_to(kcat, brokers);
    command.args(["-P", "-vvv", "-t", "t", "-X", "acks=all", "-X", "enable.idempotence=true"]);
    command.args(["-X", "message.timeout.ms=4000"]);
    let filling = "x".repeat(10_000);
    let lines: String = (0..4_000).map(|number| format!("{number}{filling}\n")).collect();
    let said = output(command, lines.as_bytes(), PATIENCE).await?.stderr;
    Ok(said.lines().filter(|line| line.contains("Message delivered")).count())
}

async fn refused(brokers: &mut Brokers) -> Result<String> {
    brokers.start_broker(0)?;
    brokers.until_refused(0).await
}

/// Every file below a folder with its bytes, and the folders.
fn contents(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::from([(folder.display().to_string(), Vec::new())]);
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(contents(&path)?);
        } else {
            found.insert(path.display().to_string(), std::fs::read(&path)?);
        }
    }
    Ok(found)
}

/// A file system of 24 MiB; unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path) -> Result<Option<SmallDisk<'a>>> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m", "ottla-test"])
            .arg(at)
            .status()
            .context("run mount")?;
        if mounted.success() {
            return Ok(Some(SmallDisk(at)));
        }
        unmet("a small file system cannot be mounted", "run the tests as root");
        Ok(None)
    }
}

impl SmallDisk<'_> {
    /// As a volume that was enlarged.
    fn grow(&self) -> Result<()> {
        let grown = Command::new("mount").args(["-o", "remount,size=96m"]).arg(self.0).status();
        ensure!(grown.context("run mount")?.success(), "the file system does not grow");
        Ok(())
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Lazy: a broker that is being killed may still hold files of it.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}
