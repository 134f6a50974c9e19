"""Tests of the bundled data sets against their published figures, and of the generator."""

import functools
import sys
from importlib.resources import files

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from fairlearnkit.datasets import load_adult, load_german_credit, make_group_classification

ADULT_FEATURES = [
    "age",
    "workclass",
    "education",
    "education-num",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital-gain",
    "capital-loss",
    "hours-per-week",
    "native-country",
]
ADULT_MISSING = {"workclass": 2799, "occupation": 2809, "native-country": 857}


@functools.cache
def read_once(load, **arguments):
    """Return what the loader returns; tests only look at it."""
    return load(**arguments)


both_loaders = pytest.mark.parametrize("load", [load_adult, load_german_credit])


@both_loaders
def test_bunch_has_the_entries_of_a_scikit_learn_loader(load):
    bunch = read_once(load)
    n_samples, n_features = bunch.data.shape

    assert bunch.data.dtype == np.float64
    assert bunch.target.shape == bunch.sensitive_features.shape == (n_samples,)
    assert len(bunch.feature_names) == n_features
    assert bunch.frame is None
    np.testing.assert_array_equal(np.unique(bunch.target), bunch.target_names)
    assert set(bunch.categories) < set(bunch.feature_names)
    assert (files(bunch.data_module) / bunch.filename).is_file()


@both_loaders
def test_frame_and_array_say_the_same(load):
    pytest.importorskip("pandas")
    array, frame = read_once(load), read_once(load, as_frame=True)

    assert list(frame.data.columns) == array.feature_names
    for name, values in zip(array.feature_names, array.data.T, strict=True):
        column = frame.data[name]
        if name in array.categories:
            assert tuple(column.cat.categories) == array.categories[name]
            np.testing.assert_array_equal(column.cat.codes, np.nan_to_num(values, nan=-1))
        else:
            assert column.dtype == np.int64
            np.testing.assert_array_equal(column, values)
    for entry in {"target", "sensitive_features", "sample_weight", "split"} & set(array):
        np.testing.assert_array_equal(frame[entry], array[entry])


@both_loaders
def test_frame_holds_features_and_target(load):
    pytest.importorskip("pandas")
    bunch = read_once(load, as_frame=True)
    assert list(bunch.frame.columns) == [*bunch.feature_names, bunch.target.name]
    assert bunch.frame.drop(columns=bunch.target.name).equals(bunch.data)
    assert bunch.frame[bunch.target.name].equals(bunch.target)


@both_loaders
@pytest.mark.parametrize("as_frame", [False, True])
def test_return_X_y_gives_data_and_target(load, as_frame):
    if as_frame:
        pytest.importorskip("pandas")
    X, y = read_once(load, return_X_y=True, as_frame=as_frame)
    bunch = read_once(load, as_frame=as_frame)
    np.testing.assert_array_equal(np.asarray(y), np.asarray(bunch.target))
    assert type(X) is type(bunch.data)
    assert X.shape == bunch.data.shape


@both_loaders
def test_gradient_boosting_fits_the_frame_as_it_comes(load):
    pytest.importorskip("pandas")
    X, y = read_once(load, return_X_y=True, as_frame=True)
    model = HistGradientBoostingClassifier(max_iter=5).fit(X, y)

    categorical = [dtype == "category" for dtype in X.dtypes]
    np.testing.assert_array_equal(model.is_categorical_, categorical)
    assert model.score(X, y) > y.value_counts(normalize=True).max()


@both_loaders
def test_gradient_boosting_fits_the_array(load):
    X, y = read_once(load, return_X_y=True)
    model = HistGradientBoostingClassifier(max_iter=5).fit(X, y)
    assert model.score(X, y) > np.unique(y, return_counts=True)[1].max() / len(y)


@both_loaders
def test_arrays_do_not_need_pandas(load, monkeypatch):
    expected = read_once(load)
    monkeypatch.setitem(sys.modules, "pandas", None)
    bunch = load()
    np.testing.assert_array_equal(bunch.data, expected.data)
    np.testing.assert_array_equal(bunch.target, expected.target)


@both_loaders
def test_frames_without_pandas_say_what_to_install(load, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"as_frame=True needs pandas.*pip install pandas"):
        load(as_frame=True)


@pytest.mark.parametrize(
    ("load", "author", "doi"),
    [
        (load_adult, "Becker", "https://doi.org/10.24432/C5XW20"),
        (load_german_credit, "Hofmann", "https://doi.org/10.24432/C5NC77"),
    ],
)
def test_attribution_goes_with_the_data(load, author, doi):
    licence = (files("fairlearnkit") / "data" / "LICENSE.txt").read_text(encoding="utf-8")
    for text in (load.__doc__, read_once(load).DESCR, licence):
        for part in (author, doi, "https://creativecommons.org/licenses/by/4.0/", "Changes"):
            assert part in text


def test_data_files_are_small():
    paths = [path for path in (files("fairlearnkit") / "data").iterdir() if path.is_file()]
    sizes = {path.name: len(path.read_bytes()) for path in paths}
    assert {"adult.csv.gz", "german_credit.csv.gz", "LICENSE.txt"} <= set(sizes)
    assert max(sizes.values()) < 700_000


def test_adult_has_the_published_rows_and_columns():
    adult = read_once(load_adult)
    assert adult.data.shape == (48842, 13)
    assert adult.feature_names == ADULT_FEATURES
    assert np.sum(adult.split == "train") == 32561
    assert np.sum(adult.split == "test") == 16281


def test_adult_first_row_is_the_published_one():
    # 39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White,
    # Male, 2174, 0, 40, United-States, <=50K
    adult = read_once(load_adult)
    row = {
        name: adult.categories[name][int(value)] if name in adult.categories else value
        for name, value in zip(adult.feature_names, adult.data[0], strict=True)
    }
    assert row == {
        "age": 39,
        "workclass": "State-gov",
        "education": "Bachelors",
        "education-num": 13,
        "marital-status": "Never-married",
        "occupation": "Adm-clerical",
        "relationship": "Not-in-family",
        "race": "White",
        "sex": "Male",
        "capital-gain": 2174,
        "capital-loss": 0,
        "hours-per-week": 40,
        "native-country": "United-States",
    }
    assert (adult.target[0], adult.sample_weight[0], adult.split[0]) == ("<=50K", 77516, "train")


def test_adult_classes_and_groups_have_the_published_balance():
    adult = read_once(load_adult)
    positive = adult.target == ">50K"
    men, women = adult.sensitive_features == "Male", adult.sensitive_features == "Female"

    assert positive.sum() == 11687
    assert positive.mean() == pytest.approx(0.239, abs=5e-4)
    assert (men.sum(), women.sum()) == (32650, 16192)
    assert positive[men].mean() == pytest.approx(0.304, abs=5e-4)
    assert positive[women].mean() == pytest.approx(0.109, abs=5e-4)
    # adult.names: 24.08 % of the training rows are positive.
    assert positive[adult.split == "train"].mean() == pytest.approx(0.2408, abs=5e-5)


def test_adult_has_the_published_missing_values():
    adult = read_once(load_adult)
    missing = np.isnan(adult.data).sum(axis=0)
    counts = dict(zip(adult.feature_names, missing, strict=True))
    assert {name: count for name, count in counts.items() if count} == ADULT_MISSING
    # adult.names: 45,222 rows have no unknown value.
    assert np.sum(~np.isnan(adult.data).any(axis=1)) == 45222


def test_adult_frame_has_real_missing_values():
    pytest.importorskip("pandas")
    X, _ = read_once(load_adult, return_X_y=True, as_frame=True)
    counts = X.isna().sum()
    assert counts[counts > 0].to_dict() == ADULT_MISSING
    assert not any("?" in X[name].cat.categories for name in ADULT_MISSING)


def test_adult_education_repeats_education_num():
    adult = read_once(load_adult)
    education = adult.data[:, ADULT_FEATURES.index("education")]
    np.testing.assert_array_equal(
        education + 1, adult.data[:, ADULT_FEATURES.index("education-num")]
    )
    assert adult.categories["education"][0] == "Preschool"
    assert adult.categories["education"][-1] == "Doctorate"


def test_adult_sampling_weight_is_apart():
    adult = read_once(load_adult)
    assert "fnlwgt" not in adult.feature_names
    assert adult.sample_weight.shape == (48842,)
    assert adult.sample_weight.min() == 12285
    assert adult.sample_weight.max() == 1490400


@pytest.mark.parametrize(("subset", "n_samples"), [("train", 32561), ("test", 16281)])
def test_adult_subset_is_a_part_of_all(subset, n_samples):
    everything, part = read_once(load_adult), read_once(load_adult, subset=subset)
    rows = everything.split == subset

    assert part.data.shape == (n_samples, 13)
    assert part.categories == everything.categories
    for entry in ("data", "target", "sensitive_features", "sample_weight", "split"):
        np.testing.assert_array_equal(part[entry], everything[entry][rows])


def test_adult_subset_frame_counts_its_rows_from_zero():
    pytest.importorskip("pandas")
    part = read_once(load_adult, subset="test", as_frame=True)
    np.testing.assert_array_equal(part.frame.index, np.arange(16281))
    assert part.target.index.equals(part.data.index)
    assert part.sample_weight.index.equals(part.data.index)


def test_adult_unknown_subset_is_an_error():
    with pytest.raises(ValueError, match="subset must be 'all', 'train' or 'test', got 'valid'"):
        load_adult(subset="valid")


def test_german_credit_has_the_published_figures():
    german = read_once(load_german_credit)
    young = german.sensitive_features == "25 or younger"
    good = german.target == "good"

    assert german.data.shape == (1000, 20)
    assert not np.isnan(german.data).any()
    assert (good.sum(), np.sum(german.target == "bad")) == (700, 300)
    assert (young.sum(), np.sum(german.sensitive_features == "over 25")) == (190, 810)
    assert good[young].mean() == pytest.approx(0.579, abs=5e-4)
    assert good[~young].mean() == pytest.approx(0.728, abs=5e-4)


def test_german_credit_groups_are_those_of_the_column_age():
    pytest.importorskip("pandas")
    german = read_once(load_german_credit, as_frame=True)
    np.testing.assert_array_equal(
        german.data["age"] <= 25, german.sensitive_features == "25 or younger"
    )


def test_german_credit_keeps_the_published_code_and_no_column_of_sex():
    german = read_once(load_german_credit)
    assert "sex" not in german.feature_names
    assert german.categories["personal_status_sex"] == ("A91", "A92", "A93", "A94")
    codes = german.data[:, german.feature_names.index("personal_status_sex")]
    np.testing.assert_array_equal(np.bincount(codes.astype(int)), [50, 310, 548, 92])


def test_german_credit_codes_are_in_the_order_of_their_numbers():
    purposes = read_once(load_german_credit).categories["purpose"]
    assert purposes[:2] == ("A40", "A41")
    assert purposes[-2:] == ("A49", "A410")


# Shares of n draws differ from their expectation by more than 5 standard errors less than once
# in a million seeds.
N_SAMPLES = 200_000


def assert_share(sample, expected):
    standard_error = np.sqrt(expected * (1 - expected) / len(sample))
    assert abs(np.mean(sample) - expected) <= 5 * standard_error


def informative_score(X, n_informative):
    return X[:, :n_informative].sum(axis=1) / np.sqrt(n_informative)


def test_generator_returns_features_labels_and_groups():
    X, y, groups = make_group_classification(50, n_features=4, random_state=0)
    assert X.shape == (50, 4)
    assert y.shape == groups.shape == (50,)
    assert X.dtype == np.float64
    assert y.dtype == groups.dtype == np.int64
    assert set(y) == set(groups) == {0, 1}


def test_generator_default_has_1000_samples_of_two_equal_groups():
    X, _, groups = make_group_classification(random_state=0)
    assert X.shape == (1000, 5)
    assert_share(groups == 1, 0.5)


def test_generator_repeats_itself_for_an_int_seed():
    for first, second, other in zip(
        make_group_classification(random_state=3),
        make_group_classification(random_state=3),
        make_group_classification(random_state=4),
        strict=True,
    ):
        np.testing.assert_array_equal(first, second)
        assert not np.array_equal(first, other)


@pytest.mark.parametrize("label_noise", [0.0, 0.1, (0.0, 0.2, 0.05)])
def test_base_rates_and_shares_are_those_of_the_output(label_noise):
    base_rates, shares = (0.5, 0.3, 0.9), (0.7, 0.2, 0.1)
    _, y, groups = make_group_classification(
        N_SAMPLES,
        base_rates=base_rates,
        group_shares=shares,
        label_noise=label_noise,
        random_state=0,
    )
    for group, (rate, share) in enumerate(zip(base_rates, shares, strict=True)):
        assert_share(groups == group, share)
        assert_share(y[groups == group], rate)


def test_label_noise_is_the_share_of_flipped_labels():
    # At a distance of 20 standard deviations the sign of the score is the clean label. Noise
    # flips both labels alike: P(y = 0 | clean 1) = P(y = 1 | clean 0) = noise.
    noise = (0.05, 0.2)
    X, y, groups = make_group_classification(
        N_SAMPLES, class_sep=20, label_noise=noise, random_state=0
    )
    clean = informative_score(X, 2) > 0
    for group in (0, 1):
        for label in (False, True):
            rows = (groups == group) & (clean == label)
            assert_share(y[rows] != label, noise[group])


@pytest.mark.parametrize("n_informative", [1, 2, 5])
def test_class_separation_sets_the_area_under_the_curve_in_each_group(n_informative):
    class_sep = (2.0, 0.5)
    X, y, groups = make_group_classification(
        N_SAMPLES,
        n_features=6,
        n_informative=n_informative,
        class_sep=class_sep,
        group_sep=1.0,
        random_state=0,
    )
    score = informative_score(X, n_informative)
    for group, sep in enumerate(class_sep):
        rows = groups == group
        # The standard error of an area from 20,000 or more of each label is below 0.003.
        auc = roc_auc_score(y[rows], score[rows])
        assert auc == pytest.approx(norm.cdf(sep / np.sqrt(2)), abs=0.012)


def test_class_separation_of_zero_leaves_nothing_to_learn():
    X, y, _ = make_group_classification(
        N_SAMPLES, base_rates=(0.5, 0.5), class_sep=0, random_state=0
    )
    auc = roc_auc_score(y, informative_score(X, 2))
    assert auc == pytest.approx(0.5, abs=0.01)


def test_documented_probability_is_calibrated():
    base_rates, sep, noise = np.array([0.6, 0.3]), np.array([1.5, 0.8]), np.array([0.1, 0.05])
    X, y, groups = make_group_classification(
        N_SAMPLES, base_rates=base_rates, class_sep=sep, label_noise=noise, random_state=0
    )
    clean = (base_rates - noise) / (1 - 2 * noise)
    log_odds = sep[groups] * informative_score(X, 2) + np.log(clean / (1 - clean))[groups]
    proba = noise[groups] + (1 - 2 * noise[groups]) / (1 + np.exp(-log_odds))

    # In every tenth of the scores the labels are as frequent as stated.
    tenth = np.searchsorted(np.quantile(proba, np.arange(0.1, 1, 0.1)), proba)
    for group in (0, 1):
        for part in range(10):
            rows = (groups == group) & (tenth == part)
            if rows.sum() > 1000:
                assert_share(y[rows], proba[rows].mean())


def test_features_do_not_tell_the_group_unless_asked():
    # Equal base rates, or the informative features would tell about the group by the label.
    rates = (0.4, 0.4)
    X, _, groups = make_group_classification(N_SAMPLES, base_rates=rates, random_state=0)
    assert LogisticRegression().fit(X, groups).score(X, groups) < 0.51

    X, _, groups = make_group_classification(
        N_SAMPLES, base_rates=rates, group_sep=3.0, random_state=0
    )
    # Two normal distributions, 3 standard deviations apart, cut half way.
    assert_share((X[:, -1] > 1.5) == groups, norm.cdf(1.5))


def test_group_separation_is_between_successive_groups():
    X, _, groups = make_group_classification(
        N_SAMPLES, base_rates=(0.5, 0.4, 0.3), group_sep=2.0, random_state=0
    )
    means = [X[groups == group].mean(axis=0) for group in range(3)]
    np.testing.assert_allclose([mean[-1] for mean in means], [0, 2, 4], atol=0.03)
    np.testing.assert_allclose([mean[-2] for mean in means], 0, atol=0.03)


def test_base_rates_of_zero_and_one_are_kept():
    _, y, groups = make_group_classification(base_rates=(0, 1), random_state=0)
    np.testing.assert_array_equal(y, groups)


def test_noise_may_be_all_there_is_of_the_rarer_label():
    # 1 - 0.9 < 0.1 in floating point.
    X, y, _ = make_group_classification(
        N_SAMPLES, base_rates=(0.9, 0.1), label_noise=0.1, class_sep=20, random_state=0
    )
    assert_share(y, 0.5)
    assert np.isfinite(X).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_samples": 0}, "n_samples must be an integer of at least 1, got 0"),
        ({"n_samples": 10.0}, r"n_samples must be an integer of at least 1, got 10\.0"),
        ({"n_features": 0}, "n_features must be an integer of at least 1, got 0"),
        ({"n_informative": 0}, "n_informative must be an integer of at least 1, got 0"),
        ({"n_informative": 6}, "n_informative must be at most n_features=5, got 6"),
        ({"base_rates": 0.5}, r"base_rates must be a sequence .* got 0\.5"),
        ({"base_rates": ()}, "base_rates must be a sequence"),
        ({"base_rates": (0.5, 1.2)}, r"base_rates .* in \[0, 1\] .* got \(0\.5, 1\.2\)"),
        ({"base_rates": (0.5, np.nan)}, "base_rates"),
        ({"group_shares": (1.0,)}, r"group_shares .* each of the 2 base_rates.* got \(1\.0,\)"),
        ({"group_shares": (0.5, 0.4)}, r"group_shares must be positive and sum to 1, got \(0\.5"),
        ({"group_shares": (0.0, 1.0)}, "group_shares must be positive and sum to 1"),
        ({"class_sep": -1}, "class_sep must be finite and at least 0, got -1"),
        ({"class_sep": (1, 2, 3)}, r"class_sep must be one number .* 2 base_rates, got \(1, 2, 3"),
        ({"label_noise": 0.5}, r"label_noise must be in \[0, 0\.5\), got 0\.5"),
        ({"label_noise": -0.1}, r"label_noise must be in \[0, 0\.5\), got -0\.1"),
        ({"label_noise": (0.1, 0.4)}, r"got 0\.4 with base rate 0\.3 in group 1; lower the noise"),
        ({"label_noise": (0.1,)}, "label_noise must be one number"),
        ({"group_sep": -1}, "group_sep must be a finite number of at least 0, got -1"),
        ({"group_sep": 1.0, "n_informative": 5}, "group_sep moves the last feature"),
    ],
)
def test_wrong_arguments_are_named_with_the_value_received(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_group_classification(**arguments)
