//! A disk that takes no writes for a while: who does not need it goes on, and who led partitions on it hands them on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_broker_types::NodeId;
use ottla_e2e::{Brokers, BrokersOptions, Waited, http_get, kcat, run, unmet, until};
use ottla_operator_kafka_admin::{AdminClient, Endpoint};

use crate::clients::{Counter, PATIENCE, create_topic, describe, kcat_to, read_all, until_in_sync};
use crate::turns::alone;

/// Long enough for a broker's log and its part of the quorum's.
const DISK_MIB: u64 = 128;
/// Acknowledged numbers that show that a partition goes on.
const MORE: usize = 100;

/// A small disk of its own that can be frozen; thawed and taken away when dropped.
struct Disk {
    place: PathBuf,
}

impl Disk {
    /// Puts what `data` holds on a new disk and mounts it there; `None` where that is not allowed.
    fn under(data: &Path) -> Result<Option<Disk>> {
        let image = data.with_extension("image");
        let former = data.with_extension("former");
        std::fs::File::create(&image)?.set_len(DISK_MIB << 20)?;
        let (image_text, data_text) = (image.display().to_string(), data.display().to_string());
        if !succeeds("mkfs.ext4", &["-q", "-F", &image_text]) {
            return Ok(None);
        }
        std::fs::rename(data, &former)?;
        std::fs::create_dir(data)?;
        if !succeeds("mount", &["-o", "loop", &image_text, &data_text]) {
            std::fs::remove_dir(data)?;
            std::fs::rename(&former, data)?;
            return Ok(None);
        }
        let disk = Disk { place: data.to_owned() };
        std::fs::remove_dir(data.join("lost+found")).context("the disk's own folder")?;
        let all = former.join(".").display().to_string();
        ensure!(succeeds("cp", &["-a", &all, &data_text]), "the data cannot be copied");
        Ok(Some(disk))
    }

    fn freeze(&self) -> Result<()> {
        ensure!(succeeds("fsfreeze", &["-f", &self.place.display().to_string()]), "the disk does not freeze");
        Ok(())
    }

    fn thaw(&self) -> bool {
        succeeds("fsfreeze", &["-u", &self.place.display().to_string()])
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It may be thawed already. Its broker may still run; then it goes once that has ended.
        self.thaw();
        succeeds("umount", &["-l", &self.place.display().to_string()]);
    }
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_disk_hands_its_leaderships_on_and_stops_nobody_else() -> Result<()> {
    let Some(kcat) = kcat() else { return Ok(()) };
    let _turn = alone().await;
    let mut brokers = Brokers::start(BrokersOptions::new(3)).await?;
    let controller = brokers.admin().describe_quorum().await?.leader.context("no controller")?;
    let victim = (0..3).find(|id| *id != controller.0).context("a broker beside the controller")?;
    let id = usize::try_from(victim)?;
    brokers.stop(id).await?;
    let Some(disk) = Disk::under(&brokers.folder(id).join("data"))? else {
        unmet("it may not mount a disk of its own", "run it as root, with mkfs.ext4 and loop devices");
        return Ok(());
    };
    brokers.start_broker(id)?;
    brokers.until_ready(id).await?;
    create_topic(&brokers, "t", 3, 3).await?;
    until_in_sync(&brokers, "t").await?;
    let led_by = |victims: bool, partitions: &[(i32, Option<i32>)]| -> Vec<i32> {
        let those = partitions.iter().filter(|(_, leader)| (*leader == Some(victim)) == victims);
        those.map(|(partition, _)| *partition).collect()
    };
    let leaders = leaders(&brokers).await?;
    let (own, others) = (led_by(true, &leaders), led_by(false, &leaders));
    ensure!(!own.is_empty() && !others.is_empty(), "leaders: {leaders:?}");
    let place = others[0].to_string();
    let counter = Counter::start(kcat_to(&kcat, &brokers), "t", &["-p", &place])?;
    counter.goes_on(MORE).await?;

    disk.freeze()?;
    until_handed_on(&brokers, id).await?;
    counter.goes_on(MORE).await?;
    let producer = kcat_to(&kcat, &brokers);
    write_once(producer, own[0], &brokers.folder(id)).await.context("a write where others lead now")?;

    ensure!(disk.thaw(), "the disk does not thaw");
    brokers.until_ready(id).await?;
    until_in_sync(&brokers, "t").await?;
    let sent = counter.stop().await?;
    let found = read_all(kcat_to(&kcat, &brokers), "t").await?;
    let values: Vec<_> = found[&others[0]].iter().map(|(_, value)| value.clone()).collect();
    let expected: Vec<_> = (0..sent).map(|number| number.to_string()).collect();
    ensure!(values == expected, "{} of {sent} numbers, or in another order", values.len());
    let moved = found[&own[0]].iter().filter(|(_, value)| value == "moved").count();
    ensure!(moved == 1, "{moved} records where others led meanwhile");
    brokers.stop(id).await
}

/// Until others lead what broker `id` led and it tells so itself; neither probes nor metadata wait for its disk.
async fn until_handed_on(brokers: &Brokers, id: usize) -> Result<()> {
    let http = brokers.ports(id).http;
    let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port: brokers.ports(id).kafka };
    let its_view = AdminClient::new(vec![endpoint], Duration::from_secs(2));
    until("others lead what the broker led, and it knows", PATIENCE, async || {
        let alive = http_get(http, "/healthz").await.context("liveness")?;
        http_get(http, "/readyz").await.context("readiness")?;
        http_get(http, "/metrics").await.context("metrics")?;
        let described = its_view.describe_topics(Some(&["t".to_owned()])).await.context("metadata")?;
        let partitions = &described.first().context("the topic")?.partitions;
        let leads = |leader: Option<NodeId>| leader.is_none_or(|node| node.0 as usize == id);
        let still: Vec<_> = partitions.iter().filter(|one| leads(one.leader)).collect();
        Ok(match still.is_empty() && alive.contains("has not taken a write") {
            true => Waited::Done(()),
            false => Waited::not_yet(format!("{alive}, {still:?}")),
        })
    })
    .await
}

async fn write_once(mut producer: tokio::process::Command, partition: i32, folder: &Path) -> Result<()> {
    let text = folder.join("text");
    std::fs::write(&text, "moved\n")?;
    producer.args(["-P", "-t", "t", "-p", &partition.to_string(), "-X", "acks=all", "-l"]).arg(&text);
    run(producer, PATIENCE).await?;
    Ok(())
}

async fn leaders(brokers: &Brokers) -> Result<Vec<(i32, Option<i32>)>> {
    let described = describe(brokers, "t").await?;
    Ok(described.partitions.iter().map(|one| (one.index.0, one.leader.map(|node| node.0))).collect())
}
