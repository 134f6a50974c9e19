"""Fit scikit-lego's fair classifiers: fit_scikit_lego.py FOLDER CRITERION

Reads data.npz (X, label, group, new_X, bounds) and writes fit.npz there: seconds, decisions on X
and on new_X for each bound on the covariance, -1 where its solver fails. The group is a column
that the model does not see.
"""

import logging
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklego.linear_model import DemographicParityClassifier, EqualOpportunityClassifier

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
folder, criterion = Path(sys.argv[1]), sys.argv[2]
with np.load(folder / "data.npz") as data:
    X, label, group, new_X, bounds = (
        data[name] for name in ("X", "label", "group", "new_X", "bounds")
    )

seconds, decision, new_decision = [], [], []
with_group = np.column_stack([X, group])
new_with_group = np.column_stack([new_X, np.zeros(len(new_X))])
for bound in bounds:
    options = {"covariance_threshold": bound, "sensitive_cols": [X.shape[1]], "penalty": "l2"}
    if criterion == "demographic_parity":
        model = DemographicParityClassifier(**options)
    else:
        model = EqualOpportunityClassifier(positive_target=1, **options)
    start = time.process_time()
    try:
        model.fit(with_group, label)
    except Exception as error:
        print(f"scikit-lego failed: {error}", file=sys.stderr)
        seconds.append(np.nan)
        decision.append(np.full(len(X), -1))
        new_decision.append(np.full(len(new_X), -1))
        continue
    seconds.append(time.process_time() - start)
    decision.append(model.predict(with_group))
    new_decision.append(model.predict(new_with_group))
np.savez(folder / "fit.npz", seconds=seconds, decision=decision, new_decision=new_decision)
