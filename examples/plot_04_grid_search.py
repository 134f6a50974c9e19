"""
==================================
A grid search over knob and model
==================================

How strict the knob must be depends on the model, and the best model on the knob. A grid search
turns both at once, around a pipeline with its preprocessing, and takes the most accurate candidate
whose gap between women and men stays within a bound on held-out folds.
"""

# %%
# A pipeline under a constraint
# -----------------------------
# The group comes from a column, so that nothing has to be routed. The classifier under the
# constraint is a whole pipeline, which never sees that column.

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fairlearnkit import EqualizedOdds, GroupThresholdClassifier
from fairlearnkit.datasets import load_adult
from fairlearnkit.display import GroupRatesDisplay
from fairlearnkit.metrics import accuracy_scorer, best_within, disparity_scorer

X, y = load_adult(subset="train", return_X_y=True, as_frame=True)
X, y = X.iloc[::3], y.iloc[::3]
X_test, y_test = load_adult(subset="test", return_X_y=True, as_frame=True)

learner = make_pipeline(
    make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
        (StandardScaler(), make_column_selector(dtype_include="number")),
    ),
    LogisticRegression(),
)
clf = GroupThresholdClassifier(
    learner,
    EqualizedOdds(max_difference=0.02),
    cv=3,
    sensitive_columns="sex",
    drop_sensitive=True,
)

# %%
# The search
# ----------
# Two scorers, and a rule for ``refit``: the best accuracy among candidates whose gap is within the
# bound. Scikit-learn's own scorers would score the decisions of `predict`; these take the
# expectation over randomised ones.

bound = 0.05
search = GridSearchCV(
    clf,
    {
        "constraint__max_difference": [0.0, 0.02, 0.05, 0.1],
        "estimator__logisticregression__C": [0.001, 0.1],
    },
    scoring={
        "accuracy": accuracy_scorer(),
        "disparity": disparity_scorer(EqualizedOdds(), sensitive_columns="sex"),
    },
    refit=best_within(bound),
    cv=3,
)
search.fit(X, y)

results = search.cv_results_
print(f"{'knob':>5}  {'C':>6}  {'accuracy':>8}  {'gap':>7}")
for i, params in enumerate(results["params"]):
    knob, C = params.values()
    accuracy, gap = results["mean_test_accuracy"][i], -results["mean_test_disparity"][i]
    chosen = "  <- chosen" if i == search.best_index_ else ""
    print(f"{knob:>5}  {C:>6}  {accuracy:>8.4f}  {gap:>7.4f}{chosen}")

# %%
# The knob bounds the gap on the rows that thresholds were computed from. The held-out gap is
# mostly larger, by sampling error in each fold. The rule goes by the held-out one.
#
# On people who took no part in the search
# ----------------------------------------

held_out = disparity_scorer(EqualizedOdds(), sensitive_columns="sex")
print(f"\nTest data: accuracy {accuracy_scorer()(search, X_test, y_test):.4f}, ", end="")
print(f"gap {-held_out(search, X_test, y_test):.4f}")

fig, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
knobs = np.array([p["constraint__max_difference"] for p in results["params"]])
models = np.array([p["estimator__logisticregression__C"] for p in results["params"]])
for C, color, marker in zip(np.unique(models), ("#0072B2", "#D55E00"), "os", strict=True):
    rows = models == C
    gap, accuracy = -results["mean_test_disparity"][rows], results["mean_test_accuracy"][rows]
    axes[0].plot(gap, accuracy, marker, color=color, label=f"C = {C:g}")
    for knob, x, height in zip(knobs[rows], gap, accuracy, strict=True):
        axes[0].annotate(
            f"{knob:g}",
            (x, height),
            (0, 9),
            textcoords="offset points",
            size=8,
            ha="center",
            bbox={"fc": "white", "ec": "none", "pad": 0.5},
        )
axes[0].plot(
    -results["mean_test_disparity"][search.best_index_],
    results["mean_test_accuracy"][search.best_index_],
    "ko",
    ms=12,
    mfc="none",
    label="chosen",
)
axes[0].axvline(bound, color="0.4", ls=":", label="bound")
axes[0].set(
    xlabel="largest gap in true or false positive rate\n(mean over held-out folds)",
    ylabel="accuracy (share of samples)",
    title="Candidates, labelled with their knobs",
)
axes[0].margins(0.08, 0.1)
axes[0].grid(alpha=0.3)
axes[0].legend(loc="center right", frameon=False)
GroupRatesDisplay.from_estimator(search, X_test, y_test, ax=axes[1])
axes[1].set_title("The chosen one, on test data")

picture = Path("grid_search.png")
fig.savefig(picture, dpi=150)
print(f"\nPicture written to {picture}")
plt.show()

# %%
# *When not to use it.* A grid search fits the model again at every knob. Where only the knob is
# searched, ``fairness_frontier`` measures all knobs of one fit per fold, and its ``select``
# chooses among them.
