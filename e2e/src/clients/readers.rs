//! A consumer group of kcats.

use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::Process;
use crate::wait::{Waited, until};

/// Three members find each other within the group's initial delay of 3 s and one more round.
const JOIN_LIMIT: Duration = Duration::from_secs(90);
/// A member leaves the group within a second.
const END_LIMIT: Duration = Duration::from_secs(30);

/// The members, running.
#[derive(Debug)]
pub struct Readers {
    members: Vec<Process>,
    _folder: TempDir,
}

/// A record that a member of the group got.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Got {
    /// Where it was.
    pub topic: String,
    /// Where it was.
    pub partition: i32,
    /// Where it was.
    pub offset: i64,
    /// Its key; empty if it has none.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl Readers {
    /// Starts `count` members and waits until each has partitions. `kcat` gives kcat against the cluster.
    ///
    /// # Errors
    /// When the members do not find each other.
    pub async fn start(
        kcat: impl Fn() -> Command,
        group: &str,
        topics: &[&str],
        count: usize,
    ) -> Result<Readers> {
        let folder = TempDir::new().context("make a folder for what the readers get")?;
        let mut members = Vec::new();
        for index in 0..count {
            let mut command = kcat();
            command.args(["-G", group, "-u", "-X", "auto.offset.reset=earliest"]);
            command.args(["-f", "got\\t%t\\t%p\\t%o\\t%k\\t%s\\n"]).args(topics);
            members.push(Process::start_command(&command, &folder.path().join(index.to_string()))?);
        }
        let mut readers = Readers { members, _folder: folder };
        until("every member to have partitions", JOIN_LIMIT, async || {
            for member in &mut readers.members {
                let log = member.errors();
                anyhow::ensure!(member.ended()?.is_none(), "a member ended: {log}");
                let assigned = log.lines().rfind(|line| line.contains("rebalanced"));
                if !assigned.is_some_and(|line| line.contains("assigned:") && line.contains('[')) {
                    return Ok(Waited::NotYet(log));
                }
            }
            Ok(Waited::Done(()))
        })
        .await?;
        Ok(readers)
    }

    /// How many records they have got.
    pub fn count(&self) -> usize {
        self.members.iter().map(|member| lines(&member.log()).count()).sum()
    }

    /// Waits until they have got at least `count` records.
    ///
    /// # Errors
    /// When they have not within `limit`, or one has ended.
    pub async fn until_got(&mut self, count: usize, limit: Duration) -> Result<()> {
        until("the group to have read all", limit, async || {
            let now = self.count();
            if now >= count {
                return Ok(Waited::Done(()));
            }
            let mut said = String::new();
            for member in &mut self.members {
                let errors = member.errors();
                anyhow::ensure!(member.ended()?.is_none(), "a member ended after {now} of {count}: {errors}");
                said += &errors;
            }
            Ok(Waited::NotYet(format!("{now} of {count}; the members said: {said}")))
        })
        .await
    }

    /// Lets them commit and leave; what each got, in its order.
    ///
    /// # Errors
    /// When one does not leave.
    pub async fn stop(mut self) -> Result<Vec<Vec<Got>>> {
        let mut all = Vec::new();
        for member in &mut self.members {
            member.signal("TERM").await?;
            until("a member to leave", END_LIMIT, async || {
                Ok(member.ended()?.map_or_else(|| Waited::not_yet("it runs"), |_| Waited::Done(())))
            })
            .await?;
            let log = member.log();
            let got = lines(&log).map(|line| parse(line).with_context(|| format!("kcat printed {line:?}")));
            all.push(got.collect::<Result<Vec<Got>>>()?);
        }
        Ok(all)
    }
}

/// Whole lines with records.
fn lines(log: &str) -> impl Iterator<Item = &str> {
    log.split_inclusive('\n').filter(|line| line.starts_with("got\t") && line.ends_with('\n'))
}

fn parse(line: &str) -> Option<Got> {
    let mut parts = line.trim_end_matches('\n').splitn(6, '\t').skip(1).map(str::to_owned);
    let mut part = || parts.next();
    Some(Got {
        topic: part()?,
        partition: part()?.parse().ok()?,
        offset: part()?.parse().ok()?,
        key: part()?,
        value: part()?,
    })
}
