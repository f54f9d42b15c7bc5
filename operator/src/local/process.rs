//! One broker's process: its folder, its files, its start and its end.
//!
//! I/O: starts `ottla-broker`, sends it signals, writes `server.properties` and `log` in the broker's folder.
//! Invariant: a broker that this process started does not outlive it (`--exit-with-parent`). The kernel ties that to
//! the thread that starts brokers, so they are started from the main thread alone.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, bail};
use ottla_operator_planner::settings;
use rustix::process::{Pid, Signal, kill_process};

/// A log larger than this is put aside when its broker starts, in the place of the one put aside before.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// The end of a log in which a broker's last words are looked for.
const TAIL_BYTES: u64 = 4096;
/// The last words that are quoted.
const WORDS_CHARS_MAX: usize = 300;

/// The broker's program: `OTTLA_BROKER`, else the one beside this program.
pub(super) fn program() -> anyhow::Result<PathBuf> {
    let path = match std::env::var_os("OTTLA_BROKER") {
        Some(path) => PathBuf::from(path),
        None => {
            let own = std::env::current_exe().context("find this program")?;
            own.with_file_name("ottla-broker")
        }
    };
    if !path.is_file() {
        bail!(
            "{} is not there: build it (cargo build --package ottla-broker), or name it by OTTLA_BROKER",
            path.display()
        );
    }
    path.canonicalize().with_context(|| format!("find {}", path.display()))
}

/// The files of one broker.
#[derive(Clone, Debug)]
pub(super) struct Home {
    pub(super) folder: PathBuf,
}

impl Home {
    /// Where its data is.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where its settings are.
    pub(super) fn properties(&self) -> PathBuf {
        self.folder.join("server.properties")
    }

    /// Where it writes what it has to say.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

/// A running broker.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Starts a broker with these settings.
    pub(super) fn start(
        program: &Path,
        home: &Home,
        values: &BTreeMap<String, String>,
        bootstrapped: bool,
    ) -> anyhow::Result<Process> {
        let data = home.data();
        std::fs::create_dir_all(&data).with_context(|| format!("make {}", data.display()))?;
        let file = home.properties();
        std::fs::write(&file, settings::properties(values, bootstrapped))
            .with_context(|| format!("write {}", file.display()))?;
        let log = home.log();
        if std::fs::metadata(&log).is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX) {
            let old = log.with_extension("old");
            std::fs::rename(&log, &old).with_context(|| format!("write {}", old.display()))?;
        }
        let output = OpenOptions::new().create(true).append(true).open(&log);
        let output = output.with_context(|| format!("write {}", log.display()))?;
        let errors = output.try_clone().context("write the log")?;
        let child = Command::new(program)
            .arg("--config")
            .arg(&file)
            .arg("--exit-with-parent")
            .arg(std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // Ctrl-C reaches this process alone, which then stops the brokers in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        Ok(Process { child })
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        // An error means that it was waited for already; it is gone either way.
        self.child.try_wait().unwrap_or_else(|_| Some(ExitStatus::from_raw(0)))
    }

    /// Asks it to stop in peace.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends it at once.
    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid
            && let Err(error) = kill_process(pid, signal)
        {
            // It has ended by itself meanwhile.
            tracing::debug!(%error, pid = self.child.id(), "no signal");
        }
    }
}

/// How a process ended, in words.
pub(super) fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown ending".to_owned(),
    }
}

/// The last line that a broker wrote.
pub(super) fn last_words(log: &Path) -> Option<String> {
    let mut file = std::fs::File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES))).ok()?;
    let mut tail = vec![];
    file.take(TAIL_BYTES).read_to_end(&mut tail).ok()?;
    let tail = String::from_utf8_lossy(&tail).into_owned();
    let line = tail.trim().lines().last()?.trim();
    // The time and the place in the code mean nothing to whoever reads this.
    let line = line.split_once("ERROR ").map_or(line, |(_, rest)| rest);
    let line = line.split_once(": ").filter(|(place, _)| place.contains("::") || !place.contains(' '));
    let whole = tail.trim().lines().last()?.trim();
    let words = line.map_or(whole, |(_, words)| words);
    Some(words.chars().take(WORDS_CHARS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_the_message_of_the_last_line() {
        let dir = tempfile::tempdir().expect("a folder");
        let log = dir.path().join("log");
        assert_eq!(last_words(&log), None);
        let text = "x\n2026-01-01T00:00:00Z ERROR ottla_broker: the disk is full: free some\n";
        std::fs::write(&log, text).expect("it is written");
        assert_eq!(last_words(&log).as_deref(), Some("the disk is full: free some"));
        std::fs::write(&log, "killed by somebody\n").expect("it is written");
        assert_eq!(last_words(&log).as_deref(), Some("killed by somebody"));
    }
}
