"""How long thresholds take under conditions on levels and the user's own, beside equalized odds.

    python benchmarks/conditions.py    prints a table, also as results/conditions.csv

What it says is in README.md.
"""
# ruff: noqa: E402, PLC2701  (threads are set before NumPy starts them; one folder of scripts)

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

from functools import partial
from pathlib import Path

import cvxpy as cp
from _measure import Table, environment, median_seconds, print_table, write_csv
from thresholds import BOUND, MILLION, fit_classifier, make_rows

from fairlearnkit import AllOf, Capacity, ConvexRates, EqualizedOdds, MinimumRate
from fairlearnkit.constraints import TRUE_POSITIVE_RATE

FLOOR, PLACES = 0.7, 0.45
BUILT_IN, TIMES = "equalized odds", "/ equalized odds"
RULES = {
    BUILT_IN: EqualizedOdds(max_difference=BOUND),
    "capacity and minimum rate": AllOf(
        [MinimumRate(TRUE_POSITIVE_RATE, at_least=FLOOR), Capacity(at_most=PLACES)]
    ),
    "the same in cvxpy": ConvexRates(
        lambda r: [r.tpr >= FLOOR, r.overall_selection_rate <= PLACES]
    ),
    "a Euclidean distance in cvxpy": ConvexRates(
        lambda r, distance: [cp.norm(r.fpr - cp.sum(r.fpr) / r.n_groups, 2) <= distance],
        parameters={"distance": BOUND},
    ),
}
LIMITS = {"capacity and minimum rate": 3.0}
RESULTS = Path(__file__).parent / "results" / "conditions.csv"


def conditions_table() -> Table:
    """Measure whole fits on given scores, and `at` afterwards."""
    rows = make_rows(MILLION, 4)
    given = (rows.X, rows.positive.astype(int), rows.group)
    tasks = {name: partial(fit_classifier, *given, rule) for name, rule in RULES.items()}
    fitted = {name: task() for name, task in tasks.items()}
    turns = {name: partial(fitted[name].at, constraint=rule) for name, rule in RULES.items()}
    fit, at = median_seconds(tasks), median_seconds(turns)
    return {
        name: {
            "fit, s": fit[name],
            TIMES: fit[name] / fit[BUILT_IN],
            "at, ms": 1000 * at[name],
            "cost": fitted[name].cost_,
        }
        for name in RULES
    }


def main() -> None:
    """Print the tables and write them."""
    tables = {"environment": environment(), "conditions": conditions_table()}
    tables["claims"] = {
        f"{name}: {TIMES}": {
            "measured": tables["conditions"][name][TIMES],
            "at most": limit,
            "holds": tables["conditions"][name][TIMES] <= limit,
        }
        for name, limit in LIMITS.items()
    }
    for title, table in tables.items():
        print_table(title, table)
    write_csv(RESULTS, tables)
    print(f"\nWritten: {RESULTS.relative_to(Path(__file__).parents[1])}")


if __name__ == "__main__":
    main()
