//! How much memory this process may use, and which share of it the bytes of others may take.

use std::path::{Path, PathBuf};

/// Where the control groups are.
const CGROUPS: &str = "/sys/fs/cgroup";
/// The memory of a machine that does not say: small enough to be there.
const UNKNOWN_BYTES: u64 = 1 << 30;
/// What an idle connection takes, generously: its task, its place in tables, a small buffer.
const CONNECTION_BYTES: u64 = 4608;

/// Bounds on what others may make this process hold; together at most seven eighths of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryShares {
    /// Requests of clients.
    pub client_frames: usize,
    /// Requests of brokers.
    pub broker_frames: usize,
    /// What waits for slow clients.
    pub client_leftovers: usize,
    /// What waits for slow brokers.
    pub broker_leftovers: usize,
    /// What is kept for clients beyond their requests.
    pub kept: usize,
    /// The largest single request: one at a time may go over the budget of its listener.
    pub frame_max: usize,
    /// What members of groups say, and as much for what groups commit.
    pub groups: usize,
    /// The maps of keys of what is compacted.
    pub cleaner: usize,
    /// Connections of clients.
    pub connections_max: usize,
}

impl MemoryShares {
    /// The shares of `total` bytes, where `ottla.queued.max.bytes` and `socket.request.max.bytes` allow so much.
    pub fn of(total: u64, queued_max: u64, frame_max: u64) -> MemoryShares {
        let share = |part: u64| total / part;
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        MemoryShares {
            client_frames: size(queued_max.min(share(8))),
            broker_frames: size(queued_max.min(share(16))),
            client_leftovers: size(share(8)),
            broker_leftovers: size(share(32)),
            kept: size(share(32)),
            frame_max: size(frame_max.min(share(8))),
            groups: size(share(64)),
            cleaner: size(share(64)),
            connections_max: size(share(5) / CONNECTION_BYTES).max(64),
        }
    }
}

/// Bytes that this process may use: what its control groups allow, at most what the machine has.
pub fn limit_bytes() -> u64 {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| total_of(&text)).unwrap_or(UNKNOWN_BYTES);
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    limit_of(&groups, read).map_or(machine, |limit| limit.min(machine))
}

/// `MemTotal` of /proc/meminfo.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The least limit of the groups named in /proc/self/cgroup and of those around them, of both versions.
fn limit_of(groups: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let mut least: Option<u64> = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => (PathBuf::from(CGROUPS), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (Path::new(CGROUPS).join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // In a container the path may be the one outside, of which only the end, or nothing, is there.
        let inner = Path::new(path.trim_start_matches('/'));
        for group in inner.ancestors() {
            let found = read(&root.join(group).join(file)).and_then(|text| text.trim().parse().ok());
            least = match (least, found) {
                (Some(least), Some(found)) => Some(least.min(found)),
                (least, found) => least.or(found),
            };
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn limit(groups: &str, files: &[(&str, &str)]) -> Option<u64> {
        let files: BTreeMap<PathBuf, String> =
            files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
        limit_of(groups, |path| files.get(path).cloned())
    }

    #[test]
    fn a_pods_limit_is_found_in_both_versions_of_control_groups() {
        let second = [("/sys/fs/cgroup/memory.max", "134217728\n")];
        assert_eq!(limit("0::/\n", &second), Some(128 << 20));
        let nested =
            [("/sys/fs/cgroup/pod/box/memory.max", "max\n"), ("/sys/fs/cgroup/pod/memory.max", "4096\n")];
        assert_eq!(limit("0::/pod/box\n", &nested), Some(4096));
        let first = [("/sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n")];
        assert_eq!(limit("4:memory:/kubepods/a\n0::/\n", &first), Some(128 << 20));
        assert_eq!(limit("7:blkio:/\n0::/\n", &[]), None);
    }

    #[test]
    fn a_small_pod_keeps_memory_for_itself() {
        let total = 128 << 20;
        let shares = MemoryShares::of(total, 64 << 20, 100 << 20);
        let connections = shares.connections_max as u64 * CONNECTION_BYTES;
        // One frame beyond the budget on each kind of listener; of a growing one the former half is still there.
        let beyond = 2 * shares.frame_max as u64;
        let held =
            shares.client_frames + shares.broker_frames + shares.client_leftovers + shares.broker_leftovers;
        let held = held + shares.kept + 2 * shares.groups + shares.cleaner;
        assert!(held as u64 + connections + beyond <= total * 7 / 8, "{shares:?}");
        assert!(shares.connections_max >= 5_000, "{shares:?}");
        let large = MemoryShares::of(64 << 30, 64 << 20, 100 << 20);
        assert_eq!((large.client_frames, large.frame_max), (64 << 20, 100 << 20));
    }
}
