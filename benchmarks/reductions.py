"""Reductions on Adult beside fairlearn's ExponentiatedGradient: fits, time, cost at equal gaps.

Both train the same learners on the same columns, without sex and race, on the published training
rows; decisions are compared in expectation, on these rows. fairlearn bounds the distance of each
group to the overall rate: it is asked for the same number, and the gap between groups that it
reaches is the knob at which our cost is compared with its own.
"""
# ruff: noqa: E402, PLC2701  (threads are set before NumPy starts them; helpers are private)

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from _measure import Table, environment, print_table, write_csv
from _peers import create_environment
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from fairlearnkit import DemographicParity, EqualizedOdds, ReductionClassifier
from fairlearnkit.datasets import load_adult
from fairlearnkit.metrics import disparity

LEARNERS = {
    "logistic regression": LogisticRegression(max_iter=1000),
    "gradient boosting": HistGradientBoostingClassifier(max_iter=50, random_state=0),
    "depth-6 tree": DecisionTreeClassifier(max_depth=6, random_state=0),
}
CRITERIA = {"demographic parity": DemographicParity, "equalized odds": EqualizedOdds}
CASES = [
    ("sex", "logistic regression", 0.01),
    ("sex", "gradient boosting", 0.01),
    ("sex, race", "depth-6 tree", 0.02),
]
KNOBS = np.linspace(0.2, 0.0, 21)
HERE = Path(__file__).parent


def adult(attributes: str) -> dict[str, np.ndarray]:
    """Return columns without sex and race, labels and groups as integers."""
    X, y = load_adult(subset="train", return_X_y=True, as_frame=True)
    sensitive = X[attributes.split(", ")].astype(str).agg(" ".join, axis=1)
    X = X.drop(columns=["sex", "race"])
    is_text = X.columns[X.dtypes == "category"]
    columns = [
        StandardScaler().fit_transform(X.drop(columns=is_text)),
        OneHotEncoder(sparse_output=False).fit_transform(X[is_text].astype(str)),
    ]
    group = np.unique(sensitive, return_inverse=True)[1]
    return {"X": np.hstack(columns), "label": (y == ">50K").to_numpy().astype(int), "group": group}


def run_fairlearn(python: Path, data: dict, learner: str, criterion: str, bound: float) -> dict:
    """Run fairlearn in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        np.savez(Path(name) / "data.npz", **data)
        script = HERE / "peers" / "reduce_fairlearn.py"
        subprocess.run(
            [str(python), str(script), name, learner, criterion, str(bound)], check=True
        )
        with np.load(Path(name) / "fit.npz") as found:
            return dict(found)


def compare(python: Path | None, data: dict, learner: str, criterion: str, bound: float) -> dict:
    """Return one line of the table."""
    X, y, group = data["X"], data["label"], data["group"]
    constraint = CRITERIA[criterion](max_difference=bound)
    start = time.process_time()
    ours = ReductionClassifier(LEARNERS[learner], constraint)
    ours.fit(X, y, sensitive_features=group)
    seconds = time.process_time() - start
    line = {"fits": ours.n_fits_, "s": seconds, "error": ours.cost_, "gap": ours.disparity_}
    start = time.process_time()
    for knob in KNOBS:
        ours.at(max_difference=knob)
    line["21 knobs, fits"] = ours.n_fits_
    line["21 knobs, s"] = seconds + time.process_time() - start
    if python is None:
        return line
    theirs = run_fairlearn(python, data, learner, criterion, bound)
    decision = theirs["decision"]
    gap = float(disparity(constraint, y, decision, sensitive_features=group))
    error = float(np.where(y == 1, 1 - decision, decision).mean())
    same_gap = ours.at(max_difference=min(gap, 1.0))
    line |= {
        "fairlearn fits": int(theirs["fits"]),
        "fairlearn s": float(theirs["seconds"]),
        "fairlearn error": error,
        "fairlearn gap": gap,
        "our error at its gap": same_gap.cost_,
        "fits / its": line["fits"] / int(theirs["fits"]),
        "s / its": line["s"] / float(theirs["seconds"]),
    }
    return line


def main() -> None:
    """Print the table and write it beside the others."""
    warnings.filterwarnings("ignore")
    python = create_environment("fairlearn")
    table: Table = {}
    for attributes, learner, bound in CASES:
        data = adult(attributes)
        for criterion in CRITERIA:
            name = f"{attributes}; {learner}; {criterion} {bound}"
            print(f"{name} ...", file=sys.stderr)
            table[name] = compare(python, data, learner, criterion, bound)
            print(table[name], file=sys.stderr)
    print_table("Adult, training rows", table)
    tables = {"environment": environment(), "reductions": table}
    write_csv(HERE / "results" / "reductions.csv", tables)


if __name__ == "__main__":
    main()
