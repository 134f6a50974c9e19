"""What a held-out frontier costs: 21 knobs and 5 folds beside 5 fits at one knob.

    python benchmarks/frontier.py

`GroupThresholdClassifier` around gradient boosting on Adult. The fits at one knob are on the same
training folds, nothing measured; the frontier fits, turns and measures. Written to
results/frontier.csv.
"""
# ruff: noqa: E402, PLC2701  (threads are set before NumPy starts them; helpers are private)

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

from functools import partial
from pathlib import Path

import numpy as np
from _measure import Table, environment, median_seconds, print_table, write_csv
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold

from fairlearnkit import EqualizedOdds, GroupThresholdClassifier, fairness_frontier
from fairlearnkit.datasets import load_adult

RESULTS = Path(__file__).parent / "results" / "frontier.csv"
FOLDS = StratifiedKFold(5)
KNOBS = np.linspace(0.0, 0.1, 21)
# Claimed: the frontier costs at most this many times the fits at one knob.
LIMIT = 1.3


def fit_on_folds(estimator, X, y):
    """Fit at one knob on every training fold."""
    for train, _ in FOLDS.split(X, y):
        clone(estimator).fit(X.iloc[train], y.iloc[train])


def frontier_table() -> Table:
    """Measure frontiers in units of the fits at one knob."""
    X, y = load_adult(return_X_y=True, as_frame=True)
    table: Table = {}
    for attributes in (["sex"], ["sex", "race"]):
        boosting = HistGradientBoostingClassifier(
            categorical_features="from_dtype", random_state=0
        )
        estimator = GroupThresholdClassifier(
            boosting, EqualizedOdds(max_difference=0.05), sensitive_columns=attributes
        )
        frontier = partial(fairness_frontier, estimator, X, y, cv=FOLDS)
        tasks = {
            "5 fits at one knob": partial(fit_on_folds, estimator, X, y),
            "21 knobs given": partial(frontier, max_differences=KNOBS),
            "21 default knobs": frontier,
        }
        seconds = median_seconds(tasks, repeats=3)
        one = seconds["5 fits at one knob"]
        for task, found in seconds.items():
            name = f"Adult, {' x '.join(attributes)}: {task}"
            table[name] = {"seconds": found, "/ 5 fits": found / one}
            if task != "5 fits at one knob":
                table[name] |= {"at most": LIMIT, "holds": found / one <= LIMIT}
    return table


def main() -> None:
    """Print the table and write it beside the others."""
    tables = {"environment": environment(), "frontier": frontier_table()}
    print_table("A frontier of 21 knobs on 5 folds", tables["frontier"])
    write_csv(RESULTS, tables)


if __name__ == "__main__":
    main()
