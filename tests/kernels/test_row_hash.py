"""A number in [0, 1) for every row, from the row's values and a key alone."""

import numpy as np
import pytest
from helpers import reproducible
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from fairlearnkit._kernels.row_hash import hash_columns, hash_sparse, number_codes, text_code

N = 20_000


def hash_array(X, key=0):
    """Return the hash of the rows of a two-dimensional array."""
    X = np.asarray(X)
    return hash_columns((number_codes(column) for column in X.T), len(X), key)


def assert_uniform(number):
    """Assert that numbers are spread evenly over [0, 1), by their Kolmogorov-Smirnov distance.

    Independent uniform numbers are beyond this bound with probability 2 exp(-2 * 14) < 2e-12.
    """
    number = np.sort(number)
    assert number[0] >= 0
    assert number[-1] < 1
    place = np.arange(len(number) + 1) / len(number)
    distance = max((place[1:] - number).max(), (number - place[:-1]).max())
    assert distance <= np.sqrt(14 / len(number))


def assert_independent(one, other):
    """Assert that sum and difference, modulo 1, of two numbers per row are uniform too."""
    assert_uniform((one + other) % 1)
    assert_uniform((one - other) % 1)


def rows():
    """Return sets of distinct rows such as real tables hold."""
    rng = np.random.default_rng(0)
    count = np.arange(N)
    one_hot = np.zeros((N, 20))
    one_hot[:, :15] = (count[:, None] >> np.arange(15)) & 1
    return {
        "one column of small integers": count[:, None],
        "continuous": rng.normal(size=(N, 3)),
        "a column that varies among constants": np.column_stack([np.ones(N), count, np.zeros(N)]),
        "a grid": np.column_stack([count // 200, count % 200]),
        "equal columns": np.column_stack([count, count]),
        "columns that cancel": np.column_stack([count, -count]),
        "neighbouring floats": (1.0 + count * np.finfo(float).eps)[:, None],
        "bits": one_hot,
    }


@pytest.mark.parametrize("key", [0, 1, 2**32 - 1])
@pytest.mark.parametrize("kind", rows())
def test_numbers_are_uniform_and_distinct(kind, key):
    """Distinct rows, however regular, get distinct numbers spread evenly over [0, 1)."""
    number = hash_array(rows()[kind], key)

    assert_uniform(number)
    assert len(np.unique(number)) == N


def test_texts_are_uniform():
    """Codes of texts, even of texts in sequence, are spread evenly."""
    codes = np.array([text_code(f"person {i}".encode()) for i in range(N)], dtype=np.uint64)

    assert_uniform(hash_columns([codes], N, 0))


def test_numbers_do_not_follow_the_values():
    """Shares of rows below any point are the same for low and for high values of a column."""
    X = np.random.default_rng(0).normal(size=(N, 2))
    number = hash_array(X)

    for column in X.T:
        for half in (column < 0, column >= 0):
            assert_uniform(number[half])
        assert_independent(number, column.argsort().argsort() / N)


@pytest.mark.parametrize("keys", [(0, 1), (1, 2), (7, 2**31)])
def test_another_key_gives_unrelated_numbers(keys):
    """Numbers under two keys are independent of each other."""
    X = np.column_stack([np.arange(N), np.arange(N) % 7])

    assert_independent(*(hash_array(X, key) for key in keys))


def test_position_of_a_value_matters():
    """Rows with two columns swapped get unrelated numbers."""
    X = np.random.default_rng(0).integers(0, 1000, size=(N, 2))
    X = X[X[:, 0] != X[:, 1]]
    X = np.unique(X, axis=0)

    assert_independent(hash_array(X), hash_array(X[:, ::-1]))


def test_a_column_moved_gives_unrelated_numbers():
    """The same values in another column among zeros give unrelated numbers."""
    X = np.zeros((N, 3))
    X[:, 0] = np.arange(1, N + 1)

    assert_independent(hash_array(X), hash_array(X[:, [1, 0, 2]]))


ENTRIES = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.1, 1e300, 5e-324, np.inf, -np.inf, np.nan])
TABLES = st.integers(1, 5).flatmap(
    lambda width: st.lists(
        st.lists(ENTRIES, min_size=width, max_size=width), min_size=1, max_size=8
    ).map(np.array)
)


@given(X=TABLES, key=st.integers(0, 2**32 - 1), data=st.data())
@reproducible(max_examples=200)
def test_number_depends_on_the_row_alone(X, key, data):
    """Any selection and order of rows, one row alone included, gives the same numbers."""
    number = hash_array(X, key)
    chosen = data.draw(st.lists(st.integers(0, len(X) - 1), min_size=1, max_size=10))

    np.testing.assert_array_equal(hash_array(X[chosen], key), number[chosen])
    np.testing.assert_array_equal(
        hash_sparse(sparse.csr_array(X[chosen]), key),
        hash_sparse(sparse.csr_array(X), key)[chosen],
    )


@given(X=TABLES, key=st.integers(0, 2**32 - 1))
@reproducible(max_examples=200)
def test_dense_equals_sparse(X, key):
    """A sparse matrix gives the numbers of its dense form, whether zeros are stored or not."""
    dense = hash_array(X, key)
    n_rows, width = X.shape
    stored = sparse.csr_array(
        (X.ravel(), np.tile(np.arange(width), n_rows), np.arange(n_rows + 1) * width),
        shape=X.shape,
    )
    assert stored.nnz == X.size

    np.testing.assert_array_equal(hash_sparse(sparse.csr_array(X), key), dense)
    np.testing.assert_array_equal(hash_sparse(stored, key), dense)


def test_many_columns_of_a_sparse_matrix():
    """Sums that wrap around 2^64 many times over still agree with the dense form."""
    rng = np.random.default_rng(0)
    X = np.where(rng.random((300, 400)) < 0.3, rng.normal(size=(300, 400)), 0.0)
    number = hash_sparse(sparse.csr_array(X), 3)

    np.testing.assert_array_equal(number, hash_array(X, 3))
    assert_uniform(number)


def test_rows_of_zeros_agree_whatever_their_length():
    """Zero contributes nothing: empty sparse rows and dense zeros are one row."""
    number = hash_array(np.zeros((2, 3)), 5)

    np.testing.assert_array_equal(number, hash_sparse(sparse.csr_array((2, 3)), 5))
    np.testing.assert_array_equal(number, hash_array(np.zeros((2, 9)), 5))


def test_there_is_one_zero_and_one_nan():
    """Codes tell numbers apart by value: the sign of zero and the bits of NaN do not count."""
    nans = np.array([0x7FF8000000000000, 0xFFF8000000000000, 0x7FF8000000000001], dtype=np.uint64)
    codes = number_codes(nans.view(np.float64))

    assert len(np.unique(codes)) == 1
    np.testing.assert_array_equal(number_codes(np.array([0.0, -0.0])), [0, 0])
    values = np.array([np.nan, 0.0, 1.0, -1.0, np.inf, -np.inf, 5e-324, 1 + 2**-52])
    assert len(np.unique(number_codes(values))) == len(values)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64", "float32", "float64"])
def test_type_of_a_number_does_not_matter(dtype):
    """The same numbers have the same codes in any type, booleans being 0 and 1."""
    values = np.array([0, 1, 5, 100])

    np.testing.assert_array_equal(number_codes(values.astype(dtype)), number_codes(values * 1.0))
    np.testing.assert_array_equal(number_codes(np.array([False, True])), number_codes(values)[:2])


def test_codes_leave_their_input_alone():
    """Codes are computed on a copy."""
    values = np.array([-0.0, np.nan, 2.0])
    number_codes(values)

    np.testing.assert_array_equal(values, [-0.0, np.nan, 2.0])
    assert np.signbit(values[0])


def test_numbers_stay_what_they_are():
    """Decisions given to people depend on these numbers: they must not change with a release."""
    X = np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 1.0], [np.nan, -1.5]])

    np.testing.assert_array_equal(
        hash_array(X, 0),
        [0.2558852031320078, 0.26158370447129387, 0.19173129115867582, 0.3051594635362299],
    )
    assert text_code("Málaga".encode()) == 9199769426066444342
