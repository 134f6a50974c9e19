"""Data for examples and tests: two real data sets, bundled, and a generator.

Each real data set has a known story about groups; the generator has stated quantities, so that a
method can be compared with what is true. The files and their licences are in ``data/``.
"""

import csv
import gzip
from importlib.resources import files
from numbers import Integral
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Bunch, check_random_state

__all__ = ["load_adult", "load_german_credit", "make_group_classification"]

_MISSING = "?"

_ADULT_NUMERIC = ("age", "education-num", "capital-gain", "capital-loss", "hours-per-week")

_GERMAN_NUMERIC = (
    "duration",
    "credit_amount",
    "installment_rate",
    "residence_since",
    "age",
    "existing_credits",
    "num_liable",
)


@overload
def load_adult(  # numpydoc ignore=GL08
    *,
    subset: Literal["all", "train", "test"] = ...,
    return_X_y: Literal[False] = ...,
    as_frame: bool = ...,
) -> Bunch: ...
@overload
def load_adult(  # numpydoc ignore=GL08
    *,
    subset: Literal["all", "train", "test"] = ...,
    return_X_y: Literal[True],
    as_frame: bool = ...,
) -> tuple[Any, Any]: ...
def load_adult(
    *,
    subset: Literal["all", "train", "test"] = "all",
    return_X_y: bool = False,
    as_frame: bool = False,
) -> Bunch | tuple[Any, Any]:
    """Load the Adult (census income) data set: who earns more than 50,000 dollars a year.

    48,842 respondents of the 1994 Current Population Survey of the United States, 23.9 % of
    whom earn more than 50K: 30.4 % of the 32,650 men and 10.9 % of the 16,192 women.

    Parameters
    ----------
    subset : {"all", "train", "test"}, default="all"
        Which rows of the published split: 32,561 for training, 16,281 for testing, or both,
        training rows first.
    return_X_y : bool, default=False
        Return ``(data, target)`` in place of a `Bunch`.
    as_frame : bool, default=False
        Return pandas objects: numeric columns are integers, the others have category dtype with
        missing values, which ``HistGradientBoostingClassifier()`` fits as they come. The default
        gives arrays, with categories as codes, and does not need pandas.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the following attributes.

        data : {ndarray, DataFrame} of shape (n_samples, 13)
            The features under their published names, in their published order. In an array,
            a categorical feature is the position of its value in `categories`, and NaN is a
            missing value.
        target : {ndarray, Series} of shape (n_samples,)
            The strings ``"<=50K"`` and ``">50K"``.
        frame : DataFrame of shape (n_samples, 14) or None
            `data` and the target column ``"income"``; only with ``as_frame=True``.
        sensitive_features : {ndarray, Series} of shape (n_samples,)
            Sex, ``"Female"`` or ``"Male"``; it is a feature too, ``"sex"``.
        sample_weight : {ndarray, Series} of shape (n_samples,)
            The published column ``fnlwgt``: about how many people a row stands for.
        split : {ndarray, Series} of shape (n_samples,)
            The published split, ``"train"`` or ``"test"``.
        feature_names : list of 13 str
            Names of the features.
        target_names : ndarray of shape (2,)
            The two labels, in sorted order: ``">50K"`` is the positive one.
        categories : dict of str to tuple of str
            The categories of each categorical feature. They do not depend on `subset`. Those of
            ``"education"`` go from ``"Preschool"`` to ``"Doctorate"``, the others are sorted.
        DESCR : str
            Description of the data set, its columns, source and licence.
        filename : str
            Name of the data file.
        data_module : str
            Package that holds the data file.

    (data, target) : tuple if ``return_X_y=True``
        The first two of these.

    Raises
    ------
    ValueError
        If `subset` is not one of its three values.
    ImportError
        If ``as_frame=True`` and pandas is not installed.

    Notes
    -----
    ``fnlwgt`` is the weight of the survey, not a property of a person, so it is no feature. Most
    published results ignore it; give it as `sample_weight` to speak of the population.
    ``education`` and ``education-num`` hold the same information: both are kept, as published.
    Missing values, ``?`` in the published files, are found in ``workclass`` (2,799),
    ``occupation`` (2,809) and ``native-country`` (857).

    The data are shared by their authors under the Creative Commons Attribution 4.0 International
    licence (CC BY 4.0, https://creativecommons.org/licenses/by/4.0/) [1]_. Changes: the two
    published files are joined, with a column that tells them apart, and their spacing is
    normalised. Incomes are of 1994, and gaps depend on the threshold of 50,000 dollars: for
    conclusions about the present, see [2]_.

    References
    ----------
    .. [1] B. Becker and R. Kohavi, "Adult", UCI Machine Learning Repository, 1996.
       https://doi.org/10.24432/C5XW20
    .. [2] F. Ding, M. Hardt, J. Miller and L. Schmidt, "Retiring Adult: New Datasets for Fair
       Machine Learning", NeurIPS, 2021.

    Examples
    --------
    >>> from fairlearnkit.datasets import load_adult
    >>> X, y = load_adult(return_X_y=True, as_frame=True)
    >>> X.shape
    (48842, 13)
    >>> (y == ">50K").groupby(X["sex"], observed=True).mean().round(3).to_dict()
    {'Female': 0.109, 'Male': 0.304}
    """
    if subset not in ("all", "train", "test"):
        raise ValueError(f"subset must be 'all', 'train' or 'test', got {subset!r}.")

    columns = _read_columns("adult.csv.gz")
    feature_names = [name for name in columns if name not in ("fnlwgt", "income", "split")]
    categories = {
        name: tuple(sorted(set(columns[name]) - {_MISSING}))
        for name in feature_names
        if name not in _ADULT_NUMERIC
    }
    level = dict(zip(columns["education"], map(int, columns["education-num"]), strict=True))
    categories["education"] = tuple(sorted(level, key=level.__getitem__))

    split = np.array(columns["split"])
    rows = np.flatnonzero((split == subset) | (subset == "all"))
    bunch = Bunch(
        data=_to_array(columns, feature_names, categories)[rows],
        target=np.array(columns["income"])[rows],
        frame=None,
        sensitive_features=np.array(columns["sex"])[rows],
        sample_weight=np.array(columns["fnlwgt"], dtype=np.float64)[rows],
        split=split[rows],
        feature_names=feature_names,
        target_names=np.array(["<=50K", ">50K"]),
        categories=categories,
        DESCR=_read_text("adult.rst"),
        filename="adult.csv.gz",
        data_module="fairlearnkit.data",
    )
    if as_frame:
        _convert_to_pandas(
            bunch,
            target="income",
            sensitive_features="sex",
            sample_weight="fnlwgt",
            split="split",
        )
    return (bunch.data, bunch.target) if return_X_y else bunch


@overload
def load_german_credit(  # numpydoc ignore=GL08
    *, return_X_y: Literal[False] = ..., as_frame: bool = ...
) -> Bunch: ...
@overload
def load_german_credit(  # numpydoc ignore=GL08
    *, return_X_y: Literal[True], as_frame: bool = ...
) -> tuple[Any, Any]: ...
def load_german_credit(
    *, return_X_y: bool = False, as_frame: bool = False
) -> Bunch | tuple[Any, Any]:
    """Load the Statlog German credit data set: who is a good credit risk.

    1,000 credits of a German bank, 700 of them good risks: 57.9 % of the 190 applicants aged 25
    or younger and 72.8 % of the 810 older ones.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return ``(data, target)`` in place of a `Bunch`.
    as_frame : bool, default=False
        Return pandas objects: numeric columns are integers, the others have category dtype, which
        ``HistGradientBoostingClassifier()`` fits as they come. The default gives arrays, with
        categories as codes, and does not need pandas.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the following attributes.

        data : {ndarray, DataFrame} of shape (1000, 20)
            The features, in their published order, with the published codes (``"A11"``) as
            categories. In an array, a categorical feature is the position of its value in
            `categories`. There are no missing values.
        target : {ndarray, Series} of shape (1000,)
            The strings ``"good"`` and ``"bad"`` (published as 1 and 2).
        frame : DataFrame of shape (1000, 21) or None
            `data` and the target column ``"credit_risk"``; only with ``as_frame=True``.
        sensitive_features : {ndarray, Series} of shape (1000,)
            ``"25 or younger"`` or ``"over 25"``. Estimators that read groups from columns take
            the same groups with ``sensitive_columns=lambda X: X["age"] <= 25``.
        feature_names : list of 20 str
            Names of the features.
        target_names : ndarray of shape (2,)
            The two labels, in sorted order: ``"good"`` is the positive one.
        categories : dict of str to tuple of str
            The codes of each categorical feature, in the order of their numbers. `DESCR` lists
            their meanings.
        DESCR : str
            Description of the data set, its columns and codes, source and licence.
        filename : str
            Name of the data file.
        data_module : str
            Package that holds the data file.

    (data, target) : tuple if ``return_X_y=True``
        The first two of these.

    Raises
    ------
    ImportError
        If ``as_frame=True`` and pandas is not installed.

    Notes
    -----
    The sensitive attribute is age, at the limit of 25 years proposed in [2]_, and not sex. Much
    published work reads the code ``A92`` of ``personal_status_sex`` as "woman"; it also holds
    single men [3]_, so sex cannot be recovered. The code is kept as published, without a column
    of sex.

    The data come with costs: a bad risk taken for a good one costs 5, the reverse 1. With
    ``"good"`` as the positive label these are ``{"fp": 5, "fn": 1}``.

    The data are shared by their author under the Creative Commons Attribution 4.0 International
    licence (CC BY 4.0, https://creativecommons.org/licenses/by/4.0/) [1]_. Changes: columns have
    names, the target is written in words, and the groups by age are derived.

    References
    ----------
    .. [1] H. Hofmann, "Statlog (German Credit Data)", UCI Machine Learning Repository, 1994.
       https://doi.org/10.24432/C5NC77
    .. [2] F. Kamiran and T. Calders, "Classifying without discriminating", 2nd International
       Conference on Computer, Control and Communication, IEEE, 2009.
    .. [3] U. Grömping, "South German Credit Data: Correcting a Widely Used Data Set", Report
       4/2019, Reports in Mathematics, Physics and Chemistry, Department II, Beuth University of
       Applied Sciences Berlin, 2019.

    Examples
    --------
    >>> from fairlearnkit.datasets import load_german_credit
    >>> german = load_german_credit()
    >>> german.data.shape
    (1000, 20)
    >>> for group in ("25 or younger", "over 25"):
    ...     good = german.target[german.sensitive_features == group] == "good"
    ...     print(f"{group}: {good.mean():.3f} of {len(good)}")
    25 or younger: 0.579 of 190
    over 25: 0.728 of 810
    """
    columns = _read_columns("german_credit.csv.gz")
    feature_names = [name for name in columns if name != "credit_risk"]
    categories = {
        name: tuple(sorted(set(columns[name]), key=lambda code: int(code.removeprefix("A"))))
        for name in feature_names
        if name not in _GERMAN_NUMERIC
    }
    age = np.array(columns["age"], dtype=np.float64)

    bunch = Bunch(
        data=_to_array(columns, feature_names, categories),
        target=np.array(columns["credit_risk"]),
        frame=None,
        sensitive_features=np.where(age <= 25, "25 or younger", "over 25"),
        feature_names=feature_names,
        target_names=np.array(["bad", "good"]),
        categories=categories,
        DESCR=_read_text("german_credit.rst"),
        filename="german_credit.csv.gz",
        data_module="fairlearnkit.data",
    )
    if as_frame:
        _convert_to_pandas(bunch, target="credit_risk", sensitive_features="age_group")
    return (bunch.data, bunch.target) if return_X_y else bunch


def make_group_classification(
    n_samples: int = 1000,
    *,
    n_features: int = 5,
    n_informative: int = 2,
    base_rates: ArrayLike = (0.5, 0.3),
    group_shares: ArrayLike | None = None,
    class_sep: ArrayLike = 1.5,
    label_noise: ArrayLike = 0.0,
    group_sep: float = 0.0,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    r"""Generate a binary classification problem with stated base rates and noise per group.

    Each group has its own share, base rate, label noise and separation of the classes, and each
    of these holds exactly in distribution. So the rates that a method finds can be compared with
    the truth, and a group can be made small, mislabelled or hard to predict at will.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of samples, at least 1.
    n_features : int, default=5
        Number of features, at least 1.
    n_informative : int, default=2
        How many of the features, the first ones, tell the classes apart; in 1..`n_features`.
    base_rates : array-like of shape (n_groups,), default=(0.5, 0.3)
        Probability of the returned label 1 in each group, after noise, in [0, 1]. Its length is
        the number of groups.
    group_shares : array-like of shape (n_groups,), default=None
        Probability of each group, positive, summing to 1. ``None`` makes them equal.
    class_sep : float or array-like of shape (n_groups,), default=1.5
        Distance between the means of the two classes, before noise, in standard deviations, at
        least 0. It is the same whatever `n_informative`; at 0 the features say nothing about the
        label.
    label_noise : float or array-like of shape (n_groups,), default=0.0
        Probability that a label is flipped, whichever it is, in [0, 0.5). In each group at most
        ``min(base_rate, 1 - base_rate)``, or no labels before noise could give the base rate.
    group_sep : float, default=0.0
        Distance between the means of successive groups along the last feature, in standard
        deviations, at least 0. Above 0 the features tell about the group, as those of real data
        do, and the last one must not be informative.
    random_state : int, RandomState instance or None, default=None
        Determines the random draws. Give an int for the same output at every call.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The features. The group is not among them.
    y : ndarray of shape (n_samples,)
        The labels, 0 or 1.
    groups : ndarray of shape (n_samples,)
        The group of each sample, in ``0..n_groups - 1``: the `sensitive_features`.

    Raises
    ------
    ValueError
        If an argument is out of its range, or does not have one value for each group.

    See Also
    --------
    sklearn.datasets.make_classification : Classes made of clusters, without groups.

    Notes
    -----
    Samples are drawn independently. For group :math:`g` with base rate :math:`p_g`, noise
    :math:`\eta_g` and separation :math:`\delta_g`,

    1. the clean label :math:`c` is 1 with probability
       :math:`q_g = (p_g - \eta_g) / (1 - 2 \eta_g)`;
    2. the label :math:`y` is :math:`1 - c` with probability :math:`\eta_g`, else :math:`c`,
       so that

       .. math:: P(y = 1 \mid g) = q_g (1 - \eta_g) + (1 - q_g) \eta_g = p_g;

    3. the features are independent normal variables of variance 1, each of the :math:`k`
       informative ones with mean :math:`(c - 1/2) \delta_g / \sqrt{k}`, the others with
       mean 0; the last one is moved by ``group_sep`` times :math:`g`.

    The best score within a group is :math:`z`, the sum of the informative features over
    :math:`\sqrt{k}`. It is normal with variance 1 and means :math:`\pm \delta_g / 2`, so that
    its area under the ROC curve against the clean label is :math:`\Phi(\delta_g / \sqrt{2})`,
    and

    .. math::

        P(y = 1 \mid x, g) = \eta_g + (1 - 2 \eta_g) \,
        \sigma\bigl(\delta_g z + \log(q_g / (1 - q_g))\bigr)

    where :math:`\Phi` is the standard normal distribution function and :math:`\sigma` the
    logistic one.

    Examples
    --------
    A large group, and a small one that has fewer positives and is harder to predict:

    >>> from sklearn.metrics import roc_auc_score
    >>> from fairlearnkit.datasets import make_group_classification
    >>> X, y, groups = make_group_classification(
    ...     100_000,
    ...     base_rates=(0.5, 0.3),
    ...     group_shares=(0.8, 0.2),
    ...     class_sep=(2.0, 0.5),
    ...     random_state=1,
    ... )
    >>> score = X[:, :2].sum(axis=1)
    >>> for g in (0, 1):
    ...     rows = groups == g
    ...     auc = roc_auc_score(y[rows], score[rows])
    ...     print(f"group {g}: {y[rows].mean():.2f} positive, area under the curve {auc:.2f}")
    group 0: 0.50 positive, area under the curve 0.92
    group 1: 0.30 positive, area under the curve 0.64
    """
    for name, count in (
        ("n_samples", n_samples),
        ("n_features", n_features),
        ("n_informative", n_informative),
    ):
        if not isinstance(count, Integral) or count < 1:
            raise ValueError(f"{name} must be an integer of at least 1, got {count!r}.")
    if n_informative > n_features:
        raise ValueError(
            f"n_informative must be at most n_features={n_features}, got {n_informative!r}."
        )
    if not 0 <= group_sep < np.inf:
        raise ValueError(f"group_sep must be a finite number of at least 0, got {group_sep!r}.")
    if group_sep > 0 and n_informative == n_features:
        raise ValueError(
            "group_sep moves the last feature, which must not be informative: n_informative must "
            f"be below n_features={n_features}, got {n_informative!r}; add a feature."
        )
    rates, shares, sep, noise = _check_groups(base_rates, group_shares, class_sep, label_noise)
    rng = check_random_state(random_state)

    clean_rates = (rates - noise) / (1 - 2 * noise)
    groups = rng.choice(len(rates), size=n_samples, p=shares)
    clean = rng.random_sample(n_samples) < clean_rates[groups]
    flipped = rng.random_sample(n_samples) < noise[groups]
    y = clean ^ flipped

    X = rng.standard_normal((n_samples, n_features))
    X[:, :n_informative] += ((clean - 0.5) * sep[groups] / np.sqrt(n_informative))[:, np.newaxis]
    X[:, -1] += group_sep * groups
    return X, y.astype(np.int64), groups.astype(np.int64)


def _read_columns(filename: str) -> dict[str, tuple[str, ...]]:
    """Return the columns of a bundled file as strings, by name, in the order of the file."""
    with (
        (files("fairlearnkit") / "data" / filename).open("rb") as compressed,
        gzip.open(compressed, "rt", encoding="utf-8", newline="") as text,
    ):
        header, *rows = csv.reader(text)
    return dict(zip(header, zip(*rows, strict=True), strict=True))


def _read_text(filename: str) -> str:
    return (files("fairlearnkit") / "data" / filename).read_text(encoding="utf-8")


def _to_array(
    columns: dict[str, tuple[str, ...]],
    feature_names: list[str],
    categories: dict[str, tuple[str, ...]],
) -> NDArray[np.float64]:
    """Return the features as numbers: categories by position, missing values as NaN."""
    data = np.empty((len(columns[feature_names[0]]), len(feature_names)))
    for j, name in enumerate(feature_names):
        if name in categories:
            code = {category: float(i) for i, category in enumerate(categories[name])}
            code[_MISSING] = np.nan
            data[:, j] = [code[value] for value in columns[name]]
        else:
            data[:, j] = columns[name]
    return data


def _convert_to_pandas(bunch: Bunch, **series_names: str) -> None:
    """Turn `data` into a data frame and the named entries into series, and fill in `frame`."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            "as_frame=True needs pandas, which is not installed: run `pip install pandas`, or "
            "use as_frame=False to get arrays."
        ) from error

    features = {}
    for name, values in zip(bunch.feature_names, bunch.data.T, strict=True):
        if name in bunch.categories:
            codes = np.where(np.isnan(values), -1, values).astype(np.intp)
            features[name] = pd.Categorical.from_codes(codes, bunch.categories[name])
        else:
            features[name] = values.astype(np.int64)
    bunch.data = pd.DataFrame(features)
    for entry, name in series_names.items():
        bunch[entry] = pd.Series(bunch[entry], name=name)
    bunch.frame = bunch.data.assign(**{bunch.target.name: bunch.target})


def _check_groups(
    base_rates: ArrayLike,
    group_shares: ArrayLike | None,
    class_sep: ArrayLike,
    label_noise: ArrayLike,
) -> tuple[NDArray[np.float64], ...]:
    """Return base rates, shares, separations and noise as arrays of shape (n_groups,)."""
    rates = np.asarray(base_rates, dtype=np.float64)
    if rates.ndim != 1 or len(rates) == 0 or not np.all((rates >= 0) & (rates <= 1)):
        raise ValueError(
            "base_rates must be a sequence with one number in [0, 1] for each group, got "
            f"{base_rates!r}."
        )

    if group_shares is None:
        group_shares = np.full(len(rates), 1 / len(rates))
    shares = np.asarray(group_shares, dtype=np.float64)
    if shares.shape != rates.shape:
        raise ValueError(
            "group_shares must be a sequence with one number for each of the "
            f"{len(rates)} base_rates, or None for equal shares, got {group_shares!r}."
        )
    if not np.all(shares > 0) or not np.isclose(shares.sum(), 1):
        raise ValueError(
            f"group_shares must be positive and sum to 1, got {group_shares!r}; leave out empty "
            "groups and divide by the sum."
        )

    sep = _one_per_group("class_sep", class_sep, len(rates))
    if not np.all((sep >= 0) & (sep < np.inf)):
        raise ValueError(f"class_sep must be finite and at least 0, got {class_sep!r}.")

    noise = _one_per_group("label_noise", label_noise, len(rates))
    if not np.all((noise >= 0) & (noise < 0.5)):
        raise ValueError(
            f"label_noise must be in [0, 0.5), got {label_noise!r}; at 0.5 labels are pure chance."
        )
    # 1 - 0.9 is a little less than 0.1: a limit that is met exactly must not fail by rounding.
    too_noisy = noise > np.minimum(rates, 1 - rates) + 1e-12
    if too_noisy.any():
        group = np.argmax(too_noisy)
        raise ValueError(
            "label_noise must be at most min(base_rate, 1 - base_rate) in each group, got "
            f"{noise[group]:g} with base rate {rates[group]:g} in group {group}; lower the noise "
            "or move the base rate towards 0.5."
        )
    return rates, shares / shares.sum(), sep, noise


def _one_per_group(name: str, value: ArrayLike, n_groups: int) -> NDArray[np.float64]:
    values = np.asarray(value, dtype=np.float64)
    if values.shape not in ((), (n_groups,)):
        raise ValueError(
            f"{name} must be one number or a sequence with one number for each of the {n_groups} "
            f"base_rates, got {value!r}."
        )
    return np.broadcast_to(values, n_groups)
