//! Running other programs: with a deadline, and with all that they said in the error.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// What a program that ended has said.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output; bytes that are no UTF-8 are replaced.
    pub stdout: String,
    /// Its standard error, likewise.
    pub stderr: String,
}

/// Runs `command` with `input` on its standard input and returns what it said, however it ended.
///
/// # Errors
/// When it cannot be started, or did not end within `limit`; it is killed then.
pub async fn output(mut command: Command, input: &[u8], limit: Duration) -> Result<Output> {
    let line = format!("{:?}", command.as_std());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().with_context(|| format!("start {line}"))?;
    let mut stdin = child.stdin.take();
    let feed = async {
        if let Some(stdin) = stdin.as_mut() {
            // A program may end without reading all of its input; its status tells whether that was right.
            let _ = stdin.write_all(input).await;
        }
        drop(stdin.take());
    };
    let both = async { tokio::join!(feed, child.wait_with_output()).1 };
    let Ok(ended) = tokio::time::timeout(limit, both).await else {
        bail!("{line} did not end within {limit:?}");
    };
    let ended = ended.with_context(|| format!("wait for {line}"))?;
    Ok(Output {
        status: ended.status,
        stdout: String::from_utf8_lossy(&ended.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&ended.stderr).into_owned(),
    })
}

/// Runs `command` and returns its standard output.
///
/// # Errors
/// As [`output`], and when it ended with a failure: then with both of its outputs.
pub async fn run(command: Command, limit: Duration) -> Result<String> {
    let line = format!("{:?}", command.as_std());
    let ended = output(command, b"", limit).await?;
    if !ended.status.success() {
        bail!("{line}: {}\n{}{}", ended.status, ended.stdout, ended.stderr);
    }
    Ok(ended.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_failure_tells_what_the_program_said() {
        let error = run(shell("echo out; echo err >&2; exit 3"), LIMIT).await.expect_err("exit 3");
        let text = error.to_string();
        assert!(text.contains("out") && text.contains("err") && text.contains('3'), "{text}");
    }

    #[tokio::test]
    async fn input_reaches_the_program() {
        let ended = output(shell("wc -c"), &[b'x'; 200_000], LIMIT).await.expect("wc runs");
        assert_eq!(ended.stdout.trim(), "200000");
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_an_error() {
        let error = output(shell("sleep 600"), b"", Duration::from_millis(50)).await;
        assert!(error.expect_err("it hangs").to_string().contains("did not end"));
    }
}
