"""Exact thresholds beside those of other packages, where these are installed."""

import numpy as np
import pytest
from helpers import Stump, random_instance
from sklearn.base import BaseEstimator, ClassifierMixin

from fairlearnkit import (
    DemographicParity,
    EqualizedOdds,
    GroupThresholdClassifier,
    ReductionClassifier,
)
from fairlearnkit.metrics import (
    demographic_parity_difference,
    disparity,
    equalized_odds_difference,
)

CRITERIA = {
    "demographic_parity": (DemographicParity, demographic_parity_difference),
    "equalized_odds": (EqualizedOdds, equalized_odds_difference),
}


class GivenScores(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose only feature is its score."""

    classes_ = np.array([0, 1])

    def fit(self, X, y):
        """Do nothing."""
        return self

    def __sklearn_is_fitted__(self):
        """Return True: there is nothing to fit."""
        return True

    def predict_proba(self, X):
        """Return the score as a probability."""
        return np.column_stack([1 - X[:, 0], X[:, 0]])


def scored_rows(seed):
    instance = random_instance(seed, n_rows=600)
    score = 1 / (1 + np.exp(-instance.score))
    return score[:, None], instance.y, instance.group


def fitted(criterion, bound, X, y, group):
    constraint = CRITERIA[criterion][0](max_difference=bound)
    clf = GroupThresholdClassifier(GivenScores(), constraint, cv="prefit")
    return clf.fit(X, y, sensitive_features=group)


def error_rate(y, accepted):
    return np.where(y == 1, 1 - accepted, accepted).mean()


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("seed", range(3))
def test_as_good_as_fairlearn_at_equality(criterion, seed):
    """fairlearn searches a grid of 1,000 rates: we are no worse, and better by the grid alone."""
    postprocessing = pytest.importorskip("fairlearn.postprocessing")
    X, y, group = scored_rows(seed)
    theirs = postprocessing.ThresholdOptimizer(
        estimator=GivenScores(),
        constraints=criterion,
        prefit=True,
        predict_method="predict_proba",
    ).fit(X, y, sensitive_features=group)
    accepted = theirs._pmf_predict(X, sensitive_features=group)[:, 1]
    gap = CRITERIA[criterion][1](y, accepted, sensitive_features=group)

    ours = fitted(criterion, max(gap, 0.0), X, y, group)

    assert gap < 1e-3
    assert ours.cost_ <= error_rate(y, accepted) + 1e-9
    assert ours.cost_ >= error_rate(y, accepted) - 2e-3


@pytest.mark.parametrize("bound", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_as_good_as_error_parity(bound, seed):
    """On few rows error-parity thins no curve: both reach the same optimum."""
    error_parity = pytest.importorskip("error_parity")
    X, y, group = scored_rows(seed)
    theirs = error_parity.RelaxedThresholdOptimizer(
        predictor=np.ravel, constraint="equalized_odds", tolerance=bound
    ).fit(X, y, group=group, y_scores=X[:, 0])
    false, true = np.array(theirs.groupwise_roc_points).T
    accepted = np.where(y == 1, true[group], false[group])
    gap = equalized_odds_difference(y, accepted, sensitive_features=group)

    ours = fitted("equalized_odds", max(bound, gap), X, y, group)

    # Their solver meets the bound to about 1e-4, which is the gap compared at.
    assert gap <= bound + 1e-3
    assert ours.cost_ <= error_rate(y, accepted) + 1e-9
    assert ours.cost_ >= error_rate(y, accepted) - 1e-3


@pytest.mark.parametrize("criterion", CRITERIA)
def test_exponentiated_gradient_agrees_with_fairlearn(criterion):
    """With fairlearn's definition, distance to the overall rate, both reach one cost in gaps.

    The learner minimises weighted error exactly, so that both gaps are to the same optimum.
    """
    reductions = pytest.importorskip("fairlearn.reductions")
    instance = random_instance(0, n_rows=150)
    X, y, group = instance.score[:, None], instance.y, instance.group
    theirs = reductions.ExponentiatedGradient(
        Stump(),
        {"demographic_parity": reductions.DemographicParity}.get(
            criterion, reductions.EqualizedOdds
        )(difference_bound=0.05),
        nu=1e-4,
        max_iter=200,
    ).fit(X, y, sensitive_features=group)
    accepted = theirs._pmf_predict(X)[:, 1]

    constraint = CRITERIA[criterion][0](max_difference=0.05, reference="overall")
    ours = ReductionClassifier(
        Stump(), constraint, solver="exponentiated_gradient", tol=1e-4, max_fits=500
    ).fit(X, y, sensitive_features=group)

    their_gap = theirs.best_gap_
    their_excess = max(disparity(constraint, y, accepted, sensitive_features=group) - 0.05, 0.0)
    assert ours.gap_ <= 1e-4
    assert error_rate(y, accepted) >= ours.lower_bound_ - 100 * their_excess - 1e-9
    assert error_rate(y, accepted) <= ours.cost_ + 2 * their_gap + 1e-9
