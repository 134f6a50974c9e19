"""Reductions: optimal over every labelling, inside the certificate over a class, one pool."""

import pickle
import threading

import numpy as np
import pytest
import sklearn
from helpers import (
    AnyLabelling,
    Stump,
    counted_rates,
    criteria,
    decide,
    every_labelling,
    exact_programme,
    instances,
    reproducible,
    stumps,
    two_classes,
)
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, KFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from fairlearnkit import (
    AllOf,
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    ErrorRateParity,
    ReductionClassifier,
)
from fairlearnkit._kernels.hypotheses import weighted_problem
from fairlearnkit._kernels.moments import objective, row_prices
from fairlearnkit._kernels.pool import lower_bounds
from fairlearnkit.datasets import load_adult, make_group_classification
from fairlearnkit.exceptions import InfeasibleConstraintError
from fairlearnkit.metrics import disparity

pytestmark = pytest.mark.filterwarnings(
    "ignore::fairlearnkit.exceptions.DegenerateGroupWarning"  # tiny instances on purpose
)


def reduction(instance, criterion, learner, X, tol=1e-9, **params):
    """Fit the reduction of an instance to the end."""
    fit_params = {key: params.pop(key) for key in ("control_features",) if key in params}
    clf = ReductionClassifier(
        learner,
        criterion,
        costs={"fp": instance.fp_cost, "fn": instance.fn_cost},
        tol=tol,
        max_fits=500,
        **params,
    )
    return clf.fit(
        X,
        instance.y,
        sensitive_features=instance.group,
        sample_weight=instance.weight,
        **fit_params,
    )


small = instances(max_rows=8).filter(two_classes)


@given(instance=small, criterion=criteria())
@reproducible(max_examples=60)
def test_optimal_over_every_labelling(instance, criterion):
    """With a learner that can label at will the answer is that of the programme over all 2^n."""
    X = np.arange(len(instance.y), dtype=float)[:, None]
    clf = reduction(instance, criterion, AnyLabelling(), X)
    exact = exact_programme(every_labelling(len(X)), instance, criterion)

    scale = max(instance.fp_cost, instance.fn_cost)
    assert clf.cost_ == pytest.approx(exact, abs=2e-8 * scale)
    assert clf.lower_bound_ <= exact + 1e-8 * scale
    decided = clf.decision_probability(X)[:, 1]
    assert clf.cost_ == pytest.approx(instance.counted_cost(decided), abs=1e-9 * scale)


@given(instance=small, criterion=criteria(), seed=st.integers(0, 2**16))
@reproducible(max_examples=40)
def test_optimal_with_strata_and_unweighted_rates(instance, criterion, seed):
    """The same where groups are compared within strata and weights count in the cost only."""
    X = np.arange(len(instance.y), dtype=float)[:, None]
    strata = np.random.default_rng(seed).integers(2, size=len(X))
    clf = reduction(
        instance, criterion, AnyLabelling(), X, weight_rates=False, control_features=strata
    )
    exact = exact_programme(
        every_labelling(len(X)),
        instance,
        criterion,
        strata,
        False,
    )
    scale = max(instance.fp_cost, instance.fn_cost)
    assert clf.cost_ == pytest.approx(exact, abs=2e-8 * scale)


@given(instance=instances(max_rows=14).filter(two_classes), criterion=criteria())
@reproducible(max_examples=60)
def test_true_optimum_of_an_exactly_learned_class_lies_in_the_band(instance, criterion):
    """With an exact minimiser of weighted error the lower bound holds against its whole class."""
    X = instance.score[:, None] + 0.01 * np.arange(len(instance.y))[:, None]
    clf = reduction(instance, criterion, Stump(), X)
    every = np.array([decide(rule, X) for rule in stumps(X)], dtype=float)
    exact = exact_programme(every, instance, criterion)

    scale = max(instance.fp_cost, instance.fn_cost)
    assert clf.lower_bound_ - 1e-8 * scale <= exact <= clf.cost_ + 1e-8 * scale
    assert clf.cost_ == pytest.approx(exact, abs=2e-8 * scale)


def make_data(n_samples=1500, random_state=0):
    return make_group_classification(
        n_samples,
        base_rates=(0.55, 0.3, 0.4),
        class_sep=(1.6, 1.2, 1.4),
        random_state=random_state,
    )


X, Y, GROUPS = make_data()


@pytest.fixture(scope="module")
def fitted():
    clf = ReductionClassifier(LogisticRegression(), EqualizedOdds(max_difference=0.05))
    return clf.fit(X, Y, sensitive_features=GROUPS)


def test_constraint_holds_and_the_gap_is_closed(fitted):
    """Expected rates on the training rows meet the bound, and the number is the metric's."""
    found = disparity(
        fitted.constraint, Y, fitted.decision_probability(X), sensitive_features=GROUPS
    )
    assert found == pytest.approx(fitted.disparity_, abs=1e-9)
    assert found <= 0.05 + 1e-9
    assert 0 <= fitted.gap_ <= fitted.tol
    assert fitted.gap_ == pytest.approx(fitted.cost_ - fitted.lower_bound_, abs=1e-12)


def test_support_is_small(fitted):
    """A basic solution mixes at most events x (groups - 1) + 1 models."""
    assert len(fitted.estimators_) == len(fitted.weights_) <= 2 * (3 - 1) + 1
    assert fitted.weights_.sum() == pytest.approx(1.0)
    assert (fitted.weights_ > 0).all()


def test_curve_is_convex_with_a_band_around_the_cost(fitted):
    """The curve falls, its price falls, and the lower bound stays below it at every breakpoint."""
    curve = fitted.frontier_
    assert (np.diff(curve.cost) <= 1e-9).all()
    assert (np.diff(curve.price) <= 1e-9).all()
    assert (curve.lower_bound <= curve.cost + 1e-12).all()
    assert curve(0.05) == pytest.approx(fitted.cost_, abs=1e-9)


@pytest.mark.parametrize("knob", [0.2, 0.1, 0.02, 0.0])
def test_another_knob_agrees_with_a_fresh_fit(knob):
    """`at` is as good as fitting anew at that knob, within both gaps, where these are absolute."""
    few = slice(0, 120)
    clf = ReductionClassifier(Stump(), EqualizedOdds(max_difference=0.05))
    turned = clf.fit(X[few], Y[few], sensitive_features=GROUPS[few]).at(max_difference=knob)
    fresh = ReductionClassifier(Stump(), EqualizedOdds(max_difference=knob))
    fresh.fit(X[few], Y[few], sensitive_features=GROUPS[few])

    assert turned.gap_ <= clf.tol
    assert turned.disparity_ <= knob + 1e-9
    assert abs(turned.cost_ - fresh.cost_) <= turned.gap_ + fresh.gap_ + 1e-9


def test_one_pool_serves_all_knobs():
    """Later knobs fit few models or none, and no existing estimator changes."""
    clf = ReductionClassifier(LogisticRegression(), DemographicParity(max_difference=0.05))
    clf.fit(X, Y, sensitive_features=GROUPS)
    first, before = clf.n_fits_, clf.decision_probability(X)
    knobs = [clf.at(max_difference=knob) for knob in np.linspace(0.2, 0.0, 11)]
    assert clf.at(max_difference=0.05).cost_ <= clf.cost_ + 1e-12
    assert first < knobs[-1].n_fits_ == clf.n_fits_ <= 11 * first / 2
    np.testing.assert_array_equal(clf.decision_probability(X), before)
    assert (np.diff([k.cost_ for k in knobs]) >= -clf.tol).all()


def test_pickles_read_the_pool_and_say_where_it_does_not_suffice(fitted):
    """A pickle keeps models, not rows: another knob needs a narrow band, or is an error."""
    copy = pickle.loads(pickle.dumps(fitted))
    assert len(pickle.dumps(fitted)) < X.nbytes
    np.testing.assert_array_equal(copy.predict(X), fitted.predict(X))
    assert copy.at(max_difference=0.05).cost_ == pytest.approx(fitted.cost_, abs=fitted.tol)
    with pytest.raises(AttributeError, match=r"to .* only, more than tol=1e-09"):
        copy.set_params(tol=1e-9).at(max_difference=0.001)


def test_groups_are_not_needed_at_prediction():
    """The models see X alone; a dropped attribute is neither in them nor in the hash."""
    with_group = np.column_stack([X, GROUPS])
    clf = ReductionClassifier(
        LogisticRegression(),
        DemographicParity(max_difference=0.05),
        sensitive_columns=-1,
        drop_sensitive=True,
    ).fit(with_group, Y)
    elsewhere = with_group.copy()
    elsewhere[:, -1] = 7.0
    probability = clf.decision_probability(with_group)
    assert ((probability > 0.01) & (probability < 0.99)).any()
    np.testing.assert_array_equal(probability, clf.decision_probability(elsewhere))
    np.testing.assert_array_equal(clf.predict(with_group), clf.predict(elsewhere))


@pytest.mark.parametrize("routing", [False, True])
def test_weights_reach_the_last_step_of_nested_pipelines(routing):
    """A pipeline in a pipeline learns the constraint, with metadata routing on or off."""
    nested = make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), LogisticRegression()))
    flat = make_pipeline(StandardScaler(), LogisticRegression())
    with sklearn.config_context(enable_metadata_routing=routing):
        clf = ReductionClassifier(nested, DemographicParity(max_difference=0.02))
        clf.fit(X, Y, sensitive_features=GROUPS)
    same = ReductionClassifier(flat, DemographicParity(max_difference=0.02))
    same.fit(X, Y, sensitive_features=GROUPS)
    assert clf.disparity_ <= 0.02 + 1e-9
    assert clf.cost_ == pytest.approx(same.cost_, abs=1e-9)


def test_estimator_without_sample_weight_is_an_error():
    """Weights are how constraints are taught: without them nothing can be promised."""
    clf = ReductionClassifier(KNeighborsClassifier(), DemographicParity(max_difference=0.1))
    with pytest.raises(ValueError, match=r"must take sample_weight.*KNeighborsClassifier"):
        clf.fit(X, Y, sensitive_features=GROUPS)


def test_running_out_of_fits_warns_with_the_gap():
    """What is not certified is said."""
    clf = ReductionClassifier(
        LogisticRegression(), EqualizedOdds(max_difference=0.01), max_fits=2, tol=1e-6
    )
    with pytest.warns(ConvergenceWarning, match=r"max_fits=2 reached with a gap of 0\.\d+"):
        clf.fit(X, Y, sensitive_features=GROUPS)
    assert clf.gap_ > clf.tol
    assert clf.disparity_ <= 0.01 + 1e-9


def test_single_model_is_one_fitted_model_within_the_bound():
    """Without randomisation one model of the pool decides, and its price is reported."""
    tree = DecisionTreeClassifier(max_depth=3, random_state=0)
    clf = ReductionClassifier(tree, DemographicParity(max_difference=0.1), randomized=False)
    clf.fit(X, Y, sensitive_features=GROUPS)
    assert len(clf.estimators_) == 1
    assert isinstance(clf.estimators_[0], DecisionTreeClassifier)
    np.testing.assert_array_equal(clf.predict(X), clf.estimators_[0].predict(X))
    assert clf.disparity_ <= 0.1 + 1e-9
    mixed = ReductionClassifier(tree, DemographicParity(max_difference=0.1))
    mixed.fit(X, Y, sensitive_features=GROUPS)
    assert clf.gap_ >= clf.cost_ - mixed.cost_ - 1e-12
    with pytest.raises(AttributeError, match="randomized=False"):
        clf.frontier_  # noqa: B018


def test_no_single_model_within_the_bound_is_an_error_that_says_how_near():
    """An exact bound on error rates is met by no single model here."""
    clf = ReductionClassifier(
        LogisticRegression(), ErrorRateParity(max_difference=0.0), randomized=False
    )
    with pytest.raises(InfeasibleConstraintError, match=r"nearest is beyond it by 0\.\d+"):
        clf.fit(X, Y, sensitive_features=GROUPS)


def test_ratio_bounds_and_several_criteria():
    """Ratios, and criteria with bounds of their own, hold together."""
    both = AllOf([EqualOpportunity(max_difference=0.03), DemographicParity(min_ratio=0.85)])
    clf = ReductionClassifier(LogisticRegression(), both).fit(X, Y, sensitive_features=GROUPS)
    difference, ratio = clf.disparity_
    assert difference <= 0.03 + 1e-9
    assert ratio >= 0.85 - 1e-9
    looser = clf.at(constraint=DemographicParity(min_ratio=0.7))
    assert looser.disparity_ >= 0.7 - 1e-9
    assert looser.cost_ <= clf.cost_ + clf.tol


def test_progress_is_printed_on_request(capsys):
    """One line per fit: fits, cost, largest violation and gap."""
    clf = ReductionClassifier(
        LogisticRegression(), DemographicParity(max_difference=0.05), verbose=1
    ).fit(X, Y, sensitive_features=GROUPS)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= clf.n_fits_
    assert "cost" in lines[-1]
    assert "gap" in lines[-1]
    clf.set_params(verbose=0).fit(X, Y, sensitive_features=GROUPS)
    assert capsys.readouterr().out == ""


def test_inactive_bound_costs_no_more_than_the_plain_model():
    """Under a bound that asks for nothing the mixture is as good as the model it wraps."""
    plain = LogisticRegression().fit(X, Y)
    clf = ReductionClassifier(LogisticRegression(), DemographicParity(max_difference=1.0))
    clf.fit(X, Y, sensitive_features=GROUPS)
    assert clf.cost_ <= (plain.predict(X) != Y).mean() + 1e-12
    np.testing.assert_allclose(clf.multipliers_, 0.0, atol=1e-9)


class FailsOnce(LogisticRegression):
    """A learner whose third prediction fails, as an interrupted one would."""

    calls = 0

    def predict(self, X):
        """Decide, or fail."""
        type(self).calls += 1
        if type(self).calls == 3:
            raise OSError("interrupted")
        return super().predict(X)


def test_a_prediction_that_fails_leaves_the_pool_whole():
    """A failing fit adds nothing: models and their hypotheses stay side by side."""
    clf = ReductionClassifier(FailsOnce(), DemographicParity(max_difference=0.05))
    with pytest.raises(OSError, match="interrupted"):
        clf.fit(X, Y, sensitive_features=GROUPS)
    assert len(clf._pool.hypotheses) == 4
    assert clf._pool.n_fits == 2
    assert [len(lines) for lines in clf._pool.asked.values()] == [2]


@given(instance=small, criterion=criteria(), seed=st.integers(0, 2**16))
@reproducible(max_examples=40)
def test_the_weighted_problem_is_the_best_response(instance, criterion, seed):
    """At any prices, the labels of the problem have the least priced cost of all 2^n, by counting.

    And every labelling's priced cost differs from theirs by the weight of the rows where they
    differ, which is what a learner minimises.
    """
    moments = instance.moments(criterion)
    price = np.random.default_rng(seed).normal(scale=0.3, size=len(moments.event))
    _, slope = objective(moments.mass, instance.fp_cost, instance.fn_cost)
    of_rows = instance.y, instance.group, instance.weight
    problem = weighted_problem(row_prices(moments, price, slope, *of_rows), instance.weight.sum())
    if problem is None:
        return
    every = every_labelling(len(instance.y))
    rates = np.array([rows_of_rates(instance, criterion, d) for d in every])
    costs = np.array([instance.counted_cost(d) for d in every])
    priced = costs + rates @ price
    best = int(np.argmin(priced))
    scale = instance.weight.sum() / np.abs(problem.price).sum()
    missed = np.abs(every - problem.accept) @ problem.weight / scale
    np.testing.assert_allclose(priced - priced[best], missed, atol=1e-9)


def rows_of_rates(instance, criterion, decision):
    """Return the rates of every criterion by group, by counting, in the order of the moments."""
    rates = [
        counted_rates(
            rate.name, instance.y, decision, instance.weight, instance.group, instance.n_groups
        )
        for parity in criterion.parities()
        for rate in parity.rates
    ]
    rates = np.concatenate(rates)
    return rates[~np.isnan(rates)]


@pytest.mark.parametrize("learner", [LogisticRegression(), LinearSVC()], ids=["proba", "decision"])
@pytest.mark.parametrize("pos_label", [None, "no"])
def test_models_at_thresholds_decide_as_counted(learner, pos_label):
    """Each model in a threshold classifier decides on the training rows what the sums say."""
    labels = np.where(Y == 1, "yes", "no")
    clf = ReductionClassifier(
        learner,
        EqualizedOdds(max_difference=0.03),
        threshold_columns="train",
        pos_label=pos_label,
    ).fit(X, labels, sensitive_features=GROUPS)
    kinds = {type(model) for model in clf.estimators_ if not isinstance(model, bool)}
    assert kinds == {FixedThresholdClassifier}
    decided = clf.decision_probability(X)
    cost = np.where(labels == "yes", decided[:, 0], decided[:, 1]).mean()
    assert cost == pytest.approx(clf.cost_, abs=1e-9)
    found = disparity(clf.constraint, Y, decided[:, 1], sensitive_features=GROUPS)
    assert found == pytest.approx(clf.disparity_, abs=1e-9)
    assert found <= 0.03 + 1e-9


def test_thresholds_cost_no_more_than_the_models_own_decisions():
    """With all thresholds to choose from, fewer fits find a mixture that is as good."""
    own, swept = (
        ReductionClassifier(
            LogisticRegression(), EqualizedOdds(max_difference=0.02), threshold_columns=columns
        ).fit(X, Y, sensitive_features=GROUPS)
        for columns in (None, "train")
    )
    assert swept.cost_ <= own.cost_ + own.tol
    assert swept.gap_ <= swept.tol


def test_thresholds_need_scores():
    """A learner without scores has no thresholds: an error that says so."""
    clf = ReductionClassifier(
        Stump(), DemographicParity(max_difference=0.1), threshold_columns="train"
    )
    with pytest.raises(ValueError, match="needs an estimator with predict_proba or"):
        clf.fit(X[:50], Y[:50], sensitive_features=GROUPS[:50])


def test_out_of_fold_counting():
    """With no price on the rates the counted error is that of scikit-learn's cross-validation."""
    plain = LogisticRegression()
    clf = ReductionClassifier(
        plain, DemographicParity(max_difference=1.0), constraint_data="crossfit", cv=4
    ).fit(X, Y, sensitive_features=GROUPS)
    held_out = cross_val_predict(plain, X, Y, cv=4)
    assert clf.cost_ == pytest.approx((held_out != Y).mean(), abs=1e-12)
    assert clf.n_fits_ == clf.n_new_fits_ == 5
    np.testing.assert_array_equal(clf.predict(X), plain.fit(X, Y).predict(X))


def test_an_interpolating_learner_needs_out_of_fold_counting():
    """A fully grown tree keeps equalized odds on its own rows and not on others'."""
    tree = DecisionTreeClassifier(random_state=0)
    (X, y, groups), (X_new, y_new, groups_new) = (
        make_group_classification(
            n_rows, base_rates=(0.6, 0.3), class_sep=(2.0, 0.7), random_state=n_rows
        )
        for n_rows in (2000, 20_000)
    )

    def held_out_gap(**options):
        clf = ReductionClassifier(tree, EqualizedOdds(max_difference=0.02), **options)
        clf.fit(X, y, sensitive_features=groups)
        assert clf.disparity_ <= 0.02 + 1e-9
        decided = clf.decision_probability(X_new)
        return disparity(clf.constraint, y_new, decided, sensitive_features=groups_new)

    assert held_out_gap() > 0.1
    assert held_out_gap(constraint_data="crossfit") < 0.06


def test_side_by_side_fits_agree_within_the_gaps():
    """Around an exact learner several prices at once lead to the same optimum."""
    few = slice(0, 150)
    one, two = (
        ReductionClassifier(Stump(), EqualizedOdds(max_difference=0.05), n_jobs=n_jobs).fit(
            X[few], Y[few], sensitive_features=GROUPS[few]
        )
        for n_jobs in (None, 2)
    )
    assert two.gap_ <= two.tol
    assert two.disparity_ <= 0.05 + 1e-9
    assert abs(one.cost_ - two.cost_) <= one.gap_ + two.gap_ + 1e-9


def test_folds_are_fitted_side_by_side():
    """Folds in parallel are the folds one after the other, where one price is asked at."""
    options = {"threshold_columns": "crossfit", "constraint_data": "crossfit", "cv": 3}
    one, two = (
        ReductionClassifier(
            LogisticRegression(), DemographicParity(max_difference=1.0), n_jobs=n_jobs, **options
        ).fit(X, Y, sensitive_features=GROUPS)
        for n_jobs in (None, 2)
    )
    assert one.n_fits_ == two.n_fits_ == 4
    assert one.cost_ == two.cost_


def test_exponentiated_gradient_agrees_with_column_generation():
    """Two roads to one optimum, each within its gap, around an exact learner."""
    few = slice(0, 150)
    by = {
        solver: ReductionClassifier(
            Stump(), EqualizedOdds(max_difference=0.05), solver=solver, tol=1e-4, max_fits=300
        ).fit(X[few], Y[few], sensitive_features=GROUPS[few])
        for solver in ("column_generation", "exponentiated_gradient")
    }
    column, gradient = by.values()
    assert gradient.gap_ <= 1e-4
    assert gradient.disparity_ <= 0.05 + 1e-9
    assert abs(column.cost_ - gradient.cost_) <= column.gap_ + gradient.gap_ + 1e-9


def test_averages_of_exponentiated_gradient():
    """Without the programme the published average is returned, with its own guarantee."""
    few = slice(0, 150)
    options = {"solver": "exponentiated_gradient", "lp_step": False, "max_multiplier": 10.0}
    clf = ReductionClassifier(
        Stump(), DemographicParity(max_difference=0.05), tol=0.35, max_fits=600, **options
    ).fit(X[few], Y[few], sensitive_features=GROUPS[few])
    best = ReductionClassifier(Stump(), DemographicParity(max_difference=0.05), tol=1e-6)
    best.fit(X[few], Y[few], sensitive_features=GROUPS[few])
    assert clf.weights_.sum() == pytest.approx(1.0)
    assert 0 <= clf.gap_ <= 0.35
    assert clf.cost_ <= best.cost_ + 2 * clf.gap_
    assert clf.disparity_ <= 0.05 + (1 + 2 * clf.gap_) / 10
    # The guarantee is loose here; the prices bring groups together all the same.
    assert clf.disparity_ < 0.5 * best.at(max_difference=1.0).disparity_


def test_curve_tells_the_mixture_at_every_breakpoint(fitted):
    """Weights of the models at each breakpoint cost what the curve says, within the knob."""
    curve = fitted.frontier_
    assert curve.weights.shape == (len(curve), len(curve.estimators))
    np.testing.assert_allclose(curve.weights.sum(axis=1), 1.0)
    accepted = np.column_stack(
        [np.full(len(X), m) if isinstance(m, bool) else m.predict(X) for m in curve.estimators]
    )
    for knob, cost, weight in zip(curve.knob, curve.cost, curve.weights, strict=True):
        decided = accepted @ weight
        assert np.where(Y == 1, 1 - decided, decided).mean() == pytest.approx(cost, abs=1e-8)
        gap = disparity(fitted.constraint, Y, decided, sensitive_features=GROUPS)
        assert gap <= knob + 1e-8


def test_another_knob_tells_its_fits():
    """`at` says how many fits it added: none where the band is narrow."""
    clf = ReductionClassifier(LogisticRegression(), DemographicParity(max_difference=0.1))
    clf.fit(X, Y, sensitive_features=GROUPS)
    assert clf.n_new_fits_ == clf.n_fits_ > 0
    assert clf.at(max_difference=0.1).n_new_fits_ == 0
    before = clf.n_fits_
    tight = clf.at(max_difference=0.0)
    assert tight.n_new_fits_ == clf.n_fits_ - before


def test_single_model_at_its_best_threshold():
    """One model may be any fitted model at any threshold; brute force over all of them agrees."""
    clf = ReductionClassifier(
        LogisticRegression(),
        DemographicParity(max_difference=0.05),
        threshold_columns="train",
        randomized=False,
    ).fit(X, Y, sensitive_features=GROUPS)
    best = np.inf
    for columns in clf._pool.columns:
        score = columns.model.predict_proba(X)[:, 1]
        for threshold in columns.threshold:
            decided = (score >= threshold).astype(int)
            if disparity(clf.constraint, Y, decided, sensitive_features=GROUPS) <= 0.05 + 1e-9:
                best = min(best, (decided != Y).mean())
    assert clf.cost_ == pytest.approx(best, abs=1e-12)
    assert (clf.predict(X) != Y).mean() == pytest.approx(best, abs=1e-12)


def test_hashed_decisions_on_adult_keep_rates_and_majority_votes_do_not():
    """Every cell's realised rate is within chance of the expected one; majority rates are not.

    Given the models, distinct rows are decided independently, and equal rows alike: a row that
    occurs k times in a cell adds k^2 p (1 - p) to the variance of the number accepted.
    """
    rows, label = load_adult(subset="train", return_X_y=True, as_frame=True)
    codes = rows.apply(lambda column: column.cat.codes if column.dtype == "category" else column)
    numbers, y = codes.to_numpy(dtype=float), (label == ">50K").to_numpy()
    women = (rows["sex"] == "Female").to_numpy()
    tree = DecisionTreeClassifier(max_depth=5, random_state=0)
    clf = ReductionClassifier(tree, EqualizedOdds(max_difference=0.01))
    clf.fit(numbers, y, sensitive_features=women)
    probability = clf.decision_probability(numbers)[:, 1]
    hashed, majority = clf.predict(numbers), probability > 0.5

    # NumPy 2.0 alone returns these as a column.
    person = np.unique(numbers, axis=0, return_inverse=True)[1].ravel()

    def deviations(decided):
        """Return each cell's deviation from the expected rate, in standard errors."""
        found = []
        for cell in (women & y, women & ~y, ~women & y, ~women & ~y):
            p = np.bincount(person, probability) / np.bincount(person)
            variance = (np.bincount(person[cell], minlength=len(p)) ** 2 * p * (1 - p)).sum()
            found.append((decided - probability)[cell].sum() / np.sqrt(variance))
        return found

    assert ((probability > 0) & (probability < 1)).mean() > 0.01
    assert np.abs(deviations(hashed)).max() < 4
    assert np.abs(deviations(majority)).max() > 8


# ---------------------------------------------------------------------------------------------
# Found by trying to break it


def small_fit(learner=None, rows=slice(0, 300), constraint=None, **options):
    fit_params = {k: options.pop(k) for k in ("sample_weight",) if k in options}
    clf = ReductionClassifier(
        learner or LogisticRegression(),
        constraint or DemographicParity(max_difference=0.03),
        **options,
    )
    return clf.fit(X[rows], Y[rows], sensitive_features=GROUPS[rows], **fit_params)


@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_a_tiny_tolerance_ends(scale):
    """Where rounding is larger than `tol` the search stops, and says which it was."""
    with pytest.warns(ConvergenceWarning, match=r"rounding leaves a gap|max_fits=100 reached"):
        small_fit(
            threshold_columns="train",
            tol=1e-300,
            costs={"fp": scale, "fn": scale},
            constraint=EqualizedOdds(max_difference=0.01),
        )


def test_folds_may_be_masks_or_count_from_the_end():
    """However the rows of a fold are named, and with weightless rows among them."""
    first = np.arange(300) < 140
    weight = np.random.default_rng(0).integers(0, 3, 300).astype(float)
    a, b = np.flatnonzero(first), np.flatnonzero(~first)
    costs = [
        small_fit(constraint_data="crossfit", cv=cv, sample_weight=weight).cost_
        for cv in ([(a, b), (b, a)], [(first, ~first), (~first, first)], [(a, b - 300), (b, a)])
    ]
    assert costs[0] == costs[1] == costs[2]


def test_weightless_folds():
    """A fold of weightless rows is left out; nothing to train on is an error that says so."""
    half = [(np.arange(150), np.arange(150, 300)), (np.arange(150, 300), np.arange(150))]
    weight = np.ones(300)
    weight[150:] = 0.0
    with pytest.raises(ValueError, match="training fold needs rows with sample_weight above 0"):
        small_fit(constraint_data="crossfit", cv=half, sample_weight=weight)


def test_a_fold_with_one_label_decides_alike():
    """Where a fold's training rows have one label, it decides so, and the model is kept."""
    weight = np.ones(300)
    weight[:150][Y[:150] == 1] = 0.0
    half = [(np.arange(150), np.arange(150, 300)), (np.arange(150, 300), np.arange(150))]
    for columns in (None, "crossfit"):
        clf = small_fit(
            constraint=DemographicParity(max_difference=1.0),
            constraint_data="crossfit",
            threshold_columns=columns,
            cv=half,
            sample_weight=weight,
        )
        # Both halves and all rows, but for the half whose positives weigh nothing.
        assert clf.n_fits_ == 2
        rejected = (Y[150:300] == 1).sum()
        kept = [h for h in clf._pool.hypotheses if not isinstance(h.model, bool)]
        assert min(h.cost for h in kept) * weight.sum() >= rejected


@pytest.mark.parametrize(
    "change",
    [{"constraint_data": "crossfit"}, {"weight_rates": False}, {"costs": {"fp": 2.0, "fn": 1.0}}],
)
def test_what_the_fit_rests_on_cannot_change_at_another_knob(change):
    """A parameter that `at` cannot honour is an error, not a wrong number."""
    clf = small_fit().set_params(**change)
    with pytest.raises(ValueError, match=f"another value of {next(iter(change))}. Call fit again"):
        clf.at(max_difference=0.1)
    with pytest.raises(ValueError, match="'tol' parameter"):
        small_fit().set_params(tol=-1.0).at(max_difference=0.1)


def test_parameters_of_the_learner_cannot_change_at_another_knob():
    """Models of one pool are of one learner."""
    clf = ReductionClassifier(
        DecisionTreeClassifier(max_depth=2), DemographicParity(max_difference=0.2)
    )
    clf.fit(X, Y, sensitive_features=GROUPS).set_params(estimator__max_depth=12)
    with pytest.raises(ValueError, match=r"another value of estimator__max_depth\. Call"):
        clf.at(max_difference=0.05)
    clf.set_params(estimator__max_depth=2)
    other = clf.at(max_difference=0.05).set_params(estimator__max_depth=12)
    with pytest.raises(ValueError, match="estimator__max_depth"):
        other.at(max_difference=0.1)


class SingleScores(LinearSVC):
    """Scores in single precision, so dense that midpoints do not fit between them."""

    def decision_function(self, X):
        """Return the scores far from zero."""
        return (3 * super().decision_function(X)).astype(np.float32) + np.float32(8192)


def test_scores_of_low_precision_are_cut_where_they_were_counted():
    """A threshold between two neighbouring single-precision scores stays between them."""
    clf = small_fit(SingleScores(), slice(None), threshold_columns="train")
    decided = clf.decision_probability(X)[:, 1]
    assert np.where(Y == 1, 1 - decided, decided).mean() == pytest.approx(clf.cost_, abs=1e-9)


def test_the_lower_bound_holds_between_breakpoints():
    """Both curves are straight between their listed knobs: `at` any other agrees with them."""
    clf = small_fit(constraint=EqualizedOdds(max_difference=0.02))
    curve = clf.frontier_
    for knob in np.linspace(0.001, 0.3, 23):
        moments = clf.constraint._moments_of_mass(clf._mass)._replace(bound=np.full(2, knob))
        bound = min(lower_bounds(clf._pool, moments).max(), curve(knob))
        assert np.interp(knob, curve.knob, curve.lower_bound) == pytest.approx(bound, abs=1e-9)
    clf.at(max_difference=0.2)
    assert clf.frontier_(0.2) == pytest.approx(clf.at(max_difference=0.2).cost_, abs=1e-9)


def test_rows_without_weight_count_in_unweighted_rates():
    """With ``weight_rates=False`` a weight of zero says that errors there cost nothing."""
    weight = np.random.default_rng(1).integers(0, 2, len(Y)).astype(float)
    clf = small_fit(rows=slice(None), weight_rates=False, sample_weight=weight)
    decided = clf.decision_probability(X)
    found = disparity(clf.constraint, Y, decided, sensitive_features=GROUPS)
    assert found == pytest.approx(clf.disparity_, abs=1e-9)
    assert found <= 0.03 + 1e-9


def test_only_the_problem_is_sent_to_other_processes():
    """Splitters and callables that cannot be pickled stay here."""
    lock = threading.Lock()
    clf = ReductionClassifier(
        LogisticRegression(),
        DemographicParity(max_difference=0.05),
        sensitive_columns=lambda rows: (lock.locked(), rows[:, 0] > 0)[1],
        constraint_data="crossfit",
        cv=(fold for fold in KFold(2).split(X[:200])),
        n_jobs=2,
        max_fits=3,
        tol=0.1,
    )
    assert clf.fit(X[:200], Y[:200]).n_fits_ >= 3


def test_one_model_tells_its_price():
    """What a single model costs beyond the mixture is reported."""
    tree = DecisionTreeClassifier(max_depth=3, random_state=0)
    single = small_fit(tree, constraint=DemographicParity(max_difference=0.2), randomized=False)
    mixed = small_fit(tree, constraint=DemographicParity(max_difference=0.2))
    assert mixed.single_price_ == 0
    assert single.single_price_ == pytest.approx(single.cost_ - mixed.cost_, abs=1e-12)
