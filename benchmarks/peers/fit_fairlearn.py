"""Time fairlearn's ThresholdOptimizer on given scores: fit_fairlearn.py FOLDER CRITERION BOUND

Reads data.npz and writes fit.npz there.
"""

import sys
import time
from pathlib import Path

import numpy as np
from fairlearn.postprocessing import ThresholdOptimizer
from sklearn.base import BaseEstimator, ClassifierMixin


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


def fit(score, y, group, criterion, bound):
    """Return the fitted optimizer."""
    optimizer = ThresholdOptimizer(
        estimator=GivenScores(),
        constraints=criterion,
        prefit=True,
        predict_method="predict_proba",
        tol=bound or None,
    )
    return optimizer.fit(score[:, None], y, sensitive_features=group)


folder = Path(sys.argv[1])
criterion, bound = sys.argv[2], float(sys.argv[3])
with np.load(folder / "data.npz") as data:
    score, y, group = data["score"], data["label"], data["group"]

fit(score[:2000], y[:2000], group[:2000], criterion, bound)  # warm up
start = time.process_time()
optimizer = fit(score, y, group, criterion, bound)
seconds = time.process_time() - start
decision = optimizer._pmf_predict(score[:, None], sensitive_features=group)[:, 1]
np.savez(folder / "fit.npz", seconds=seconds, decision=decision)
