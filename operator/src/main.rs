//! The command line of the operator.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use ottla_operator::leader::LeaseOptions;
use ottla_operator::workers::ClusterKey;
use ottla_operator::{clock, crdgen, local, plan, release, run};
use ottla_operator_planner::Defaults;
use ottla_operator_planner::resources::OperatorPods;

/// What is logged unless somebody says otherwise.
const LOG_DEFAULT: &str = "info";

/// Runs Kafka clusters.
#[derive(Parser)]
#[command(name = "ottla-operator", version)]
struct Cli {
    /// What is logged: a level, or directives such as info,ottla_operator=debug.
    #[arg(long, env = "OTTLA_LOG", default_value = LOG_DEFAULT, global = true, display_order = 1000)]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Looks after the clusters of a Kubernetes cluster.
    Run(RunArguments),
    /// Plans which replicas of a Kafka cluster to move, and moves nothing.
    Plan(plan::Arguments),
    /// Says what the operator would do now about one cluster of Kubernetes, and does nothing.
    Preview {
        /// The KafkaCluster.
        name: String,
        /// Its namespace.
        #[arg(short = 'n', long = "in", default_value = "default")]
        cluster_namespace: String,
        #[command(flatten)]
        run: RunArguments,
    },
    /// Lets go of KafkaTopics once no operator runs, so that they can be deleted without one; topics and objects stay.
    Release(ReleaseArguments),
    /// Runs a cluster on this machine, each broker a process, from the same manifests.
    Local(LocalArguments),
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
struct ReleaseArguments {
    #[command(flatten)]
    who: WhoArguments,
}

/// Which operator is meant.
#[derive(Args)]
struct WhoArguments {
    /// A namespace to look after; may be given several times. All if not given.
    #[arg(long = "namespace", env = "OTTLA_NAMESPACES", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// The operator's own namespace, for its lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    own_namespace: String,
    /// The lease's name: operators that share it take turns.
    #[arg(long, env = "OTTLA_LEASE", default_value = "ottla-operator")]
    lease: String,
    /// Who holds the lease; a name of its own for each process if not given.
    #[arg(long, env = "POD_NAME")]
    identity: Option<String>,
}

impl WhoArguments {
    fn namespaces(&self) -> Vec<String> {
        self.namespaces.iter().filter(|namespace| !namespace.is_empty()).cloned().collect()
    }

    fn lease(&self) -> LeaseOptions {
        let fresh = || format!("ottla-operator-{}", clock::fresh_id());
        LeaseOptions {
            namespace: self.own_namespace.clone(),
            name: self.lease.clone(),
            identity: self.identity.clone().unwrap_or_else(fresh),
        }
    }
}

#[derive(Args)]
struct RunArguments {
    #[command(flatten)]
    who: WhoArguments,
    /// Where health and metrics are served.
    #[arg(long, default_value = "0.0.0.0:8080")]
    http: SocketAddr,
    /// Image of brokers whose cluster is new and names none.
    #[arg(long, env = "OTTLA_BROKER_IMAGE", default_value = "ottla:dev")]
    broker_image: String,
    /// Pull policy of that image: IfNotPresent, Always or Never.
    #[arg(long, env = "OTTLA_BROKER_IMAGE_PULL_POLICY")]
    broker_image_pull_policy: Option<String>,
    /// DNS domain of the Kubernetes cluster.
    #[arg(long, env = "OTTLA_CLUSTER_DOMAIN", default_value = "cluster.local")]
    cluster_domain: String,
    /// Labels of the operator's own pods, as NAME=VALUE: brokers let them reach their private port.
    #[arg(
        long,
        env = "OTTLA_POD_LABELS",
        value_delimiter = ',',
        value_parser = label,
        default_value = "app.kubernetes.io/name=ottla-operator"
    )]
    pod_labels: Vec<(String, String)>,
}

fn label(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("it is not NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[derive(Args)]
struct LocalArguments {
    /// A manifest or a folder of manifests: one KafkaCluster and its KafkaTopics.
    #[arg(short = 'f', long = "file")]
    file: PathBuf,
    /// The folder of the data.
    #[arg(long, default_value = ".ottla")]
    data: PathBuf,
    /// The port of broker 0; broker N has the Nth after it. Brokers' own ports lie 100 and 200 above.
    #[arg(long, default_value_t = 9092)]
    port: u16,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let log = match &cli.command {
        // The table and its news say what there is to say; a log would tear the table.
        Command::Local(_) | Command::Plan(_) if cli.log == LOG_DEFAULT => "off",
        _ => &cli.log,
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(log))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let outcome = match cli.command {
        Command::Local(arguments) => {
            let LocalArguments { file, data, port } = arguments;
            return in_terminal(block_on(local::run(local::Options { file, data, port })));
        }
        Command::Run(arguments) => block_on(run::run(options(arguments))),
        Command::Plan(arguments) => {
            return match block_on(plan::run(&arguments)) {
                Ok(code) => ExitCode::from(code),
                Err(error) => in_terminal(Err(error)),
            };
        }
        Command::Preview { name, cluster_namespace, run: arguments } => {
            let key = ClusterKey { namespace: cluster_namespace, name };
            block_on(run::preview(options(arguments), key)).map(|plan| print!("{plan}"))
        }
        Command::Release(ReleaseArguments { who }) => {
            let options = release::Options { namespaces: who.namespaces(), lease: who.lease() };
            block_on(release::run(&options))
                .map(|count| tracing::info!(count, "the finalizers of KafkaTopics are removed"))
        }
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

/// Shows help, or says what is wrong with the arguments: with 1, because 2 has a meaning of its own for `plan`.
fn usage(error: &clap::Error) -> ExitCode {
    // Nobody is left to be told.
    let _ = error.print();
    if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Tells a failure as a person at a terminal wants to read it.
fn in_terminal(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ottla-operator: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes, without those whose words the one before has told already.
fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if !text.ends_with(&cause) {
            text += if text.is_empty() { "" } else { ": " };
            text += &cause;
        }
    }
    text
}

fn options(arguments: RunArguments) -> run::Options {
    let operator = OperatorPods {
        namespace: arguments.who.own_namespace.clone(),
        labels: arguments.pod_labels.into_iter().collect(),
    };
    run::Options {
        namespaces: arguments.who.namespaces(),
        lease: arguments.who.lease(),
        http: arguments.http,
        defaults: Defaults {
            image: arguments.broker_image,
            image_pull_policy: arguments.broker_image_pull_policy.filter(|policy| !policy.is_empty()),
            cluster_domain: arguments.cluster_domain,
            operator,
        },
    }
}

/// One thread carries hundreds of clusters: the work is waiting for the API server and for brokers.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(future)
}
