"""Held-out accuracy at equal gaps, fits, time and memory: this package and others side by side.

    python benchmarks/compare.py            what is missing is run, all is summed up
    python benchmarks/compare.py costs      one part alone: accuracy, costs or growth

Every method gets the same learner, the same columns (without the sensitive one), the same splits
and a grid of knobs that was fixed beforehand. What it decides on held-out rows is kept as the
share accepted of each group and label, in expectation over its own draws: accuracy and every gap
follow from these. They go to results/compare_splits.csv.gz as soon as a method is done, and a
second run takes up where the first was stopped; without this file everything is run again.
Summed up they are in results/compare.csv. README.md says how the numbers come about.
"""
# ruff: noqa: E402, PLC2701  (threads are set before NumPy starts them; helpers are private)

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import csv
import gzip
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from _data import Data, load
from _held_out import accepted_shares, cells, frontier, interval, scores_within
from _measure import environment
from _peers import create_environment, pinned_versions, run
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedShuffleSplit

from fairlearnkit import DemographicParity, EqualizedOdds, EqualOpportunity, ParetoFrontier
from fairlearnkit._kernels.intervals import noise_floor
from fairlearnkit.datasets import make_group_classification

HERE = Path(__file__).parent
SPLITS = HERE / "results" / "compare_splits.csv.gz"
ROWS = HERE / "results" / "compare_rows.csv"
COSTS = HERE / "results" / "compare_costs.csv"
SUMMARY = HERE / "results" / "compare.csv"

KINDS = {
    "demographic parity": DemographicParity,
    "equalized odds": EqualizedOdds,
    "equal opportunity": EqualOpportunity,
}
BOTH = ("demographic parity", "equalized odds")
SMALL = ("german credit", "compas", "law school")
MOST_ROWS = 20_000  # of a split, training and test
TEST_SHARE = 0.3
RATIO = TEST_SHARE / (1 - TEST_SHARE)
GAPS = (0.01, 0.02, 0.05, 0.1)


class Method(NamedTuple):
    """How a method is run.

    Attributes
    ----------
    peer : str or None
        Its environment; None for this package.
    knobs : tuple of float
        Largest gaps asked for.
    aware : bool
        Whether it needs the group at prediction.
    """

    peer: str | None
    knobs: tuple[float, ...]
    aware: bool = False


FREE = (0.0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15)  # turning the knob costs little
DEAR = (0.01, 0.02, 0.05, 0.1)  # each knob is a run of its own
METHODS = {
    "group thresholds": Method(None, FREE, aware=True),
    "reduction": Method(None, FREE),
    "constrained logistic": Method(None, FREE),
    "fairlearn thresholds": Method("fairlearn", FREE, aware=True),
    "error-parity": Method("error_parity", FREE, aware=True),
    "OxonFair": Method("oxonfair", FREE, aware=True),
    "OxonFair, inferred groups": Method("oxonfair", FREE),
    "fairlearn grid search": Method("fairlearn", FREE),
    "fairlearn exponentiated gradient": Method("fairlearn", DEAR),
    "AIF360 exponentiated gradient": Method("aif360", DEAR),
    "AIF360 grid search": Method("aif360", DEAR),
    "scikit-lego": Method("scikit-lego", (0.001, 0.01, 0.03, 0.1)),
}


PLAIN = Method(None, (1.0,))
COSTLY = [name for name, method in METHODS.items() if method.knobs == DEAR] + ["scikit-lego"]
CHEAP = ["plain", *(name for name in METHODS if name not in COSTLY)]


class Case(NamedTuple):
    """A data set, a learner, and on how many splits."""

    data: str
    learner: str
    criteria: tuple[str, ...] = BOTH
    n_splits: int = 20


LOGISTIC, BOOSTING = "logistic regression", "gradient boosting"
PRODUCTS = "products of features"  # logistic regression on them
CASES = [
    Case("german credit", LOGISTIC, (*BOTH, "equal opportunity")),
    Case("compas", LOGISTIC, (*BOTH, "equal opportunity")),
    Case("adult sex", LOGISTIC),
    Case("law school", LOGISTIC),
    Case("acs income", LOGISTIC),
    Case("compas", PRODUCTS, (*BOTH, "equal opportunity")),
    Case("compas", BOOSTING),
    Case("bank", LOGISTIC),
    Case("acs income", BOOSTING, ("equalized odds",)),
]


def suits(name: str, case: Case, criterion: str) -> bool:
    """Return whether a method is run in a case; README.md says why not."""
    if case.learner == PRODUCTS:
        return name in ("plain", "reduction", "OxonFair, inferred groups")
    if name.startswith("AIF360"):
        return case.data == "german credit" and criterion == "demographic parity"
    if name == "scikit-lego":
        of_criterion = criterion in ("demographic parity", "equal opportunity")
        return case.learner == LOGISTIC and case.data in SMALL and of_criterion
    return name != "constrained logistic" or case.learner == LOGISTIC


# ---------------------------------------------------------------------------------------------
# Running


def splits_of(data: Data, case: Case) -> dict[str, NDArray[Any]]:
    """Return the arrays of data.npz; splits are drawn within each group and label."""
    cell = cells(data.label, data.group)
    train, test = [], []
    for seed in range(case.n_splits):
        rows = np.arange(len(cell))
        if len(rows) > MOST_ROWS:
            rows = np.random.default_rng(seed).choice(rows, MOST_ROWS, replace=False)
        halves = StratifiedShuffleSplit(1, test_size=TEST_SHARE, random_state=seed)
        for inside, outside in halves.split(rows, cell[rows]):
            train.append(rows[inside])
            test.append(rows[outside])
    return {**data._asdict(), "train": np.array(train), "test": np.array(test)}


def accuracy_runs() -> None:
    """Run what has not been run: a few splits of everything before more of anything."""
    for names, n_splits in ((CHEAP, 10), (COSTLY, 5), (COSTLY, 10), (CHEAP, 20), (COSTLY, 20)):
        for case in CASES:
            data = load(case.data)
            if data is None:
                print(f"{case.data} is not at hand: set FAIRLEARNKIT_DATA.", file=sys.stderr)
                continue
            arrays = splits_of(data, case)
            count_rows(case, arrays)
            with tempfile.TemporaryDirectory() as folder:
                np.savez(Path(folder) / "data.npz", **arrays)
                for peer in dict.fromkeys(METHODS.get(name, PLAIN).peer for name in names):
                    of_peer = [name for name in names if METHODS.get(name, PLAIN).peer == peer]
                    accuracy_run(Path(folder), case, arrays, peer, of_peer, n_splits)


def accuracy_run(
    folder: Path,
    case: Case,
    arrays: dict[str, NDArray[Any]],
    peer: str | None,
    names: list[str],
    n_splits: int,
) -> None:
    """Run methods of one environment on their splits and keep the shares that they accept."""
    done = set()
    if SPLITS.exists():
        found = pd.read_csv(SPLITS, usecols=SPLIT_COLUMNS[:6])
        done = set(found.drop(columns="knob").itertuples(index=False, name=None))
    tasks = []
    for criterion, name in product(case.criteria, names):
        if not suits(name, case, criterion):
            continue
        splits = range(min(n_splits, case.n_splits))
        key = (case.data, case.learner, criterion, name)
        wanted = [split for split in splits if (*key, split) not in done]
        task = {"method": name, "learner": case.learner, "criterion": criterion}
        if wanted:
            tasks.append(task | {"knobs": METHODS.get(name, PLAIN).knobs, "splits": wanted})
    if not tasks or (python := python_of(peer)) is None:
        return
    lines, seconds = [], 0.0
    for task, split, fit in run(python, folder, tasks, 3600):
        test = arrays["test"][split]
        cell = cells(arrays["label"][test], arrays["group"][test])
        key = [case.data, case.learner, task["criterion"], task["method"]]
        for knob, accept in zip(task["knobs"], fit["accept"], strict=True):
            shares = accepted_shares(accept, cell)
            cost = [f"{fit['seconds']:.4g}", int(fit["fits"])]
            lines.append([*key, knob, split, *(f"{share:.5g}" for share in shares), *cost])
        seconds += float(fit["seconds"])
    append(SPLITS, SPLIT_COLUMNS, lines)
    print(f"{case.data}; {case.learner}; {names}: {seconds:.1f} s", file=sys.stderr)


ACCEPTED = [f"accepted_{cell}" for cell in ("00", "01", "10", "11")]  # group, label
COUNTED = [f"rows_{cell}" for cell in ("00", "01", "10", "11")]
SPLIT_COLUMNS = ["data", "learner", "criterion", "method", "knob", "split"]
SPLIT_COLUMNS += [*ACCEPTED, "sweep_seconds", "sweep_fits"]


def count_rows(case: Case, arrays: dict[str, NDArray[Any]]) -> None:
    """Keep the number of held-out rows of each group and label."""
    counted = set()
    if ROWS.exists():
        found = pd.read_csv(ROWS, usecols=["data", "learner", "split"])
        counted = set(found.itertuples(index=False, name=None))
    lines = []
    for split, test in enumerate(arrays["test"]):
        if (case.data, case.learner, split) not in counted:
            cell = cells(arrays["label"][test], arrays["group"][test])
            lines.append([case.data, case.learner, split, *np.bincount(cell, minlength=4)])
    append(ROWS, ["data", "learner", "split", *COUNTED], lines)


def python_of(peer: str | None) -> Path | None:
    """Return the Python of an environment; None where there is none."""
    return Path(sys.executable) if peer is None else create_environment(peer)


def append(path: Path, columns: list[str], lines: list[list[Any]]) -> None:
    """Append lines to a table, which gets its heading first."""
    new = not path.exists()
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "at", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([columns, *lines] if new else lines)


# ---------------------------------------------------------------------------------------------
# Costs: one knob, 21 knobs, more rows

# AIF360's reductions are fairlearn's; OxonFair's blind thresholds are fitted like its aware ones.
TIMED = [name for name in METHODS if "AIF360" not in name and "inferred" not in name]
MANY = tuple(np.linspace(0.2, 0.0, 21).round(3).tolist())
LIMIT = 60  # processor seconds
GROWTH = (10_000, 100_000, 1_000_000, 10_000_000)
COST_COLUMNS = ["table", "data", "learner", "criterion", "method", "rows", "knobs"]
COST_COLUMNS += ["seconds", "fits", "megabytes"]


def cost_runs() -> None:
    """Time each method at one knob and at 21 on the first split of Adult."""
    case = Case("adult sex", LOGISTIC, n_splits=1)
    arrays = splits_of(load(case.data), case)
    n_rows = arrays["train"].shape[1]
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "data.npz", **arrays)
        for criterion, name in product(BOTH, ["plain", *TIMED]):
            if name == "scikit-lego" and criterion == "equalized odds":
                continue
            for knobs in ((0.02,), MANY) if name in METHODS else ((0.02,),):
                where = ["costs", case.data, case.learner, criterion, name]
                cost_run(Path(folder), where, n_rows, knobs)


def growth_runs() -> None:
    """Time thresholds on given scores, and blind methods around logistic regression, by rows."""
    aware = [name for name in TIMED if METHODS[name].aware]
    blind = [name for name in TIMED if not METHODS[name].aware]
    # Criteria that bind on these rows, and that all of the methods have.
    parts = (
        ("given score", "equalized odds", aware, GROWTH),
        (LOGISTIC, "demographic parity", blind, GROWTH[:-1]),
    )
    for learner, criterion, names, sizes in parts:
        for n_rows in sizes:
            X, label, group = make_group_classification(
                n_rows, n_features=10, base_rates=(0.5, 0.3), random_state=0
            )
            if learner == "given score":
                X = 1 / (1 + np.exp(-X.sum(axis=1, keepdims=True)))
            every = np.arange(n_rows)[None]
            arrays = {"X": X, "label": label, "group": group, "train": every}
            with tempfile.TemporaryDirectory() as folder:
                np.savez(Path(folder) / "data.npz", **arrays, test=every[:, :1000])
                for name in names:
                    where = ["growth", "made up", learner, criterion, name]
                    cost_run(Path(folder), where, n_rows, (0.02,))


def cost_run(folder: Path, where: list[str], n_rows: int, knobs: tuple[float, ...]) -> None:
    """Run one cell of the cost tables, unless it is done or a smaller one took too long."""
    _, _, learner, criterion, name = where
    cell = [*where, n_rows, len(knobs)]
    if COSTS.exists():
        found = pd.read_csv(COSTS)
        same = found[(found[COST_COLUMNS[:5]] == where).all(axis=1)]
        if ((same["rows"] == n_rows) & (same["knobs"] == len(knobs))).any():
            return
        if same["seconds"].isna().any():
            append(COSTS, COST_COLUMNS, [[*cell, "", "", ""]])
            return
    python = python_of(METHODS.get(name, PLAIN).peer)
    if python is None:
        return
    task = {"method": name, "learner": learner, "criterion": criterion}
    task |= {"knobs": knobs, "splits": [0]}
    measured = ["", "", ""]
    for _, _, fit in run(python, folder, [task], LIMIT):
        megabytes = float(fit["kilobytes"]) / 1024
        measured = [f"{fit['seconds']:.4g}", int(fit["fits"]), f"{megabytes:.0f}"]
    append(COSTS, COST_COLUMNS, [[*cell, *measured]])
    print(cell, measured, file=sys.stderr)


# ---------------------------------------------------------------------------------------------
# Summing up


def frontiers(
    part: pd.DataFrame, sizes: NDArray[Any], criterion: str
) -> dict[str, ParetoFrontier]:
    """Return each method's held-out frontier, with a constant decision and the plain model."""
    accepted = {}
    for name, of_method in part.groupby("method", sort=False):
        by_knob = of_method.pivot(index="split", columns="knob", values=ACCEPTED)
        knobs = by_knob.columns.get_level_values("knob").unique().to_numpy()
        shares = by_knob.to_numpy().reshape(-1, 4, len(knobs)).transpose(0, 2, 1)
        # A knob without a rule on some split is left out.
        kept = np.isfinite(shares).all(axis=(0, 2))
        accepted[name] = knobs[kept], shares[:, kept]
    _, plain = accepted.pop("plain")
    constant = np.full_like(plain, sizes[:, 1::2].sum() > sizes[:, ::2].sum())
    ends = np.concatenate([constant, plain], axis=1)
    return {
        name: frontier(
            KINDS[criterion](), knobs, shares, ends[: len(shares)], sizes[: len(shares)], RATIO
        )
        for name, (knobs, shares) in accepted.items()
    }


def first_splits(found: ParetoFrontier, n: int) -> ParetoFrontier:
    """Return a frontier on the first splits alone, to pair it with one that has no more."""
    return replace(
        found,
        fold_scores=found.fold_scores[:n],
        disparities=found.disparities[:, :n],
        base_fold_scores=found.base_fold_scores[:n],
        base_disparities=found.base_disparities[:, :n],
        moments=found.moments[:n],
        fold_rates=found.fold_rates[:n],
    )


SUMMARY_COLUMNS = ["data", "learner", "criterion", "method", "measure", "gap", "against"]
SUMMARY_COLUMNS += ["value", "low", "high"]
N_LEVELS = 20  # of the gap, for the hypervolume


def summary() -> Iterator[list[Any]]:
    """Return the lines of compare.csv."""
    for name, line in environment().items():
        yield ["environment", "", "", "", name, "", "", line["value"], "", ""]
    for peer in sorted({method.peer for method in METHODS.values() if method.peer}):
        yield ["environment", "", "", peer, "versions", "", "", pinned_versions(peer), "", ""]
    found, rows = pd.read_csv(SPLITS), pd.read_csv(ROWS)
    for (data, learner, criterion), part in found.groupby(
        ["data", "learner", "criterion"], sort=False
    ):
        same = (rows["data"] == data) & (rows["learner"] == learner)
        sizes = rows[same].sort_values("split")[COUNTED].to_numpy()
        for line in summary_of(part, sizes, criterion):
            yield [data, learner, criterion, *line]


def summary_of(part: pd.DataFrame, sizes: NDArray[Any], criterion: str) -> Iterator[list[Any]]:
    """Return the lines of one data set, learner and criterion.

    Leads are on the splits that two methods have; all else on those that all of a kind have.
    """
    of_method = frontiers(part, sizes, criterion)
    first = next(iter(of_method.values()))
    yield ["constant", "accuracy", "", "", first.constant_score, "", ""]
    yield ["an equal rule", "gap", "", "", noise(first, sizes, criterion), "", ""]
    for kind in ("aware", "blind"):
        same = {n: f for n, f in of_method.items() if METHODS[n].aware == (kind == "aware")}
        if same:
            yield from summary_of_kind(part, same, kind)
    for name, own in product(of_method, of_method):
        if METHODS[name].peer is None or METHODS[own].peer is not None:
            continue
        if METHODS[name].aware != METHODS[own].aware:
            continue
        n = min(len(of_method[name].fold_scores), len(of_method[own].fold_scores))
        its, ours = (
            scores_within(first_splits(of_method[method], n), np.array(GAPS))
            for method in (name, own)
        )
        for gap, lead in zip(GAPS, its - ours, strict=True):
            yield [name, "lead in accuracy", gap, own, *interval(lead, RATIO)]


def summary_of_kind(
    part: pd.DataFrame, of_method: dict[str, ParetoFrontier], kind: str
) -> Iterator[list[Any]]:
    """Return the lines of methods that know the same at prediction, on the splits of all."""
    n = min(len(found.fold_scores) for found in of_method.values())
    shared = {name: first_splits(found, n) for name, found in of_method.items()}
    first = next(iter(shared.values()))
    plain = f"plain, beside {kind}"
    yield [plain, "splits", "", "", n, "", ""]
    yield [plain, "accuracy", "", "", *interval(first.base_fold_scores, RATIO)]
    yield [plain, "gap", "", "", *interval(first.base_fold_disparities, RATIO)]
    levels = (np.arange(N_LEVELS) + 0.5) / N_LEVELS * first.base_disparity
    for name, found in shared.items():
        once = part[part["method"] == name].drop_duplicates("split")
        yield [name, "splits", "", "", len(once), "", ""]
        knobs = found.knob[np.isfinite(found.knob)]
        yield [name, "knobs", "", "", len(knobs), "", ""]
        yield [name, "fits of the sweep", "", "", once["sweep_fits"].mean(), "", ""]
        yield [name, "seconds of the sweep", "", "", once["sweep_seconds"].mean(), "", ""]
        for i, knob in enumerate(knobs):
            yield [name, "accuracy at knob", knob, "", *interval(found.fold_scores[:, i], RATIO)]
            yield [name, "gap at knob", knob, "", *interval(found.fold_disparities[:, i], RATIO)]
        for gap, scores in zip(GAPS, scores_within(found, np.array(GAPS)), strict=True):
            yield [name, "accuracy", gap, "", *interval(scores, RATIO)]
        worth = scores_within(found, levels) - first.constant_score
        room = first.base_score - first.constant_score
        share = worth.mean(axis=0) / room
        yield [name, "hypervolume", "", "", *interval(share, RATIO)]


# Cells over which each rate is taken, group by group.
COMPARED = {
    "demographic parity": [((0, 1), (2, 3))],
    "equalized odds": [((1,), (3,)), ((0,), (2,))],  # true, then false positive rates
    "equal opportunity": [((1,), (3,))],
}


def noise(found: ParetoFrontier, sizes: NDArray[Any], criterion: str) -> float:
    """Return the gap that a perfectly equal rule shows on as many rows as these, on average.

    Its rates are those that the model without a constraint has over both groups.
    """
    size = sizes.mean(axis=0)
    rate, count = [], []
    first = found.moments[0]
    plain = np.mean([rates[-1] for rates in found.fold_rates], axis=0)
    for event, groups in enumerate(COMPARED[criterion]):
        of_group = np.array([size[list(group)].sum() for group in groups])
        both = plain[first.event == event] @ of_group / of_group.sum()
        rate += [both, both]
        count += of_group.tolist()

    def gap(drawn: NDArray[Any]) -> float:
        return float(np.abs(drawn[::2] - drawn[1::2]).max())

    return noise_floor(np.array(rate), np.array(count), gap, np.random.default_rng(0))


def write_summary() -> None:
    """Write compare.csv."""
    with SUMMARY.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(SUMMARY_COLUMNS)
        for line in summary():
            writer.writerow([f"{x:.5g}" if isinstance(x, float) else x for x in line])


RUNS = {"accuracy": accuracy_runs, "costs": cost_runs, "growth": growth_runs}


def main() -> None:
    """Run what is missing and sum up."""
    for name in sys.argv[1:] or RUNS:
        RUNS[name]()
    write_summary()
    print(f"Written: {SUMMARY.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
