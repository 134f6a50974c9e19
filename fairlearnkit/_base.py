"""What all estimators share: checks, label encoding, groups, learners, the knob after fitting."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral
from threading import RLock
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.model_selection import check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._split import GroupsConsumerMixin
from sklearn.pipeline import Pipeline
from sklearn.utils import assert_all_finite, check_random_state, get_tags
from sklearn.utils._param_validation import HasMethods
from sklearn.utils._param_validation import Interval as Interval
from sklearn.utils._param_validation import StrOptions as StrOptions
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _num_samples,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    has_fit_parameter,
)

from fairlearnkit import _validation as checks
from fairlearnkit._kernels.linear_program import convex_curve
from fairlearnkit._kernels.moments import Kind, Moments, cell_mass, group_rates, row_form
from fairlearnkit._kernels.rate_program import Relaxation
from fairlearnkit.constraints import ConvexRates, Criterion
from fairlearnkit.exceptions import DegenerateGroupWarning, InfeasibleConstraintError

Float = NDArray[np.float64]
Int = NDArray[np.intp]
# Knobs in ascending order and values there, straight lines between them.
Curve = tuple[Float, Float]

# Below this many rows one decision moves a rate by more than ten points.
_SMALL_CELL = 10
# What the tolerance of a linear programme may leave open, in rate or in price of a rate.
_ROOM = 1e-9


class TrainingData(NamedTuple):
    """Checked input of `fit`.

    Attributes
    ----------
    X : array-like, sparse matrix or data frame of shape (n_samples, n_features)
        As given.
    learner_X : as X
        What the wrapped estimator sees, and what rows are hashed by: X, without the sensitive
        columns where they are dropped.
    y : ndarray of shape (n_samples,)
        Labels as given.
    positive : ndarray of shape (n_samples,)
        Whether the label is the positive one.
    unit : ndarray of shape (n_samples,)
        Group and stratum of each row as one integer; -1 for a row that counts in nothing.
    sample_weight : ndarray of shape (n_samples,) or None
        Weights >= 0.
    """

    X: Any
    learner_X: Any
    y: NDArray[Any]
    positive: NDArray[np.bool_]
    unit: Int
    sample_weight: Float | None

    def rows_that_count(self, weight_rates: bool) -> NDArray[np.intp] | slice:
        """Return what selects the rows of positive weight; all, where rates are unweighted."""
        if self.sample_weight is None or self.sample_weight.all() or not weight_rates:
            return slice(None)
        return np.flatnonzero(self.sample_weight)

    def take(self, rows: NDArray[np.intp] | slice) -> TrainingData:
        """Return some of the rows, or all as they are."""
        if isinstance(rows, slice):
            return self
        return TrainingData(
            X=checks.take_rows(self.X, rows),
            learner_X=checks.take_rows(self.learner_X, rows),
            y=self.y[rows],
            positive=self.positive[rows],
            unit=self.unit[rows],
            sample_weight=None if self.sample_weight is None else self.sample_weight[rows],
        )


class CostFrontier:
    """Cost against the knob on the training scores: convex, piecewise linear, exact.

    Calling it gives the cost at any knob. Prints as a table of its breakpoints.

    Parameters
    ----------
    knob_name : str
        What turns: ``"max_difference"``, ``"at_least"`` or ``"at_most"``, or ``"factor"`` on all
        difference bounds of an `AllOf`.
    knob : ndarray of shape (n_breakpoints,)
        Breakpoints of the cost and of the lower bound, ascending, both ends of the range included.
    cost : ndarray of shape (n_breakpoints,)
        Least mean cost at each.
    lower_bound : ndarray of shape (n_breakpoints,), default=None
        Lower bound on the cost at each; None means the cost itself: the curve is exact.
    weights : ndarray of shape (n_breakpoints, n_models), default=None
        Where the curve mixes models, the weight of each at each breakpoint.
    estimators : list of length n_models, default=None
        The models: fitted classifiers, or True or False for a constant decision.

    Attributes
    ----------
    price : ndarray of shape (n_breakpoints,)
        Shadow price: cost saved per unit of knob from this breakpoint to the next (paid, for a
        knob that asks for more as it rises); 0 at the last.

    Examples
    --------
    >>> import numpy as np
    >>> from fairlearnkit import CostFrontier
    >>> curve = CostFrontier(
    ...     "max_difference", np.array([0.0, 0.1, 1.0]), np.array([0.3, 0.2, 0.2])
    ... )
    >>> print(curve)
    max_difference      cost     price
          0.000000  0.300000  1.000000
          0.100000  0.200000  0.000000
          1.000000  0.200000  0.000000
    >>> round(curve(0.05), 6)
    0.25
    """

    def __init__(
        self,
        knob_name: str,
        knob: Float,
        cost: Float,
        lower_bound: Float | None = None,
        weights: Float | None = None,
        estimators: list | None = None,
    ) -> None:
        self.knob_name = knob_name
        self.knob = knob
        self.cost = cost
        self.price = np.append(np.abs(np.diff(cost) / np.diff(knob)), 0.0)
        self.lower_bound = cost if lower_bound is None else lower_bound
        self.weights = weights
        self.estimators = estimators

    def __call__(self, knob: Any) -> Any:
        """Return the least mean cost at a knob within the range, or at each of several."""
        self._check(knob)
        cost = np.interp(knob, self.knob, self.cost)
        return float(cost) if np.ndim(cost) == 0 else cost

    def price_at(self, knob: Any) -> Any:
        """Return what one more unit of knob saves.

        Parameters
        ----------
        knob : float or array-like
            Knobs within the range.

        Returns
        -------
        float or ndarray
            Cost saved (or paid) per unit of knob, just above it.
        """
        self._check(knob)
        price = self.price[np.searchsorted(self.knob, knob, side="right") - 1]
        return float(price) if np.ndim(price) == 0 else price

    def _check(self, knob: Any) -> None:
        wanted = np.asarray(knob, dtype=float)
        if not ((self.knob[0] <= wanted) & (wanted <= self.knob[-1])).all():
            msg = (
                f"{self.knob_name} must be in [{self.knob[0]:g}, {self.knob[-1]:g}], got {knob!r}."
            )
            raise ValueError(msg)

    def __len__(self) -> int:
        """Return the number of breakpoints."""
        return len(self.knob)

    def __repr__(self) -> str:
        """Return what the curve spans, in a line."""
        return (
            f"<{type(self).__name__}: {len(self)} breakpoints, cost {self.cost[-1]:.4f} to "
            f"{self.cost[0]:.4f}>"
        )

    def __str__(self) -> str:
        """Return a table, one line per breakpoint."""
        width = max(len(self.knob_name), 9)
        rows = zip(self.knob, self.cost, self.price, strict=True)
        lines = [f"{self.knob_name:>{width}}  {'cost':>8}  {'price':>8}"]
        lines += [f"{k:>{width}.6f}  {c:>8.6f}  {p:>8.6f}" for k, c, p in rows]
        return "\n".join(lines)

    def to_frame(self) -> Any:
        """Return the curve as a data frame.

        Returns
        -------
        pandas.DataFrame
            One row per breakpoint; columns knob (by its name), cost, lower_bound and price.
        """
        pd = checks.import_pandas("to_frame")
        return pd.DataFrame(
            {
                self.knob_name: self.knob,
                "cost": self.cost,
                "lower_bound": self.lower_bound,
                "price": self.price,
            }
        )


class _Lock:
    """A lock for threads that pickles and copies: what comes out is a lock of its own."""

    def __init__(self) -> None:
        self._lock = RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return type(self), ()


class GroupConstrainedClassifier(ClassifierMixin, BaseEstimator):
    """Base of all estimators: a classifier under a group criterion."""

    # The constraint that was fitted or turned to, whatever the parameter is set to afterwards.
    _criterion: Criterion
    _frontier: CostFrontier | None
    _mass: Float
    _training: Any = None
    # The user's own conditions as last stated, for all that `at` makes of a fit.
    _conditions: Any = None
    # Held by whoever solves: estimators of one fit share conditions and models.
    _lock: _Lock
    # The training rows and what is as large as they are.
    _unpickled: ClassVar[tuple[str, ...]] = ("_training",)
    # Parameters that `at` reads anew; all others stay as they were in `fit`.
    _read_by_at: ClassVar[frozenset[str]] = frozenset(
        {"constraint", "randomized", "n_jobs", "verbose"}
    )

    _parameter_constraints: dict = {
        "constraint": [Criterion],
        "sensitive_columns": [None, str, Integral, list, tuple, np.ndarray, callable],
        "control_columns": [None, str, Integral, list, tuple, np.ndarray, callable],
        "drop_sensitive": ["boolean"],
        "missing": [StrOptions({"error", "group"})],
        "weight_rates": ["boolean"],
        "costs": [None, dict],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def _check_fit(
        self,
        X: Any,
        y: Any,
        sensitive_features: Any,
        control_features: Any,
        sample_weight: Any,
    ) -> TrainingData:
        """Check parameters and input, and store what describes them."""
        self._validate_params()
        self.constraint._check(needs_bound=True)
        self._fitted_params = self.get_params(deep=True)
        self._criterion = clone(self.constraint)
        self._costs = checks.check_costs(self.costs)
        self._frontier = self._conditions = None
        self._lock = _Lock()
        X = checks.check_features(X, self)
        y, encoded = self._check_labels(X, y)
        weight = checks.check_weights(sample_weight, X)
        _check_feature_names(self, X, reset=True)
        _check_n_features(self, X, reset=True)
        n_classes = len(self.classes_ if weight is None else np.unique(encoded[weight > 0]))
        if n_classes < 2:
            msg = (
                f"{type(self).__name__} needs samples of two classes, but the data contains one "
                f"class: {self.classes_[0]!s}."
            )
            if n_classes < len(self.classes_):
                msg = (
                    f"{type(self).__name__} needs samples of two classes, but all samples of one "
                    "class have sample_weight 0."
                )
            raise ValueError(msg)
        self._positive_class = self._check_pos_label()
        self._check_drop_sensitive()
        unit = self._encode_training_units(
            X, sensitive_features, control_features, weight if self.weight_rates else None
        )
        seed = self.random_state
        self._hash_key = 0 if seed is None else _hash_key(seed)
        data = TrainingData(
            X=X,
            learner_X=self._learner_view(X),
            y=y,
            positive=encoded == self._positive_class,
            unit=unit,
            sample_weight=weight,
        )
        if any(isinstance(part, ConvexRates) for part in self._criterion._parts()):
            # What is wrong with the user's conditions is said before the estimator is fitted.
            rows = data.rows_that_count(self.weight_rates)
            of_rows = data.positive[rows], unit[rows]
            rate_weight = None if weight is None or not self.weight_rates else weight[rows]
            self._mass = cell_mass(*of_rows, rate_weight, self._n_units)
            self._moments()
        return data

    def _check_labels(self, X: Any, y: Any) -> tuple[NDArray[Any], Int]:
        """Return the labels and their indices in `classes_`, which is set."""
        if y is None:
            msg = (
                f"This {type(self).__name__} estimator requires y to be passed, but the target y "
                "is None."
            )
            raise ValueError(msg)
        checks.check_no_mask(y, "y")
        # Numbers may come as objects, which scikit-learn refuses.
        y = checks.as_array(column_or_1d(y, warn=True))
        assert_all_finite(y, input_name="y")
        check_consistent_length(X, y)
        # A row of each label stands for all: sorting strings or objects takes long.
        codes, labels = checks.factorize(y)
        if None in labels:
            count = np.count_nonzero(codes == labels.index(None))
            msg = f"y must not have missing values, got {count} of {len(y)} (None or NaN)."
            raise ValueError(msg)
        row = np.empty(len(labels), dtype=np.intp)
        row[codes] = np.arange(len(codes))
        # Twice: scikit-learn suspects a regression where most labels are distinct.
        of_each = np.repeat(y[row], 2)
        check_classification_targets(of_each)
        kind = type_of_target(of_each, input_name="y", raise_unknown=True)
        if kind != "binary":
            msg = f"Only binary classification is supported. The type of the target is {kind}."
            raise ValueError(msg)
        self.classes_, rank = np.unique(y[row], return_inverse=True)
        return y, rank[codes]

    def _check_pos_label(self) -> int:
        """Return the index of the positive class in ``classes_``."""
        if self.pos_label is None:
            return 1
        matches = np.flatnonzero(self.classes_ == self.pos_label)
        if len(matches) != 1:
            msg = (
                f"pos_label must be one of the classes {self.classes_.tolist()}, got "
                f"{self.pos_label!r}."
            )
            raise ValueError(msg)
        return int(matches[0])

    def _check_drop_sensitive(self) -> None:
        if self.drop_sensitive and (
            self.sensitive_columns is None or callable(self.sensitive_columns)
        ):
            kind = "None" if self.sensitive_columns is None else "a callable"
            msg = (
                "drop_sensitive=True needs sensitive_columns as names or positions, to know which "
                f"columns to drop; got {kind}."
            )
            raise ValueError(msg)

    def _learner_view(self, X: Any) -> Any:
        """Return what the wrapped estimator sees of X."""
        return checks.drop_columns(X, self.sensitive_columns) if self.drop_sensitive else X

    def _sensitive_labels(self, X: Any, sensitive_features: Any) -> tuple[Int, list, str]:
        """Return codes and labels of the groups of X, and where they came from."""
        if sensitive_features is None and self.sensitive_columns is None:
            msg = (
                f"{type(self).__name__} needs to know each row's group, got neither "
                f"sensitive_features nor sensitive_columns. {checks.HOW_TO_GIVE_GROUPS}"
            )
            raise ValueError(msg)
        return self._labels_from(X, sensitive_features, "sensitive")

    def _control_labels(self, X: Any, control_features: Any) -> tuple[Int, list, str]:
        """Return codes and labels of the strata of X, and where they came from; one if none."""
        if control_features is None and self.control_columns is None:
            return np.zeros(_num_samples(X), dtype=np.intp), [None], ""
        return self._labels_from(X, control_features, "control")

    def _labels_from(self, X: Any, features: Any, kind: str) -> tuple[Int, list, str]:
        what = f"{kind}_features"
        if features is None:
            what = f"{kind}_columns"
            features = checks.select_columns(X, getattr(self, what), what)
        # Those of `fit` come first.
        names = self._column_names.setdefault(kind, checks.given_names(features, what))
        codes, labels = checks.encode_groups(
            features, _num_samples(X), missing=self.missing, what=what, names=names
        )
        return codes, labels, what

    def _encode_training_units(
        self, X: Any, sensitive_features: Any, control_features: Any, weight: Float | None
    ) -> Int:
        """Store the groups and strata that have weight, and return each row's unit.

        The unit of group g in stratum s is ``s * n_groups + g``; -1 without weight.
        """
        self._column_names: dict[str, list | None] = {}
        group, labels, _ = self._sensitive_labels(X, sensitive_features)
        group, self._group_labels = _with_weight(group, labels, weight, "group")
        stratum, labels, source = self._control_labels(X, control_features)
        stratum, self._stratum_labels = _with_weight(stratum, labels, weight, "stratum")
        self.groups_ = checks.label_array(self._group_labels)
        self._is_stratified = bool(source)
        if self._is_stratified:
            self.strata_ = checks.label_array(self._stratum_labels)
        elif hasattr(self, "strata_"):
            del self.strata_
        return np.where(group < 0, -1, stratum * len(self._group_labels) + group)

    def _encode_units(self, X: Any, sensitive_features: Any, control_features: Any) -> Int:
        """Return each row's unit; a group or stratum that was not seen in fit is an error."""
        if control_features is not None and not self._is_stratified:
            msg = (
                "control_features must not be given at prediction, since fit had none. Leave them "
                "out, or fit with them."
            )
            raise ValueError(msg)
        codes, labels, what = self._sensitive_labels(X, sensitive_features)
        group = checks.match_groups(codes, labels, self._group_labels, what)
        if not self._is_stratified:
            return group
        if control_features is None and self.control_columns is None:
            msg = (
                f"{type(self).__name__} was fitted with control_features and needs each row's "
                "stratum. Pass control_features= to this method too."
            )
            raise ValueError(msg)
        codes, labels, what = self._control_labels(X, control_features)
        stratum = checks.match_groups(codes, labels, self._stratum_labels, what)
        unit = stratum * len(self._group_labels) + group
        unseen = np.setdiff1d(unit, np.flatnonzero(self._cell_count.sum(axis=1)))
        if len(unseen):
            msg = (
                "Rows must belong to a group and stratum that occurred together in fit, got "
                f"{'; '.join(self._unit_name(u) for u in unseen[:5])}. Fit again with such rows."
            )
            raise ValueError(msg)
        return unit

    @property
    def _n_units(self) -> int:
        return len(self._group_labels) * len(self._stratum_labels)

    def _unit_labels(self) -> list[Any]:
        """Return the label of each unit: its group, with the stratum where there are strata."""
        if not self._is_stratified:
            return self._group_labels
        return [
            (group, stratum) for stratum in self._stratum_labels for group in self._group_labels
        ]

    def _unit_name(self, unit: int) -> str:
        stratum, group = divmod(int(unit), len(self._group_labels))
        name = f"group {checks.group_name(self._group_labels[group])}"
        if self._is_stratified:
            name += f" in stratum {checks.group_name(self._stratum_labels[stratum])}"
        return name

    def _moments(self) -> Moments:
        """Return the moments of the criterion on the training rows."""
        moments = self._criterion._moments_of_mass(self._mass, len(self._stratum_labels))
        criteria = [part for part in self._criterion._parts() if isinstance(part, ConvexRates)]
        if not criteria:
            return moments
        # cvxpy takes long to import.
        from fairlearnkit._convex_rates import RateConditions

        labels = self._group_labels, self._stratum_labels
        if self._conditions is None or not self._conditions.serves(criteria, moments):
            self._conditions = RateConditions(criteria, moments, *labels)
        return moments._replace(conditions=self._conditions)

    def _by_group(self, moments: Moments, of_row: Float) -> Float:
        """Return values of the moments' rows by event and group, 0 where there is no row."""
        table = np.zeros((moments.n_events, len(self._group_labels)))
        table[moments.event, moments.unit % len(self._group_labels)] = of_row
        return table

    def _warn_degenerate(self, count: Int) -> None:
        """Warn of cells of the constraint with no row or very few.

        Parameters
        ----------
        count : ndarray of shape (n_units, 2)
            Rows of positive weight per unit and label (negative, positive).
        """
        # Called by `fit` and `at` themselves: level 3 is the line that called those.
        parts = list(self._criterion._parts())
        is_compared = all(part._kind == Kind.PARITY for part in parts)
        if len(self._group_labels) < 2 and is_compared:
            warnings.warn(
                f"There is one group only ({checks.group_name(self._group_labels[0])}): nothing "
                "is compared, and the constraint is met by any classifier.",
                DegenerateGroupWarning,
                stacklevel=3,
            )
            return
        empty: dict[str, int] = {}
        small: dict[str, int] = {}
        for part in parts:
            # A limit to the overall rate rests on all rows.
            for rate in () if part._kind == Kind.CEILING else part._rates():
                negative, positive = rate._condition()
                of_rate = count @ np.array([negative, positive], dtype=int)
                kind = "rows" if negative and positive else "negative rows"
                kind = kind if negative else "positive rows"
                for g in np.flatnonzero(of_rate < _SMALL_CELL):
                    cell = f"{self._unit_name(int(g))}, {kind}"
                    (small if of_rate[g] else empty)[cell] = int(of_rate[g])
        if empty:
            warnings.warn(
                "Left out of the comparison, since there is no row to take the rate over: "
                f"{_listed(empty)}.",
                DegenerateGroupWarning,
                stacklevel=3,
            )
        if small:
            warnings.warn(
                f"Rates over fewer than {_SMALL_CELL} rows say little about new data: "
                f"{_listed(small)}.",
                DegenerateGroupWarning,
                stacklevel=3,
            )

    def _check_predict(self, X: Any) -> Any:
        check_is_fitted(self)
        X = checks.check_features(X, self)
        _check_feature_names(self, X, reset=False)
        _check_n_features(self, X, reset=False)
        return X

    def _both_classes(self, positive_probability: Float) -> Float:
        """Return probabilities of both decisions in the order of ``classes_``."""
        both = np.column_stack([1 - positive_probability, positive_probability])
        return both if self._positive_class == 1 else both[:, ::-1]

    def _is_accepted(self, learner_X: Any, positive_probability: Float) -> NDArray[np.bool_]:
        """Decide by the hash of the row where the probability is neither 0 nor 1."""
        accepted = positive_probability >= 1
        random = np.flatnonzero((positive_probability > 0) & ~accepted)
        if len(random):
            draw = checks.hash_rows(checks.take_rows(learner_X, random), self._hash_key)
            accepted[random] = draw < positive_probability[random]
        return accepted

    def _labels_of(self, accepted: NDArray[np.bool_]) -> NDArray[Any]:
        return self.classes_[np.where(accepted, self._positive_class, 1 - self._positive_class)]

    def at(
        self,
        *,
        max_difference: float | None = None,
        min_ratio: float | None = None,
        at_least: float | None = None,
        at_most: float | None = None,
        constraint: Criterion | None = None,
        **parameters: float,
    ) -> Self:
        """Turn the knob after fitting: a new fitted estimator from the same fit.

        Parameters
        ----------
        max_difference : float, default=None
            Largest gap allowed between two groups, in [0, 1], in place of the constraint's bound.
        min_ratio : float, default=None
            Smallest ratio allowed, in [0, 1], in place of the constraint's bound.
        at_least : float, default=None
            Smallest rate allowed, in [0, 1], in place of that of a `MinimumRate`.
        at_most : float, default=None
            Largest share selected, in [0, 1], in place of that of a `Capacity`.
        constraint : Criterion, default=None
            Another criterion altogether, with its bound.
        **parameters : float
            Parameters of a `ConvexRates`, by their names.

        Returns
        -------
        estimator of the same class
            Fitted at the other knob; its `constraint` parameter says which. No existing estimator
            changes. Threads that turn the same fit take turns.

        Raises
        ------
        ValueError
            If not exactly one of these is given, if it is not valid, or if the constraint has no
            such bound, or several, as an `AllOf`.
        AttributeError
            If the answer needs the training rows and the estimator came from a pickle, which does
            not keep them.
        InfeasibleConstraintError
            If no rule meets the constraint.
        """
        check_is_fitted(self)
        self._validate_params()
        self._check_fixed_params()
        given = {
            name: value
            for name, value in (
                ("max_difference", max_difference),
                ("min_ratio", min_ratio),
                ("at_least", at_least),
                ("at_most", at_most),
                ("constraint", constraint),
            )
            if value is not None
        }
        if len(given) != 1 - bool(parameters):
            given |= parameters
            msg = (
                "at() takes exactly one of max_difference, min_ratio, at_least, at_most and "
                f"constraint, got {', '.join(given) or 'none'}."
            )
            raise ValueError(msg)
        if constraint is None:
            given |= parameters
            knobs = self.constraint._knobs()
            if not set(given) <= set(knobs):
                lacks = f"is bounded by {' or '.join(knobs)}, got {', '.join(given)}"
                msg = (
                    f"{type(self.constraint).__name__} "
                    f"{lacks if knobs else 'has no bound of its own to set'}. Pass constraint= "
                    "with the criteria and their bounds."
                )
                raise ValueError(msg)
            constraint = self.constraint._with(given)
        elif not isinstance(constraint, Criterion):
            msg = (
                f"constraint must be a criterion such as DemographicParity(), got {constraint!r}."
            )
            raise ValueError(msg)
        constraint._check(needs_bound=True)
        other = self._twin()
        other.constraint, other._criterion = constraint, clone(constraint)
        if "constraint" in given:
            other._warn_degenerate(other._cell_count)
        other._frontier = None
        with self._lock:
            other._turn()
        return other

    def _check_fixed_params(self) -> None:
        """Raise where a parameter that the fit rests on has changed since."""
        now = self.get_params(deep=True)
        changed = [
            name
            for name, then in self._fitted_params.items()
            if name.partition("__")[0] not in self._read_by_at
            and now.get(name) is not then
            and repr(now.get(name)) != repr(then)
        ]
        if changed:
            msg = (
                f"at() turns a fit whose parameters stay as they were, got another value of "
                f"{', '.join(changed)}. Call fit again."
            )
            raise ValueError(msg)

    @property
    def frontier_(self) -> CostFrontier:
        """Cost against the knob with every breakpoint and its price; computed when first asked.

        The knob is `max_difference`; for an `AllOf` it is one factor on all its difference bounds
        (ratio bounds and conditions stay), from the smallest that can be met. For `MinimumRate` it
        is `at_least` up to the largest that can be met, for `Capacity` `at_most`. There is no such
        curve for ratio bounds, where cost is not piecewise linear in the knob, nor for rules that
        do not randomise.

        It takes about two linear programmes per breakpoint, and both their size and the number of
        breakpoints grow with the groups: below a second for a few groups, half a minute for some
        hundred (equalized odds). `at` solves one.
        """
        check_is_fitted(self)
        with self._lock:
            if self._frontier is None:
                self._frontier = self._compute_frontier({})
            return self._frontier

    @property
    def bound_prices_(self) -> Float:
        """Shadow price of each criterion's bound, shape (n_criteria,); computed when asked.

        Mean cost that one more unit of the bound saves, or pays where a higher bound asks for more
        (`MinimumRate`), both >= 0. NaN for ratio bounds, which are factors, and for `ConvexRates`,
        which has no bound of its own. Of randomised rules.
        """
        check_is_fitted(self)
        if (setting := self._plain_setting()) is not None:
            msg = f"bound_prices_ is not available with {setting}: such rules have no price."
            raise AttributeError(msg)
        with self._lock:
            by_event = self._optimum_at(self._moments()).bound_price
        parts = list(self._criterion._parts())
        total = np.bincount(self._part_of_event(parts), np.abs(by_event), minlength=len(parts))
        is_priced = [part._kind != Kind.FREE and not part._is_ratio for part in parts]
        return np.where(is_priced, total, np.nan)

    def _part_of_event(self, parts: list[Any]) -> Int:
        """Return which part of the constraint each event of the moments belongs to."""
        n_rates = [len(part._rates()) for part in parts]
        return np.repeat(np.repeat(np.arange(len(parts)), n_rates), len(self._stratum_labels))

    def _optimum_at(self, moments: Moments) -> Any:
        """Return the optimum at the moments' bounds, with its `cost` and `bound_price`."""
        raise NotImplementedError

    def _is_optimum_at(self, moments: Moments, found: Any) -> bool:
        """Whether an earlier answer of `_optimum_at` would still be the one."""
        return True

    def _compute_frontier(self, found: dict[float, Any]) -> CostFrontier:
        """Return the curve; optima found at knobs are added to those found before."""
        if (setting := self._plain_setting()) is not None:
            msg = f"frontier_ is not available with {setting}: its curve is not convex."
            raise AttributeError(msg)
        moments = self._moments()
        if moments.conditions is not None:
            msg = (
                "frontier_ is not available with ConvexRates: the cost is convex in a knob, but "
                "need not be piecewise linear. Use at() at the knobs you want to see."
            )
            raise AttributeError(msg)
        parts = list(self._criterion._parts())
        is_single = len(parts) == 1
        is_turned = ~moments.is_ratio & (is_single | (moments.kind == Kind.PARITY))
        direction = np.where(is_turned, 1.0 if is_single else moments.bound, 0.0)
        if not direction.any():
            msg = (
                f"frontier_ is not available without a difference bound above 0 to turn, got "
                f"{self._criterion!r}: conditions stay as they are, and under ratio bounds the "
                "cost is not piecewise linear in the knob. Use at() instead."
            )
            raise AttributeError(msg)

        def at_knob(knob: float) -> Moments:
            return moments._replace(bound=np.where(is_turned, knob * direction, moments.bound))

        # In units of the larger cost: what counts as equal does not depend on the currency.
        unit = max(self._costs)

        def value_and_slope(knob: float) -> tuple[float, float]:
            moments = at_knob(knob)
            if knob not in found or not self._is_optimum_at(moments, found[knob]):
                found[knob] = self._optimum_at(moments)
            return found[knob].cost / unit, -float(found[knob].bound_price @ direction) / unit

        # From this knob on every bound that turns is 1 or more, and none of them binds.
        first, last = 0.0, 1.0 / direction[direction > 0].min()
        if not (moments.kind == Kind.PARITY).all():
            is_floor = is_single and parts[0]._kind == Kind.FLOOR
            start = at_knob(last if is_floor else first)
            form = row_form(start)
            growth = np.abs(form.upper_gain) * direction, np.abs(form.lower_gain) * direction
            needed = self._nearest(start, *growth).amount
            if needed:
                # Beyond what the solver's tolerance leaves open.
                needed = min(needed + _ROOM, last)
                first, last = (first, last - needed) if is_floor else (needed, last)
        knob, cost = convex_curve(value_and_slope, first, last)
        cost = unit * cost
        name = parts[0]._knob if is_single else "factor"
        bound = self._lower_bound(at_knob, first, last)
        if bound is None:
            return CostFrontier(name, knob, cost)
        # Breakpoints of the two that differ by rounding are one.
        apart = np.abs(np.subtract.outer(bound[0], knob)).min(axis=1) > _ROOM
        both = np.union1d(knob, bound[0][apart])
        cost = np.interp(both, knob, cost)
        return CostFrontier(
            name,
            both,
            cost,
            np.minimum(np.interp(both, *bound), cost),
            **self._mixtures(knob, [found[k] for k in knob], both),
        )

    def _lower_bound(
        self, at_knob: Callable[[float], Moments], first: float, last: float
    ) -> Curve | None:
        """Return breakpoints of a lower bound on the curve; None where the curve is exact."""
        return None

    def _nearest(self, moments: Moments, upper: Float, lower: Float) -> Relaxation:
        """Return the rule that needs the least relaxation of the bounds, as in phase one."""
        raise NotImplementedError

    def _infeasible(self, moments: Moments, whose: str) -> InfeasibleConstraintError:
        """Return the error that says which conditions stand against each other, and how far.

        Parameters
        ----------
        moments : Moments
            Rates and bounds that no rule meets.
        whose : str
            What rules there are, as the subject of a sentence.
        """
        every = np.ones(moments.n_events)
        nearest = self._nearest(moments, every, every)
        parts = list(self._criterion._parts())
        owner = self._part_of_event(parts)
        row_price = nearest.upper_price + nearest.lower_price
        price = np.bincount(owner[moments.event], row_price, minlength=len(parts))
        at_odds = np.flatnonzero(price > _ROOM)
        wanted = []
        for i in at_odds:
            held_up = (owner[moments.event] == i) & (row_price > _ROOM)
            units = [self._unit_name(u) for u in np.unique(moments.unit[held_up])]
            if parts[i]._kind == Kind.FREE:
                continue
            # A limit to the overall rate is every group's.
            where = "" if parts[i]._kind == Kind.CEILING else f" (at issue: {'; '.join(units)})"
            wanted.append(parts[i]._in_words() + where)
        wanted += [f"[{condition}]" for condition in nearest.in_the_way]
        form, within_reach = row_form(moments), []
        # As long as everything else can stay.
        for i in at_odds:
            own = owner == i
            growth = np.abs(form.upper_gain) * own, np.abs(form.lower_gain) * own
            bound = parts[i]._bound()
            if bound is None or not (growth[0].any() or growth[1].any()):
                continue
            try:
                needed = self._nearest(moments, *growth).amount
            except InfeasibleConstraintError:
                continue
            # Rounded to the safe side.
            sign = -1.0 if parts[i]._kind == Kind.FLOOR else 1.0
            reached = sign * np.ceil(sign * 1e4 * (bound + sign * needed) - 1e-6) / 1e4
            within_reach.append(parts[i]._in_words(reached))
        missed = f"missed by {nearest.amount:.4g} or more"
        if len(wanted) == 1:
            msg = (
                f"{whose} meets {wanted[0]}: whatever is decided, it is {missed}. Relax it"
                f"{': within reach is ' if within_reach else '.'}"
            )
        else:
            msg = (
                f"{whose} meets all of {' and '.join(wanted)}: they contradict each other, and "
                f"whatever is decided, one of them is {missed} in rate. Relax one of them"
                f"{': within reach, as long as the others stay, is ' if within_reach else '.'}"
            )
        if within_reach:
            msg += f"{', or '.join(within_reach)}."
        return InfeasibleConstraintError(msg)

    def _mixtures(self, knob: Float, found: list[Any], wanted: Float) -> dict[str, Any]:
        """Return models and their weights at wanted knobs, from the optima at breakpoints."""
        return {}

    def _disparity(self, sums: Float) -> float | Float:
        with self._lock:
            moments = self._moments()
            found = self._criterion._disparities(moments, group_rates(moments, sums))
        return float(found[0]) if len(found) == 1 else found

    def _training_rows(self, what: str) -> Any:
        """Return the training rows, or raise where they are not kept."""
        if self._training is None:
            msg = (
                f"{what} needs the training rows, which pickles and copies do not keep. Ask for "
                "it before pickling, or fit again."
            )
            raise AttributeError(msg)
        return self._training

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the training rows."""
        state = super().__getstate__().items()
        left_out = {*self._unpickled, "_conditions"}
        return {name: value for name, value in state if name not in left_out}

    def _twin(self) -> Self:
        """Return another estimator of the same fit, for `at` to turn."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def _plain_setting(self) -> str | None:
        """Return the parameter by which rules do not randomise; None where they do."""
        raise NotImplementedError

    def _turn(self) -> None:
        """Solve at the present constraint and store what follows from it."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: two classes only."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.target_tags.required = True
        return tags


class GroupConstrainedMetaClassifier(MetaEstimatorMixin, GroupConstrainedClassifier):
    """Base of the meta-estimators: any classifier under a group criterion."""

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit"])],
        **GroupConstrainedClassifier._parameter_constraints,
        "randomized": ["boolean"],
        "n_jobs": [None, Integral],
    }

    def _is_prefit(self) -> bool:
        return False

    def _twin(self) -> Self:
        other = super()._twin()
        if not self._is_prefit():
            other.estimator = clone(self.estimator)
            other._fitted_params = other.get_params(deep=True)
        return other

    def _plain_setting(self) -> str | None:
        return None if self.randomized else "randomized=False"

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: two classes, and whatever the wrapped estimator takes."""
        tags = super().__sklearn_tags__()
        learner = get_tags(self.estimator)
        for name in ("sparse", "allow_nan", "categorical", "string"):
            setattr(tags.input_tags, name, getattr(learner.input_tags, name))
        return tags


def _hash_key(random_state: Any) -> int:
    if isinstance(random_state, (int, np.integer)):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31))


def _with_weight(codes: Int, labels: list, weight: Float | None, kind: str) -> tuple[Int, list]:
    """Return codes and labels of what has weight; -1 for rows without."""
    if weight is None:
        return codes, labels
    present = np.bincount(codes, weight, minlength=len(labels)) > 0
    absent = [checks.group_name(labels[i]) for i in np.flatnonzero(~present)]
    if absent:
        # Called from `fit` through two checks: level 5 is the line that called `fit`.
        warnings.warn(
            f"All rows of {kind} {'; '.join(absent)} have sample_weight 0: left out, as if the "
            "rows were not there.",
            DegenerateGroupWarning,
            stacklevel=5,
        )
    rank = np.cumsum(present) - 1
    return np.where(weight > 0, rank[codes], -1), [labels[i] for i in np.flatnonzero(present)]


def _listed(cells: dict[str, int], most: int = 10) -> str:
    """Return cells with their counts, the first few of many."""
    shown = [f"{cell} ({count})" for cell, count in list(cells.items())[:most]]
    return "; ".join(shown) + (f"; and {len(cells) - most} more" if len(cells) > most else "")


def fit_learner(estimator: Any, X: Any, y: NDArray[Any], sample_weight: Float | None) -> Any:
    """Fit a clone; a pipeline hands the weights to its last step.

    The weights are ours to hand on, so that the fit runs with metadata routing off: no step has to
    be told to request them.
    """
    learner = clone(estimator)
    keyword = weight_keyword(learner) if sample_weight is not None else None
    with config_context(enable_metadata_routing=False):
        return (
            learner.fit(X, y) if keyword is None else learner.fit(X, y, **{keyword: sample_weight})
        )


def weight_keyword(estimator: Any) -> str | None:
    """Return the keyword of `fit` that takes the weights; None where there is none."""
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        inner = weight_keyword(last)
        return None if inner is None else f"{name}__{inner}"
    if isinstance(estimator, BaseSearchCV):
        return weight_keyword(estimator.estimator)
    return "sample_weight" if has_fit_parameter(estimator, "sample_weight") else None


def learner_score(
    learner: Any, X: Any, response_method: str, classes: NDArray[Any], positive_class: int
) -> Float:
    """Return the learner's score of the positive class, shape (n_samples,).

    Raises
    ------
    ValueError
        If the learner has no such response, knows other classes, or returns scores that are not
        finite.
    """
    wanted = (
        ("predict_proba", "decision_function") if response_method == "auto" else (response_method,)
    )
    method = next((name for name in wanted if hasattr(learner, name)), None)
    if method is None:
        msg = (
            f"The estimator must have {' or '.join(wanted)} to be thresholded, and "
            f"{learner!r} has not. Wrap it, for example in CalibratedClassifierCV, or choose "
            "another response_method."
        )
        raise ValueError(msg)
    wanted_classes, known = classes.tolist(), np.asarray(learner.classes_).tolist()
    if len(known) != 2 or set(known) != set(wanted_classes):
        msg = (
            f"The estimator must know the classes of y, {wanted_classes}; {learner!r} knows "
            f"{known}. Fit it on the same labels."
        )
        raise ValueError(msg)
    place = known.index(wanted_classes[positive_class])
    response = np.asarray(getattr(learner, method)(X), dtype=np.float64)
    if method == "predict_proba":
        score = response[:, place]
    else:
        score = np.ravel(response) * (1.0 if place == 1 else -1.0)
    bad = np.count_nonzero(~np.isfinite(score))
    if bad:
        msg = (
            f"Scores must be finite, got {bad} of {len(score)} NaN or infinite from {method} of "
            f"{learner!r}."
        )
        raise ValueError(msg)
    return np.ascontiguousarray(score)


def out_of_fold_scores(
    estimator: Any,
    data: TrainingData,
    cv: Any,
    response_method: str,
    classes: NDArray[Any],
    positive_class: int,
    n_jobs: int | None,
    verbose: int,
) -> Float:
    """Return each row's score from a learner that has not seen the row."""
    splits = partition(cv, data)
    scores = Parallel(n_jobs=n_jobs, verbose=verbose)(
        delayed(_fold_score)(
            estimator, data, train, test, response_method, classes, positive_class
        )
        for train, test in splits
    )
    score = np.empty(len(data.y))
    for (_, test), fold in zip(splits, scores, strict=True):
        score[test] = fold
    return score


def _fold_score(
    estimator: Any,
    data: TrainingData,
    train: Int,
    test: Int,
    response_method: str,
    classes: NDArray[Any],
    positive_class: int,
) -> Float:
    weight = None if data.sample_weight is None else data.sample_weight[train]
    learner = fit_learner(
        estimator, checks.take_rows(data.learner_X, train), data.y[train], weight
    )
    test_X = checks.take_rows(data.learner_X, test)
    return learner_score(learner, test_X, response_method, classes, positive_class)


def held_out_splits(
    cv: Any, X: Any, y: NDArray[Any], sample_weight: Float | None
) -> list[tuple[Int, Int]]:
    """Return training and test rows of folds: row numbers, whatever splits they were given as.

    Raises
    ------
    ValueError
        If a split names rows that are not there, has a row in both parts, or a training fold
        lacks a class or any weight; or if the splitter needs groups of rows.
    """
    if isinstance(cv, GroupsConsumerMixin):
        msg = (
            f"cv={cv!r} needs groups of rows to keep together, which cannot be passed here. Give "
            "its splits: cv=list(cv.split(X, y, groups))."
        )
        raise ValueError(msg)
    every = np.arange(len(y))
    splits = []
    for parts in check_cv(cv, y, classifier=True).split(X, y):
        try:
            # Splits may be masks, or count from the end.
            train, test = (every[rows] for rows in parts)
        except IndexError as error:
            msg = f"cv must split the {len(y)} rows of X, got another row number: {error}."
            raise ValueError(msg) from error
        leaked = np.count_nonzero(np.isin(test, train))
        if leaked:
            msg = (
                "cv must keep the rows of a test fold out of its training fold, got "
                f"{leaked} rows in both. Use KFold or StratifiedKFold, or splits without rows in "
                "common."
            )
            raise ValueError(msg)
        found = np.unique(y[train])
        if len(found) < 2:
            msg = (
                f"Every training fold needs both classes, got one with "
                f"{f'{found[0]!s} only' if len(found) else 'no rows'}. Use fewer folds or "
                "shuffled, stratified ones."
            )
            raise ValueError(msg)
        if sample_weight is not None and not sample_weight[train].any():
            msg = (
                "Every training fold needs rows with sample_weight above 0, got one without. Use "
                "fewer folds or shuffled, stratified ones."
            )
            raise ValueError(msg)
        splits.append((train, test))
    return splits


def partition(cv: Any, data: TrainingData) -> list[tuple[Int, Int]]:
    """Return training and test rows of folds that put every row in one test fold.

    Raises
    ------
    ValueError
        If the splits do not, or `held_out_splits` refuses them.
    """
    splits = held_out_splits(cv, data.X, data.y, data.sample_weight)
    tested = np.zeros(len(data.y), dtype=np.intp)
    for _, test in splits:
        np.add.at(tested, test, 1)
    if not (tested == 1).all():
        msg = (
            "cv must put every row in exactly one test fold, got "
            f"{np.count_nonzero(tested == 0)} rows in none and {np.count_nonzero(tested > 1)} in "
            "several. Use KFold or StratifiedKFold, or splits that partition the rows."
        )
        raise ValueError(msg)
    return splits
