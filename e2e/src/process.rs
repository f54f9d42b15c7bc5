//! Child processes that never outlive the test, also when the test is killed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

use crate::command::run;

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    errors: Option<PathBuf>,
}

impl Process {
    /// Starts `program` with `arguments`; both of its outputs go to the file `log`.
    ///
    /// The child is told to die with the thread that starts it (`setpriv --pdeathsig`). Tests whose runtime has
    /// worker threads start children from the test's own thread, which lives as long as the test.
    ///
    /// # Errors
    /// When the program or the log cannot be opened.
    pub fn start<S: AsRef<std::ffi::OsStr>>(program: &Path, arguments: &[S], log: &Path) -> Result<Process> {
        let out = create(log)?;
        let err = out.try_clone().context("share the log between both outputs")?;
        Process::spawn(program, arguments, log, (out, err))
    }

    fn spawn<S: AsRef<std::ffi::OsStr>>(
        program: &Path,
        arguments: &[S],
        log: &Path,
        (out, err): (File, File),
    ) -> Result<Process> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(out).stderr(err).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Process { name, child, log: log.to_owned(), errors: None })
    }

    /// Starts what `command` describes, its environment excepted, in the same way; its standard error goes to a
    /// second file beside `log`, so that no line of one output is cut by the other.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub fn start_command(command: &Command, log: &Path) -> Result<Process> {
        let command = command.as_std();
        let arguments: Vec<&std::ffi::OsStr> = command.get_args().collect();
        let errors = log.with_added_extension("errors");
        let files = (create(log)?, create(&errors)?);
        let process = Process::spawn(Path::new(command.get_program()), &arguments, log, files)?;
        Ok(Process { errors: Some(errors), ..process })
    }

    /// The process id; none once it has been waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        read(&self.log)
    }

    /// What it has said so far on its standard error, where that is kept apart.
    pub fn errors(&self) -> String {
        self.errors.as_deref().map(read).unwrap_or_default()
    }

    /// How it ended, or none while it runs.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("look whether the process has ended")
    }

    /// Sends a signal by its name without SIG, such as `TERM`, `KILL`, `STOP` or `CONT`.
    ///
    /// # Errors
    /// When the process has ended already.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let Some(pid) = self.id() else { bail!("{} has ended", self.name) };
        let mut kill = Command::new("kill");
        kill.args([format!("-{name}"), pid.to_string()]);
        run(kill, Duration::from_secs(5)).await.map(drop)
    }

    /// Asks it to end (SIGTERM) and waits for that.
    ///
    /// # Errors
    /// When it has not ended within `limit`, with the end of its log; it is killed then.
    pub async fn stop(mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal("TERM").await?;
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(status) => status.context("wait for the process"),
            Err(_) => {
                let log = self.log();
                let tail = log.lines().rev().take(20).collect::<Vec<_>>();
                bail!(
                    "{} did not end within {limit:?}; its last words, newest first:\n{}",
                    self.name,
                    tail.join("\n")
                )
            }
        }
    }
}

fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("create {}", path.display()))
}

fn read(path: &Path) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::{Waited, until};

    const LIMIT: Duration = Duration::from_secs(10);

    fn shell(script: &str, log: &Path) -> Process {
        Process::start(Path::new("/bin/sh"), &["-c", script], log).expect("sh starts")
    }

    async fn said(process: &Process, word: &str) {
        until(word, LIMIT, async || {
            let log = process.log();
            Ok(if log.contains(word) { Waited::Done(()) } else { Waited::NotYet(log) })
        })
        .await
        .expect("the script says so");
    }

    #[tokio::test]
    async fn stop_waits_for_the_end_and_returns_its_status() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let process =
            shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done", &folder.path().join("log"));
        said(&process, "ready").await;
        assert_eq!(process.stop(LIMIT).await.expect("it ends").code(), Some(7));
    }

    #[tokio::test]
    async fn a_command_has_its_errors_apart() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo out; echo err >&2; exec sleep 600"]);
        let process = Process::start_command(&command, &folder.path().join("log")).expect("sh starts");
        said(&process, "out").await;
        until("its error", LIMIT, async || {
            let errors = process.errors();
            Ok(if errors == "err\n" { Waited::Done(()) } else { Waited::NotYet(errors) })
        })
        .await
        .expect("it says so");
        assert_eq!(process.log(), "out\n");
    }

    #[tokio::test]
    async fn a_dropped_process_is_killed() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let process = shell("echo ready; exec sleep 600", &folder.path().join("log"));
        said(&process, "ready").await;
        let stat = format!("/proc/{}/cmdline", process.id().expect("it runs"));
        drop(process);
        until("the end of the process", LIMIT, async || {
            // A killed child that nobody has waited for yet has no command line any more.
            let gone = std::fs::read(&stat).map_or(true, |line| line.is_empty());
            Ok(if gone { Waited::Done(()) } else { Waited::not_yet("it runs") })
        })
        .await
        .expect("it is killed");
    }
}
