"""Timing, memory and tables for the benchmarks."""

import csv
import os
import platform
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

# What a row is called -> what was measured -> the number, or a word where there is none.
Table = dict[str, dict[str, Any]]


def median_seconds(tasks: dict[str, Callable[[], Any]], repeats: int = 9) -> dict[str, float]:
    """Return the median time of each task, after one run of each to warm up.

    Time is processor time: with one thread that is what a clock shows on an idle machine, and
    other programs do not count. The tasks take turns, so that slow spells fall on all alike.
    """
    _keep_freed_memory()
    for task in tasks.values():
        task()
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            start = time.process_time()
            task()
            seconds[name].append(time.process_time() - start)
    return {name: float(np.median(found)) for name, found in seconds.items()}


def _keep_freed_memory() -> None:
    """Have the C library keep what arrays free, as in any process that has freed a large one.

    Until it has seen that, glibc hands memory back to the system after each call, and a third of
    a kernel's time may go into fetching it again: the numbers would depend on what ran before.
    """
    # Allocated and freed at once. The largest size that glibc learns from is 32 MB.
    np.empty(31 * 2**20, dtype=np.uint8)


def peak_bytes(task: Callable[[], Any]) -> int:
    """Return the most memory in use during a task beyond what was in use before.

    Sees what Python and NumPy allocate, and not what the solver keeps in C++.
    """
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    task()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak - before


def environment() -> Table:
    """Return what the numbers depend on."""
    packages = ("fairlearnkit", "numpy", "scipy", "scikit-learn", "pandas")
    found = {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }
    return {name: {"value": value} for name, value in found.items()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def print_table(title: str, table: Table) -> None:
    """Print a table with aligned columns."""
    columns = list(dict.fromkeys(name for row in table.values() for name in row))
    cells = [["", *columns]]
    cells += [
        [case, *(_text(row.get(name, "")) for name in columns)] for case, row in table.items()
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns) + 1)]
    has_numbers = [
        any(not isinstance(row.get(name, ""), str) for row in table.values()) for name in columns
    ]
    print(f"\n{title}\n{'-' * len(title)}")
    for row in cells:
        parts = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, [False, *has_numbers], strict=True)
        ]
        print("  ".join(parts).rstrip(), flush=True)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 100 else f"{value:.4g}"
    return str(value)


def write_csv(path: Path, tables: dict[str, Table]) -> None:
    """Write all tables to one file, a line per number."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["table", "case", "measure", "value"])
        for title, table in tables.items():
            for case, row in table.items():
                for measure, value in row.items():
                    shown = f"{value:.6g}" if isinstance(value, float) else value
                    writer.writerow([title, case, measure, shown])
