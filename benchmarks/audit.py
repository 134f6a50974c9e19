"""Audits: bootstrap of every rate and gap, one pass over many rows, and the worst subgroups.

    python benchmarks/audit.py

The bootstrap is compared with fairlearn's `MetricFrame(n_boot=...)` in an environment of its own;
subgroups with what least squares and a threshold alone find, on the training rows of a plain
logistic regression. With names of tables it prints those alone and writes nothing.
"""
# ruff: noqa: E402, PLC2701  (threads are set before NumPy starts them; helpers are private)

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _data import read
from _measure import Table, environment, median_seconds, print_table, write_csv
from _peers import create_environment
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fairlearnkit import audit, audit_subgroups
from fairlearnkit.constraints import FALSE_NEGATIVE_RATE, FALSE_POSITIVE_RATE, SELECTION_RATE
from fairlearnkit.datasets import load_adult

HERE = Path(__file__).parent
RATES = (SELECTION_RATE, FALSE_POSITIVE_RATE, FALSE_NEGATIVE_RATE)


def rows_of(n_rows: int, n_groups: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return groups, labels and decisions as integer codes."""
    rng = np.random.default_rng(seed)
    group = rng.integers(n_groups, size=n_rows)
    label = (rng.random(n_rows) < 0.3).astype(np.intp)
    accepted = (rng.random(n_rows) < 0.2 + 0.4 * label + 0.002 * group).astype(np.intp)
    return {"group": group, "label": label, "accepted": accepted}


def bootstrap() -> Table:
    """Return seconds for 1,000 resamples of all rates and gaps: 50,000 rows in 10 groups."""
    data = rows_of(50_000, 10)
    report = audit(data["label"], data["accepted"], sensitive_features=data["group"])
    seconds = median_seconds(
        {
            "audit, and 1,000 resamples": lambda: audit(
                data["label"], data["accepted"], sensitive_features=data["group"]
            ).resample(1000),
            "1,000 resamples": lambda: report.resample(1000),
        }
    )
    table: Table = {f"fairlearnkit, {name}": {"seconds": s} for name, s in seconds.items()}
    n_boot = 20
    peer = _peer_seconds(data, n_boot)
    table["fairlearn MetricFrame, 1,000 resamples"] = {
        "seconds": peer if isinstance(peer, str) else peer * 1000 / n_boot,
        "measured at": n_boot,
    }
    if not isinstance(peer, str):
        for name in seconds:
            ratio = peer * 1000 / n_boot / seconds[name]
            table[f"fairlearnkit, {name}"]["times as fast"] = ratio
    return table


def _peer_seconds(data: dict[str, np.ndarray], n_boot: int) -> float | str:
    python = create_environment("fairlearn")
    if python is None:
        return "not installed"
    with tempfile.TemporaryDirectory() as name:
        np.savez(Path(name) / "data.npz", **data)
        script = HERE / "peers" / "bootstrap_fairlearn.py"
        done = subprocess.run(
            [str(python), str(script), name, str(n_boot)],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        return "failed"
    return float(done.stdout)


def rows() -> Table:
    """Return seconds of an audit in 50 groups from integer codes, and of one `np.bincount`."""
    table: Table = {}
    for n_rows in (100_000, 1_000_000, 10_000_000):
        data = rows_of(n_rows, 50)
        seconds = median_seconds(
            {
                "bincount": lambda data=data: np.bincount(data["group"]),
                "audit": lambda data=data: audit(
                    data["label"], data["accepted"], sensitive_features=data["group"]
                ),
            },
            repeats=5,
        )
        ratio = seconds["audit"] / seconds["bincount"]
        table[f"{n_rows:,} rows"] = {**seconds, "audit / bincount": ratio}
    return table


def _numbers(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.loc[:, frame.nunique() > 1].apply(pd.to_numeric, errors="coerce").dropna(axis=1)


def subgroup_data() -> dict[str, tuple[pd.DataFrame, np.ndarray, list[str]]]:
    """Return features, labels and attributes of each data set that is at hand."""
    found = {}
    X, y = load_adult(return_X_y=True, as_frame=True)
    attributes = ["age", "sex", "race", "marital-status"]
    found["adult"] = X, (y == ">50K").to_numpy().astype(int), attributes
    law = read("law school")
    if law is not None:
        law = law.dropna()
        attributes = [c for c in ("race", "male", "fam_inc", "decile1b") if c in law]
        found["law school"] = law.drop(columns="pass_bar"), law["pass_bar"].to_numpy(), attributes
    crime = read("communities")
    if crime is not None:
        label = (crime["ViolentCrimesPerPop"] >= 0.2).to_numpy().astype(int)
        X = _numbers(crime.iloc[:, 5:].drop(columns="ViolentCrimesPerPop"))
        attributes = [c for c in X if c.lower().startswith(("race", "pct", "age"))][:18]
        found["communities"] = X, label, attributes
    return found


def subgroups() -> Table:
    """Return the violation of the worst subgroup by oracle, beside the bound over all sets."""
    table: Table = {}
    for name, (X, y, attributes) in subgroup_data().items():
        clf = make_pipeline(
            make_column_transformer(
                (
                    OneHotEncoder(handle_unknown="ignore", min_frequency=10),
                    make_column_selector(dtype_exclude="number"),
                ),
                (StandardScaler(), make_column_selector(dtype_include="number")),
            ),
            LogisticRegression(max_iter=2000),
        ).fit(X, y)
        pred = clf.predict(X)
        for rate in RATES:

            def search(X=X, y=y, pred=pred, attributes=attributes, rate=rate):
                return audit_subgroups(
                    y, pred, sensitive_features=X[attributes], rate=rate, missing="group"
                )

            found = search()
            by_oracle: dict[str, float] = {}
            for candidate in found.candidates:
                name_of = candidate.rule.oracle
                by_oracle[name_of] = max(by_oracle.get(name_of, 0.0), candidate.violation)
            conjunctions = [v for k, v in by_oracle.items() if "conj" in k or "one" in k]
            trees = [v for k, v in by_oracle.items() if "tree" in k or "categories" in k]
            logistic = [v for k, v in by_oracle.items() if "logistic" in k]
            table[f"{name} ({len(attributes)} attributes); {rate.label}"] = {
                "least squares": by_oracle["least squares"],
                "logistic": max(logistic),
                "conjunction": max(conjunctions),
                "tree": max(trees),
                "bound": found.bound,
                "tested rule": found.candidates[0].violation,
                "on tested rows": found.violation,
                "p": found.p_value,
                "seconds": median_seconds({"search": search}, repeats=3)["search"],
            }
    return table


def categories() -> Table:
    """Return seconds of a subgroup search in six columns of 50 to 500 categories."""
    table: Table = {}
    for n_rows in (10_000, 100_000):
        rng = np.random.default_rng(0)
        columns = {
            f"column {n}": rng.integers(n, size=n_rows).astype(str)
            for n in (50, 100, 200, 300, 400, 500)
        }
        label, accepted = rng.integers(2, size=(2, n_rows))
        seconds = median_seconds(
            {
                "seconds": lambda columns=columns, label=label, accepted=accepted: audit_subgroups(
                    label, accepted, sensitive_features=columns
                )
            },
            repeats=1,
        )
        table[f"{n_rows:,} rows"] = dict(seconds)
    return table


TABLES = {"bootstrap": bootstrap, "rows": rows, "subgroups": subgroups, "categories": categories}


def main() -> None:
    """Print the tables asked for; all of them are also written."""
    warnings.filterwarnings("ignore")
    wanted = sys.argv[1:] or list(TABLES)
    tables: dict[str, Table] = {"environment": environment()}
    for name in wanted:
        tables[name] = TABLES[name]()
        print_table(name, tables[name])
    if not sys.argv[1:]:
        write_csv(HERE / "results" / "audit.csv", tables)


if __name__ == "__main__":
    main()
