"""Import the package, fit once, and check that nothing optional or slow came along.

``make smoke`` runs this with the bare wheel installed, without extras; the test suite runs it with
everything installed, where scikit-learn itself brings pandas.
"""

import sys


def main():
    from sklearn.linear_model import LogisticRegression

    before = set(sys.modules)
    from fairlearnkit import EqualizedOdds, GroupThresholdClassifier, __version__
    from fairlearnkit.datasets import load_adult, make_group_classification
    from fairlearnkit.metrics import equalized_odds_difference

    X, y, groups = make_group_classification(1000, base_rates=(0.5, 0.3), random_state=0)
    clf = GroupThresholdClassifier(LogisticRegression(), EqualizedOdds(max_difference=0.02))
    decisions = clf.fit(X, y, sensitive_features=groups).predict(X, sensitive_features=groups)
    achieved = equalized_odds_difference(y, decisions, sensitive_features=groups)
    if not (clf.disparity_ <= 0.02 + 1e-9 and achieved < 0.2):
        sys.exit(f"bound 0.02, disparity {clf.disparity_} expected and {achieved} on decisions")

    n_rows = len(load_adult().target)
    if n_rows != 48_842:
        sys.exit(f"the bundled Adult data has {n_rows} rows, not 48842")

    came_along = {"cvxpy", "matplotlib", "pandas"} & (sys.modules.keys() - before)
    if came_along:
        sys.exit(f"fairlearnkit imported {', '.join(sorted(came_along))}")
    print(f"fairlearnkit {__version__} fits, and imports neither cvxpy nor matplotlib nor pandas")


if __name__ == "__main__":
    main()
