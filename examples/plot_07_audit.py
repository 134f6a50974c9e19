"""
==============================
An audit that says what it can
==============================

A gap between groups means little without the number of people behind it. An audit gives every
rate its interval, says of each bound whether it is exceeded, kept or beyond these counts, and
looks for subgroups that nobody listed.
"""

# %%
# A model, and people it has not seen
# -----------------------------------
# A logistic regression on Adult, audited on the published test rows by sex, by race and by both.

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fairlearnkit import (
    DemographicParity,
    EqualOpportunity,
    ErrorRateParity,
    audit_estimator,
    audit_subgroups,
)
from fairlearnkit.constraints import FALSE_NEGATIVE_RATE, FALSE_POSITIVE_RATE
from fairlearnkit.datasets import load_adult

X, y = load_adult(subset="train", return_X_y=True, as_frame=True)
X_test, y_test = load_adult(subset="test", return_X_y=True, as_frame=True)

clf = make_pipeline(
    make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
        (StandardScaler(), make_column_selector(dtype_include="number")),
    ),
    LogisticRegression(max_iter=200),
).fit(X, y)

report = audit_estimator(
    clf,
    X_test,
    y_test,
    sensitive_columns=["sex", "race"],
    criteria=[
        DemographicParity(min_ratio=0.8),
        EqualOpportunity(max_difference=0.05),
        ErrorRateParity(max_difference=0.15),
    ],
)
print(report)

# %%
# That women are selected less often than four fifths of the rate of men is beyond doubt. Whether
# true positive rates differ by more than 0.05 is not, not even by sex: few women of the test rows
# earn more, and hardly anyone of some intersections.
#
# What "cannot tell" would take
# -----------------------------
# The verdict names the groups that decide, and how many more of their rows would settle it if
# rates stayed as they are.

for finding in report.criteria:
    if finding.decision == "unclear":
        print(f"\n{finding.criterion} by {finding.attribute}")
        print(f"  gap {finding.difference:.3f}, of which chance alone {finding.noise_floor:.3f}")
        print(f"  {finding.verdict}")

# %%
# A page for a reviewer
# ---------------------
# Tables, verdicts and pictures in one file, which loads nothing from elsewhere. ``to_json`` writes
# the same for machines.

page = Path("audit.html")
page.write_text(report.to_html(title="Income model, test rows"), encoding="utf-8")
print(f"\nPage written to {page}")

# %%
# A subgroup that marginal audits miss
# ------------------------------------
# Sex and race are not all. The search takes age, marital status and sector too, on one half of the
# rows, and tests what it finds on the other half: the p-value is that of one test.

attributes = X_test[["age", "sex", "race", "marital-status", "workclass"]]
decisions = clf.predict(X_test)
found = {
    rate.label: audit_subgroups(
        y_test,
        decisions,
        sensitive_features=attributes,
        rate=rate,
        oracles=["conjunction"],
        missing="group",
    )
    for rate in (FALSE_POSITIVE_RATE, FALSE_NEGATIVE_RATE)
}
for subgroup in found.values():
    print(f"\n{subgroup}")

# %%
# Of people who do not earn more, one kind is taken for high earners many times as often as all
# others. The gaps by sex and by race, in the picture on the left, are small beside that. The
# interval of the subgroup is that of its difference from all others, the dotted line.

missed = found["false positive rate"]
single = [rate for rate in report.rates if rate.rate == "false_positive_rate"]
bars = [
    (", ".join(np.atleast_1d(rate.group)), rate.value, rate.lower, rate.upper)
    for rate in single
    if rate.attribute in ("sex", "race")
]
fig, axes = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
for k, (_, value, lower, upper) in enumerate(bars):
    axes[0].errorbar(value, -k, xerr=[[value - lower], [upper - value]], fmt="o", color="#0072B2")
# The limits of the difference, from the rate of all others on.
limits = [[missed.difference - missed.lower], [missed.upper - missed.difference]]
axes[0].errorbar(missed.value, -len(bars), xerr=limits, fmt="D", color="#D55E00")
axes[0].plot(missed.rest, -len(bars) - 1, "D", color="#D55E00", mfc="none")
axes[0].axvline(missed.rest, color="#D55E00", ls=":", lw=0.9)
names = [*(name for name, *_ in bars), "the subgroup (tested rows)", "all others"]
axes[0].set_yticks(-np.arange(len(names)), names)
axes[0].set(
    xlabel="false positive rate (share of those who earn less)",
    title="\n".join(missed.rule.text.split(" and ")),
)
axes[0].set_xlim(left=0)
report.plot("race", ax=axes[1])
axes[1].set_title("By race, with counts")
for ax in axes:
    ax.grid(axis="x", alpha=0.3)

picture = Path("audit.png")
fig.savefig(picture, dpi=150)
print(f"\nPicture written to {picture}")
plt.show()

# %%
# *When not to rely on it.* An audit speaks of people drawn as these rows were, and of labels as
# they are recorded. It sees neither what happens to those who never applied nor a label that is
# itself unfair, and a second look at the same rows with other attributes is a second test.
