"""Column generation, and the master programme that prices its next fit."""

from fairlearnkit._kernels.master import generate_columns
from fairlearnkit._kernels.pool import cheapest_mixture
from timings.inputs import FiniteGame


class GenerateColumns:
    """From two constants to a certified mixture, with a learner that takes no time."""

    params = [2, 10, 50]
    param_names = ("groups",)

    def setup(self, n_groups):
        self.game = FiniteGame(n_groups)

    def time_to_a_gap_of_1e_3(self, n_groups):
        game = self.game
        for _ in generate_columns(
            game.pool(), game.moments, game.best_responses, tol=1e-3, max_calls=1000
        ):
            pass


class Master:
    """One restricted master programme over the pool."""

    params = ([2, 50], [20, 200, 1_000])
    param_names = ("groups", "hypotheses")

    def setup(self, n_groups, n_hypotheses):
        self.game = FiniteGame(n_groups)
        self.pool = self.game.pool(n_hypotheses)

    def time_cheapest_mixture(self, n_groups, n_hypotheses):
        cheapest_mixture(self.pool, self.game.moments)
