"""Meta's rebalancer as planner: balance of counts, bytes and write rate by local search.

meta.py MODEL ASSIGNMENT: a replica is an object, a broker a container; a partition's replicas are a group with at most
one on a broker, and in a rack as many as its size makes necessary. The last line printed is JSON.
"""

import json
import os
import sys
import time

from rebalancer import ProblemSolver
from rebalancer.specs import (
    BalanceSpec,
    ConstraintSpec,
    GoalSpec,
    GroupCountSpec,
    LocalSearchSolverSpec,
    MoveTypeSpec,
    SingleFastMoveTypeSpec,
    SolverSpec,
    ToFreeSpec,
)

from common import ordered, read_model, write_assignment

# Seconds of local search.
TIME_LIMIT = 120
# Enumerations must be given as numbers to release 1.0.4.
ABSOLUTE, SQUARES = 1, 2


def solver_of(model):
    """The problem, ready to be solved."""
    solver = ProblemSolver(service_name="rebalancer", service_scope="planners")
    solver.set_object_name("replica")
    solver.set_container_name("broker")
    held = {str(b["id"]): [] for b in model.brokers}
    groups, sizes, rates, limits = {}, {}, {}, {}
    for number, p in enumerate(model.partitions):
        names = ["%d.%d" % (number, at) for at in range(len(p["replicas"]))]
        for name, broker in zip(names, p["replicas"]):
            held[str(broker)].append(name)
            sizes[name], rates[name] = float(p.get("bytes", 0)), float(p.get("in_rate", 0))
        groups[str(number)] = names
        limits[str(number)] = float(model.rack_limit(len(names)))
    solver.set_assignment(held)
    solver.add_object_dimension("count", {}, default_value=1.0)
    solver.add_object_dimension("bytes", sizes)
    solver.add_object_dimension("rate", rates)
    solver.add_scope("rack", {str(b): str(rack) for b, rack in model.rack.items()})
    solver.add_partition("partition", groups)
    one = {"type": ABSOLUTE, "globalLimit": 1.0}
    solver.add_constraint(
        ConstraintSpec(groupCountSpec=GroupCountSpec(name="broker", scope="broker", partitionName="partition", limit=one))
    )
    if len(model.rack_sizes) > 1:
        racks = {"type": ABSOLUTE, "globalLimit": 1.0, "groupLimits": limits}
        solver.add_constraint(
            ConstraintSpec(groupCountSpec=GroupCountSpec(name="rack", scope="rack", partitionName="partition", limit=racks))
        )
    gone = [str(b["id"]) for b in model.brokers if b["id"] not in model.alive]
    if gone:
        solver.add_goal(GoalSpec(toFreeSpec=ToFreeSpec(name="drain", containers=gone)), weight=1000.0)
    for dimension in ("count", "bytes", "rate"):
        balance = BalanceSpec(name=dimension, scope="broker", dimension=dimension, formula=SQUARES)
        solver.add_goal(GoalSpec(balanceSpec=balance), weight=1.0)
    moves = [MoveTypeSpec(singleFastMoveTypeSpec=SingleFastMoveTypeSpec())]
    solver.add_solver(SolverSpec(localSearchSolverSpec=LocalSearchSolverSpec(moveTypeList=moves, solveTime=TIME_LIMIT)))
    return solver


def main():
    model = read_model(sys.argv[1])
    start = time.monotonic()
    # The library logs to standard output, whose last line is ours.
    said, sink = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    solution = solver_of(model).solve()["assignment"]
    os.dup2(said, 1)
    lists = []
    for number, p in enumerate(model.partitions):
        new = {int(solution["%d.%d" % (number, at)]) for at in range(len(p["replicas"]))}
        lists.append(ordered(p["replicas"], new))
    write_assignment(sys.argv[2], model, lists)
    print(json.dumps({"seconds": time.monotonic() - start, "note": "several threads, counts leaders not at all"}))


main()
