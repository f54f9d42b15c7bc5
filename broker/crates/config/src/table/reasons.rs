//! Why settings have no effect or are refused, each in words that end a sentence about the setting. Pure data.

// Inert: said after "… has no effect: ".
pub(crate) const RECOMPRESSION: &str = "batches are stored as the producer sent them";
pub(crate) const THROTTLES: &str = "copies between brokers are not throttled yet";
pub(crate) const TIERS: &str = "there is no remote tier yet";
pub(crate) const SHARE: &str = "share groups are not served yet";
pub(crate) const STREAMS: &str = "groups of the streams protocol are not served yet";
pub(crate) const GROUP_PROTOCOLS: &str =
    "groups of the classic and of the consumer protocol are always served";
pub(crate) const GROUP_SETTINGS: &str = "groups have no settings of their own yet, those of the broker count";
pub(crate) const GROUP_MIGRATION: &str =
    "a group changes its protocol only while it has no members; stop them all, then start the new ones";
pub(crate) const PATTERNS: &str = "patterns are matched again as soon as topics change";
pub(crate) const TRANSACTIONS: &str = "transactions are not served yet";
pub(crate) const COORDINATOR: &str = "the coordinator sizes its threads and buffers by itself";
pub(crate) const OFFSETS_CODEC: &str = "offsets are stored without compression";
pub(crate) const THREADS: &str = "threads and connections between brokers are sized by the machine";
pub(crate) const BUDGET: &str = "what may wait is bounded in bytes, by ottla.queued.max.bytes";
pub(crate) const OWN_TIMES: &str = "brokers time their requests by their lease, broker.session.timeout.ms";
pub(crate) const KERNEL: &str = "the system's own size is used";
pub(crate) const PROMETHEUS: &str = "metrics are served over HTTP, see ottla.metrics.listener";
pub(crate) const RELEASED_ONLY: &str = "only released versions are offered";
pub(crate) const QUOTAS: &str = "there are no client quotas yet";
pub(crate) const ONE_DIR: &str = "a broker has one log directory";
pub(crate) const DISK_FAILURE: &str = "a replica whose disk fails goes offline at once";
pub(crate) const TELEMETRY: &str = "clients' telemetry is not taken";
pub(crate) const LISTED_VOTERS: &str = "the quorum is that of controller.quorum.voters";
pub(crate) const FOR_EVER: &str = "a starting broker tries until it is stopped";
pub(crate) const FIRST_DIR: &str = "the metadata log lies in log.dirs";
pub(crate) const SNAPSHOTS: &str = "snapshots of the metadata are written by the log's size";
pub(crate) const FROM_LEADER: &str = "consumers read from leaders";
pub(crate) const NO_PURGATORY: &str = "answered requests leave nothing behind";
pub(crate) const AT_ONCE: &str = "a leaderless partition is looked at whenever a broker comes";
pub(crate) const FIXED_DELAY: &str = "log tasks start with the broker";
pub(crate) const TLS: &str = "no listener speaks TLS yet";
pub(crate) const SASL: &str = "no listener speaks SASL yet";
pub(crate) const TOKENS: &str = "there are no delegation tokens yet";
pub(crate) const AUTHORIZER: &str = "there is no authorizer yet, so everybody may do everything";

// Refused: said after "… cannot be VALUE: "; each names a way out.
pub(crate) const NO_TIERS: &str = "there is no remote tier, and records would stay on local disks: drop it";
pub(crate) const NO_RATE: &str =
    "new connections are not limited by rate yet: drop it and set max.connections or max.connections.per.ip";
pub(crate) const NO_PLUGINS: &str = "Java classes cannot be loaded, and nothing would do their work: drop it";
pub(crate) const NO_AUTHORIZER: &str = "there is no authorizer yet, and everybody would be served: drop it, and let only trusted clients reach the listeners";
pub(crate) const NO_TOKENS: &str = "there are no delegation tokens yet: drop it";
pub(crate) const NO_TLS: &str =
    "no listener speaks TLS yet: drop it, and let only trusted networks reach the listeners";
pub(crate) const PLAINTEXT_ONLY: &str =
    "brokers speak PLAINTEXT to each other: drop it, and let only brokers reach the listener between them";
pub(crate) const NO_SASL: &str = "no listener speaks SASL yet, and nobody would be asked who they are: drop it, and let only trusted networks reach the listeners";
pub(crate) const NO_QUOTAS: &str = "there are no client quotas yet: drop it";
