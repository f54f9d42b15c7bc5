//! Hosts on one machine: network namespaces on a bridge of their own, and what can go wrong between them.
//!
//! A namespace lives as long as the process that holds it, and that process dies with the test, so that nothing of
//! this stays behind, whichever way the test ends. Addresses are of 198.18.0.0/15, which is set aside for tests of
//! networks; nothing that is sent here leaves the machine.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::process::Command;

use crate::command::run;
use crate::process::Process;
use crate::requirement::unmet;
use crate::wait::{Waited, until};

/// The kernel makes a namespace and its links in milliseconds.
const SET_UP_LIMIT: Duration = Duration::from_secs(20);
/// The last byte of the first host's address; the bridge and this side's end of it come before.
const FIRST_HOST: u8 = 10;
/// How many networks of one process have addresses of their own.
const NETWORKS_MAX: u32 = 100;

static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// The hosts, numbered from 0.
#[derive(Debug)]
pub struct Hosts {
    network: [u8; 3],
    switch: Process,
    hosts: Vec<Process>,
    /// The holders' logs.
    folder: TempDir,
}

impl Hosts {
    /// `count` hosts that reach each other and this side; none, and a visible skip, where no namespaces can be made.
    ///
    /// # Errors
    /// When the kernel refuses a part of it.
    pub async fn new(count: usize) -> Result<Option<Hosts>> {
        let tools =
            std::process::Command::new("sh").args(["-c", "command -v ip iptables tc nsenter"]).output();
        if !rustix::process::geteuid().is_root() || !tools.is_ok_and(|found| found.status.success()) {
            unmet(
                "hosts of one machine need network namespaces",
                "as root: apt-get install -y iproute2 iptables",
            );
            return Ok(None);
        }
        let folder = TempDir::new().context("make a folder for the namespaces' holders")?;
        let number = std::process::id().wrapping_add(NETWORKS.fetch_add(1, Ordering::Relaxed)) % NETWORKS_MAX;
        let network = [198, 18, number as u8 + 1];
        let switch = hold(&folder.path().join("switch")).await?;
        let mut hosts = Hosts { network, switch, hosts: Vec::new(), folder };
        hosts.connect_this_side(number).await?;
        for index in 0..count {
            hosts.add(index).await?;
        }
        Ok(Some(hosts))
    }

    /// The address of a host.
    pub fn address(&self, host: usize) -> Ipv4Addr {
        let [a, b, c] = self.network;
        Ipv4Addr::new(a, b, c, FIRST_HOST + host as u8)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.hosts.len()
    }

    /// The words before a command line that run it on a host.
    pub(crate) fn enter(&self, host: usize) -> Result<Vec<String>> {
        enter(&self.hosts[host])
    }

    /// What `from` sends to `to` is lost from now on; the other way is as it was.
    ///
    /// # Errors
    /// When the rule cannot be set.
    pub async fn cut(&self, from: usize, to: usize) -> Result<()> {
        self.on(to, &format!("iptables -w -A INPUT -s {} -j DROP", self.address(from))).await
    }

    /// The two do not hear each other any more.
    ///
    /// # Errors
    /// As [`Hosts::cut`].
    pub async fn cut_both(&self, one: usize, other: usize) -> Result<()> {
        self.cut(one, other).await?;
        self.cut(other, one).await
    }

    /// A host hears no other host, and none hears it. Clients on this side still reach it.
    ///
    /// # Errors
    /// As [`Hosts::cut`].
    pub async fn isolate(&self, host: usize) -> Result<()> {
        for other in (0..self.count()).filter(|other| *other != host) {
            self.cut_both(host, other).await?;
        }
        Ok(())
    }

    /// As if the host's cable were pulled: clients on this side do not reach it either.
    ///
    /// # Errors
    /// As [`Hosts::cut`].
    pub async fn unplug(&self, host: usize) -> Result<()> {
        self.on(host, "iptables -w -A INPUT -i eth0 -j DROP; iptables -w -A OUTPUT -o eth0 -j DROP").await
    }

    /// A host loses one packet in `one_in`, coming and going.
    ///
    /// # Errors
    /// When the rules cannot be set.
    pub async fn lose(&self, host: usize, one_in: u32) -> Result<()> {
        let rule = |chain: &str| {
            format!("iptables -w -A {chain} -m statistic --mode nth --every {one_in} --packet 0 -j DROP")
        };
        self.on(host, &format!("{}; {}", rule("INPUT -i eth0"), rule("OUTPUT -o eth0"))).await
    }

    /// What a host sends leaves at `kbit` kilobits a second at most, and waits up to 300 ms for its turn.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub async fn slow(&self, host: usize, kbit: u32) -> Result<()> {
        let line = format!("tc qdisc replace dev eth0 root tbf rate {kbit}kbit burst 16kb latency 300ms");
        self.on(host, &line).await
    }

    /// Ends every fault.
    ///
    /// # Errors
    /// When a rule cannot be removed.
    pub async fn heal(&self) -> Result<()> {
        for host in 0..self.count() {
            self.on(host, "iptables -w -F; tc qdisc del dev eth0 root 2> /dev/null || true").await?;
        }
        Ok(())
    }

    async fn on(&self, host: usize, script: &str) -> Result<()> {
        inside(&self.hosts[host], script).await.with_context(|| format!("on host {host}"))
    }

    async fn connect_this_side(&self, number: u32) -> Result<()> {
        let [a, b, c] = self.network;
        inside(&self.switch, "ip link add br0 type bridge && ip link set br0 up").await?;
        let switch = self.switch.id().context("the switch has ended")?;
        // Named by the network, so that two test runs on one machine do not meet.
        let name = format!("ottla{number}s{}", std::process::id() % 10_000);
        let script = format!(
            "ip link add dev {name} type veth peer name this netns {switch} && \
             ip address add {a}.{b}.{c}.1/24 dev {name} && ip link set {name} up"
        );
        shell(&script).await?;
        inside(&self.switch, "ip link set this master br0 && ip link set this up").await
    }

    async fn add(&mut self, index: usize) -> Result<()> {
        let holder = hold(&self.folder.path().join(index.to_string())).await?;
        let pid = holder.id().context("a host has ended")?;
        // The bridge knows the process by the number that this side sees: both are in one process namespace.
        let script = format!("ip link add dev port{index} type veth peer name eth0 netns {pid}");
        inside(&self.switch, &script).await?;
        inside(&self.switch, &format!("ip link set port{index} master br0 && ip link set port{index} up"))
            .await?;
        let address = self.address(index);
        let script =
            format!("ip link set lo up && ip address add {address}/24 dev eth0 && ip link set eth0 up");
        inside(&holder, &script).await?;
        self.hosts.push(holder);
        Ok(())
    }
}

/// A process that holds a network namespace of its own.
async fn hold(log: &Path) -> Result<Process> {
    let process = Process::start(Path::new("unshare"), &["--net", "--", "sleep", "infinity"], log)?;
    let pid = process.id().context("the holder has ended")?;
    let ours = std::fs::read_link("/proc/self/ns/net").context("read the own namespace")?;
    until("a network namespace", SET_UP_LIMIT, async || {
        let theirs = std::fs::read_link(format!("/proc/{pid}/ns/net")).context("read its namespace")?;
        Ok(if theirs == ours { Waited::NotYet(process.log()) } else { Waited::Done(()) })
    })
    .await?;
    Ok(process)
}

fn enter(holder: &Process) -> Result<Vec<String>> {
    let pid = holder.id().context("the namespace's holder has ended")?;
    Ok(vec!["nsenter".to_owned(), format!("--net=/proc/{pid}/ns/net"), "--".to_owned()])
}

async fn inside(holder: &Process, script: &str) -> Result<()> {
    let words = enter(holder)?;
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args(["sh", "-c", script]);
    run(command, SET_UP_LIMIT).await.map(drop)
}

async fn shell(script: &str) -> Result<()> {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    run(command, SET_UP_LIMIT).await.map(drop)
}

#[cfg(test)]
mod tests {
    use anyhow::ensure;

    use super::*;

    async fn reaches(hosts: &Hosts, from: usize, to: usize) -> bool {
        // Nobody listens there: a host that is reached refuses at once, one that is not says nothing.
        let script =
            format!("timeout 1 bash -c 'echo > /dev/tcp/{}/9' 2> /dev/null; [ $? = 1 ]", hosts.address(to));
        hosts.on(from, &script).await.is_ok()
    }

    #[tokio::test]
    async fn hosts_hear_each_other_until_they_are_cut_and_again_when_healed() -> Result<()> {
        let Some(hosts) = Hosts::new(3).await? else { return Ok(()) };
        ensure!(reaches(&hosts, 0, 1).await && reaches(&hosts, 1, 2).await, "hosts do not reach each other");
        hosts.isolate(0).await?;
        ensure!(!reaches(&hosts, 0, 1).await && !reaches(&hosts, 2, 0).await, "the cut lets packets pass");
        ensure!(reaches(&hosts, 1, 2).await, "the others were cut, too");
        hosts.heal().await?;
        ensure!(reaches(&hosts, 0, 1).await, "it is not healed");
        Ok(())
    }
}
