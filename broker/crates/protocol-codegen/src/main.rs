//! Turns `protocol/spec/*.json` into `protocol/src/generated/`, `protocol/tests/cross_check/generated/` and the page
//! `docs/apis.md`.
//!
//! Owns: the spec format (described in [`spec`] and [`field`]) and the shape of the generated code.
//! I/O: reads the specs, writes the generated files, runs `rustfmt`; with `--check` it writes nothing and fails
//! when a file on disk differs from what the specs say.

mod emit;
mod field;
mod files;
mod message;
mod rules;
mod spec;

use std::path::Path;

use anyhow::bail;

fn main() -> anyhow::Result<()> {
    let check = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => bail!("unknown argument {other}; there is only --check"),
    };
    let protocol = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol");
    let stale = run(&protocol, check)?;
    if check && !stale.is_empty() {
        bail!("stale, run `cargo run -p ottla-broker-protocol-codegen`: {}", stale.join(", "));
    }
    Ok(())
}

/// Generates everything; returns the files that differ from what is on disk, and writes them unless `check`.
fn run(protocol: &Path, check: bool) -> anyhow::Result<Vec<String>> {
    let specs = spec::load(&protocol.join("spec"))?;
    files::sync(protocol, &emit::all(&specs), check)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_are_fresh() {
        let protocol = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol");
        assert_eq!(run(&protocol, true).unwrap(), Vec::<String>::new());
    }
}
