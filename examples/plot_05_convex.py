"""
====================================
A credit model with rules of its own
====================================

Some rules are not about groups: a longer loan must never raise the score, and the model must stay
small enough to explain. Logistic regression is a convex problem, so that such rules can be added
to it in plain cvxpy. This example fits a credit model under two of them, bounds the difference in
acceptance rates between younger and older applicants, and compares it with reductions and with
thresholds by group. It also shows why a bound on mean scores is not yet a bound on decisions.
"""

# %%
# Two rules in two lines
# ----------------------
# Features become numbers first: the model's coefficients are then about columns with names.

from pathlib import Path

import cvxpy as cp
import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fairlearnkit import (
    ConstrainedLogisticRegression,
    DemographicParity,
    GroupThresholdClassifier,
    ReductionClassifier,
)
from fairlearnkit.datasets import load_german_credit
from fairlearnkit.metrics import demographic_parity_difference

frame, credit = load_german_credit(return_X_y=True, as_frame=True)
young = (frame["age"] <= 25).to_numpy()
y = (credit == "good").to_numpy().astype(int)
columns = make_column_transformer(
    (StandardScaler(), make_column_selector(dtype_include="number")),
    (OneHotEncoder(sparse_output=False), make_column_selector(dtype_exclude="number")),
    verbose_feature_names_out=False,
)
X = columns.fit_transform(frame.drop(columns="age"))
names = columns.get_feature_names_out()
duration = list(names).index("duration")


def rules(coef, intercept):
    """Return the rules: longer loans never raise the score, and coefficients have a budget."""
    return [coef[duration] <= 0, cp.norm1(coef) <= 6]


model = ConstrainedLogisticRegression(
    DemographicParity(max_difference=0.02), solver="cvxpy", extra_constraints=rules
)
model.fit(X, y, sensitive_features=young)
rules_alone = model.at(max_difference=1.0)
for name, clf in {"rules alone": rules_alone, "and the bound": model}.items():
    coef = clf.coef_[0]
    print(
        f"{name:<13}  {np.sum(np.abs(coef) > 1e-4)} of {len(names)} coefficients, duration "
        f"{coef[duration]:+.3f}, gap {clf.disparity_:.4f}, error {clf.cost_:.4f}"
    )

# %%
# The same fit has the cost of every other bound, with the price of the next step.

print(model.frontier_)

# %%
# Mean scores and decisions
# -------------------------
# With ``finish=None`` the bound is on the groups' mean scores. The gap between decisions follows
# it, but not to zero, and nothing says how far: the finish takes care of that.

free = ConstrainedLogisticRegression(DemographicParity(max_difference=1.0), finish=None)
free.fit(X, y, sensitive_features=young)
finished = ConstrainedLogisticRegression(DemographicParity(max_difference=1.0))
finished.fit(X, y, sensitive_features=young)
bounds = np.linspace(0.0, free.score_disparity_, 25)
surrogate = [free.at(max_difference=bound) for bound in bounds]

# %%
# On people the models have not seen
# ----------------------------------
# Each row is decided by models fitted on other rows; gaps and accuracies are those of the expected
# decisions.

knobs = (0.15, 0.1, 0.05, 0.02, 0.0)
constraint = DemographicParity(max_difference=0.0)
plain = LogisticRegression(max_iter=1000)
methods = {
    "convex": ConstrainedLogisticRegression(constraint),
    "convex, with both rules": ConstrainedLogisticRegression(
        constraint, solver="cvxpy", extra_constraints=rules
    ),
    "reduction": ReductionClassifier(plain, constraint),
    "thresholds by group": GroupThresholdClassifier(plain, constraint),
}
folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(X, 2 * y + young))
points = {}
for name, method in methods.items():
    accepted = np.zeros((len(knobs), len(y)))
    for train, test in folds:
        method.fit(X[train], y[train], sensitive_features=young[train])
        groups = {"sensitive_features": young[test]} if "group" in name else {}
        for k, knob in enumerate(knobs):
            rule = method.at(max_difference=knob)
            accepted[k, test] = rule.decision_probability(X[test], **groups)[:, 1]
    points[name] = [
        (
            demographic_parity_difference(y, accept, sensitive_features=young),
            np.where(y == 1, accept, 1 - accept).mean(),
        )
        for accept in accepted
    ]
    print(f"{name:<25}", "  ".join(f"{gap:.3f}/{accuracy:.3f}" for gap, accuracy in points[name]))

fig, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
axes[0].plot(bounds, [clf.score_disparity_ for clf in surrogate], label="mean scores: as bounded")
axes[0].plot(bounds, [clf.disparity_ for clf in surrogate], "o-", ms=3, label="decisions")
axes[0].plot(
    bounds,
    [finished.at(max_difference=b).disparity_ for b in bounds],
    "s-",
    ms=3,
    mfc="none",
    label="decisions, finished by a mixture",
)
axes[0].set(
    title="Training data: what a bound on mean scores bounds",
    xlabel="bound",
    ylabel="difference between younger and older",
)
for (name, of_method), style in zip(points.items(), ("o-", "v-", "d-", "s-"), strict=True):
    axes[1].plot(*zip(*of_method, strict=True), style, ms=5, mfc="none", label=name)
axes[1].set(
    title="Held-out rows",
    xlabel="difference of acceptance rates",
    ylabel="accuracy",
)
for ax in axes:
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)

picture = Path("convex.png")
fig.savefig(picture, dpi=150)
print(f"\nPicture written to {picture}")
plt.show()

# %%
# *When not to use it.* If a linear model is not good enough, no rule makes it so: wrap a better
# one in a reduction. A thousand rows, a fifth of them young, leave gaps on new people uncertain by
# several points: the right-hand picture shows no method to be better than another there.
