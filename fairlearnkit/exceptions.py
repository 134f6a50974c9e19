"""Warnings and errors that name what fairlearnkit found."""

__all__ = ["DegenerateGroupWarning", "InfeasibleConstraintError", "SolverError"]


class DegenerateGroupWarning(UserWarning):
    """A group cannot be compared, or rests on very few rows.

    Issued when there is one group only, when a cell (the rows of one group that a rate is taken
    over) is empty and is left out of the comparison, and when a cell holds so few rows that its
    rate says little. The message names the cells and their counts.
    """


class InfeasibleConstraintError(ValueError):
    """No rule of the kind asked for meets the constraint.

    The message says how near the constraint can be met and what to change.
    """


class SolverError(RuntimeError):
    """A solver failed, or its answer did not pass the check against the constraints it claims."""
