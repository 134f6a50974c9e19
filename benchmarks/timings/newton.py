"""Logistic regression with group means of scores held together, by Newton steps."""

import numpy as np
from scipy import sparse

from fairlearnkit._kernels.moments import cell_mass
from fairlearnkit._kernels.newton import LogisticProblem, prior, solve_logistic, surrogate_rows
from timings.inputs import CRITERIA, scored_rows


class SolveLogistic:
    """Dense features, and a tenth of them."""

    params = ([1_000, 10_000, 100_000], [10, 100], ["dense", "sparse"])
    param_names = ("rows", "features", "format")

    def setup(self, n_rows, n_features, layout):
        rows = scored_rows(n_rows, 4)
        rng = np.random.default_rng(0)
        X = rng.standard_normal((n_rows, n_features))
        if layout == "sparse":
            X *= rng.random(X.shape) < 0.1
        X[:, 0] = rows.score
        X = sparse.csr_array(X) if layout == "sparse" else X
        mass = cell_mass(rows.label, rows.group, None, 4)
        moments = CRITERIA["equalized odds"]._moments_of_mass(mass)
        weight = np.full(n_rows, 1 / n_rows)
        label = rows.label.astype(float)
        self.problem = LogisticProblem(X, label, weight, 1 / n_rows, fit_intercept=True)
        self.rates = surrogate_rows(X, rows.label, rows.group, None, moments, 1.0, True)

    def time_solve(self, n_rows, n_features, layout):
        self.solve()

    def peakmem_solve(self, n_rows, n_features, layout):
        self.solve()

    def solve(self):
        start = prior(self.problem)
        solve_logistic(self.problem, self.rates, start, tol=1e-8, max_iter=100)
