"""Time error-parity's optimizer on given scores: fit_error_parity.py FOLDER CRITERION BOUND

Reads data.npz and writes fit.npz there.
"""

import sys
import time
from pathlib import Path

import numpy as np
from error_parity import RelaxedThresholdOptimizer


def fit(score, y, group, criterion, bound):
    """Return the fitted optimizer."""
    optimizer = RelaxedThresholdOptimizer(
        predictor=np.ravel, constraint=criterion, tolerance=bound
    )
    return optimizer.fit(score[:, None], y, group=group, y_scores=score)


folder = Path(sys.argv[1])
criterion, bound = sys.argv[2], float(sys.argv[3])
with np.load(folder / "data.npz") as data:
    score, y, group = data["score"], data["label"], data["group"]

fit(score[:2000], y[:2000], group[:2000], criterion, bound)  # warm up
start = time.process_time()
optimizer = fit(score, y, group, criterion, bound)
seconds = time.process_time() - start
# Its classifier draws; in expectation it has these rates, group by group.
false_positive_rate, true_positive_rate = np.array(optimizer.groupwise_roc_points).T
decision = np.where(y == 1, true_positive_rate[group], false_positive_rate[group])
np.savez(folder / "fit.npz", seconds=seconds, decision=decision)
