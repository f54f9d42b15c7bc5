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

/// Meta's rebalancer: balance of counts, bytes and write rate by local search, with racks as groups.
pub fn meta(model: &Model) -> Result<Made> {
    run(model, "meta.py", "rebalancer")
}

/// HiGHS: the fewest copied bytes, and then copies, within the bands of the bounds.
pub fn highs(model: &Model) -> Result<Made> {
    run(model, "highs.py", "highspy")
}

/// The interpreter with the packages; none where it was not made.
pub fn interpreter() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    Some(cache?.join("ottla/planners/bin/python")).filter(|path| path.exists())
}

fn run(model: &Model, script: &str, package: &str) -> Result<Made> {
    let missing = |reason: String| {
        Ok(Made::NotRun { reason, remedy: format!("e2e/planners/install (Python ≥ 3.12 for {package})") })
    };
    let Some(python) = interpreter() else { return missing(format!("{package} is not installed")) };
    let probe = Command::new(&python).args(["-c", &format!("import {package}")]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return missing(format!("{package} is not installed"));
    }
    let folder = tempfile::tempdir().context("make a folder")?;
    let (input, output) = (folder.path().join("model.json"), folder.path().join("assignment.json"));
    std::fs::write(&input, write_model(model)).context("write the model")?;
    let script = ottla_e2e::checkout().join("e2e/planners").join(script);
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
