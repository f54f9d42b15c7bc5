//! Writing generated files. I/O: runs `rustfmt`, reads and writes below the protocol crate, and
//! the page of the APIs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// Folders that hold nothing but generated files.
const FOLDERS: [&str; 2] = ["src/generated", "tests/cross_check/generated"];

/// Brings the folders to the state of `files` (path below `root`, content); returns the names of those that
/// differed. With `check` the disk stays as it is.
pub(crate) fn sync(
    root: &Path,
    files: &BTreeMap<String, String>,
    check: bool,
) -> anyhow::Result<Vec<String>> {
    let mut stale = Vec::new();
    for (name, content) in files {
        let content = match name.ends_with(".rs") {
            true => rustfmt(root, content).with_context(|| format!("format {name}"))?,
            false => content.clone(),
        };
        let path = root.join(name);
        if fs::read_to_string(&path).is_ok_and(|current| current == content) {
            continue;
        }
        stale.push(name.clone());
        if !check {
            let folder = path.parent().context("a generated file has a folder")?;
            fs::create_dir_all(folder)?;
            fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
        }
    }
    for name in existing(root)? {
        if !files.contains_key(&name) {
            if !check {
                fs::remove_file(root.join(&name))?;
            }
            stale.push(name);
        }
    }
    Ok(stale)
}

fn existing(root: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for folder in FOLDERS {
        let Ok(entries) = fs::read_dir(root.join(folder)) else { continue };
        for entry in entries {
            names.insert(format!("{folder}/{}", entry?.file_name().to_string_lossy()));
        }
    }
    Ok(names)
}

fn rustfmt(root: &Path, code: &str) -> anyhow::Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root.join("../../../rustfmt.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start rustfmt")?;
    let mut stdin = child.stdin.take().context("rustfmt's stdin is piped")?;
    // rustfmt reads all of its input before it writes, so writing first cannot deadlock.
    stdin.write_all(code.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "rustfmt refused the generated code");
    Ok(String::from_utf8(output.stdout)?)
}
