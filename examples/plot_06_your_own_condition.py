"""
================================================
A floor for every group, and only so many places
================================================

A programme can invite one person in five. Those it is meant for should have a fair chance of an
invitation at every age. Neither wish says that anything is *equal*: one is a floor under the true
positive rate of every group, the other a limit to the share selected. This example states both in
three lines, shows what they do to whom, what each costs, and what happens when they contradict
each other. At the end, a condition that is nobody's but yours.
"""

# %%
# The rule
# --------
# The label of the Adult census data stands for the people who are meant, a boosted model ranks
# everybody, and four age groups are compared.

from pathlib import Path
from textwrap import fill

import cvxpy as cp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier

from fairlearnkit import AllOf, Capacity, ConvexRates, GroupThresholdClassifier, MinimumRate
from fairlearnkit.constraints import SELECTION_RATE, TRUE_POSITIVE_RATE
from fairlearnkit.datasets import load_adult
from fairlearnkit.exceptions import InfeasibleConstraintError
from fairlearnkit.metrics import group_rates

X, y = load_adult(subset="train", return_X_y=True, as_frame=True)
X_test, y_test = load_adult(subset="test", return_X_y=True, as_frame=True)


def age_group(X):
    """Return the age group of each row."""
    bands = [0, 30, 40, 55, 200]
    names = ["17 to 29", "30 to 39", "40 to 54", "55 and over"]
    return pd.cut(X["age"], bands, right=False, labels=names).astype(str)


rule = AllOf([MinimumRate(TRUE_POSITIVE_RATE, at_least=0.55), Capacity(at_most=0.2)])
model = HistGradientBoostingClassifier(max_iter=60, random_state=0)
clf = GroupThresholdClassifier(model, rule, sensitive_columns=age_group).fit(X, y)

# %%
# What it does to whom
# --------------------
# With the capacity alone the model finds few of the young. The floor raises their rate; the places
# come from the other groups, most of all from those just above.

capacity_alone = clf.at(constraint=Capacity(at_most=0.2))
chosen = {"capacity alone": capacity_alone, "floor and capacity": clf}
rates = {
    name: group_rates(
        y_test,
        fitted.decision_probability(X_test),
        sensitive_features=age_group(X_test),
        rates=[TRUE_POSITIVE_RATE, SELECTION_RATE],
    )
    for name, fitted in chosen.items()
}
for name, found in rates.items():
    print(f"{name}, held out (cost {chosen[name].cost_:.4f} out of fold):\n\n{found}\n")

# %%
# What each condition costs
# -------------------------
# ``bound_prices_`` holds the shadow prices: what one more unit of each bound is worth in mean
# cost, here the error rate.

floor_price, place_price = clf.bound_prices_
print(f"A floor lower by one point would lower the error rate by {floor_price:.3f} points,")
print(f"a capacity larger by one point by {place_price:.3f} points.")

# %%
# When it cannot be done
# ----------------------
# A floor of 0.9 would need more places. The error says which conditions contradict each other, by
# how much they are missed, and what would be within reach.

try:
    clf.at(
        constraint=AllOf([MinimumRate(TRUE_POSITIVE_RATE, at_least=0.9), Capacity(at_most=0.2)])
    )
except InfeasibleConstraintError as error:
    print(fill(str(error), 90))

# %%
# The prices rise as places run out, up to the capacity below which the floor is out of reach.

shares = np.linspace(0.15, 0.25, 51)
prices = np.full((len(shares), 2), np.nan)
for i, share in enumerate(shares):
    both = AllOf([rule.criteria[0], Capacity(at_most=share)])
    try:
        prices[i] = clf.at(constraint=both).bound_prices_
    except InfeasibleConstraintError:
        continue

# %%
# A condition of your own
# -----------------------
# Anything convex in the rates can be asked for in cvxpy. Here the floor is for the young alone,
# and selection rates stay near their mean in the Euclidean sense, with the distance as a knob that
# `at` turns.

own = ConvexRates(
    lambda r, distance: [
        r.tpr["17 to 29"] >= 0.55,
        r.overall_selection_rate <= 0.2,
        cp.norm(r.selection_rate - cp.sum(r.selection_rate) / r.n_groups, 2) <= distance,
    ],
    parameters={"distance": 0.25},
)
mine = clf.at(constraint=own)
print("distance    cost")
for distance in (0.25, 0.2, 0.15):
    print(f"{distance:>8}  {mine.at(distance=distance).cost_:.4f}")

# %%
# Left, the share of each group that is selected and the true positive rate, held out: the arrows
# go from the capacity alone to both conditions. Right, the price of each condition.

fig, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.6), layout="constrained")
before, after = rates["capacity alone"], rates["floor and capacity"]
for i, group in enumerate(before.groups):
    points = [
        (found.rates["selection_rate"][i], found.rates["true_positive_rate"][i])
        for found in (before, after)
    ]
    left.plot(*points[0], "o", mfc="none", color=f"C{i}", ms=8)
    left.plot(*points[1], "o", color=f"C{i}", ms=8, label=group)
    left.annotate(
        "", points[1], points[0], arrowprops={"arrowstyle": "->", "color": f"C{i}", "shrinkB": 5}
    )
left.axhline(0.55, color="0.4", lw=1, ls="--")
left.text(0.995, 0.555, "floor", ha="right", color="0.4", transform=left.get_yaxis_transform())
left.set(
    xlabel="share of the group selected",
    ylabel="true positive rate of the group",
    title="Who is selected (hollow: capacity alone)",
)
left.legend(title="age", frameon=False)

for column, label in enumerate(["floor: cost of one more point", "capacity: saved by one more"]):
    right.plot(shares, prices[:, column], drawstyle="steps-mid", label=label)
reached = shares[np.isfinite(prices[:, 0])].min()
right.axvspan(shares[0], reached, color="0.9")
right.text((shares[0] + reached) / 2, 0.1, "out of reach", rotation=90, ha="center", color="0.4")
right.axvline(0.2, color="0.4", lw=1, ls="--")
right.set(
    xlabel="capacity: share that can be selected",
    ylabel="points of error rate per point of the bound",
    title="What each condition costs",
    xlim=(shares[0], shares[-1]),
)
right.legend(frameon=False)
for ax in (left, right):
    ax.grid(alpha=0.3)

picture = Path("your_own_condition.png")
fig.savefig(picture, dpi=150)
print(f"\nPicture written to {picture}")
plt.show()

# %%
# *When not to use it.* A floor says nothing about the distance between groups: the better-off may
# move further ahead. And it holds on the scores that thresholds were computed from; where a group
# is small, leave room for the difference to new people.
