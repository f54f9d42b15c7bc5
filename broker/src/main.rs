//! The `ottla-broker` program: arguments, logging, and nothing else.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use ottla_broker::boot;
use tokio::runtime::Runtime;

/// Worker threads for clients' requests: more than the machine has cores would only compete.
const DATA_THREADS_MAX: usize = 16;
/// Worker threads for what controls: it waits for little and needs little.
const CONTROL_THREADS: usize = 2;
/// Threads for calls that block (appends of much, opening logs, syncing). A disk that hangs holds a bounded number of
/// them, see `ottla_broker::blocking`; the rest is for who waits for a partition's lock meanwhile.
const BLOCKING_THREADS_MAX: usize = 64;

/// A Kafka broker.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// Settings in the format and with the names of Kafka's server.properties.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one setting, above the file; may be given many times.
    #[arg(long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Takes node.id from the number at the end of the host's name, as StatefulSets give it.
    #[arg(long)]
    node_id_from_hostname: bool,
    /// Stops in peace when the process of this id, which must be the one that started this one, ends.
    #[arg(long, value_name = "PID")]
    exit_with_parent: Option<i32>,
    /// What to log, such as "info" or "info,ottla_broker::partitions=debug".
    #[arg(long, env = "OTTLA_LOG", default_value = "info")]
    log: String,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = start_logging(&arguments.log) {
        eprintln!("ottla-broker: {error:#}");
        return ExitCode::FAILURE;
    }
    if let Some(parent) = arguments.exit_with_parent
        && let Err(error) = bind_to_parent(parent)
    {
        tracing::error!("--exit-with-parent: {error:#}");
        return ExitCode::FAILURE;
    }
    let settings = boot::Arguments {
        config_file: arguments.config,
        overrides: arguments.overrides,
        node_id_from_hostname: arguments.node_id_from_hostname,
    };
    raise_file_limit();
    let outcome = match Runtimes::start() {
        Ok(runtimes) => {
            let outcome = runtimes.control.block_on(boot::run(settings, runtimes.data.handle().clone()));
            // What still hangs on a disk must not keep the process.
            runtimes.data.shutdown_background();
            runtimes.control.shutdown_background();
            outcome
        }
        Err(error) => Err(anyhow::Error::from(error).context("start the runtimes")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Threads of two kinds, so that no data disk and no crowd of clients can stop the heartbeats.
struct Runtimes {
    /// Heartbeats, the quorum, the controller, HTTP, accepting connections.
    control: Runtime,
    /// Requests that read and write partitions, and all other requests of clients.
    data: Runtime,
}

impl Runtimes {
    fn start() -> std::io::Result<Runtimes> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // One more than there are cores: a write that the disk holds up stops one, and the others go on.
        let data = cores.clamp(2, DATA_THREADS_MAX) + 1;
        let build = |name: &str, threads: usize| {
            tokio::runtime::Builder::new_multi_thread()
                .thread_name(name)
                .worker_threads(threads)
                .max_blocking_threads(BLOCKING_THREADS_MAX)
                .enable_all()
                .build()
        };
        Ok(Runtimes { control: build("control", CONTROL_THREADS)?, data: build("data", data)? })
    }
}

/// Asks the kernel for SIGTERM when the parent ends, so that nobody is left running without it.
fn bind_to_parent(parent: i32) -> anyhow::Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::TERM)).context("ask for a signal")?;
    // The parent may have ended before the request, which then never fires.
    let now = getppid().map(|pid| pid.as_raw_nonzero().get());
    anyhow::ensure!(now == Some(parent), "process {parent} is not the parent, or has ended");
    Ok(())
}

/// Raises the soft limit of open files to the hard one: each partition and each connection takes one, and the usual soft
/// limit is made for programs that call select(2).
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => {
            tracing::debug!(soft = limit.current, hard = limit.maximum, "the limit of open files is raised")
        }
        Err(error) => {
            tracing::warn!(%error, soft = limit.current, hard = limit.maximum, "the limit of open files stays");
        }
    }
}

fn start_logging(directives: &str) -> anyhow::Result<()> {
    use tracing_subscriber::EnvFilter;
    let filter =
        EnvFilter::builder().parse(format!("{directives},{}", ottla_broker_quorum::LOG_DIRECTIVE))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    Ok(())
}
