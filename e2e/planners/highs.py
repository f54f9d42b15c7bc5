"""HiGHS as planner and oracle: the fewest copied bytes, or copies, for a given balance of counts, bytes and write rate.

highs.py MODEL ASSIGNMENT: writes the assignment with the fewest bytes, counts even, bytes and rate within 5 % of each
broker's share by weight; the last line printed is JSON.

highs.py --exact FILE: FILE is a list of {"model": as in the model file, "limits": for each broker's id [fewest replicas,
most, fewest bytes, most, most bytes/s written]}. Prints a list: for each model the fewest bytes and the fewest copies,
found and proven, or "impossible" where the limits leave no placement, or "unknown" where not even that was found.
"""

import json
import math
import sys
import time

import highspy

from common import Model, ordered, read_model, write_assignment

# Seconds for each optimum; what is proven by then is said.
TIME_LIMIT = 60
# Branches for each optimum of a list, so that what is proven does not hang on the machine's speed.
BRANCHES_MAX = 2000
# How near to the least cost proves enough.
GAP = 1e-3
# Where a bound is met to the byte, rounding must not make it unreachable.
SLACK = 1e-9


def limits_of(model):
    """Even counts, and 5 % around the shares of bytes and rate."""
    counts, bytes_, rates = model.share(None), model.share("bytes"), model.share("in_rate")
    return {
        b: [math.floor(counts[b]), math.ceil(counts[b]), 0.95 * bytes_[b], 1.05 * bytes_[b], 1.05 * rates[b]]
        for b in model.alive
    }


class Unknown(Exception):
    """Neither a placement was found nor that there is none."""


def build(model, limits, cost):
    """The model of `cost(partition)` for every replica that is copied; returns it with its variables."""
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.setOptionValue("time_limit", float(TIME_LIMIT))
    solver.setOptionValue("mip_rel_gap", GAP)
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


def solve(model, limits, cost, branches_max=None):
    """The best placement found, its cost, and the least cost that is possible as far as it is proven; None when the
    limits leave no placement."""
    solver, placed, objective = build(model, limits, cost)
    if branches_max:
        solver.setOptionValue("mip_max_nodes", branches_max)
    solver.minimize(objective)
    info = solver.getInfo()
    if solver.getModelStatus() == highspy.HighsModelStatus.kInfeasible:
        return None
    if info.primal_solution_status != int(highspy.SolutionStatus.kSolutionStatusFeasible):
        raise Unknown("HiGHS finds no placement in %d s, and no proof that there is none" % TIME_LIMIT)
    lists = [
        ordered(p["replicas"], {b for b, x in at.items() if solver.val(x) > 0.5})
        for p, at in zip(model.partitions, placed)
    ]
    copied = sum(cost(p) * len(set(new) - set(p["replicas"])) for p, new in zip(model.partitions, lists))
    return lists, copied, max(0.0, info.mip_dual_bound)


def mean_bytes(model):
    """What costs are measured in, so that they are near one."""
    return max(1.0, sum(p.get("bytes", 0) for p in model.partitions) / max(1, len(model.partitions)))


def exact(entry):
    """The optima of an entry of the list."""
    model = Model(entry["model"])
    limits = {int(b): limit for b, limit in entry["limits"].items()}
    mean = mean_bytes(model)
    try:
        by_bytes = solve(model, limits, lambda p: p.get("bytes", 0) / mean, BRANCHES_MAX)
        by_copies = by_bytes and solve(model, limits, lambda p: 1.0, BRANCHES_MAX)
    except Unknown:
        return "unknown"
    if not by_copies:
        return "impossible"
    return {
        "optimum": {
            "bytes": {"found": by_bytes[1] * mean, "proven": by_bytes[2] * mean},
            "copies": {"found": by_copies[1], "proven": by_copies[2]},
        }
    }


def plan(model, assignment):
    """Writes the assignment, and tells about it."""
    limits, mean = limits_of(model), mean_bytes(model)
    start = time.monotonic()
    # Of plans with equally few bytes the one with fewer copies, at a weight that never buys bytes worth mentioning.
    solved = solve(model, limits, lambda p: p.get("bytes", 0) / mean + 1e-4)
    seconds = time.monotonic() - start
    if solved is None:
        sys.exit("HiGHS proves that the limits leave no placement")
    lists, found, proven = solved
    write_assignment(assignment, model, lists)
    gap = (found - proven) / found if found else 0.0
    note = "proven" if gap <= GAP else "best after %d s, gap %.1f %%" % (TIME_LIMIT, 100 * gap)
    print(json.dumps({"seconds": seconds, "note": note}))


def main():
    if sys.argv[1] == "--exact":
        with open(sys.argv[2]) as file:
            print(json.dumps([exact(entry) for entry in json.load(file)]))
    else:
        plan(read_model(sys.argv[1]), sys.argv[2])


main()
