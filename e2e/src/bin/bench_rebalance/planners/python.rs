//! Planners that are Python packages, in the environment that `e2e/planners/install` makes.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use ottla_operator_planner::rebalance::{Model, write_model};
use serde::Deserialize;

use super::{Made, read_assignment};

/// What the scripts print beside the assignment.
#[derive(Deserialize)]
struct Said {
    seconds: f64,
    note: String,
}

/// A Python package with the script of ours that asks it.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// As it is imported.
    name: &'static str,
    /// In `e2e/planners`.
    pub script: &'static str,
}

const META: Package = Package { name: "rebalancer", script: "meta.py" };
/// The exact solver.
pub const HIGHS: Package = Package { name: "highspy", script: "highs.py" };

/// Meta's rebalancer: balance of counts, bytes and write rate by local search, with racks as groups.
pub fn meta(model: &Model) -> Result<Made> {
    run(model, META)
}

/// HiGHS: the fewest copied bytes, and then copies, within the bands of the bounds.
pub fn highs(model: &Model) -> Result<Made> {
    run(model, HIGHS)
}

/// The interpreter that can import the package; none where it is not installed.
pub fn interpreter(package: Package) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let python = cache?.join("ottla/planners/bin/python");
    let probe = Command::new(&python).args(["-c", &format!("import {}", package.name)]).output();
    probe.is_ok_and(|output| output.status.success()).then_some(python)
}

fn run(model: &Model, package: Package) -> Result<Made> {
    let Some(python) = interpreter(package) else {
        return Ok(Made::NotRun {
            reason: format!("the Python package {} is not installed", package.name),
            remedy: format!("e2e/planners/install {}", package.name),
        });
    };
    let folder = tempfile::tempdir().context("make a folder")?;
    let (input, output) = (folder.path().join("model.json"), folder.path().join("assignment.json"));
    std::fs::write(&input, write_model(model)).context("write the model")?;
    let script = ottla_e2e::checkout().join("e2e/planners").join(package.script);
    let ended = Command::new(python).arg(script).arg(&input).arg(&output).output().context("start Python")?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        bail!("{}", said.lines().last().unwrap_or("it failed and said nothing"));
    }
    let last = String::from_utf8_lossy(&ended.stdout).into_owned();
    let said: Said = serde_json::from_str(last.lines().last().unwrap_or("")).context("read its last line")?;
    let lists = read_assignment(&std::fs::read_to_string(&output).context("read its assignment")?)?;
    Ok(Made::Plan { lists, seconds: said.seconds, note: said.note })
}
