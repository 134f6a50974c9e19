"""Print the seconds that fairlearn's MetricFrame takes to bootstrap four rates by group."""

import sys
import time
from pathlib import Path

import numpy as np
from fairlearn.metrics import (
    MetricFrame,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from sklearn.metrics import zero_one_loss

folder, n_boot = Path(sys.argv[1]), int(sys.argv[2])
with np.load(folder / "data.npz") as file:
    data = {name: file[name] for name in file}

start = time.process_time()
frame = MetricFrame(
    metrics={
        "selection_rate": selection_rate,
        "true_positive_rate": true_positive_rate,
        "false_positive_rate": false_positive_rate,
        "error_rate": zero_one_loss,
    },
    y_true=data["label"],
    y_pred=data["accepted"],
    sensitive_features=data["group"],
    n_boot=n_boot,
    ci_quantiles=[0.025, 0.975],
    random_state=0,
)
frame.by_group_ci, frame.difference_ci()
print(time.process_time() - start)
