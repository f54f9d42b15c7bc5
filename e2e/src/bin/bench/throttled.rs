//! Three brokers whose processor is throttled as a pod's limit throttles it, under more load than that lets through: who is
//! fenced meanwhile, though all of them are well.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{AckedProducer, Brokers, BrokersOptions, Stopwatch, Throttle, Waited, fencings, until};
use ottla_operator_kafka_admin::NewTopic;

/// Brokers, replicas of each partition, and partitions: each broker leads one.
const BROKERS: usize = 3;
/// The topic that is written to.
const TOPIC: &str = "written";
/// What each broker gets of a processor: the least that a broker under such load is given in earnest.
const PERCENT: u64 = 20;
/// Bytes of a record: large enough that the processor is what holds the producers up.
const VALUE_BYTES: usize = 64 << 10;
/// How long the cluster may take to be whole before the throttling begins.
const PATIENCE: Duration = Duration::from_secs(60);
/// A producer that was refused asks again after this.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// What happened in the time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Throttled {
    /// Brokers fenced, each time counted.
    pub fenced: f64,
    /// Records that all replicas had.
    pub acked: f64,
    /// Of the kernel's periods, the percentage in which a broker was stopped.
    pub stopped_percent: f64,
}

/// Throttles and loads a cluster for `minutes`.
pub async fn round(minutes: u64) -> Result<Throttled> {
    let options = BrokersOptions::new(BROKERS).with("log.retention.bytes", "67108864");
    let options = options.with("log.segment.bytes", "16777216");
    let options = options.with("log.retention.check.interval.ms", "10000");
    let mut brokers = Brokers::start(options).await?;
    let topic = NewTopic {
        name: TOPIC.to_owned(),
        partitions: Some(BROKERS as i32),
        replication_factor: Some(BROKERS as i16),
        ..NewTopic::default()
    };
    brokers.admin().create_topics(&[topic], false).await?;
    until("every replica is in sync", PATIENCE, async || {
        let found = brokers.admin().describe_topics(Some(&[TOPIC.to_owned()])).await?;
        let partitions = found.first().map_or(&[][..], |topic| &topic.partitions);
        let whole = partitions.iter().filter(|partition| partition.isr.len() == BROKERS).count();
        Ok(if whole == BROKERS { Waited::Done(()) } else { Waited::not_yet(whole) })
    })
    .await?;
    let before: usize = fencings(&brokers, BROKERS)?.into_values().sum();
    let mut throttles = Vec::new();
    for id in 0..BROKERS {
        let throttle = Throttle::new(&format!("broker-{id}"), PERCENT)?;
        throttle.hold(brokers.process(id)?.id().context("the broker runs")?)?;
        throttles.push(throttle);
    }
    let time = Duration::from_secs(60 * minutes);
    let acked = load(&brokers, time).await?;
    let fenced: usize = fencings(&brokers, BROKERS)?.into_values().sum();
    let mut stopped = 0;
    for throttle in &throttles {
        stopped += throttle.stopped_periods()?;
    }
    let periods = time.as_secs_f64() * 10.0 * BROKERS as f64;
    for id in 0..BROKERS {
        brokers.stop(id).await?;
    }
    ensure!(acked > 0, "nothing was acknowledged");
    let stopped_percent = stopped as f64 * 100.0 / periods;
    Ok(Throttled { fenced: (fenced - before) as f64, acked: acked as f64, stopped_percent })
}

/// Writes to each partition for `time`, one record after the other; how many all replicas had.
async fn load(brokers: &Brokers, time: Duration) -> Result<u64> {
    let (going, acked) = (AtomicBool::new(true), AtomicU64::new(0));
    let watch = Stopwatch::start();
    let writers = (0..BROKERS).map(async |partition: usize| {
        while going.load(Ordering::Acquire) {
            // Wherever its leader is now; what fails is tried again.
            if let Err(error) = write(brokers, partition, &going, &acked).await {
                eprintln!("  after {:?}: {error:#}", watch.elapsed());
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    });
    let writers = futures::future::join_all(writers);
    let stop = async {
        tokio::time::sleep(time).await;
        going.store(false, Ordering::Release);
    };
    tokio::join!(writers, stop);
    Ok(acked.load(Ordering::Acquire))
}

async fn write(brokers: &Brokers, partition: usize, going: &AtomicBool, acked: &AtomicU64) -> Result<()> {
    let found = brokers.admin().describe_topics(Some(&[TOPIC.to_owned()])).await?;
    let leader =
        found.first().and_then(|topic| topic.partitions.get(partition)?.leader).context("a leader")?;
    let mut producer = AckedProducer::of(brokers, TOPIC, usize::try_from(leader.0)?).await?;
    while going.load(Ordering::Acquire) {
        producer.send(i32::try_from(partition)?, VALUE_BYTES).await?;
        acked.fetch_add(1, Ordering::AcqRel);
    }
    Ok(())
}
