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


Task = dict[str, Any]


def run(
    python: Path, folder: Path, tasks: list[Task], limit: int
) -> Iterator[tuple[Task, int, dict[str, NDArray[Any]]]]:
    """Have peers/run.py do tasks in a folder; yield task, split and what it found.

    Where it fails or takes more processor seconds than the limit, only what was done by then is
    yielded, and what it says goes to the error stream.
    """
    for old in folder.glob("fit_*.npz"):
        old.unlink()
    (folder / "tasks.json").write_text(json.dumps(tasks))
    command = [str(python), str(_HERE / "peers" / "run.py"), str(folder), str(limit)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        methods = ", ".join(dict.fromkeys(task["method"] for task in tasks))
        print(f"{methods} ended with {done.returncode}: {done.stderr[-1500:]}", file=sys.stderr)
    for i, task in enumerate(tasks):
        for split in task["splits"]:
            if (fit := folder / f"fit_{i}_{split}.npz").exists():
                with np.load(fit) as found:
                    yield task, split, dict(found)


def fit_peer(
    python: Path | None, peer: str, criterion: str, bound: float, data: dict[str, NDArray]
) -> PeerFit | str:
    """Fit a peer's thresholds in a process of its own, or say in a word why there is no fit."""
    if python is None:
        return "not installed"
    if peer == "fairlearn" and criterion == "equalized_odds" and bound > 0:
        return "no tolerance"
    every = np.arange(len(data["label"]))[None]
    task = {
        "method": {"fairlearn": "fairlearn thresholds", "error_parity": "error-parity"}[peer],
        "learner": "given score",
        "criterion": criterion.replace("_", " "),
        "knobs": [bound],
        "splits": [0],
    }
    with tempfile.TemporaryDirectory() as name:
        arrays = {"X": data["score"][:, None], "label": data["label"], "group": data["group"]}
        np.savez(Path(name) / "data.npz", **arrays, train=every, test=every)
        for _, _, fit in run(python, Path(name), [task], 3600):
            return PeerFit(float(fit["seconds"]), fit["accept"][0])
    return "failed"
