"""Threshold columns and out-of-fold counting: what they do on held-out rows.

For each data set, learner and criterion, ReductionClassifier is fitted on a random part of the
rows, with at most 30 fits at a knob, certified or not, and turned through its knobs. Each rule is
measured on the rest, in expectation. A method's error at a gap is read from the lower hull of its
rules' gaps and errors and of the better constant: a mixture of two rules has no larger gap than
the line between them. The rest picks the rules, for all methods alike, so that the numbers compare
methods and say no more.
"""
# ruff: noqa: E402, PLC2701  (threads are set before NumPy starts them; helpers are private)

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import sys
import warnings
from pathlib import Path

import numpy as np
from _data import load
from _measure import Table, environment, print_table, write_csv
from scipy.optimize import linprog
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier

from fairlearnkit import DemographicParity, EqualizedOdds, ReductionClassifier
from fairlearnkit.metrics import disparity

LEARNERS = {
    "logistic regression": LogisticRegression(max_iter=1000),
    "depth-6 tree": DecisionTreeClassifier(max_depth=6, random_state=0),
    "gradient boosting": HistGradientBoostingClassifier(max_iter=30, random_state=0),
    "deep forest": RandomForestClassifier(30, random_state=0),
}
CRITERIA = {"demographic parity": DemographicParity, "equalized odds": EqualizedOdds}
METHODS = {
    "as fitted": {},
    "train": {"threshold_columns": "train"},
    "crossfit": {"threshold_columns": "crossfit"},
    "as fitted, crossfit data": {"constraint_data": "crossfit"},
    "crossfit, crossfit data": {"threshold_columns": "crossfit", "constraint_data": "crossfit"},
}
# (data set, rows to fit on at the most, learners)
CASES = [
    ("adult sex", 5_000, ["logistic regression", "depth-6 tree"]),
    ("adult sex and race", 5_000, ["depth-6 tree"]),
    ("compas", 3_000, ["logistic regression", "depth-6 tree"]),
    ("german credit", 700, ["logistic regression"]),
    ("law school", 5_000, ["logistic regression"]),
    ("bank", 5_000, ["logistic regression"]),
    ("loans", 1_400, ["logistic regression"]),
    ("acs income", 5_000, ["logistic regression", "gradient boosting"]),
    ("adult sex", 3_000, ["deep forest"]),
]
KNOBS = [0.15, 0.1, 0.06, 0.03, 0.01, 0.0]
GAPS = [0.02, 0.05, 0.1]
N_SPLITS = 3
HERE = Path(__file__).parent


def measure(data, learner: str, criterion: str, n_train: int, seed: int) -> dict:
    """Return for each method errors at the gaps, the mean gap beyond the knob, and fits."""
    parts = train_test_split(
        *data, train_size=min(n_train, int(0.7 * len(data.label))), random_state=seed
    )
    X, X_test, y, y_test, group, group_test = parts
    constant = min(y_test.mean(), 1 - y_test.mean())
    found = {}
    for name, options in METHODS.items():
        reduction = ReductionClassifier(
            LEARNERS[learner],
            CRITERIA[criterion](max_difference=KNOBS[0]),
            max_fits=30,
            **options,
        )
        reduction.fit(X, y, sensitive_features=group)
        points = []
        for knob in KNOBS:
            rule = reduction.at(max_difference=knob)
            accepted = rule.decision_probability(X_test)[:, 1]
            gap = disparity(rule.constraint, y_test, accepted, sensitive_features=group_test)
            points.append((float(gap), np.where(y_test == 1, 1 - accepted, accepted).mean()))
        excess = np.mean([max(gap - k, 0.0) for (gap, _), k in zip(points, KNOBS, strict=True)])
        errors = lower_hull([(0.0, constant), *points], GAPS)
        found[name] = [*errors, excess, reduction.n_fits_]
    return found


def lower_hull(points: list[tuple[float, float]], at: list[float]) -> list[float]:
    """Return the least value of any mixture of points whose mean first coordinate is at most."""
    first, second = np.array(points).T
    return [
        linprog(second, A_ub=[first], b_ub=[a], A_eq=np.ones((1, len(first))), b_eq=[1.0]).fun
        for a in at
    ]


def main() -> None:
    """Print the table and write it beside the others."""
    warnings.filterwarnings("ignore")
    table: Table = {}
    totals = {name: [] for name in METHODS}
    for name, n_train, learners in CASES:
        data = load(name)
        if data is None:
            print(f"{name}: not at hand", file=sys.stderr)
            continue
        for learner in learners:
            for criterion in CRITERIA:
                runs = [
                    measure(data, learner, criterion, n_train, seed) for seed in range(N_SPLITS)
                ]
                for method in METHODS:
                    mean = np.mean([run[method] for run in runs], axis=0)
                    line = {f"error at {g:g}": m for g, m in zip(GAPS, mean, strict=False)}
                    line |= {"gap beyond knob": mean[-2], "fits": mean[-1]}
                    table[f"{name}; {learner}; {criterion}; {method}"] = line
                    against = [
                        np.subtract(run[method][:-1], run["as fitted"][:-1]) for run in runs
                    ]
                    totals[method].append(np.mean(against, axis=0))
                    print(f"{name}; {learner}; {criterion}; {method}", line, file=sys.stderr)
    summary: Table = {}
    for method, differences in totals.items():
        mean = np.mean(differences, axis=0)
        error = np.std(differences, axis=0, ddof=1) / np.sqrt(len(differences))
        names = [*(f"error at {g:g}" for g in GAPS), "gap beyond knob"]
        summary[method] = {
            n: f"{m:+.4f} ({e:.4f})" for n, m, e in zip(names, mean, error, strict=True)
        }
    print_table("Held-out rows", table)
    print_table("Difference to models as fitted, mean over cases (standard error)", summary)
    tables = {"environment": environment(), "cases": table, "summary": summary}
    write_csv(HERE / "results" / "threshold_columns.csv", tables)


if __name__ == "__main__":
    main()
