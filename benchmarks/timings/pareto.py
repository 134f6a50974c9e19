"""Frontiers: the staircase of many points, and the best mixtures of models."""

import numpy as np

from fairlearnkit._kernels.pareto import best_mixtures, hypervolume, non_dominated
from timings.inputs import BOUND, FiniteGame


class Points:
    """Sorting, in essence."""

    params = [100, 100_000]
    param_names = ("points",)

    def setup(self, n_points):
        rng = np.random.default_rng(0)
        self.disparity = rng.random(n_points)
        self.score = np.sqrt(self.disparity) * rng.random(n_points)

    def time_non_dominated(self, n_points):
        non_dominated(self.score, self.disparity)

    def time_hypervolume(self, n_points):
        hypervolume(self.score, self.disparity, 0.0, 1.0)


class Mixtures:
    """The best mixture within each of five bounds, on five folds."""

    params = ([2, 10], [20, 200])
    param_names = ("groups", "models")

    def setup(self, n_groups, n_models):
        game = FiniteGame(n_groups)
        self.score = 1 - game.cost[:n_models]
        self.moments = [game.moments] * 5
        noise = np.random.default_rng(0).uniform(0.9, 1.0, (5, 1, game.rates.shape[1]))
        self.rates = list(game.rates[:n_models] * noise)

    def time_best_mixtures(self, n_groups, n_models):
        bounds = [BOUND * k for k in range(1, 6)]
        best_mixtures(self.score, self.moments, self.rates, bounds)
