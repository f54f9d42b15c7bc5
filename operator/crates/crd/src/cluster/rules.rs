//! CEL rules of KafkaCluster: the expression, and the sentence that says what to do.
//!
//! Expressions stay cheap: prefixes and lists of names are literals, lists and maps have a maximal size.

/// A rule as kube's derive takes it.
pub(super) type Rule = (&'static str, &'static str);

/// Pod and service names derive from the name: `<name>-broker-999` and its revision label need 63 characters.
pub(super) const NAME_SHORT: Rule =
    ("self.metadata.name.size() <= 40", "metadata.name is too long: use at most 40 characters");

/// Services are named after the cluster and must be DNS labels.
pub(super) const NAME_LABEL: Rule = (
    "!self.metadata.name.contains('.') && !self.metadata.name.matches('^[0-9]')",
    "metadata.name must start with a letter and contain no dot: Services are named after it",
);

/// Voters keep the metadata; taking one away is no scale-down.
pub(super) const REPLICAS_KEEP_CONTROLLERS: Rule = (
    "!has(self.status) || !has(self.status.controllers) || self.spec.replicas >= self.status.controllers.size()",
    "replicas cannot go below the number of controllers: they keep the cluster's metadata (see status.controllers)",
);

/// The voters are chosen when the cluster is made.
pub(super) const CONTROLLERS_FIXED: Rule = (
    "!has(self.spec.controllers) || !has(self.status) || !has(self.status.controllers) || self.spec.controllers == self.status.controllers.size()",
    "controllers cannot be changed once the cluster runs: make a new cluster with the number wanted",
);

/// Only a broker can vote.
pub(super) const CONTROLLERS_FIT: Rule = (
    "!has(self.controllers) || self.controllers <= self.replicas",
    "controllers cannot exceed replicas: raise replicas or lower controllers",
);

/// A feature level has two numbers.
pub(super) const VERSION_WRITTEN: Rule =
    ("self.matches('^[0-9]+[.][0-9]+$')", "version must be two numbers, such as 0.1");

/// The name of an image has no spaces.
pub(super) const IMAGE_WRITTEN: Rule = (
    "self.matches('^[^ \\t\\n]+$')",
    "image must be the name of an image, such as registry.example/ottla:1.0",
);

/// A class is a Kubernetes object.
pub(super) const CLASS_WRITTEN: Rule = (
    "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
    "storage.class must be the name of a StorageClass: see kubectl get storageclass",
);

/// A rack is a label of the nodes.
pub(super) const TOPOLOGY_KEY_WRITTEN: Rule = (
    "self.matches('^[A-Za-z0-9][-A-Za-z0-9_./]*$')",
    "rack.topologyKey must be a label of the nodes, such as topology.kubernetes.io/zone",
);

/// A claim's class cannot be changed once brokers hold data.
pub(super) const CLASS_FIXED: Rule = (
    "!has(oldSelf.status) || !has(oldSelf.status.bootstrapped) || !oldSelf.status.bootstrapped || (has(self.spec.storage.class) ? self.spec.storage.class : '') == (has(oldSelf.spec.storage.class) ? oldSelf.spec.storage.class : '')",
    "storage.class cannot be changed once brokers hold data: make a new cluster with the other class and move the topics there",
);

/// A size that Kubernetes understands, without a sign.
pub(super) const SIZE_WRITTEN: Rule = (
    "self.matches('^[0-9]+([.][0-9]+)?([kMGTPE]|[KMGTPE]i)?$')",
    "storage.size must be a number and a unit, such as 100Gi",
);

/// Kubernetes cannot shrink a volume; a size that no volume has reached can be taken back.
pub(super) const SIZE_KEPT: Rule = (
    "!has(self.status) || !has(self.status.storageSize) || !isQuantity(self.status.storageSize) || !isQuantity(self.spec.storage.size) || quantity(self.spec.storage.size).compareTo(quantity(self.status.storageSize)) >= 0",
    "storage.size cannot shrink below status.storageSize, what the volumes have: keep it, or move the topics to a new cluster with smaller disks",
);

/// A log needs room for its first segments.
pub(super) const SIZE_USABLE: Rule = (
    "!isQuantity(self.size) || quantity(self.size).compareTo(quantity('64Mi')) >= 0",
    "storage.size is too small for a broker: give at least 64Mi",
);

/// Ports of the broker itself.
pub(super) const PORT_FREE: Rule = (
    "self.port != 9091 && self.port != 9404",
    "ports 9091 and 9404 belong to the brokers themselves: choose another port",
);

/// Names of the broker's own listeners and ports.
pub(super) const LISTENER_NAME_FREE: Rule = (
    "!(self.name in ['internal', 'controller', 'metrics'])",
    "this listener name belongs to the brokers themselves: choose another name",
);

/// The name of a listener is one of a port of a pod, too.
pub(super) const LISTENER_NAME_WRITTEN: Rule = (
    "self.matches('^[a-z][a-z0-9]*$')",
    "a listener's name must be lower-case letters and digits, a letter first, such as apps",
);

/// Two listeners cannot share a port.
pub(super) const PORTS_UNIQUE: Rule = (
    "self.all(a, self.exists_one(b, b.port == a.port))",
    "two listeners have the same port: give each its own",
);

/// `auto` or a number of bytes.
pub(super) const THROTTLE: Rule = (
    "string(self).matches('^(auto|[1-9][0-9]{0,15}([kMG]|[KMG]i)?)$')",
    "rebalance.throttle must be auto or bytes per second such as 50Mi",
);

/// Namespaces are DNS labels.
pub(super) const NAMESPACES_WRITTEN: Rule = (
    "self.all(n, n == '*' || n.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))",
    "topics.allowedNamespaces must be names of namespaces, or \"*\" for all",
);

/// Listeners are a field of their own.
pub(super) const CONFIG_LISTENERS: Rule = (
    "self.all(k, !k.startsWith('listeners') && !k.startsWith('advertised.') && !k.startsWith('listener.') && k != 'inter.broker.listener.name')",
    "the operator sets listeners and addresses: use spec.listeners instead",
);

/// Ids and racks come from the pods.
pub(super) const CONFIG_IDENTITY: Rule = (
    "self.all(k, k != 'node.id' && (!k.startsWith('broker.') || k in ['broker.session.timeout.ms', 'broker.heartbeat.interval.ms']))",
    "the operator sets broker ids and racks: drop node.id and broker.*, and use spec.rack for racks",
);

/// Quorum and roles are fields of their own.
pub(super) const CONFIG_QUORUM: Rule = (
    "self.all(k, k != 'process.roles' && (!k.startsWith('controller.') || k in ['controller.socket.timeout.ms', 'controller.quorum.election.timeout.ms', 'controller.quorum.election.backoff.max.ms', 'controller.quorum.fetch.timeout.ms']))",
    "the operator sets roles and the quorum: use spec.controllers instead",
);

/// Folders come from the volume.
pub(super) const CONFIG_FOLDERS: Rule = (
    "self.all(k, (!k.startsWith('log.dir') || k == 'log.dir.failure.timeout.ms') && !k.startsWith('metadata.log.dir') && !k.startsWith('cordoned.log.dirs'))",
    "the operator sets the data folders: use spec.storage instead",
);

/// Security has no fields yet.
pub(super) const CONFIG_SECURITY: Rule = (
    "self.all(k, (!k.startsWith('sasl.') || k == 'sasl.server.max.receive.size') && !k.startsWith('security.') && !k.startsWith('password.') && !k.startsWith('authorizer.') && !k.startsWith('super.user') && (!k.startsWith('ssl.') || k in ['ssl.cipher.suites', 'ssl.protocol', 'ssl.enabled.protocols', 'ssl.secure.random.implementation']))",
    "security settings belong to the operator: drop sasl.*, ssl.*, security.*, authorizer.* and super.users",
);

/// What operator and broker agree on.
pub(super) const CONFIG_OTTLA: Rule = (
    "self.all(k, !(k in ['ottla.metrics.listener', 'ottla.broker.rack.file', 'ottla.cluster.id', 'ottla.bootstrapped']))",
    "the operator sets ottla.cluster.id, ottla.bootstrapped, ottla.broker.rack.file and ottla.metrics.listener: drop them",
);
