"""
=======================================
Comparing methods, and choosing a knob
=======================================

Group thresholds, reductions around two learners, and the model that is merely not shown the sex:
which gives the most accuracy at the same gap between women and men? Held-out folds answer, with
intervals, and three rules choose the knob.
"""

# %%
# The methods
# -----------
# A quarter of the Adult training data keeps this short.

from pathlib import Path
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fairlearnkit import (
    DemographicParity,
    GroupThresholdClassifier,
    ReductionClassifier,
    compare_frontiers,
    fairness_frontier,
)
from fairlearnkit.datasets import load_adult
from fairlearnkit.display import ParetoFrontierDisplay
from fairlearnkit.metrics import accuracy_scorer, disparity_scorer

X, y = load_adult(subset="train", return_X_y=True, as_frame=True)
X, y = X.iloc[::4], y.iloc[::4]

trees = HistGradientBoostingClassifier(max_iter=30, random_state=0)
logistic = make_pipeline(
    make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
        (StandardScaler(), make_column_selector(dtype_include="number")),
    ),
    LogisticRegression(C=0.1),
)
parity = DemographicParity(max_difference=0.02)
methods = {
    "thresholds, trees": GroupThresholdClassifier(trees, parity, sensitive_columns="sex"),
    "reduction, trees": ReductionClassifier(
        trees, parity, sensitive_columns="sex", drop_sensitive=True, tol=2e-3
    ),
    "reduction, logistic": ReductionClassifier(
        logistic, parity, sensitive_columns="sex", drop_sensitive=True, tol=2e-3
    ),
}

# %%
# One curve per method
# --------------------
# Each curve costs one fit of the method per fold, however many knobs it has: the knob is turned
# after fitting. Folds and knobs are the same for all.

folds = StratifiedKFold(5, shuffle=True, random_state=0)
knobs = np.array([0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18])
frontiers = {
    name: fairness_frontier(method, X, y, max_differences=knobs, cv=folds)
    for name, method in methods.items()
}
print(frontiers["thresholds, trees"])

# %%
# Not showing the sex
# -------------------
# The naive remedy has no knob: it is one point. The scorers that measure it work in any of
# scikit-learn's searches.

naive = cross_validate(
    make_pipeline(
        make_column_transformer(("drop", ["sex"]), remainder="passthrough").set_output(
            transform="pandas"
        ),
        trees,
    ),
    X,
    y,
    cv=folds,
    scoring={
        "accuracy": accuracy_scorer(),
        "disparity": disparity_scorer(DemographicParity(), sensitive_columns="sex"),
    },
)
naive_accuracy, naive_gap = naive["test_accuracy"].mean(), -naive["test_disparity"].mean()
print(f"\nSex not shown: accuracy {naive_accuracy:.4f}, gap in selection rates {naive_gap:.4f}")

# %%
# Who is better?
# --------------
# Differences are paired by fold, at the same held-out gap. An interval that holds zero shows no
# difference, and the table says so.

print()
print(compare_frontiers(frontiers, at=[0.05, 0.1]))

# %%
# Three ways to choose
# --------------------
# A bound on the gap, the least accuracy that will do, or the point where the curve bends most:
# each says what it relied on.

thresholds = frontiers["thresholds, trees"]
within = thresholds.select(max_disparity=0.06)
print(f"\n{fill(str(within), 90)}\n")
print(f"{fill(str(thresholds.select(min_score=0.85, refit=False)), 90)}\n")
print(fill(str(thresholds.select("knee", refit=False) or "The curve has no knee."), 90))

# %%
# The first of them was fitted on all rows at its knob and is ready to use.

print(f"\n{within.estimator.thresholds_}")

# %%
# The picture
# -----------

fig, ax = plt.subplots(figsize=(7.5, 5), layout="constrained")
ParetoFrontierDisplay.from_frontier(frontiers, selected={"thresholds, trees": within}, ax=ax)
# A thin cross, in front: the plain model is about there too.
ax.plot(naive_gap, naive_accuracy, "kx", ms=10, mew=1.5, zorder=5)
ax.annotate(
    "sex not shown",
    (naive_gap, naive_accuracy),
    (-30, 45),
    textcoords="offset points",
    ha="center",
    arrowprops={"arrowstyle": "->", "shrinkB": 8},
)

picture = Path("compare_methods.png")
fig.savefig(picture, dpi=150)
print(f"\nPicture written to {picture}")
plt.show()

# %%
# *When not to trust it.* The folds chose the knob, so the chosen point flatters itself a little:
# measure it once more on data that chose nothing. And where the groups are small the intervals are
# wider than the differences between methods; then the picture cannot tell them apart, and neither
# can anybody.
