//! What the specs say of an API beside its messages: who is served, what the asker must be allowed, and what a request
//! may cost. No I/O.

/// The rules of one API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiRules {
    /// Where it is served.
    pub listeners: Listeners,
    /// What the asker must be allowed: all of these.
    pub checks: &'static [Check],
    /// What a request counts as.
    pub quota: QuotaClass,
    /// Where a request is carried out.
    pub work: Work,
    /// Whether followers ask it of leaders: on the private listener it waits for nothing that clients ask.
    pub is_replication: bool,
    /// Array elements that a request may have, all of its arrays together.
    pub items_max: usize,
    /// Bytes that are taken of the budget before an answer is built; of one that lists also what it may grow to.
    pub answer_bytes_max: usize,
}

/// Where an API is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listeners {
    /// Not yet.
    Nowhere,
    /// On the private one between brokers.
    Brokers,
    /// On that of clients, and on the private one.
    All,
}

/// Needs of which one must be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// One of these is enough.
    pub any_of: &'static [Need],
}

/// An operation that the asker must be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// The kind of resource.
    pub resource: Resource,
    /// What is done to it.
    pub operation: Operation,
    /// The field that names the resource, row by row; `None` means the cluster or any resource, for the whole request.
    pub field: Option<&'static str>,
}

/// Kinds of resources that ACLs are about (KIP-11); the value is Kafka's code (ResourceType).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Resource {
    /// A topic.
    Topic = 2,
    /// A group.
    Group = 3,
    /// The cluster itself.
    Cluster = 4,
    /// A transactional id.
    TransactionalId = 5,
}

/// What ACLs allow (KIP-11); the value is Kafka's code (AclOperation).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Operation {
    /// Read records, join groups.
    Read = 3,
    /// Write records.
    Write = 4,
    /// Create topics.
    Create = 5,
    /// Delete topics, groups or records.
    Delete = 6,
    /// Change what there is.
    Alter = 7,
    /// See what there is.
    Describe = 8,
    /// What brokers do among themselves.
    ClusterAction = 9,
    /// See settings.
    DescribeConfigs = 10,
    /// Change settings.
    AlterConfigs = 11,
    /// Write with an idempotent producer.
    IdempotentWrite = 12,
}

/// Kafka's quotas by what they count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaClass {
    /// Bytes produced, and time.
    Produce,
    /// Bytes fetched, and time.
    Fetch,
    /// Time of the threads that answer.
    Request,
    /// Partitions created or deleted, and time (KIP-599).
    ControllerMutation,
    /// What brokers do among themselves is counted nowhere.
    None,
}

/// Where a request is carried out, so that it cannot stop others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// At once: it looks at what is in memory, as much as it names.
    Memory,
    /// It may be told all that is in memory, however little it names.
    Listing,
    /// It reads or writes partitions, or waits for who does: groups keep their state in one.
    Log,
    /// It writes the records that it brings: what makes it long are their bytes.
    Append,
    /// It looks at as many partitions or groups as it names, and may read and decompress records that nobody sends.
    Lookup,
    /// The same, of partitions or groups that it need not name.
    Scan,
}
