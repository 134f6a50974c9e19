"""Run fairlearn's ExponentiatedGradient: reduce_fairlearn.py FOLDER LEARNER CRITERION BOUND

Reads data.npz and writes fit.npz there. The bound is on the distance to the overall rate.
"""

import sys
import time
import warnings
from pathlib import Path

import numpy as np
from fairlearn.reductions import DemographicParity, EqualizedOdds, ExponentiatedGradient
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

LEARNERS = {
    "logistic regression": LogisticRegression(max_iter=1000),
    "gradient boosting": HistGradientBoostingClassifier(max_iter=50, random_state=0),
    "depth-6 tree": DecisionTreeClassifier(max_depth=6, random_state=0),
}
CRITERIA = {"demographic parity": DemographicParity, "equalized odds": EqualizedOdds}

warnings.filterwarnings("ignore")
folder = Path(sys.argv[1])
learner, criterion, bound = sys.argv[2], sys.argv[3], float(sys.argv[4])
with np.load(folder / "data.npz") as data:
    X, y, group = data["X"], data["label"], data["group"]

reduction = ExponentiatedGradient(LEARNERS[learner], CRITERIA[criterion](difference_bound=bound))
start = time.process_time()
reduction.fit(X, y, sensitive_features=group)
seconds = time.process_time() - start
decision = reduction._pmf_predict(X)[:, 1]
np.savez(folder / "fit.npz", seconds=seconds, fits=reduction.n_oracle_calls_, decision=decision)
