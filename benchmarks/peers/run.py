"""Run methods over splits, in whatever environment their package lives: run.py FOLDER SECONDS

Reads from FOLDER data.npz (X, label and group by row; train and test, rows by split) and
tasks.json, a list of: method, learner, criterion, knobs (largest gaps between groups) and splits.
Writes fit_<task>_<split>.npz for each split: acceptance probability of each test row at each knob,
before any draw; processor seconds and fits of the base learner for all knobs together; peak memory
beyond what was in use. Ends when all of it takes more processor seconds than given. One column of
X with the learner "given score" is a score: nothing but thresholds is then fitted.
"""

import inspect
import json
import logging
import resource
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression


class Counted:
    """A learner that counts its fits."""

    fits = 0

    def fit(self, X, y, sample_weight=None):
        """Fit, and count."""
        Counted.fits += 1
        return super().fit(X, y, sample_weight)


class Logistic(Counted, LogisticRegression):
    """Logistic regression."""


class Boosting(Counted, HistGradientBoostingClassifier):
    """Gradient boosting."""


class Products(Logistic):
    """Logistic regression on the features and the products of every two."""

    def fit(self, X, y, sample_weight=None):
        """Fit, and count."""
        return super().fit(_with_products(X), y, sample_weight)

    def decision_function(self, X):
        """Return the log-odds, from which scikit-learn gets all else."""
        return super().decision_function(_with_products(X))


def _with_products(X):
    one, other = np.triu_indices(X.shape[1], k=1)
    return np.hstack([X, X[:, one] * X[:, other]])


class GivenScore(ClassifierMixin, BaseEstimator):
    """A classifier whose only feature is its score."""

    def fit(self, X, y):
        """Do nothing."""
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        """Return the score as a probability."""
        return np.column_stack([1 - X[:, 0], X[:, 0]])

    def predict(self, X):
        """Return whether the score is above one half."""
        return (X[:, 0] > 0.5).astype(int)


LEARNERS = {
    "logistic regression": Logistic(solver="newton-cholesky", max_iter=100),
    "products of features": Products(solver="newton-cholesky", max_iter=100),
    "gradient boosting": Boosting(max_iter=50, random_state=0),
    "given score": GivenScore(),
}


def plain(learner, criterion, knobs, X, y, group):
    """The learner without a constraint."""
    model = learner.fit(X, y)
    return [lambda X, group: model.predict(X)] * len(knobs)


# ---------------------------------------------------------------------------------------------
# fairlearnkit: one fit, then the knob is turned


def _own_criterion(criterion, knob):
    import fairlearnkit

    name = "".join(word.capitalize() for word in criterion.split())
    return getattr(fairlearnkit, name)(max_difference=knob)


def _own_rules(estimator, knobs, X, y, group):
    estimator.fit(X, y, sensitive_features=group)
    # The strictest first: looser knobs then find their models in the pool.
    rules = {knob: estimator.at(max_difference=knob) for knob in sorted(knobs)}
    return [rules[knob] for knob in knobs]


def group_thresholds(learner, criterion, knobs, X, y, group):
    """fairlearnkit.GroupThresholdClassifier on out-of-fold scores, its default."""
    from fairlearnkit import GroupThresholdClassifier

    if isinstance(learner, GivenScore):
        estimator = GroupThresholdClassifier(
            learner.fit(X, y), _own_criterion(criterion, min(knobs)), cv="prefit"
        )
    else:
        estimator = GroupThresholdClassifier(learner, _own_criterion(criterion, min(knobs)))
    return [
        lambda X, group, rule=rule: rule.decision_probability(X, sensitive_features=group)[:, 1]
        for rule in _own_rules(estimator, knobs, X, y, group)
    ]


def reduction(learner, criterion, knobs, X, y, group):
    """fairlearnkit.ReductionClassifier at its defaults."""
    from fairlearnkit import ReductionClassifier

    estimator = ReductionClassifier(learner, _own_criterion(criterion, min(knobs)))
    return [
        lambda X, group, rule=rule: rule.decision_probability(X)[:, 1]
        for rule in _own_rules(estimator, knobs, X, y, group)
    ]


def constrained_logistic(learner, criterion, knobs, X, y, group):
    """fairlearnkit.ConstrainedLogisticRegression at its defaults: its own convex fits."""
    from fairlearnkit import ConstrainedLogisticRegression

    estimator = ConstrainedLogisticRegression(_own_criterion(criterion, min(knobs)))
    return [
        lambda X, group, rule=rule: rule.decision_probability(X)[:, 1]
        for rule in _own_rules(estimator, knobs, X, y, group)
    ]


# ---------------------------------------------------------------------------------------------
# fairlearn


def distance_to_overall(criterion, gap, y, group):
    """Return the distance of group rates to the overall rate that admits a gap between two groups.

    Of two groups the smaller one is farther from the overall rate: by the gap times the share of
    the larger.
    """
    event = {"demographic parity": [y >= 0], "equal opportunity": [y == 1]}
    events = event.get(criterion, [y == 0, y == 1])
    return gap * min(np.bincount(group[event]).max() / event.sum() for event in events)


def _moment(criterion, bound):
    from fairlearn.reductions import DemographicParity, EqualizedOdds, TruePositiveRateParity

    kinds = {
        "demographic parity": DemographicParity,
        "equalized odds": EqualizedOdds,
        "equal opportunity": TruePositiveRateParity,
    }
    return kinds[criterion](difference_bound=bound)


def fairlearn_gradient(learner, criterion, knobs, X, y, group):
    """fairlearn.reductions.ExponentiatedGradient at its defaults, a run for each knob."""
    from fairlearn.reductions import ExponentiatedGradient

    rules = []
    for knob in knobs:
        moment = _moment(criterion, distance_to_overall(criterion, knob, y, group))
        rule = ExponentiatedGradient(learner, moment)
        rules.append(rule.fit(X, y, sensitive_features=group) or rule)
    return [lambda X, group, rule=rule: rule._pmf_predict(X)[:, 1] for rule in rules]


def fairlearn_grid(learner, criterion, knobs, X, y, group):
    """fairlearn.reductions.GridSearch: one grid; at a knob the best model within it in training.

    The grid has 15 points for one rate and 25 for two. Where no model is within the knob, the
    one that is nearest.
    """
    from fairlearn.reductions import GridSearch

    size = 25 if criterion == "equalized odds" else 15
    grid = GridSearch(learner, _moment(criterion, 0.01), grid_size=size)
    grid.fit(X, y, sensitive_features=group)
    models = grid.predictors_
    decisions = [model.predict(X) for model in models]
    gap = np.array([_gap(criterion, y, group, decision) for decision in decisions])
    error = np.array([np.mean(decision != y) for decision in decisions])
    rules = []
    for knob in knobs:
        within = gap <= max(knob, gap.min())
        rules.append(models[int(np.where(within, error, np.inf).argmin())])
    return [lambda X, group, rule=rule: rule.predict(X) for rule in rules]


def _gap(criterion, y, group, decision):
    events = {"demographic parity": [y >= 0], "equal opportunity": [y == 1]}
    gaps = []
    for event in events.get(criterion, [y == 0, y == 1]):
        rates = [decision[event & (group == g)].mean() for g in np.unique(group)]
        gaps.append(max(rates) - min(rates))
    return max(gaps)


def fairlearn_thresholds(learner, criterion, knobs, X, y, group):
    """fairlearn.postprocessing.ThresholdOptimizer on training scores, its default.

    It has no tolerance for equalized odds: there it has one rule.
    """
    from fairlearn.postprocessing import ThresholdOptimizer

    names = {"equal opportunity": "true_positive_rate_parity"}
    model = learner.fit(X, y)
    if criterion == "equalized odds":
        knobs = [0.0] * len(knobs)
    rules = {}
    for knob in set(knobs):
        rule = ThresholdOptimizer(
            estimator=model,
            constraints=names.get(criterion, criterion.replace(" ", "_")),
            prefit=True,
            predict_method="predict_proba",
            tol=knob or None,
        )
        rules[knob] = rule.fit(X, y, sensitive_features=group)
    return [
        lambda X, group, rule=rules[knob]: rule._pmf_predict(X, sensitive_features=group)[:, 1]
        for knob in knobs
    ]


# ---------------------------------------------------------------------------------------------
# error-parity


def error_parity(learner, criterion, knobs, X, y, group):
    """error_parity.RelaxedThresholdOptimizer on training scores."""
    from error_parity import RelaxedThresholdOptimizer

    names = {"equal opportunity": "true_positive_rate_parity"}
    model = learner.fit(X, y)

    def score(X):
        return model.predict_proba(X)[:, 1]

    given = score(X)
    rules = []
    for knob in knobs:
        rule = RelaxedThresholdOptimizer(
            predictor=score,
            constraint=names.get(criterion, criterion.replace(" ", "_")),
            tolerance=knob,
        )
        rules.append(rule.fit(X, y, group=group, y_scores=given))

    def decide(rule, X, group):
        accept, of_row = np.empty(len(X)), score(X)
        for g, classifier in rule._realized_classifier.group_to_clf.items():
            accept[group == g] = _chance(classifier, of_row[group == g])
        return accept

    return [lambda X, group, rule=rule: decide(rule, X, group) for rule in rules]


def _chance(classifier, score):
    """Return the acceptance probability of error-parity's classifier, which draws."""
    if hasattr(classifier, "classifiers"):
        parts = zip(classifier.probabilities, classifier.classifiers, strict=True)
        return sum(share * _chance(part, score) for share, part in parts)
    if hasattr(classifier, "threshold"):
        return (score >= classifier.threshold).astype(float)
    # The same chance for all: an object that knows it, or a function that has it enclosed.
    known = getattr(classifier, "target_fpr", None)
    if known is None:
        known = inspect.getclosurevars(classifier).nonlocals["fpr_rand"]
    return np.full(len(score), known)


# ---------------------------------------------------------------------------------------------
# OxonFair


def oxonfair(learner, criterion, knobs, X, y, group, *, inferred=False):
    """oxonfair.FairPredictor on training rows; a threshold per group, or per inferred group."""
    from oxonfair import FairPredictor
    from oxonfair.utils import group_metrics

    measures = {
        "demographic parity": group_metrics.pos_pred_rate.max_diff,
        "equalized odds": group_metrics.equalized_odds_max,
        "equal opportunity": group_metrics.true_pos_rate.max_diff,
    }
    model = learner.fit(X, y)
    options = {"inferred_groups": clone(learner).fit(X, group)} if inferred else {}
    rule = FairPredictor(model, {"data": X, "target": y, "groups": group}, **options)
    offsets = []
    for i, knob in enumerate(knobs):
        rule.fit(group_metrics.accuracy, measures[criterion], knob, recompute=i == 0)
        offsets.append(rule.offset)

    def decide(offset, X, group):
        rule.offset = offset
        return rule.predict({"data": X, "target": np.zeros(len(X), int), "groups": group})

    return [lambda X, group, offset=offset: decide(offset, X, group) for offset in offsets]


def oxonfair_inferred(learner, criterion, knobs, X, y, group):
    """oxonfair.FairPredictor by groups that another model of the same kind infers."""
    return oxonfair(learner, criterion, knobs, X, y, group, inferred=True)


# ---------------------------------------------------------------------------------------------
# AIF360: its reductions wrap fairlearn's


def _with_group(X, group):
    import pandas as pd

    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    return frame.assign(group=np.zeros(len(X), int) if group is None else group)


def aif360_gradient(learner, criterion, knobs, X, y, group):
    """aif360.sklearn's ExponentiatedGradientReduction, a run for each knob."""
    from aif360.sklearn.inprocessing import ExponentiatedGradientReduction

    rules = []
    for knob in knobs:
        moment = _moment(criterion, distance_to_overall(criterion, knob, y, group))
        rule = ExponentiatedGradientReduction("group", learner, moment)
        rules.append(rule.fit(_with_group(X, group), y))
    return [
        lambda X, group, rule=rule: rule.predict_proba(_with_group(X, None))[:, 1]
        for rule in rules
    ]


def aif360_grid(learner, criterion, knobs, X, y, group):
    """aif360.sklearn's GridSearchReduction: the model that it chooses for a weight.

    Its knob is the weight of the constraint: strict for small gaps. 0.9, 0.75, 0.5 and 0.25 of
    the weight stand for the first four knobs, a run each.
    """
    from aif360.sklearn.inprocessing import GridSearchReduction

    size = 25 if criterion == "equalized odds" else 15
    rules = []
    for weight in (0.9, 0.75, 0.5, 0.25)[: len(knobs)]:
        rule = GridSearchReduction(
            "group", learner, _moment(criterion, 0.01), constraint_weight=weight, grid_size=size
        )
        rules.append(rule.fit(_with_group(X, group), y))
    return [lambda X, group, rule=rule: rule.predict(_with_group(X, None)) for rule in rules]


# ---------------------------------------------------------------------------------------------
# scikit-lego


def scikit_lego(learner, criterion, knobs, X, y, group):
    """scikit-lego's DemographicParityClassifier or EqualOpportunityClassifier.

    They bound the covariance of score and group, whatever the gap of decisions; knobs are taken
    as bounds on the covariance. A knob at which the solver fails has no rule.
    """
    from sklego.linear_model import DemographicParityClassifier, EqualOpportunityClassifier

    rules = []
    for knob in knobs:
        options = {"covariance_threshold": knob, "sensitive_cols": [X.shape[1]], "penalty": "l2"}
        if criterion == "demographic parity":
            rule = DemographicParityClassifier(**options)
        else:
            rule = EqualOpportunityClassifier(positive_target=1, **options)
        try:
            rules.append(rule.fit(np.column_stack([X, group]), y))
        except Exception as error:
            print(f"scikit-lego failed at {knob}: {error}", file=sys.stderr)
            rules.append(None)

    def decide(rule, X):
        if rule is None:
            return np.full(len(X), np.nan)
        return rule.predict(np.column_stack([X, np.zeros(len(X))]))

    return [lambda X, group, rule=rule: decide(rule, X) for rule in rules]


METHODS = {
    "plain": plain,
    "group thresholds": group_thresholds,
    "reduction": reduction,
    "constrained logistic": constrained_logistic,
    "fairlearn exponentiated gradient": fairlearn_gradient,
    "fairlearn grid search": fairlearn_grid,
    "fairlearn thresholds": fairlearn_thresholds,
    "error-parity": error_parity,
    "OxonFair": oxonfair,
    "OxonFair, inferred groups": oxonfair_inferred,
    "AIF360 exponentiated gradient": aif360_gradient,
    "AIF360 grid search": aif360_grid,
    "scikit-lego": scikit_lego,
}


def forget_peak():
    """Have the system measure the peak of memory from here on; return what is in use.

    On other systems than Linux the peak is that of the whole process.
    """
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    Path("/proc/self/clear_refs").write_text("5")
    return _kilobytes("VmRSS")


def peak_kilobytes():
    """Return the most memory in use since."""
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _kilobytes("VmHWM")


def _kilobytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


def fit_split(task, data, train, test):
    """Return what one method decides on one split, and what it took."""
    X, y, group = data
    given = X[train], y[train], group[train]
    method, learner = METHODS[task["method"]], clone(LEARNERS[task["learner"]])
    Counted.fits, before, start = 0, forget_peak(), time.process_time()
    rules = method(learner, task["criterion"], task["knobs"], *given)
    seconds, fits = time.process_time() - start, Counted.fits
    kilobytes = peak_kilobytes() - before
    accept = np.array([rule(X[test], group[test]) for rule in rules], dtype=np.float32)
    return {"accept": accept, "seconds": seconds, "fits": fits, "kilobytes": kilobytes}


def main():
    """Run every task on its splits, and write each split as soon as it is done."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.ERROR)
    folder, limit = Path(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    with np.load(folder / "data.npz") as file:
        data = file["X"], file["label"], file["group"]
        train, test = file["train"], file["test"]
    cell = 2 * data[2] + data[1]
    few = np.concatenate([np.flatnonzero(cell == c)[:50] for c in range(4)])
    for i, task in enumerate(json.loads((folder / "tasks.json").read_text())):
        # Imports and first calls are no part of a method's time.
        fit_split(task | {"knobs": task["knobs"][-1:]}, data, few, few)
        for split in task["splits"]:
            fit = fit_split(task, data, train[split], test[split])
            np.savez(folder / "part.npz", **fit)
            (folder / "part.npz").rename(folder / f"fit_{i}_{split}.npz")


if __name__ == "__main__":
    main()
