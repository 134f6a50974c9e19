"""Other packages, each in a virtual environment of its own."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_HERE = Path(__file__).parent


class PeerFit(NamedTuple):
    """What a peer reached.

    Attributes
    ----------
    seconds : float
        Time of its fit, the scores being given.
    decision : ndarray of shape (n_samples,)
        Probability of accepting each row.
    """

    seconds: float
    decision: NDArray[np.float64]


def pinned_versions(peer: str) -> str:
    """Return what is installed in the peer's environment."""
    requirements = _HERE / "peers" / f"{peer}.txt"
    return ", ".join(requirements.read_text().replace("==", " ").split("\n")[:-1])


def create_environment(peer: str) -> Path | None:
    """Return the Python of the peer's environment, made where it is missing; None if that fails.

    An environment is made anew when the pinned versions in ``peers/`` have changed.
    """
    requirements = _HERE / "peers" / f"{peer}.txt"
    place = _HERE / ".venvs" / peer
    installed = place / "installed.txt"
    python = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if installed.exists() and installed.read_text() == requirements.read_text():
        return python
    print(f"Making an environment for {peer} ...", file=sys.stderr)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(place)],
        [*pip, "--requirement", str(requirements)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"No environment for {peer}:\n{done.stderr[-2000:]}", file=sys.stderr)
            return None
    shutil.copy(requirements, installed)
    return python


def fit_peer(
    python: Path | None, peer: str, criterion: str, bound: float, data: dict[str, NDArray]
) -> PeerFit | str:
    """Fit a peer's thresholds in a process of its own, or say in a word why there is no fit."""
    if python is None:
        return "not installed"
    if peer == "fairlearn" and criterion == "equalized_odds" and bound > 0:
        return "no tolerance"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "data.npz", **data)
        script = _HERE / "peers" / f"fit_{peer}.py"
        command = [str(python), str(script), name, criterion, str(bound)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{peer} failed:\n{done.stderr[-2000:]}", file=sys.stderr)
            return "failed"
        with np.load(folder / "fit.npz") as found:
            return PeerFit(float(found["seconds"]), found["decision"])


def run(
    python: Path, folder: Path, task: dict[str, Any]
) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
    """Run a task of peers/run.py on the splits in a folder; yield the splits that it did.

    Where it fails or exceeds its limit, what it says goes to the error stream.
    """
    for old in folder.glob("fit_*.npz"):
        old.unlink()
    (folder / "task.json").write_text(json.dumps(task))
    command = [str(python), str(_HERE / "peers" / "run.py"), str(folder)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        print(
            f"{task['method']} ended with {done.returncode}: {done.stderr[-1500:]}",
            file=sys.stderr,
        )
    for split in task["splits"]:
        if (fit := folder / f"fit_{split}.npz").exists():
            with np.load(fit) as found:
                yield split, dict(found)
