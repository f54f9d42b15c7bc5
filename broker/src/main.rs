//! The `ottla-broker` program: arguments, logging, and nothing else.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use ottla_broker::boot;

/// Worker threads of the runtime: more than the machine has cores would only compete.
const WORKER_THREADS_MAX: usize = 16;
/// Threads for calls that block (opening logs, syncing); more would only queue at the disk.
const BLOCKING_THREADS_MAX: usize = 16;

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
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(WORKER_THREADS_MAX);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(2))
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(boot::run(settings)),
        Err(error) => Err(anyhow::Error::from(error).context("start the runtime")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
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
