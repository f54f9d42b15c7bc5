"""HiGHS as planner and oracle: the fewest copied bytes, or copies, for a given balance of counts, bytes and write rate.

highs.py MODEL ASSIGNMENT [LIMITS]: writes the assignment with the fewest bytes; the last line printed is JSON. LIMITS is
a JSON file: for each broker's id [fewest replicas, most, fewest bytes, most, most bytes/s written]; without it, counts
are even and bytes and rate within 5 % of each broker's share by weight.
"""

import json
import math
import sys
import time

import highspy

from common import Model, ordered, write_assignment

# Seconds for each of the two optima; what is proven by then is said.
TIME_LIMIT = 60
# Where a bound is met to the byte, rounding must not make it unreachable.
SLACK = 1e-9


def limits_of(model):
    """Even counts, and 5 % around the shares of bytes and rate."""
    counts, bytes_, rates = model.share(None), model.share("bytes"), model.share("in_rate")
    return {
        b: [math.floor(counts[b]), math.ceil(counts[b]), 0.95 * bytes_[b], 1.05 * bytes_[b], 1.05 * rates[b]]
        for b in model.alive
    }


def build(model, limits, cost):
    """The model of `cost(partition)` for every replica that is copied; returns it with its variables."""
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.setOptionValue("time_limit", float(TIME_LIMIT))
    placed, objective = [], []
    sums = {b: [[], [], []] for b in model.alive}
    scale = [1.0] + [max(1.0, max(p.get(f, 0) for p in model.partitions)) for f in ("bytes", "in_rate")]
    for p in model.partitions:
        at = {b: solver.addBinary() for b in model.alive}
        placed.append(at)
        solver.addConstr(solver.qsum(at.values()) == model.wanted(p))
        limit = model.rack_limit(model.wanted(p))
        for rack in model.rack_sizes:
            solver.addConstr(solver.qsum(x for b, x in at.items() if model.rack[b] == rack) <= limit)
        for b, x in at.items():
            if b not in p["replicas"]:
                objective.append(x * cost(p))
            for part, value in zip(sums[b], (1, p.get("bytes", 0), p.get("in_rate", 0))):
                part.append((x, value))
    for b, (count, size, rate) in sums.items():
        low, high, bytes_low, bytes_high, rate_high = limits[b]
        total = solver.qsum(x for x, _ in count)
        solver.addConstr(total >= low)
        solver.addConstr(total <= high)
        total = solver.qsum(x * (value / scale[1]) for x, value in size)
        solver.addConstr(total >= bytes_low / scale[1] - SLACK)
        solver.addConstr(total <= bytes_high / scale[1] + SLACK)
        solver.addConstr(solver.qsum(x * (value / scale[2]) for x, value in rate) <= rate_high / scale[2] + SLACK)
    return solver, placed, solver.qsum(objective)


def solve(model, limits, cost):
    """The best placement found, its cost, and the least cost that is possible as far as it is proven."""
    solver, placed, objective = build(model, limits, cost)
    solver.minimize(objective)
    info = solver.getInfo()
    if info.primal_solution_status != 2:
        return None
    lists = [
        ordered(p["replicas"], {b for b, x in at.items() if solver.val(x) > 0.5})
        for p, at in zip(model.partitions, placed)
    ]
    copied = sum(cost(p) * len(set(new) - set(p["replicas"])) for p, new in zip(model.partitions, lists))
    return lists, copied, info.mip_dual_bound


def main():
    model = Model(sys.argv[1])
    limits = limits_of(model)
    if len(sys.argv) > 3:
        with open(sys.argv[3]) as file:
            limits = {int(b): limit for b, limit in json.load(file).items()}
    mean = max(1.0, sum(p.get("bytes", 0) for p in model.partitions) / max(1, len(model.partitions)))
    start = time.monotonic()
    # Of plans with equally few bytes the one with fewer copies, at a weight that never buys bytes worth mentioning.
    by_bytes = solve(model, limits, lambda p: p.get("bytes", 0) / mean + 1e-4)
    seconds = time.monotonic() - start
    if by_bytes is None:
        sys.exit("HiGHS finds no placement within the limits in %d s" % TIME_LIMIT)
    by_copies = solve(model, limits, lambda p: 1.0)
    lists, found, proven = by_bytes
    write_assignment(sys.argv[2], model, lists)
    gap = (found - proven) / found if found else 0.0
    said = {
        "seconds": seconds,
        "note": "proven" if gap < 1e-3 else "best after %d s, gap %.1f %%" % (TIME_LIMIT, 100 * gap),
        "bytes": sum(
            p.get("bytes", 0) * len(set(new) - set(p["replicas"])) for p, new in zip(model.partitions, lists)
        ),
        "bytes_proven": max(0.0, proven) * mean,
        "copies": None if by_copies is None else round(by_copies[1]),
        "copies_proven": None if by_copies is None else by_copies[2],
    }
    print(json.dumps(said))


main()
