"""The neutral model and assignment files, for planners that are Python packages."""

import json
from collections import Counter


class Model:
    """Brokers and partitions as the model file lists them."""

    def __init__(self, raw):
        self.brokers = raw["brokers"]
        self.partitions = raw["partitions"]
        self.alive = [b["id"] for b in self.brokers if b.get("state", "alive") == "alive"]
        self.rack = {b["id"]: b.get("rack") for b in self.brokers}
        self.weight = {b["id"]: b.get("weight", 1) for b in self.brokers}
        self.rack_sizes = Counter(self.rack[b] for b in self.alive)

    def wanted(self, partition):
        """Replicas that the partition shall have."""
        return partition.get("replication_factor", len(partition["replicas"]))

    def rack_limit(self, replicas):
        """The most replicas of a partition that a rack must hold for all to find a place."""
        limit = 1
        while sum(min(limit, n) for n in self.rack_sizes.values()) < replicas:
            limit += 1
        return limit

    def share(self, field):
        """What each broker carries when a field is spread by weight."""
        total = sum((p.get(field, 0) if field else 1) * self.wanted(p) for p in self.partitions)
        weights = sum(self.weight[b] for b in self.alive)
        return {b: total * self.weight[b] / weights for b in self.alive}


def read_model(path):
    """The model of a file."""
    with open(path) as file:
        return Model(json.load(file))


def ordered(old, new):
    """The brokers of `new`, those that stay first and in their order."""
    return [b for b in old if b in new] + sorted(b for b in new if b not in old)


def write_assignment(path, model, lists):
    """Writes replica lists, one for each partition of the model, as Kafka's tool reads them."""
    entries = [
        {"topic": p["topic"], "partition": p["partition"], "replicas": list(replicas)}
        for p, replicas in zip(model.partitions, lists)
    ]
    with open(path, "w") as file:
        json.dump({"version": 1, "partitions": entries}, file)
