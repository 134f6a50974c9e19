"""The number of each row that decides between branches of a randomised rule."""

import numpy as np
from scipy import sparse

from fairlearnkit._kernels.row_hash import hash_columns, hash_sparse, number_codes, text_code


class Hash:
    """Ten columns of numbers, and a hundred of which a tenth is not zero."""

    params = [10_000, 1_000_000]
    param_names = ("rows",)

    def setup(self, n_rows):
        rng = np.random.default_rng(0)
        self.columns = rng.standard_normal((10, n_rows))
        n_stored = 10 * n_rows
        index = rng.integers(100, size=n_stored)
        start = np.arange(0, n_stored + 1, 10)
        self.sparse = sparse.csr_array(
            (rng.standard_normal(n_stored), index, start), shape=(n_rows, 100)
        )
        self.sparse.sum_duplicates()

    def time_columns(self, n_rows):
        hash_columns((number_codes(column) for column in self.columns), n_rows, key=0)

    def peakmem_columns(self, n_rows):
        hash_columns((number_codes(column) for column in self.columns), n_rows, key=0)

    def time_sparse(self, n_rows):
        hash_sparse(self.sparse, key=0)


class Text:
    """Codes of texts, of which a column has few different ones."""

    def setup(self):
        self.texts = [f"category {i}".encode() for i in range(1000)]

    def time_1000_codes(self):
        for text in self.texts:
            text_code(text)
