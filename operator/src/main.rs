//! The command line of the operator.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use ottla_operator::{crdgen, run};
use ottla_operator_planner::Defaults;

/// Runs Kafka clusters.
#[derive(Parser)]
#[command(name = "ottla-operator", version)]
struct Cli {
    /// What is logged: a level, or directives such as info,ottla_operator=debug.
    #[arg(long, env = "OTTLA_LOG", default_value = "info", global = true)]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Looks after the clusters of a Kubernetes cluster.
    Run(RunArguments),
    /// Writes the CustomResourceDefinitions.
    Crdgen {
        /// The folder to write to; may be given several times. The chart has a copy, since Helm reads nothing else.
        #[arg(long, default_values = ["crds", "charts/ottla/files/crds"])]
        out: Vec<PathBuf>,
        /// Only says whether the files are fresh.
        #[arg(long)]
        check: bool,
    },
}

#[derive(Args)]
struct RunArguments {
    /// A namespace to look after; may be given several times. All if not given.
    #[arg(long = "namespace", env = "OTTLA_NAMESPACES", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// The operator's own namespace, for its lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    own_namespace: String,
    /// The lease's name.
    #[arg(long, default_value = "ottla-operator")]
    lease: String,
    /// Who holds the lease.
    #[arg(long, env = "POD_NAME", default_value = "ottla-operator")]
    identity: String,
    /// Where health and metrics are served.
    #[arg(long, default_value = "0.0.0.0:8080")]
    http: SocketAddr,
    /// Image of brokers whose cluster names none.
    #[arg(long, env = "OTTLA_BROKER_IMAGE", default_value = "ottla:dev")]
    broker_image: String,
    /// Pull policy of that image: IfNotPresent, Always or Never.
    #[arg(long, env = "OTTLA_BROKER_IMAGE_PULL_POLICY")]
    broker_image_pull_policy: Option<String>,
    /// DNS domain of the Kubernetes cluster.
    #[arg(long, env = "OTTLA_CLUSTER_DOMAIN", default_value = "cluster.local")]
    cluster_domain: String,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(&cli.log))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let outcome = match cli.command {
        Command::Run(arguments) => start(arguments),
        Command::Crdgen { out, check: true } => out.iter().try_for_each(|folder| crdgen::check(folder)),
        Command::Crdgen { out, check: false } => out.iter().try_for_each(|folder| crdgen::write(folder)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: RunArguments) -> anyhow::Result<()> {
    let options = run::Options {
        namespaces: arguments.namespaces.into_iter().filter(|namespace| !namespace.is_empty()).collect(),
        lease_namespace: arguments.own_namespace,
        lease_name: arguments.lease,
        identity: arguments.identity,
        http: arguments.http,
        defaults: Defaults {
            image: arguments.broker_image,
            image_pull_policy: arguments.broker_image_pull_policy.filter(|policy| !policy.is_empty()),
            cluster_domain: arguments.cluster_domain,
        },
    };
    // One thread carries hundreds of clusters: the work is waiting for the API server and for brokers.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(run::run(options))
}
