//! What is measured: Ottla, Apache Kafka and the floor program, as processes on loopback that die with the bench.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ottla_e2e::{Stopwatch, binary};

/// Ports come from below the ephemeral ones, of which a starting broker's client could connect to its own.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// How long a process may take to end after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Between two looks whether it has.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// A running process.
pub struct Running {
    child: Child,
    /// Since just before it was started.
    pub since_start: Stopwatch,
}

impl Running {
    /// Starts a program that writes to `log` and dies with the bench.
    pub fn start(program: &Path, arguments: &[String], log: &Path) -> Result<Running> {
        let out = File::create(log).with_context(|| format!("create {}", log.display()))?;
        let err = out.try_clone().context("share the log")?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let since_start = Stopwatch::start();
        let child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        Ok(Running { child, since_start })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails if it has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait().context("look whether it runs")? {
            Some(status) => bail!("it ended with {status}"),
            None => Ok(()),
        }
    }

    /// Stops it in order.
    pub fn stop(mut self) -> Result<()> {
        let status = Command::new("kill").arg(self.id().to_string()).status().context("run kill")?;
        ensure!(status.success(), "the process has ended before it was told to");
        let asked = Stopwatch::start();
        while self.child.try_wait().context("wait for the end")?.is_none() {
            ensure!(asked.elapsed() < STOP_LIMIT, "the process does not end");
            std::thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; nothing else can fail here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A broker that can be started again and again on one folder.
pub trait Broker {
    /// As the table calls it.
    fn name(&self) -> &'static str;
    /// Makes `folder` ready for a first start that serves clients on `port`, and returns the further port it needs.
    fn prepare(&self, folder: &Path, port: u16) -> Result<()>;
    /// Starts it on a prepared folder.
    fn start(&self, folder: &Path) -> Result<Running>;
}

/// The broker of `OTTLA_BIN_DIR`, with one node that is voter and broker.
pub struct Ottla;

impl Broker for Ottla {
    fn name(&self) -> &'static str {
        "Ottla"
    }

    fn prepare(&self, folder: &Path, port: u16) -> Result<()> {
        let internal = free_port()?;
        let listeners = format!("INTERNAL://127.0.0.1:{internal},PLAINTEXT://127.0.0.1:{port}");
        let settings = format!(
            "process.roles=broker,controller\nnode.id=0\ncontroller.quorum.voters=0@127.0.0.1:{internal}\n\
             listeners={listeners}\nadvertised.listeners={listeners}\n\
             listener.security.protocol.map=INTERNAL:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
             inter.broker.listener.name=INTERNAL\ncontroller.listener.names=INTERNAL\n\
             log.dirs={}\nottla.cluster.id=ottla-bench-cluster-00\n",
            folder.join("data").display()
        );
        fs::create_dir_all(folder.join("data")).context("make the data folder")?;
        fs::write(folder.join("server.properties"), settings).context("write the settings")
    }

    fn start(&self, folder: &Path) -> Result<Running> {
        let config = folder.join("server.properties").display().to_string();
        Running::start(&binary("ottla-broker")?, &["--config".to_owned(), config], &folder.join("log"))
    }
}

/// Apache Kafka of the jars that the tests fetch, as its own start script runs it.
pub struct Apache {
    jars: PathBuf,
}

impl Apache {
    /// Kafka, where its jars and Java are.
    pub fn find() -> Option<Apache> {
        let script = ottla_e2e::checkout().join("e2e/clients/kafka/fetch");
        let java = Command::new("java").arg("-version").output().ok()?;
        let fetched = Command::new(script).output().ok()?;
        let jars = PathBuf::from(String::from_utf8_lossy(&fetched.stdout).trim());
        (java.status.success() && fetched.status.success() && jars.is_dir()).then_some(Apache { jars })
    }

    fn java(&self, heap: &str, class: &str, arguments: &[&str]) -> Vec<String> {
        let logging = ottla_e2e::checkout().join("e2e/clients/kafka/log4j2.yaml");
        // The flags of kafka-run-class.sh and kafka-server-start.sh.
        let mut line = vec![format!("-Xms{heap}"), format!("-Xmx{heap}")];
        let flags = "-server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 \
                     -XX:+ExplicitGCInvokesConcurrent -XX:MaxInlineLevel=15 -Djava.awt.headless=true";
        line.extend(flags.split_whitespace().map(str::to_owned));
        line.push(format!("-Dlog4j2.configurationFile={}", logging.display()));
        line.extend(["-cp".to_owned(), format!("{}/*", self.jars.display()), class.to_owned()]);
        line.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        line
    }
}

impl Broker for Apache {
    fn name(&self) -> &'static str {
        "Kafka"
    }

    fn prepare(&self, folder: &Path, port: u16) -> Result<()> {
        let controller = free_port()?;
        let settings = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             controller.listener.names=CONTROLLER\ninter.broker.listener.name=PLAINTEXT\n\
             offsets.topic.replication.factor=1\nlog.dirs={}\n",
            folder.join("data").display()
        );
        fs::create_dir_all(folder.join("data")).context("make the data folder")?;
        let config = folder.join("server.properties");
        fs::write(&config, settings).context("write the settings")?;
        let config = config.display().to_string();
        let arguments = ["format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", config.as_str()];
        let format = Command::new("java")
            .args(self.java("256M", "kafka.tools.StorageTool", &arguments))
            .output()
            .context("format the data folder")?;
        ensure!(format.status.success(), "format: {}", String::from_utf8_lossy(&format.stderr));
        Ok(())
    }

    fn start(&self, folder: &Path) -> Result<Running> {
        let config = folder.join("server.properties").display().to_string();
        Running::start(Path::new("java"), &self.java("1G", "kafka.Kafka", &[&config]), &folder.join("log"))
    }
}

/// The floor program, as a child of the bench's own binary.
pub fn start_floor(arguments: &[&str], log: &Path) -> Result<Running> {
    let own = std::env::current_exe().context("find the bench")?;
    let arguments: Vec<String> =
        std::iter::once("floor").chain(arguments.iter().copied()).map(str::to_owned).collect();
    Running::start(&own, &arguments, log)
}

/// A port on loopback that nobody uses now, and that is not given out twice by this process.
pub fn free_port() -> Result<u16> {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Another bench on the machine begins elsewhere.
    let begin = (std::process::id() % u32::from(PORTS.end - PORTS.start)) as u16;
    for _ in PORTS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + begin.wrapping_add(step) % (PORTS.end - PORTS.start);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port in {PORTS:?} is free")
}
