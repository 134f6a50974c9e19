"""Turn what users pass into arrays: features, groups, weights, costs and row hashes.

Data frames of any library are read through narwhals, column by column; none is required.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from numbers import Integral, Real
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from narwhals.exceptions import DuplicateError
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils import _safe_indexing, check_array
from sklearn.utils.validation import _num_samples

from fairlearnkit._kernels.row_hash import hash_columns, hash_sparse, number_codes, text_code

Float = NDArray[np.float64]
Int = NDArray[np.intp]
Columns = int | str | Sequence[int | str] | Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

HOW_TO_GIVE_GROUPS = (
    "Pass sensitive_features= to this method, or set sensitive_columns= to column names, "
    "positions or a callable that takes X."
)


def is_number(value: Any) -> bool:
    """Whether a value is a real number; booleans are not."""
    return isinstance(value, Real) and not isinstance(value, (bool, np.bool_))


def check_features(X: Any, estimator: Any) -> Any:
    """Return X as a data frame, a CSR or CSC matrix, or a 2-D array; values are not checked."""
    if _is_frame(X):
        if 0 in X.shape:
            msg = f"X must have at least one row and one column, got shape={tuple(X.shape)}."
            raise ValueError(msg)
        return X
    return check_array(
        X, accept_sparse=("csr", "csc"), dtype=None, ensure_all_finite=False, estimator=estimator
    )


def check_weights(sample_weight: Any, X: Any) -> Float | None:
    """Return the weights as floats, or None where none are given.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, if all are zero, or if their number is not that of
        the rows.
    """
    if sample_weight is None:
        return None
    check_no_mask(sample_weight, "sample_weight")
    n_samples = _num_samples(X)
    if isinstance(sample_weight, Real):
        sample_weight = np.full(n_samples, float(sample_weight))
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (n_samples,):
        msg = (
            f"sample_weight must have one value per row, shape ({n_samples},), got shape "
            f"{weight.shape}."
        )
        raise ValueError(msg)
    if not np.isfinite(weight).all():
        count = np.count_nonzero(~np.isfinite(weight))
        msg = f"sample_weight must be finite, got {count} of {n_samples} NaN or infinite."
        raise ValueError(msg)
    if weight.min() < 0:
        msg = (
            f"sample_weight must be >= 0, got {weight.min()!s} as the smallest of {len(weight)}. "
            "Remove those rows or set their weight to 0."
        )
        raise ValueError(msg)
    if not weight.any():
        msg = "sample_weight must have at least one weight above 0, got zeros only."
        raise ValueError(msg)
    return weight


def check_costs(costs: Mapping[str, float] | None) -> tuple[float, float]:
    """Return the costs of a false positive and of a false negative; 1 each where None."""
    if costs is None:
        return 1.0, 1.0
    is_valid = (
        isinstance(costs, Mapping)
        and set(costs) == {"fp", "fn"}
        and all(is_number(c) and 0 <= c < np.inf for c in costs.values())
        and any(c > 0 for c in costs.values())
    )
    if not is_valid:
        msg = (
            "costs must be a dict with the keys 'fp' and 'fn' and finite values >= 0, not both "
            f"zero, got {costs!r}."
        )
        raise ValueError(msg)
    return float(costs["fp"]), float(costs["fn"])


def _is_sparse(X: Any) -> bool:
    return bool(sparse.issparse(X))


def _is_frame(X: Any, what: str = "X") -> bool:
    try:
        return isinstance(nw.from_native(X, eager_only=True, pass_through=True), nw.DataFrame)
    except DuplicateError as error:
        raise _repeated_names(what, error) from None


def _repeated_names(what: str, error: DuplicateError) -> ValueError:
    """Return the error for a data frame with two columns of one name."""
    names = str(error).partition("\n")[2].replace("\n- ", ", ").removeprefix("- ")
    return ValueError(
        f"Columns of {what} must have different names, got {names or error}. Rename them, or pass "
        "an array."
    )


def encode_groups(
    values: Any, n_samples: int, *, missing: str, what: str, names: list | None = None
) -> tuple[Int, list]:
    """Return the group of every row as an integer, and the group labels in order.

    Parameters
    ----------
    values : array-like or data frame of shape (n_samples,) or (n_samples, n_columns)
        One column of labels, or several that make intersections (labels are then tuples).
    n_samples : int
        Number of rows expected.
    missing : {"error", "group"}
        Whether a missing value is an error or a group of its own, with the label None.
    what : str
        Name of the values in messages.
    names : list, default=None
        Names of columns seen before, as `given_names` returns them: columns of the same names are
        put in their order.

    Returns
    -------
    codes : ndarray of shape (n_samples,)
        Index of each row's group in the labels.
    labels : list
        Labels that occur, sorted.
    """
    columns = [factorize(part) for part in _split_columns(_in_order(values, names, what), what)]
    if not columns:
        msg = f"{what} must have at least one column, got none."
        raise ValueError(msg)
    for codes, labels in columns:
        if len(codes) != n_samples:
            msg = (
                f"{what} must have one value per row of X, got {len(codes)} for {n_samples} rows."
            )
            raise ValueError(msg)
        if missing == "error" and None in labels:
            count = np.count_nonzero(codes == labels.index(None))
            msg = (
                f"{what} must not have missing values, got {count} of {n_samples}. Fill them in, "
                'or make them a group of their own with missing="group".'
            )
            raise ValueError(msg)
        _check_names(labels, what)
    combined, joined = columns[0]
    if len(columns) > 1:
        joined = [(label,) for label in joined]
    for codes, labels in columns[1:]:
        # Numbered anew after every column: products of all would overflow.
        present, combined = _distinct_numbers(combined * len(labels) + codes)
        pairs = zip(*np.divmod(present, len(labels)), strict=True)
        joined = [(*joined[i], labels[j]) for i, j in pairs]
    order = _sort(joined)
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order))
    return rank[combined], [joined[i] for i in order]


def given_names(values: Any, what: str) -> list | None:
    """Return the names of the columns of a data frame or dict; None where there are none."""
    if isinstance(values, Mapping):
        return list(values)
    if not _is_frame(values, what):
        return None
    return list(nw.from_native(values, eager_only=True).columns)


def _in_order(values: Any, known: list | None, what: str) -> Any:
    """Return columns in the order of known names; as they are where either side has none.

    Raises
    ------
    ValueError
        If there are several columns, named by text on both sides, and the names differ.
    """
    names = given_names(values, what)
    if names is None or known is None or names == known or len(names) == len(known) == 1:
        return values
    if set(names) == set(known):
        if isinstance(values, Mapping):
            return {name: values[name] for name in known}
        positions = [names.index(name) for name in known]
        return nw.from_native(values, eager_only=True)[:, positions].to_native()
    # Numbers are what frames call columns without names.
    if all(isinstance(name, str) for name in (*names, *known)):
        msg = (
            f"{what} must have the columns seen in fit, {known}, got {names}. Pass these columns, "
            "in any order, or an array with the columns in the order of fit."
        )
        raise ValueError(msg)
    return values


def match_groups(codes: Int, labels: list, known: list, what: str) -> Int:
    """Return codes in terms of known labels.

    Raises
    ------
    ValueError
        If a label is not among the known ones; the message names it.
    """
    place = {label: i for i, label in enumerate(known)}
    unseen = [label for label in labels if label not in place]
    if unseen:
        # Semicolons, since the name of an intersection has commas.
        names = "; ".join(group_name(label) for label in unseen[:5])
        more = f"; and {len(unseen) - 5} more" if len(unseen) > 5 else ""
        some = "; ".join(group_name(label) for label in known[:10])
        msg = (
            f"{what} must hold groups seen in fit, got {names}{more}. Seen were {some}"
            f"{'; ...' if len(known) > 10 else ''}. Fit again with rows of every "
            "group; a split can hold all of them where it is stratified by group."
        )
        raise ValueError(msg)
    return np.array([place[label] for label in labels], dtype=np.intp)[codes]


def _check_names(labels: list, what: str) -> None:
    """Refuse values that no table can tell apart, such as 1 and "1"."""
    kinds = {type(label) for label in labels}
    if len(kinds) == 1 and kinds <= {str, int, float, bool}:
        return
    known: dict[str, Any] = {}
    for label in labels:
        other = known.setdefault(group_name(label), label)
        if other is not label:
            msg = (
                f"{what} must not hold different values that read the same, got {other!r} and "
                f"{label!r} in one column. Make them one type, or one value."
            )
            raise ValueError(msg)


def group_name(label: Hashable) -> str:
    """Return a group's label for tables and messages: no two groups share one.

    The parts of an intersection are listed by `listed_name`.
    """
    if isinstance(label, tuple):
        return ", ".join(listed_name(part) for part in label)
    return "(missing)" if label is None else str(label)


def listed_name(label: Hashable) -> str:
    """Return a label for lists: in quotation marks where it has a comma, or such a mark."""
    name = group_name(label)
    if isinstance(label, tuple) or not {",", '"'} & set(name):
        return name
    return '"' + name.replace('"', '""') + '"'


def label_array(labels: list) -> NDArray[Any]:
    """Return labels as an array, of objects where they are tuples or of several types."""
    if len({type(label) for label in labels}) == 1 and not isinstance(
        labels[0], (tuple, type(None))
    ):
        return np.array(labels)
    array = np.empty(len(labels), dtype=object)
    array[:] = labels
    return array


def _split_columns(values: Any, what: str) -> list[Any]:
    """Return one-dimensional columns: narwhals series, arrays or lists."""
    if values is None or isinstance(values, str):
        msg = (
            f"{what} must be values, one per row of X, got {values!r}. Names of columns go in "
            f"{what.replace('features', 'columns')}."
        )
        raise ValueError(msg)
    try:
        frame = nw.from_native(values, eager_only=True, allow_series=True, pass_through=True)
    except DuplicateError as error:
        raise _repeated_names(what, error) from None
    if isinstance(frame, nw.Series):
        return [frame]
    if isinstance(frame, nw.DataFrame):
        return list(frame.iter_columns())
    if isinstance(values, Mapping):
        return [column for part in values.values() for column in _split_columns(part, what)]
    if _is_sparse(values):
        values = values.toarray()
    if isinstance(values, np.ma.MaskedArray):
        mask, values = np.ma.getmaskarray(values), values.data.astype(object)
        values[mask] = None
    if not hasattr(values, "dtype") or not hasattr(values, "shape"):
        if hasattr(values, "__array__"):  # pyarrow's: iterating it gives its own scalars
            values = np.asarray(values)
        elif np.iterable(values):
            # As objects: NumPy would make strings of a list of names and NaN, "nan" among them.
            values = np.array(list(values), dtype=object)
    values = np.asarray(values)
    if values.ndim == 1:
        return [values]
    if values.ndim == 2:
        return list(values.T)
    msg = f"{what} must be one- or two-dimensional, got an array of shape {values.shape}."
    raise ValueError(msg)


def factorize(column: Any) -> tuple[Int, list]:
    """Return a column as integer codes with the values they stand for; missing is None."""
    if isinstance(column, nw.Series):
        column = _series_values(column)
    if column.dtype.kind in "mM":
        # In microseconds, which Python's own dates have, so that the unit does not matter.
        column = column.astype("datetime64[us]" if column.dtype.kind == "M" else "timedelta64[us]")
    if column.dtype.kind in "biuf":
        found, codes = _distinct_numbers(column)
        values = found.tolist()
    else:
        objects = column.tolist()
        values = list(dict.fromkeys(objects))
        place = dict(zip(values, range(len(values)), strict=True))
        codes = np.fromiter(map(place.__getitem__, objects), np.intp, len(objects))
    # Different kinds of missing value are one.
    labels: dict[Any, int] = {}
    merge = [labels.setdefault(None if _is_missing(v) else v, len(labels)) for v in values]
    return np.array(merge, dtype=np.intp)[codes], list(labels)


def _distinct_numbers(values: NDArray[Any]) -> tuple[NDArray[Any], Int]:
    """Return ``np.unique(values, return_inverse=True)``, by counting where integers are dense."""
    if values.dtype.kind in "iu" and len(values):
        low, high = int(values.min()), int(values.max())
        if high - low < len(values) and high <= np.iinfo(np.intp).max:
            above = values.astype(np.intp) - low
            found = np.flatnonzero(np.bincount(above))
            rank = np.empty(high - low + 1, dtype=np.intp)
            rank[found] = np.arange(len(found))
            return found + low, rank[above]
    found, codes = np.unique(values, return_inverse=True)
    return found, codes


def _series_values(series: nw.Series) -> NDArray[Any]:
    """Return a series as numbers or booleans where it has no missing value, else as objects."""
    if (series.dtype.is_numeric() or series.dtype == nw.Boolean) and not series.is_null().any():
        return np.asarray(series.to_numpy())
    objects = np.empty(len(series), dtype=object)
    objects[:] = series.to_list()
    return objects


def _is_missing(value: Any) -> bool:
    """Whether a value is None, NaN or a data-frame library's own missing value."""
    if value is None:
        return True
    try:
        return not bool(value == value)
    except (TypeError, ValueError):  # pandas.NA has no truth value
        return True


def _sort(labels: list) -> list[int]:
    """Return the order of labels: by value where they compare, else by name; missing last."""
    index = range(len(labels))
    try:
        return sorted(index, key=lambda i: _sort_key(labels[i]))
    except TypeError:
        return sorted(index, key=lambda i: (labels[i] is None, group_name(labels[i])))


def _sort_key(label: Any) -> tuple:
    if isinstance(label, tuple):
        return tuple(_sort_key(part) for part in label)
    return (1,) if label is None else (0, label)


def select_columns(X: Any, columns: Columns, what: str) -> Any:
    """Return the columns of X that give the groups, or what the callable returns."""
    if callable(columns):
        return columns(X)
    positions = column_positions(X, columns, what)
    if _is_frame(X):
        return nw.from_native(X, eager_only=True)[:, positions].to_native()
    if _is_sparse(X):
        return X.tocsc()[:, positions].toarray()
    return X[:, positions]


def drop_columns(X: Any, columns: Columns) -> Any:
    """Return X without columns given by name or position."""
    kept = np.setdiff1d(
        np.arange(X.shape[1]), column_positions(X, columns, "sensitive_columns")
    ).tolist()
    if not kept:
        msg = (
            f"drop_sensitive=True leaves no column: X has {X.shape[1]} and sensitive_columns="
            f"{columns!r} names all of them."
        )
        raise ValueError(msg)
    if _is_frame(X):
        return nw.from_native(X, eager_only=True)[:, kept].to_native()
    return X[:, kept]


def column_positions(X: Any, columns: Columns, what: str) -> list[int]:
    """Return the positions of columns given by name or position.

    Raises
    ------
    ValueError
        If a column is not there, or a name is given where X has none.
    """
    wanted = [columns] if isinstance(columns, (str, Integral)) else list(columns)  # type: ignore[arg-type]
    if not wanted:
        msg = f"{what} must name at least one column, got {columns!r}."
        raise ValueError(msg)
    names = list(nw.from_native(X, eager_only=True).columns) if _is_frame(X) else None
    positions = []
    for column in wanted:
        if isinstance(column, str):
            if names is None:
                msg = (
                    f"{what} has the name {column!r} but X has no column names (it is "
                    f"{type(X).__name__}). Give positions, or pass a data frame."
                )
                raise ValueError(msg)
            if column not in names:
                msg = f"{what} names {column!r}, which X does not have; it has {names}."
                raise ValueError(msg)
            positions.append(names.index(column))
        elif isinstance(column, Integral) and not isinstance(column, bool):
            if not -X.shape[1] <= column < X.shape[1]:
                msg = f"{what} has position {column}, but X has {X.shape[1]} columns."
                raise ValueError(msg)
            positions.append(int(column) % X.shape[1])
        else:
            msg = (
                f"{what} must be column names, positions or a callable, got "
                f"{column!r} of type {type(column).__name__}."
            )
            raise ValueError(msg)
    return positions


def n_rows(X: Any) -> int:
    """Return the number of rows of X."""
    return int(_num_samples(X))


def take_rows(X: Any, rows: ArrayLike) -> Any:
    """Return some rows of X, by number or mask, in X's own form."""
    if isinstance(X, Mapping):
        return {name: take_rows(part, rows) for name, part in X.items()}
    if _is_frame(X):  # scikit-learn takes rows of pyarrow tables from 1.7 on only
        rows = np.asarray(rows)
        number = np.flatnonzero(rows) if rows.dtype == bool else rows
        return nw.from_native(X, eager_only=True)[number, :].to_native()
    return _safe_indexing(X, rows)


def hash_rows(X: Any, key: int) -> Float:
    """Return a number in [0, 1) per row, from the row's values and the key alone.

    Values count, not how they are stored: dense and sparse rows, integer and float columns,
    strings and categories agree, and so does any subset or order of rows.
    """
    if _is_sparse(X):
        rows = X.tocsr()
        if not rows.has_canonical_format:
            rows = rows.copy()
            rows.sum_duplicates()
        return hash_sparse(rows, key)
    return hash_columns(_column_codes(X), _num_samples(X), key)


def _column_codes(X: Any) -> Iterator[NDArray[np.uint64]]:
    if _is_frame(X):
        for series in nw.from_native(X, eager_only=True).iter_columns():
            if isinstance(series.dtype, nw.Datetime):
                # No objects: in pandas the text of a moment depends on the other rows.
                series = series.dt.timestamp("us")
            yield _value_codes(_series_values(series))
    else:
        for column in X.T:
            yield _value_codes(column)


def _value_codes(column: NDArray[Any]) -> NDArray[np.uint64]:
    """Return the code of every value of a column."""
    if column.dtype.kind in "mM":
        kind = "datetime64[us]" if column.dtype.kind == "M" else "timedelta64[us]"
        instant = column.astype(kind).astype(np.int64).astype(float)
        column = np.where(np.isnat(column), np.nan, instant)
    if column.dtype.kind in "biuf":
        return number_codes(column)
    try:
        codes, values = factorize(column)
    except TypeError:  # lists, dicts and the like: by what they print as
        codes, values = factorize(np.array([str(value) for value in column], dtype=object))
    table = [_value_code(value) for value in values]
    return np.array(table, dtype=np.uint64)[codes]


def _value_code(value: Any) -> int:
    if value is None:
        return int(number_codes(np.array([np.nan]))[0])
    if isinstance(value, (date, timedelta)):
        value = _microseconds(value)
    if isinstance(value, (Real, np.bool_)):
        try:
            return int(number_codes(np.array([float(value)]))[0])
        except OverflowError:  # an integer beyond all floats
            return text_code(str(value).encode("utf-8"))
    return text_code(value if isinstance(value, bytes) else str(value).encode("utf-8"))


def _microseconds(value: date | timedelta) -> int:
    """Return whole microseconds: the length of a duration, or the distance of a moment from 1970.

    A moment without a time zone counts as universal time.
    """
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH
    elif isinstance(value, date):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC) - _EPOCH
    return value // timedelta(microseconds=1)


def check_no_mask(values: Any, what: str) -> None:
    """Refuse masked values, which NumPy would read as what lies below the mask."""
    if np.ma.is_masked(values):
        count = np.count_nonzero(np.ma.getmaskarray(values))
        msg = f"{what} must not have missing values, got {count} of {values.size} masked."
        raise ValueError(msg)


def as_array(values: ArrayLike) -> NDArray[Any]:
    """Return labels, decisions or scores as an array; numbers are numbers, however they came."""
    check_no_mask(values, "Labels, decisions and scores")
    series = nw.from_native(values, eager_only=True, allow_series=True, pass_through=True)
    array = _series_values(series) if isinstance(series, nw.Series) else np.asarray(values)
    if array.dtype.kind == "O" and array.ndim == 1:
        objects = array.tolist()
        # Numbers in a column of categories, or of objects, are numbers.
        if all(isinstance(value, Real) for value in dict.fromkeys(objects)):
            return np.array(objects)
    return array


def import_pandas(what: str) -> Any:
    """Return pandas, which is needed for data frames alone."""
    try:
        import pandas
    except ImportError as error:
        msg = f"{what} needs pandas, which is not installed: run `pip install pandas`."
        raise ImportError(msg) from error
    return pandas
