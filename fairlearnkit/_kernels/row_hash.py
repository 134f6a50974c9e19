"""A number in [0, 1) for every row, from the row's values and a key alone.

A randomised rule that decides by this number gives the same row the same decision, whatever rows
come along and in whatever order. Every value becomes a 64-bit code; each column mixes its codes
with a key of its own; a row's contributions are summed modulo 2^64 and mixed once more. The code
of zero contributes nothing, so that a sparse row needs its stored values only.

References
----------
.. [1] A. Cotter, M. Gupta, H. Narasimhan, "On Making Stochastic Classifiers Deterministic",
   NeurIPS 2019, section 4.
.. [2] G. L. Steele, D. Lea, C. H. Flood, "Fast Splittable Pseudorandom Number Generators",
   OOPSLA 2014, figure 16 (the 64-bit mixing function).
"""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Float = NDArray[np.float64]
UInt = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_NAN_CODE = np.float64(np.nan).view(np.uint64)


def number_codes(values: NDArray[np.generic]) -> UInt:
    """Return the codes of numbers: their float64 bits, with one zero (code 0) and one NaN."""
    number = np.array(values, dtype=np.float64) + 0.0  # -0.0 + 0.0 is 0.0
    code = number.view(np.uint64)
    code[np.isnan(number)] = _NAN_CODE
    return code


def text_code(text: bytes) -> int:
    """Return the code of a text given as UTF-8."""
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


def hash_columns(columns: Iterable[UInt], n_samples: int, key: int) -> Float:
    """Return a number in [0, 1) per row of columns of codes, each of shape ``(n_samples,)``."""
    total = np.zeros(n_samples, dtype=np.uint64)
    for position, code in enumerate(columns):
        total += _contribution(code, _column_keys(np.array([position]), key))
    return _uniform(total, key)


def hash_sparse(X: sparse.csr_array, key: int) -> Float:
    """Return the same number per row as `hash_columns` on the dense form of a CSR matrix.

    The matrix must have no repeated entries.
    """
    contribution = _contribution(number_codes(X.data), _column_keys(X.indices, key))
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(contribution, dtype=np.uint64)])
    return _uniform(running[X.indptr[1:]] - running[X.indptr[:-1]], key)


def _mix(x: UInt) -> UInt:
    """Scramble 64-bit words one to one [2]_."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _column_keys(position: NDArray[np.integer], key: int) -> UInt:
    seed = _mix(np.array([key], dtype=np.uint64) + _GOLDEN)
    return _mix(seed + (position.astype(np.uint64) + np.uint64(1)) * _GOLDEN)


def _contribution(code: UInt, column_key: UInt) -> UInt:
    return np.where(code == 0, np.uint64(0), _mix(_mix(code ^ column_key) + column_key))


def _uniform(total: UInt, key: int) -> Float:
    seed = _mix(np.array([key], dtype=np.uint64) + np.uint64(1))
    bits = _mix(_mix(total + seed) + _GOLDEN) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53
