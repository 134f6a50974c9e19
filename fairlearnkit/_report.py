"""What reports of every kind share: rows read, columns named, values as JSON has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from numbers import Integral, Real
from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_consistent_length, column_or_1d

from fairlearnkit import _validation as checks
from fairlearnkit import metrics
from fairlearnkit.constraints import Rate


def read_rows(
    y_true: ArrayLike, y_pred: ArrayLike, pos_label: Any
) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Return whether labels are positive, and decisions: integers where all are 0 or 1."""
    truth = column_or_1d(checks.as_array(y_true))
    decisions = checks.as_array(y_pred)
    check_consistent_length(truth, decisions)
    if not len(truth):
        msg = "y_true must have at least one row, got none."
        raise ValueError(msg)
    if (
        pos_label in (None, 1)
        and decisions.ndim == 1
        and _zero_one(truth)
        and _zero_one(decisions)
    ):
        return truth.astype(bool), decisions
    metrics._check_no_missing(truth, "y_true")
    metrics._check_no_missing(decisions, "y_pred")
    positive, accepted = metrics._positive_and_accepted(truth, decisions, pos_label)
    if ((accepted == 0) | (accepted == 1)).all():
        return positive, accepted.astype(np.uint8)
    return positive, accepted


def _zero_one(values: NDArray[Any]) -> bool:
    """Whether all values are booleans or the whole numbers 0 and 1, by two quick passes."""
    if values.dtype.kind == "b":
        return True
    return values.dtype.kind in "iu" and bool(values.min() >= 0 and values.max() <= 1)


def wrapped(line: str, indent: str = "") -> str:
    """Return a line of text in lines of at most 99 characters, the later ones further in."""
    return fill(
        line,
        99,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def column_names(values: Any, n_columns: int) -> list[str]:
    """Return the names of sensitive columns; numbers where they have none."""
    found = checks.given_names(values, "sensitive_features")
    if found is None:
        name = getattr(values, "name", None)
        found = [] if name is None or callable(name) else [name]
    if len(found) == n_columns:
        names = [str(name) for name in found]
        if len(set(names)) == n_columns:
            return names
    return ["group"] if n_columns == 1 else [f"column {i}" for i in range(n_columns)]


def rate_arrays(rates: Sequence[Rate]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which labels each rate is taken over, and what it counts."""
    return (
        np.array([rate._condition() for rate in rates]),
        np.array([rate._counted() for rate in rates]),
    )


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if is_dataclass(value):
        return {part.name: plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(part) for part in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if np.isfinite(float(value)) else None
    return value if value is None or isinstance(value, str) else str(value)
