"""Exponentiated gradient: its prices, and rounds with a learner that takes no time."""

import numpy as np

from fairlearnkit._kernels.exponentiated_gradient import exponentiated_gradient, softmax_prices
from timings.inputs import BOUND, FiniteGame


class Steps:
    """The published step, and the one that ends with a linear programme."""

    params = [2, 50]
    param_names = ("groups",)

    def setup(self, n_groups):
        self.game = FiniteGame(n_groups)
        self.slack = np.full(self.game.moments.n_events, 10 * BOUND)

    def time_softmax_prices(self, n_groups):
        softmax_prices(self.game.moments, 10 * self.game.rates[2], self.slack, 100.0)

    def time_20_calls(self, n_groups):
        self.play(lp_step=False)

    def time_20_calls_with_programmes(self, n_groups):
        self.play(lp_step=True)

    def play(self, *, lp_step):
        game = self.game
        for _ in exponentiated_gradient(
            game.pool(),
            game.moments,
            game.best_responses,
            max_multiplier=100.0,
            tol=0.0,
            max_calls=20,
            lp_step=lp_step,
        ):
            pass
