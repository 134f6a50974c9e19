"""Measure an estimator at many values of its knob, on rows that it has not seen.

One fold at a time: fit once and turn, or fit at every value, and keep what the decisions on the
test rows add up to in each cell. Scores and rates of any criterion follow from these sums.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from inspect import Parameter, signature
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import get_scorer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_consistent_length, column_or_1d

from fairlearnkit import _validation as checks
from fairlearnkit._base import GroupConstrainedClassifier, fit_learner, weight_keyword
from fairlearnkit._kernels.moments import cell_mass, cell_sums, objective
from fairlearnkit.constraints import AllOf, Criterion
from fairlearnkit.exceptions import DegenerateGroupWarning

Float = NDArray[np.float64]
Int = NDArray[np.intp]
Bool = NDArray[np.bool_]

# Scores that are linear in the decisions of the rows: computed from probabilities, and mixtures
# have the mixture of their scores.
EXPECTED_SCORES = ("accuracy", "balanced_accuracy", "neg_mean_cost")
_BOUNDS = ("max_difference", "min_ratio")


def is_ratio(criterion: Criterion) -> bool:
    """Whether the disparity of a criterion is a smallest ratio."""
    return all(parity.min_ratio is not None for parity in criterion.parities())


def scorer_name(scoring: Any) -> str:
    """Return the name of a scorer: frontiers with different ones are not compared."""
    if isinstance(scoring, str):
        return scoring
    name = getattr(scoring, "__qualname__", None) or repr(scoring)
    return str(name).replace(", response_method='predict'", "")


class Rows(NamedTuple):
    """Everything that has a row per sample."""

    X: Any
    y: NDArray[Any]
    positive: Bool
    unit: Int
    weight: Float | None
    sensitive_features: Any
    control_features: Any

    def take(self, rows: Int) -> Rows:
        """Return some of the rows."""
        taken: Any = (None if part is None else checks.take_rows(part, rows) for part in self)
        return Rows(*taken)


class Cells(NamedTuple):
    """What decisions on test rows add up to, by unit and label.

    Attributes
    ----------
    cost : ndarray of shape (n_units, 2)
        Sums in the weights of the score.
    rate : ndarray of shape (n_units, 2)
        Sums in the weights of the rates.
    score : float or None
        The score, where it is not computed from these sums.
    """

    cost: Float
    rate: Float
    score: float | None


class Fold(NamedTuple):
    """What was measured on one fold: masses of the cells, and sums of each model.

    Attributes
    ----------
    cost_mass, rate_mass, squares : ndarray of shape (n_units, 2)
        Weight of the test rows for the score, for the rates, and its squares for the rates.
    base : Cells or None
        The model without a constraint.
    models : list of Cells
        One per knob.
    fitted : estimator or None
        What `at` can turn again.
    """

    cost_mass: Float
    rate_mass: Float
    squares: Float
    base: Cells | None
    models: list[Cells]
    fitted: Any


class _Bound(ClassifierMixin, BaseEstimator):
    """A fitted classifier with the groups of the rows at hand, as scorers want it."""

    def __init__(self, model: Any, keywords: dict[str, Any]) -> None:
        self.model = model
        self.keywords = keywords

    @property
    def classes_(self) -> Any:
        """Class labels."""
        return self.model.classes_

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, X: Any) -> Any:
        """Return decisions."""
        return self.model.predict(X, **self.keywords)


@dataclass(frozen=True)
class Sweep:
    """The data, the estimator and how to turn its knob: all that a fold needs, and a refit."""

    estimator: Any
    data: Rows
    pos_label: Any
    classes: NDArray[Any]
    n_units: int
    n_strata: int
    knob: str | Callable[[Any, float], Any] | None
    knob_name: str
    base_estimator: Any
    decision: Callable[..., Any] | None
    scoring: Any
    costs: tuple[float, float]
    weight_rates: bool
    verbose: int
    # As given: a parameter may be a whole number.
    values: list[Any] | None

    @property
    def turns(self) -> bool:
        """Whether one fit serves all knobs."""
        return self.knob is None

    @cached_property
    def _on_all_rows(self) -> Any:
        return _fit(self.estimator, self.data)

    def fitted_at(self, value: Any) -> Any:
        """Return an estimator fitted on all rows at a knob."""
        if not self.turns:
            return _fit(self._at_value(value), self.data)
        front, last = _parts(self._on_all_rows)
        turned = self._turned(last, value)
        name = None if front is None else self.estimator.steps[-1][0]
        return turned if front is None else Pipeline([*front.steps, (name, turned)])

    def _turned(self, fitted: Any, value: float) -> Any:
        if self.knob_name == "factor":
            return _at(fitted, _scaled(fitted.constraint, value))
        return fitted.at(**{self.knob_name: value})

    def _at_value(self, value: Any) -> Any:
        """Return an unfitted estimator with the knob at a value."""
        estimator = clone(self.estimator)
        if isinstance(self.knob, str):
            return estimator.set_params(**{self.knob: value})
        made = self.knob(estimator, value)  # type: ignore[misc]
        if not hasattr(made, "fit"):
            msg = f"knob must return an estimator to fit, got {made!r} at {value!r}."
            raise ValueError(msg)
        return made

    def fold(
        self,
        number: str,
        train: Int,
        test: Int,
        begun: Fold | None = None,
        keep: bool = False,
        only_base: bool = False,
    ) -> Fold:
        """Fit on some rows and measure on others; go on from `begun` where that was done before.

        Runs anywhere: everything it needs comes in the arguments.
        """
        start = perf_counter()
        knobs = self.values or []
        if self.data.weight is not None:
            # Rows without weight count for nothing, and may be of groups that no fit knows.
            test = test[self.data.weight[test] > 0]
            if not len(test):
                msg = (
                    f"All test rows of {number} have sample_weight 0. Use other folds, or leave "
                    "these rows out."
                )
                raise ValueError(msg)
        training, tested = self.data.take(train), self.data.take(test)
        rate_weight = tested.weight if self.weight_rates else None
        cells = tested.positive, tested.unit
        squared = None if rate_weight is None else rate_weight**2
        fitted: Any = None if begun is None else begun.fitted
        if self.turns and fitted is None and not (only_base and not keep):
            fitted = _fit(self.estimator, training)
        base = begun.base if begun is not None else self._base(training, tested, fitted)
        models = []
        if not only_base and self.turns:
            front, last = _parts(fitted)
            view = tested.X if front is None else front.transform(tested.X)
            if hasattr(last, "estimator_"):
                last = self._remembering(last)
            models = [self._measured(self._turned(last, k), view, tested) for k in knobs]
        elif not only_base:
            for k in knobs:
                front, last = _parts(_fit(self._at_value(k), training))
                view = tested.X if front is None else front.transform(tested.X)
                models.append(self._measured(last, view, tested))
        if self.verbose:
            done = "base model" if only_base else f"{len(knobs)} knobs"
            print(f"[fairness_frontier] {number}: {done}, {perf_counter() - start:.1f} s")
        return Fold(
            cost_mass=cell_mass(*cells, tested.weight, self.n_units),
            rate_mass=cell_mass(*cells, rate_weight, self.n_units),
            squares=cell_mass(*cells, squared, self.n_units),
            base=base,
            models=models,
            fitted=fitted if keep else None,
        )

    def _base(self, training: Rows, tested: Rows, fitted: Any) -> Cells | None:
        """Return what the model without a constraint decides on the test rows."""
        last = _parts(self.estimator)[1]
        if self.base_estimator is not None:
            plain = self.base_estimator
        elif _wraps(last):
            if fitted is not None and hasattr(_parts(fitted)[1], "estimator_"):
                front, turned = _parts(fitted)
                model = _without_constraint(front, last, turned.estimator_)
                return self._measured(model, tested.X, tested, constrained=False)
            plain = _without_constraint(_parts(self.estimator)[0], last, last.estimator)
        elif callable(self.knob):
            plain = self.estimator
        elif hasattr(last, "at"):
            # It wraps nothing: without a constraint it is itself, with nothing bounded.
            front, own = _parts(self._bounding_decisions(training, fitted))
            view = tested.X if front is None else front.transform(tested.X)
            return self._measured(_at(own, _unbounded(own.constraint)), view, tested)
        else:
            return None
        model = fit_learner(plain, training.X, training.y, training.weight)
        return self._measured(model, tested.X, tested, constrained=False)

    def _bounding_decisions(self, training: Rows, fitted: Any) -> Any:
        """Return a fitted estimator whose constraint is on decisions: those have a loosest one."""
        estimator = clone(self.estimator)
        last = _parts(estimator)[1]
        if getattr(last, "finish", "mixture") is None:
            # Mean scores, which a difference of 1 bounds like any other.
            last.set_params(finish="mixture")
        elif fitted is not None:
            return fitted
        return _fit(estimator, training)

    def _measured(self, model: Any, X: Any, tested: Rows, constrained: bool = True) -> Cells:
        """Return what a fitted model's decisions add up to on the test rows."""
        groups = {
            "sensitive_features": tested.sensitive_features,
            "control_features": tested.control_features,
        }
        if constrained and self.decision is not None:
            given = np.asarray(self.decision(model, X, tested.sensitive_features), dtype=float)
            accepted = self._positive_column(given, "decision", len(tested.y))
        elif hasattr(model, "decision_probability"):
            keywords = _taken(model, "decision_probability", groups)
            both = model.decision_probability(X, **keywords)
            accepted = self._positive_column(np.asarray(both), "decision_probability", len(both))
        else:
            decided = np.ravel(model.predict(X, **_taken(model, "predict", groups)))
            accepted = (decided == self.pos_label).astype(float)
        score = None
        if self.scoring not in EXPECTED_SCORES:
            score = self._score_by_scorer(model, X, tested, _taken(model, "predict", groups))
        rate_weight = tested.weight if self.weight_rates else None
        cells = tested.positive, tested.unit
        return Cells(
            cell_sums(accepted, *cells, tested.weight, self.n_units),
            cell_sums(accepted, *cells, rate_weight, self.n_units),
            score,
        )

    def _score_by_scorer(
        self, model: Any, X: Any, tested: Rows, keywords: dict[str, Any]
    ) -> float:
        """Return what a scorer of scikit-learn says of a fitted model."""
        scorer = get_scorer(self.scoring)
        weight = {}
        if tested.weight is not None and "sample_weight" in signature(scorer).parameters:
            weight = {"sample_weight": tested.weight}
        bound = _Bound(model, keywords) if keywords else model
        try:
            return float(scorer(bound, X, tested.y, **weight))
        except AttributeError as error:
            name = type(model).__name__
            msg = (
                f"scoring={self.scoring!r} asks for a response that {name} does not have: "
                f"{str(error).replace('_Bound', name)} Use a scorer of decisions, such as 'f1', "
                f"or one of {', '.join(EXPECTED_SCORES)}."
            )
            raise ValueError(msg) from error

    def _positive_column(self, given: Float, what: str, n_rows: int) -> Float:
        """Return the probability of deciding for the positive label."""
        if given.shape == (n_rows, 2):
            given = given[:, int(np.flatnonzero(self.classes == self.pos_label)[0])]
        if given.shape != (n_rows,) or not ((given > -1e-6) & (given < 1 + 1e-6)).all():
            msg = (
                f"{what} must give probabilities in [0, 1], one per row for the positive label or "
                f"two for both, got shape {given.shape}"
            )
            if given.size and given.ndim:
                msg += f" in [{given.min():.4g}, {given.max():.4g}]"
            raise ValueError(msg + ".")
        return np.clip(given, 0.0, 1.0)

    def _remembering(self, fitted: Any) -> Any:
        """Return a like estimator whose model computes its scores once for all knobs."""
        fitted = _at(fitted, fitted.constraint)
        fitted.estimator_ = _Remembering(fitted.estimator_)
        return fitted

    def score_of(self, mass: Float, cells: Cells) -> float:
        """Return the score of decisions."""
        if cells.score is not None:
            return cells.score
        mass, accepted = mass.sum(axis=0), cells.cost.sum(axis=0)
        if self.scoring == "neg_mean_cost":
            constant, slope = objective(mass[None], *self.costs)
            return -float(constant + slope @ accepted)
        right = np.array([mass[0] - accepted[0], accepted[1]])
        if self.scoring == "accuracy":
            return float(right.sum() / mass.sum()) if mass.any() else np.nan
        # NaN on a fold that lacks a label, which is told once for all folds.
        return float(np.divide(right, mass, out=np.full(2, np.nan), where=mass > 0).mean())


class _Remembering:
    """A fitted model that is asked about the same rows again and again, and computes once."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._known: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._model, name)
        if name not in ("predict_proba", "decision_function"):
            return attribute

        def response(X: Any) -> Any:
            if name not in self._known:
                self._known[name] = attribute(X)
            return self._known[name]

        return response


def _at(fitted: Any, constraint: Criterion) -> Any:
    """Return an estimator at another constraint; `fit` has warned of groups already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateGroupWarning)
        return fitted.at(constraint=constraint)


def _parts(estimator: Any) -> tuple[Any, Any]:
    """Return what comes before the last step of a pipeline, None if nothing, and that step."""
    if not isinstance(estimator, Pipeline):
        return None, estimator
    return (estimator[:-1] if len(estimator) > 1 else None), estimator[-1]


def _wraps(estimator: Any) -> bool:
    """Whether an estimator puts a constraint on another one."""
    has_constraint = hasattr(estimator, "constraint") or hasattr(estimator, "constraints")
    return has_constraint and hasattr(getattr(estimator, "estimator", None), "fit")


def _without_constraint(front: Any, last: Any, model: Any) -> Any:
    """Return a pipeline of what comes before, what the wrapped estimator sees of it, and it."""
    steps = [] if front is None else [step for _, step in front.steps]
    if getattr(last, "drop_sensitive", False):
        steps.append(FunctionTransformer(last._learner_view))
    return make_pipeline(*steps, model) if steps else model


def _takes(estimator: Any, method: str, name: str) -> bool:
    """Whether a method takes a keyword, or hands it on to one that does."""
    parameters = signature(getattr(estimator, method)).parameters.values()
    if any(parameter.name == name for parameter in parameters):
        return True
    if all(parameter.kind != Parameter.VAR_KEYWORD for parameter in parameters):
        return False
    # fairlearn's reductions hand what they are given to their constraints.
    if hasattr(estimator, "constraints"):
        return name == "sensitive_features"
    inner = getattr(estimator, "estimator", None)
    return hasattr(inner, method) and _takes(inner, method, name)


def _taken(estimator: Any, method: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords that are given and that the method takes."""
    return {
        name: value
        for name, value in values.items()
        if value is not None and _takes(estimator, method, name)
    }


def _fit(estimator: Any, data: Rows) -> Any:
    """Fit a clone with groups and weights.

    Groups are ours to hand on, so that the fit runs with metadata routing off.
    """
    estimator = clone(estimator)
    last = _parts(estimator)[1]
    prefix = f"{estimator.steps[-1][0]}__" if isinstance(estimator, Pipeline) else ""
    groups = {
        "sensitive_features": data.sensitive_features,
        "control_features": data.control_features,
    }
    keywords = {prefix + name: v for name, v in _taken(last, "fit", groups).items()}
    if data.weight is not None:
        name = weight_keyword(estimator)
        if name is None:
            warnings.warn(
                f"{type(last).__name__}.fit does not take sample_weight: it is fitted without "
                "weights, scores and rates are weighted.",
                UserWarning,
                stacklevel=2,
            )
        else:
            keywords[name] = data.weight
    with config_context(enable_metadata_routing=False):
        return estimator.fit(data.X, data.y, **keywords)


def _scaled(criterion: Criterion, factor: float) -> Criterion:
    """Return a criterion with every difference bound scaled, at most 1."""
    if isinstance(criterion, AllOf):
        return AllOf([_scaled(inner, factor) for inner in criterion.criteria])
    bound = getattr(criterion, "max_difference", None)
    if bound is None:
        return clone(criterion)
    return clone(criterion).set_params(max_difference=min(factor * bound, 1.0))


def _unbounded(criterion: Criterion) -> Criterion:
    """Return a criterion that any rule meets."""
    if isinstance(criterion, AllOf):
        return AllOf([_unbounded(inner) for inner in criterion.criteria])
    is_free = {"min_ratio": 0.0} if is_ratio(criterion) else {"max_difference": 1.0}
    return clone(criterion).set_params(**is_free)


def check_sweep(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    max_differences: ArrayLike | None,
    min_ratios: ArrayLike | None,
    knob: str | Callable[[Any, Any], Any] | None,
    knob_values: ArrayLike | None,
    sensitive_features: Any,
    control_features: Any,
    sample_weight: ArrayLike | None,
    criteria: Criterion | Sequence[Criterion] | None,
    scoring: Any,
    decision: Callable[..., Any] | None,
    base_estimator: Any,
    pos_label: Any,
    verbose: int,
) -> tuple[Sweep, tuple[Criterion, ...], Criterion]:
    """Return what folds need, what to measure, and the criterion that is turned."""
    if not hasattr(estimator, "fit"):
        msg = f"estimator must have fit, got {estimator!r}."
        raise ValueError(msg)
    front, last = _parts(estimator)
    own = getattr(last, "constraint", None)
    own = own if isinstance(own, Criterion) else None
    if knob is None and not (hasattr(last, "at") and own is not None):
        msg = (
            f"{type(last).__name__} has no knob that turns after fitting. Pass knob= with the "
            "name of a parameter, or a callable (estimator, value) -> estimator."
        )
        raise ValueError(msg)
    if isinstance(knob, str) and knob not in (known := estimator.get_params()):
        msg = (
            f"knob must be a parameter of {type(estimator).__name__}, got {knob!r}. It has "
            f"{', '.join(sorted(known))}."
        )
        raise ValueError(msg)
    # What is measured is what is chosen and fitted later, whatever becomes of the one passed.
    estimator = clone(estimator)
    front, last = _parts(estimator)
    own = clone(own) if own is not None else None
    what, wanted = _given_knobs(max_differences, min_ratios, knob_values)
    if own is not None and knob is None:
        own, name = _turned_criterion(own, what)
    else:
        name = knob.rpartition("__")[2] if isinstance(knob, str) else _callable_name(knob)
    measured = _check_criteria(criteria, own, last, name)
    turned = own if own is not None else measured[0]
    values = None
    if what is not None:
        if isinstance(knob, str) and what not in ("knob_values", f"{name}s"):
            msg = f"{what} are bounds, and knob={knob!r} is none: give its values as knob_values."
            raise ValueError(msg)
        is_bound = what != "knob_values" or name in _BOUNDS
        values = _check_knobs(what, wanted, is_bound=is_bound)
    if not (isinstance(scoring, str) and scoring in EXPECTED_SCORES):
        get_scorer(scoring)
        if decision is not None:
            msg = (
                f"decision= gives probabilities of decisions, which scoring={scoring!r} does not "
                f"take. Use one of {', '.join(EXPECTED_SCORES)}, or leave decision out."
            )
            raise ValueError(msg)

    X = checks.check_features(X, estimator)
    label = column_or_1d(checks.as_array(y))
    check_consistent_length(X, label)
    classes = np.unique(label)
    if len(classes) != 2:
        msg = f"y must have two kinds of labels, got {len(classes)}: {classes[:10].tolist()}."
        raise ValueError(msg)
    pos_label = _check_pos_label(pos_label, last, classes.tolist())
    weight = checks.check_weights(sample_weight, X)

    seen = X
    by_columns = [
        getattr(last, f"{kind}_columns", None)
        for kind, features in (("sensitive", sensitive_features), ("control", control_features))
        if features is None
    ]
    if front is not None and any(columns is not None for columns in by_columns):
        # Columns are those that the last step sees.
        with config_context(enable_metadata_routing=False):
            seen = clone(front).fit(X, label).transform(X)
    unit, n_groups, n_strata = _units(last, seen, X, sensitive_features, control_features)
    source = Sweep(
        estimator=estimator,
        data=Rows(
            X,
            label,
            label == pos_label,
            unit,
            weight,
            _handed_on(sensitive_features, last),
            _handed_on(control_features, last),
        ),
        pos_label=pos_label,
        classes=classes,
        n_units=n_groups * n_strata,
        n_strata=n_strata,
        knob=knob,
        knob_name=name,
        base_estimator=None if base_estimator is None else clone(base_estimator),
        decision=decision,
        scoring=scoring,
        costs=checks.check_costs(getattr(last, "costs", None)),
        weight_rates=getattr(last, "weight_rates", True),
        verbose=verbose,
        values=values,
    )
    return source, measured, turned


def _given_knobs(
    max_differences: Any, min_ratios: Any, knob_values: Any
) -> tuple[str | None, Any]:
    """Return the one of the three that is given, and its name; None where none is."""
    given = {
        "max_differences": max_differences,
        "min_ratios": min_ratios,
        "knob_values": knob_values,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if len(given) > 1:
        msg = f"Give one of max_differences, min_ratios and knob_values, got {', '.join(given)}."
        raise ValueError(msg)
    return next(iter(given.items()), (None, None))


def _turned_criterion(own: Criterion, what: str | None) -> tuple[Criterion, str]:
    """Return the criterion that `at` turns, with a bound of the form given, and the knob's name.

    A bound that is given by its value only (`knob_values`) has the form of the estimator's own.
    """
    own._check(needs_bound=True)
    if isinstance(own, AllOf):
        if what not in (None, "knob_values"):
            msg = (
                f"An AllOf turns by one factor on all its difference bounds, got {what}. Give the "
                "factors as knob_values."
            )
            raise ValueError(msg)
        if not any(parity.max_difference for parity in own.parities()):
            msg = (
                f"A factor needs a difference bound above 0 to scale, and {own!r} has none. Pass "
                "knob= to turn something else."
            )
            raise ValueError(msg)
        return own, "factor"
    if not list(own.parities()):
        names = list(own._knobs())
        if len(names) != 1 or what != "knob_values":
            needed = f"knob_values= for {names[0]}" if len(names) == 1 else "knob= and its values"
            msg = (
                f"{type(own).__name__} compares nothing, so that there are no default values to "
                f"turn its knob to. Pass {needed}."
            )
            raise ValueError(msg)
        return own, names[0]
    name = "min_ratio" if is_ratio(own) else "max_difference"
    if what in (None, "knob_values", f"{name}s"):
        return own, name
    other = what.removesuffix("s")
    return clone(own).set_params(**{name: None, other: 1.0}), other


def _check_pos_label(pos_label: Any, last: Any, classes: list[Any]) -> Any:
    """Return the positive label: the estimator's own, where it has one."""
    if pos_label is not None and pos_label not in classes:
        msg = f"pos_label must be one of the labels {classes}, got {pos_label!r}."
        raise ValueError(msg)
    own = getattr(last, "pos_label", None)
    own = classes[1] if own is None else own
    if own not in classes:
        msg = f"pos_label must be one of the labels {classes}, got {own!r}."
        raise ValueError(msg)
    if pos_label is not None and hasattr(last, "pos_label") and pos_label != own:
        msg = (
            f"pos_label must be that of the estimator, {own!r}, got {pos_label!r}: what it "
            "decides would be measured as something else. Set pos_label of the estimator."
        )
        raise ValueError(msg)
    return own if pos_label is None else pos_label


def _callable_name(knob: Any) -> str:
    name = getattr(knob, "__name__", "knob")
    return "knob" if name == "<lambda>" else name


def _handed_on(features: Any, last: Any) -> Any:
    """Return groups as an estimator takes them: others than ours know no dict of columns."""
    if isinstance(features, Mapping) and not isinstance(last, GroupConstrainedClassifier):
        return np.column_stack([np.asarray(part, dtype=object) for part in features.values()])
    return features


def _check_knobs(what: str, wanted: Any, *, is_bound: bool) -> list[Any]:
    """Return knobs as given: ascending numbers."""
    try:
        number = np.asarray(wanted, dtype=float)
    except (TypeError, ValueError):
        number = np.empty(0)
    if number.ndim != 1 or not len(number):
        msg = f"{what} must be a list of at least one number, got {wanted!r}."
        raise ValueError(msg)
    if not np.isfinite(number).all() or (is_bound and not ((number >= 0) & (number <= 1)).all()):
        msg = f"{what} must be {'in [0, 1]' if is_bound else 'finite'}, got {wanted!r}."
        raise ValueError(msg)
    if not (np.diff(number) > 0).all():
        msg = f"{what} must ascend without repetition, got {wanted!r}. Sort them."
        raise ValueError(msg)
    return np.asarray(wanted, dtype=object).tolist()


def _check_criteria(
    criteria: Any, own: Criterion | None, last: Any, knob_name: str
) -> tuple[Criterion, ...]:
    """Return the criteria to measure, those of an `AllOf` in its place."""
    if criteria is None:
        if own is None:
            msg = (
                f"{type(last).__name__} has no constraint of this package. Say what to measure: "
                "criteria=DemographicParity(), for example."
            )
            raise ValueError(msg)
        parities = list(own.parities())
        if not parities:
            msg = (
                f"{type(own).__name__} compares nothing. Say which disparity to measure beside "
                "the score: criteria=DemographicParity(), for example."
            )
            raise ValueError(msg)
        if knob_name == "factor":
            # What turns comes first: it is the axis.
            parities.sort(key=lambda parity: not parity.max_difference)
        return tuple(parities)
    listed = [criteria] if isinstance(criteria, Criterion) else criteria
    if (
        not isinstance(listed, Sequence)
        or not listed
        or not all(isinstance(one, Criterion) for one in listed)
    ):
        msg = f"criteria must be a criterion or a sequence of them, got {criteria!r}."
        raise ValueError(msg)
    for one in listed:
        one._check(needs_bound=False)
        one._check_compares("A frontier")
    return tuple(parity for one in listed for parity in clone(one).parities())


def _units(
    last: Any, seen: Any, X: Any, sensitive_features: Any, control_features: Any
) -> tuple[Int, int, int]:
    """Return each row's unit (stratum times groups plus group) and their numbers."""
    missing = getattr(last, "missing", "error")
    missing = missing if missing in ("error", "group") else "error"

    def codes(features: Any, kind: str) -> tuple[Int, int] | None:
        what = f"{kind}_features"
        columns = getattr(last, f"{kind}_columns", None)
        if features is None:
            if columns is None:
                return None
            what = f"{kind}_columns"
            features = checks.select_columns(seen, columns, what)
        found, labels = checks.encode_groups(
            features, checks.n_rows(X), missing=missing, what=what
        )
        return found, len(labels)

    groups = codes(sensitive_features, "sensitive")
    if groups is None:
        msg = (
            "fairness_frontier needs to know each row's group. Pass sensitive_features=, or an "
            "estimator with sensitive_columns."
        )
        raise ValueError(msg)
    group, n_groups = groups
    stratum, n_strata = codes(control_features, "control") or (np.zeros_like(group), 1)
    return stratum * n_groups + group, n_groups, n_strata
