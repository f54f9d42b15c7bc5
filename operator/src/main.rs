//! The command line of the operator.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Runs Kafka clusters.
#[derive(Parser)]
#[command(name = "ottla-operator", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes the CustomResourceDefinitions.
    Crdgen {
        /// The folder to write to.
        #[arg(long, default_value = "crds")]
        out: PathBuf,
        /// Only says whether the files are fresh.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Crdgen { out, check: true } => ottla_operator::crdgen::check(&out),
        Command::Crdgen { out, check: false } => ottla_operator::crdgen::write(&out),
    }
}
