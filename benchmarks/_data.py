"""Real data sets as numbers: X, labels and groups, from the package or from a folder.

Adult comes with the package. The others are read from the folder named by the environment
variable FAIRLEARNKIT_DATA, and are left out where that is not set.
"""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fairlearnkit.datasets import load_adult, load_german_credit


class Data(NamedTuple):
    """Features without the sensitive columns, labels as 0 and 1, groups as integers."""

    X: NDArray[np.float64]
    label: NDArray[np.intp]
    group: NDArray[np.intp]


def load(name: str, subset: str = "all") -> Data | None:
    """Return a data set by name; None where its file is not at hand."""
    if name.startswith("adult"):
        frame, label = load_adult(subset=subset, return_X_y=True, as_frame=True)
        group = frame["sex"] if name == "adult sex" else _crossed(frame["sex"], frame["race"])
        return _numbers(frame.drop(columns=["sex", "race"]), label == ">50K", group)
    if name == "german credit":
        frame, label = load_german_credit(return_X_y=True, as_frame=True)
        return _numbers(frame.drop(columns="age"), label == "good", frame["age"] <= 25)
    frame = read(name)
    if frame is None:
        return None
    if name == "compas":
        frame = frame[frame["race"].isin(["African-American", "Caucasian"])]
        kept = ["age", "sex", "juv_fel_count", "juv_misd_count", "juv_other_count"]
        kept += ["priors_count", "c_charge_degree"]
        return _numbers(frame[kept], frame["two_year_recid"] == 0, frame["race"])
    if name == "law school":
        return _numbers(
            frame.drop(columns=["pass_bar", "race"]), frame["pass_bar"] == 1, frame["race"]
        )
    if name == "bank":
        young = frame["age"].between(25, 59)
        return _numbers(frame.drop(columns=["y", "age", "duration"]), frame["y"] == "yes", young)
    if name == "acs income":
        codes = ["COW", "MAR", "OCCP", "POBP", "RELP", "RAC1P", "SEX"]
        codes = [code for code in codes if code in frame]
        frame[codes] = frame[codes].astype("category")
        return _numbers(
            frame.drop(columns=["PINCP", "SEX", "OCCP", "POBP"], errors="ignore"),
            frame["PINCP"] == 1,
            frame["SEX"],
        )
    dropped = ["approve", "white", "black", "hispan", "action", "reject", "typur", "inson"]
    return _numbers(
        frame.drop(columns=dropped, errors="ignore"), frame["approve"] == 1, frame["white"]
    )


FILES = {
    "compas": "compas_two_years",
    "law school": "law_school",
    "bank": "bank_marketing",
    "loans": "loanapp",
    "acs income": "acs_income_2018_us_a",
    "communities": "communities_crime",
}


def read(name: str) -> pd.DataFrame | None:
    """Return a data set from the folder as it lies there; None where it is not at hand."""
    folder = os.environ.get("FAIRLEARNKIT_DATA")
    path = Path(folder or "") / f"{FILES[name]}.csv.gz"
    return pd.read_csv(path) if folder and path.exists() else None


def _crossed(*columns: pd.Series) -> pd.Series:
    return pd.concat(columns, axis=1).astype(str).agg(" ".join, axis=1)


def _numbers(frame: pd.DataFrame, label: pd.Series, group: pd.Series) -> Data:
    is_number = make_column_selector(dtype_include="number")
    is_text = make_column_selector(dtype_exclude="number")
    one_hot = OneHotEncoder(sparse_output=False, min_frequency=10)
    columns = make_column_transformer((StandardScaler(), is_number), (one_hot, is_text))
    X = np.nan_to_num(np.asarray(columns.fit_transform(frame), dtype=float))
    codes = np.unique(group.astype(str).to_numpy(), return_inverse=True)[1]
    return Data(X, label.to_numpy().astype(np.intp), codes)
