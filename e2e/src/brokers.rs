//! A cluster of broker processes on loopback, for tests that need no Kubernetes.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use ottla_operator_kafka_admin::{AdminClient, Endpoint};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::binaries::binary;
use crate::hosts::Hosts;
use crate::process::Process;
use crate::relay::Relays;
use crate::wait::{Waited, until};

/// Mounts a volume in memory where only this process sees it, then becomes the program that is named after it.
const ON_VOLUME: &str = "mount -t tmpfs -o \"$1\" tmpfs \"$2\" && shift 2 && exec \"$@\"";
/// How long a broker may take to serve or to stop, beside other work on a small machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Settings of a test's cluster.
#[derive(Clone, Debug)]
pub struct BrokersOptions {
    /// How many brokers.
    pub count: usize,
    /// How many of the lowest ids vote.
    pub voters: usize,
    /// Further settings for each broker.
    pub settings: Vec<(String, String)>,
    /// Whether brokers reach each other through relays that can be cut.
    pub relayed: bool,
    /// Bytes of the volume under each broker's data, which nobody else sees; without it the data lies in a folder.
    pub volume_bytes: Option<u64>,
    /// The program that each broker begins with; without it that of this checkout.
    pub program: Option<PathBuf>,
}

impl BrokersOptions {
    /// `count` brokers of which up to three vote, with quick groups.
    pub fn new(count: usize) -> BrokersOptions {
        let voters = if count >= 3 { 3 } else { 1 };
        let settings = [
            ("group.initial.rebalance.delay.ms", "0"),
            ("offsets.topic.num.partitions", "4"),
            ("default.replication.factor", if count >= 3 { "3" } else { "1" }),
            ("min.insync.replicas", if count >= 3 { "2" } else { "1" }),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        BrokersOptions {
            count,
            voters,
            settings: settings.into(),
            relayed: false,
            volume_bytes: None,
            program: None,
        }
    }

    /// With a network between the brokers that can be cut.
    pub fn relayed(mut self) -> BrokersOptions {
        self.relayed = true;
        self
    }

    /// Beginning with another program.
    pub fn running(mut self, program: PathBuf) -> BrokersOptions {
        self.program = Some(program);
        self
    }

    /// With one more setting.
    pub fn with(mut self, name: &str, value: &str) -> BrokersOptions {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a volume of its own in memory for each broker; it is gone when the broker ends.
    pub fn on_volumes(mut self, bytes: u64) -> BrokersOptions {
        self.volume_bytes = Some(bytes);
        self
    }
}

/// Where one broker listens.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// Loopback, or the broker's own host.
    pub address: Ipv4Addr,
    /// For clients.
    pub kafka: u16,
    /// Between brokers.
    pub internal: u16,
    /// Metrics and health.
    pub http: u16,
}

/// The running cluster; dropping it kills what runs and removes the data.
#[derive(Debug)]
pub struct Brokers {
    dir: TempDir,
    ports: Vec<Ports>,
    /// Broker and host have the same number.
    hosts: Option<Hosts>,
    processes: Vec<Option<Process>>,
    relays: Option<Relays>,
    volume_bytes: Option<u64>,
    programs: Vec<PathBuf>,
}

impl Brokers {
    /// Starts the cluster and waits until every broker is in service.
    pub async fn start(options: BrokersOptions) -> Result<Brokers> {
        let ports = free_ports(options.count).await?;
        Brokers::start_at(options, ports, None).await
    }

    /// Starts the cluster with each broker on a host of its own.
    pub async fn start_on(hosts: Hosts, options: BrokersOptions) -> Result<Brokers> {
        let ports = (0..options.count).map(|id| Ports {
            address: hosts.address(id),
            kafka: 9092,
            internal: 9091,
            http: 9404,
        });
        let ports = ports.collect();
        Brokers::start_at(options, ports, Some(hosts)).await
    }

    async fn start_at(options: BrokersOptions, ports: Vec<Ports>, hosts: Option<Hosts>) -> Result<Brokers> {
        let dir = tempfile::Builder::new().prefix("ottla-brokers-").tempdir().context("make a folder")?;
        let targets: Vec<u16> = ports.iter().map(|ports| ports.internal).collect();
        let relays = if options.relayed { Some(Relays::start(&targets).await?) } else { None };
        let volume_bytes = options.volume_bytes;
        let program = options.program.clone().map_or_else(|| binary("ottla-broker"), Ok)?;
        let programs = vec![program; options.count];
        let mut brokers =
            Brokers { dir, ports, hosts, processes: Vec::new(), relays, volume_bytes, programs };
        for id in 0..options.count {
            let folder = brokers.folder(id);
            std::fs::create_dir_all(folder.join("data")).context("make the data folder")?;
            std::fs::write(folder.join("server.properties"), brokers.properties(id, &options))
                .context("write the settings")?;
            brokers.processes.push(None);
        }
        for id in 0..options.count {
            brokers.start_broker(id)?;
        }
        for id in 0..options.count {
            brokers.until_ready(id).await?;
        }
        Ok(brokers)
    }

    /// The folder of a broker: `server.properties`, `data` and `log`.
    pub fn folder(&self, id: usize) -> PathBuf {
        self.dir.path().join(format!("broker-{id}"))
    }

    /// The ports of a broker.
    pub fn ports(&self, id: usize) -> Ports {
        self.ports[id]
    }

    /// The network between brokers, where it can be cut.
    pub fn relays(&self) -> Result<&Relays> {
        self.relays.as_ref().context("the brokers have no relays between them")
    }

    /// The port at which other brokers reach this one.
    fn reached_at(&self, id: usize) -> u16 {
        self.relays.as_ref().map_or(self.ports[id].internal, |relays| relays.port(id))
    }

    /// The brokers' hosts; none on loopback.
    pub fn hosts(&self) -> Option<&Hosts> {
        self.hosts.as_ref()
    }

    /// Where clients begin: every broker.
    pub fn bootstrap(&self) -> String {
        self.bootstrap_of(0..self.ports.len())
    }

    /// Where clients begin that know only some of the brokers.
    pub fn bootstrap_of(&self, ids: impl IntoIterator<Item = usize>) -> String {
        let each = ids.into_iter().map(|id| format!("{}:{}", self.ports[id].address, self.ports[id].kafka));
        each.collect::<Vec<_>>().join(",")
    }

    /// An admin client of the cluster.
    pub fn admin(&self) -> AdminClient {
        self.admin_of(0..self.ports.len())
    }

    /// An admin client that asks only these brokers.
    pub fn admin_of(&self, ids: impl IntoIterator<Item = usize>) -> AdminClient {
        let endpoint = |ports: &Ports| Endpoint { host: ports.address.to_string(), port: ports.kafka };
        let endpoints = ids.into_iter().map(|id| endpoint(&self.ports[id]));
        AdminClient::new(endpoints.collect(), Duration::from_secs(10))
    }

    /// Has a broker run `program` from its next start on.
    pub fn use_program(&mut self, id: usize, program: PathBuf) {
        self.programs[id] = program;
    }

    /// Starts a broker on the data that it has.
    pub fn start_broker(&mut self, id: usize) -> Result<()> {
        let folder = self.folder(id);
        let config = folder.join("server.properties");
        let mut words: Vec<OsString> = match &self.hosts {
            Some(hosts) => hosts.enter(id)?.into_iter().map(OsString::from).collect(),
            None => Vec::new(),
        };
        if let Some(bytes) = self.volume_bytes {
            let before = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", ON_VOLUME, "sh"];
            words.extend(before.map(OsString::from));
            words.extend([format!("size={bytes}").into(), folder.join("data").into_os_string()]);
        }
        words.extend([
            self.programs[id].clone().into_os_string(),
            "--config".into(),
            config.into_os_string(),
        ]);
        let process = Process::start(Path::new(&words[0]), &words[1..], &folder.join("log"))?;
        self.processes[id] = Some(process);
        Ok(())
    }

    /// Waits until a broker that must not start has ended, and gives what it said; it is an error if it starts.
    pub async fn until_refused(&mut self, id: usize) -> Result<String> {
        until(&format!("broker {id} gives up"), PATIENCE, async || {
            let process = self.processes[id].as_mut().context("it was not started")?;
            match process.ended()? {
                Some(status) if status.success() => anyhow::bail!("it ended without an error"),
                Some(_) => Ok(Waited::Done(process.log())),
                None => Ok(Waited::not_yet(process.log())),
            }
        })
        .await
    }

    /// Waits until a broker says that it is in service.
    pub async fn until_ready(&mut self, id: usize) -> Result<()> {
        let (address, port) = (self.ports[id].address, self.ports[id].http);
        until(&format!("broker {id} in service"), PATIENCE, async || {
            if let Some(process) = &mut self.processes[id]
                && let Some(status) = process.ended()?
            {
                anyhow::bail!("broker {id} ended with {status}:\n{}", process.log());
            }
            match http_get_at(address, port, "/readyz").await {
                Ok(page) if page.starts_with("ready") => Ok(Waited::Done(())),
                Ok(page) => Ok(Waited::not_yet(page)),
                Err(error) => Ok(Waited::not_yet(error)),
            }
        })
        .await
    }

    /// The process of a running broker.
    pub fn process(&self, id: usize) -> Result<&Process> {
        self.processes[id].as_ref().with_context(|| format!("broker {id} does not run"))
    }

    /// The ids of the running brokers' processes.
    pub(crate) fn running(&self) -> impl Iterator<Item = u32> {
        self.processes.iter().flatten().filter_map(Process::id)
    }

    /// Kills a broker at once, as a power cut of its process would.
    pub async fn kill(&mut self, id: usize) -> Result<()> {
        let mut process = self.processes[id].take().with_context(|| format!("broker {id} does not run"))?;
        process.signal("KILL").await?;
        until("the killed broker is gone", PATIENCE, async || match process.ended()? {
            Some(_) => Ok(Waited::Done(())),
            None => Ok(Waited::not_yet("it still runs")),
        })
        .await
    }

    /// Stops a broker in order.
    pub async fn stop(&mut self, id: usize) -> Result<()> {
        let process = self.processes[id].take().with_context(|| format!("broker {id} does not run"))?;
        let status = process.stop(PATIENCE).await?;
        anyhow::ensure!(status.success(), "broker {id} ended with {status}");
        Ok(())
    }

    fn properties(&self, id: usize, options: &BrokersOptions) -> String {
        let Ports { address, kafka, internal, http } = self.ports[id];
        let voter = |id: usize| format!("{id}@{}:{}", self.ports[id].address, self.reached_at(id));
        let voters = (0..options.voters).map(voter);
        let listeners = |internal| format!("INTERNAL://{address}:{internal},PLAINTEXT://{address}:{kafka}");
        let (listeners, advertised) = (listeners(internal), listeners(self.reached_at(id)));
        let rack = ["a", "b", "c"][id % 3];
        let roles = if id < options.voters { "broker,controller" } else { "broker" };
        let data = self.folder(id).join("data");
        let mut text = format!(
            "process.roles={roles}\nnode.id={id}\nbroker.rack={rack}\n\
             controller.quorum.voters={}\nlisteners={listeners}\nadvertised.listeners={advertised}\n\
             listener.security.protocol.map=INTERNAL:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
             inter.broker.listener.name=INTERNAL\ncontroller.listener.names=INTERNAL\n\
             log.dirs={}\nottla.cluster.id=ottla-test-cluster-000\nottla.metrics.listener={address}:{http}\n",
            voters.collect::<Vec<_>>().join(","),
            data.display(),
        );
        for (name, value) in &options.settings {
            text += &format!("{name}={value}\n");
        }
        text
    }
}

/// GETs a page of a process on loopback and gives its body.
pub async fn http_get(port: u16, path: &str) -> Result<String> {
    http_get_at(Ipv4Addr::LOCALHOST, port, path).await
}

async fn http_get_at(address: Ipv4Addr, port: u16, path: &str) -> Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect((address, port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer =
        tokio::time::timeout(Duration::from_secs(5), exchange).await.context("no answer in 5 s")??;
    let (_, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
    Ok(body.to_owned())
}

/// Three free ports for each broker; they are free until somebody else takes them, which a test survives by
/// failing with the port's number.
pub(crate) async fn free_ports(count: usize) -> Result<Vec<Ports>> {
    let mut held = Vec::new();
    for _ in 0..3 * count {
        held.push(TcpListener::bind("127.0.0.1:0").await.context("find a free port")?);
    }
    let numbers: Result<Vec<u16>> = held.iter().map(|socket| Ok(socket.local_addr()?.port())).collect();
    let numbers = numbers?;
    let address = Ipv4Addr::LOCALHOST;
    let ports = |each: &[u16]| Ports { address, kafka: each[0], internal: each[1], http: each[2] };
    Ok(numbers.chunks(3).map(ports).collect())
}
