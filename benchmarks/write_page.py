"""Draw the pictures and write the tables of docs/benchmarks.rst from results/*.csv.

    python benchmarks/write_page.py

Nothing is measured here. Pictures and tables go to docs/_static/benchmarks.
"""

import csv
import io
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
PLACE = HERE.parent / "docs" / "_static" / "benchmarks"

OURS = {
    "group thresholds": "GroupThresholdClassifier",
    "reduction": "ReductionClassifier",
    "constrained logistic": "ConstrainedLogisticRegression",
}
AWARE = {
    "group thresholds": ("#D55E00", "o", "-"),
    "fairlearn thresholds": ("#0072B2", "s", "--"),
    "error-parity": ("#009E73", "D", "--"),
    "OxonFair": ("#CC79A7", "^", "--"),
}
BLIND = {
    "reduction": ("#D55E00", "o", "-"),
    "constrained logistic": ("#E69F00", "P", "-"),
    "fairlearn exponentiated gradient": ("#0072B2", "s", "--"),
    "fairlearn grid search": ("#56B4E9", "v", "--"),
    "OxonFair, inferred groups": ("#CC79A7", "^", "--"),
    "scikit-lego": ("#666666", "X", "--"),
}
STYLES = AWARE | BLIND
SHORT = {
    "fairlearn exponentiated gradient": "fairlearn EG",
    "fairlearn grid search": "fairlearn grid",
    "OxonFair, inferred groups": "OxonFair inferred",
}
NAMES = {
    "german credit": "German Credit, age",
    "compas": "COMPAS, race",
    "law school": "Law School, race",
    "adult sex": "Adult, sex",
    "acs income": "ACSIncome, sex",
    "bank": "Bank, age",
}
CRITERIA = ("demographic parity", "equalized odds")
LOGISTIC = "logistic regression"


def shown(method: str) -> str:
    """Return what a method is called on the page."""
    return OURS.get(method, method)


def frontier_picture(found: pd.DataFrame, criterion: str, methods: dict[str, Any]) -> Any:
    """Draw mean accuracy against mean gap at each knob, a panel for each data set."""
    figure, panels = plt.subplots(2, 3, figsize=(9.6, 6.2), layout="constrained")
    for panel, (data, title) in zip(panels.flat, NAMES.items(), strict=True):
        here = found[(found["data"] == data) & (found["learner"] == LOGISTIC)]
        here = here[here["criterion"] == criterion]
        for method, (color, marker, line) in methods.items():
            of_method = here[here["method"] == method]
            knobs = {
                name: of_method[of_method["measure"] == f"{name} at knob"].set_index("gap")
                for name in ("accuracy", "gap")
            }
            points = pd.DataFrame({name: table["value"] for name, table in knobs.items()})
            points = points.sort_index()
            is_ours = method in OURS
            panel.plot(
                points["gap"],
                points["accuracy"],
                color=color,
                marker=marker,
                linestyle=line,
                markersize=4,
                linewidth=1.8 if is_ours else 1.1,
                zorder=3 if is_ours else 2,
                label=shown(method),
            )
        # OxonFair's strictest rule may be a constant decision, far below all others.
        others = here[~here["method"].str.startswith("OxonFair") & here["method"].isin(methods)]
        shown_scores = others[others["measure"] == "accuracy at knob"]["value"]
        top = panel.get_ylim()[1]
        panel.set_ylim(shown_scores.min() - 0.08 * (top - shown_scores.min()), None)
        kind = "aware" if methods is AWARE else "blind"
        plain = here[here["method"] == f"plain, beside {kind}"].set_index("measure")["value"]
        if len(plain):
            panel.plot(plain["gap"], plain["accuracy"], "*", color="black", label="no constraint")
        panel.set_title(title, fontsize=10)
        panel.grid(alpha=0.3)
    for panel in panels[-1]:
        panel.set_xlabel(f"held-out gap, {criterion}")
    for panel in panels[:, 0]:
        panel.set_ylabel("held-out accuracy")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def growth_picture(costs: pd.DataFrame) -> Any:
    """Draw seconds by number of rows."""
    figure, panels = plt.subplots(1, 2, figsize=(9.6, 3.9), layout="constrained", sharey=True)
    titles = {
        "given score": "thresholds on given scores",
        LOGISTIC: "around logistic regression, 10 features",
    }
    for panel, (learner, title) in zip(panels, titles.items(), strict=True):
        here = costs[(costs["table"] == "growth") & (costs["learner"] == learner)]
        for method, of_method in here.groupby("method", sort=False):
            color, marker, line = STYLES[method]
            panel.loglog(
                of_method["rows"],
                of_method["seconds"],
                color=color,
                marker=marker,
                linestyle=line,
                label=shown(method),
            )
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("rows")
        panel.grid(alpha=0.3)
        panel.legend(frameon=False, fontsize=8)
    panels[0].set_ylabel("processor seconds, one knob")
    return figure


# ---------------------------------------------------------------------------------------------
# Tables


CASE = ["data", "learner", "criterion"]


def leads_with_noise(found: pd.DataFrame) -> pd.DataFrame:
    """Return all paired differences, each with the gap that an equal rule would show."""
    noise = found[found["method"] == "an equal rule"].set_index(CASE)["value"].rename("noise")
    return found[found["measure"] == "lead in accuracy"].join(noise, on=CASE)


def case_name(data: str, learner: str, criterion: str) -> str:
    """Return what a case is called in tables."""
    parts = [NAMES[data], *([] if learner == LOGISTIC else [learner]), criterion]
    return "; ".join(parts)


def verdicts(found: pd.DataFrame) -> list[list[Any]]:
    """Return how often each peer is better or worse by the 95 % interval."""
    splits = found[found["measure"] == "splits"].groupby("method")["value"]
    heads = ["all", "ours", "theirs", "above noise", "ours", "theirs"]
    lines = [["other method", "beside our", "splits", *heads]]
    leads = leads_with_noise(found)
    for (method, own), part in leads.groupby(["method", "against"], sort=False):
        of_method = splits.get_group(method)
        fewest, most = int(of_method.min()), int(of_method.max())
        line = [method, own, f"{fewest}" if fewest == most else f"{fewest} to {most}"]
        for these in (part, part[part["gap"] >= part["noise"]]):
            line += [len(these), (these["high"] < 0).sum(), (these["low"] > 0).sum()]
        lines.append(line)
    return lines


def losses(found: pd.DataFrame) -> list[list[Any]]:
    """Return every comparison that a peer wins by its whole interval."""
    lines = [["data; criterion", "gap", "noise", "other method", "beside our", "its lead"]]
    leads = leads_with_noise(found)
    for _, row in leads[leads["low"] > 0].iterrows():
        lead = f"{row['value']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
        numbers = [f"{row['gap']:g}", f"{row['noise']:.3f}"]
        where = case_name(*row[CASE])
        lines.append([where, *numbers, row["method"], row["against"], lead])
    return lines


def areas(found: pd.DataFrame, methods: dict[str, Any]) -> list[list[Any]]:
    """Return the normalised hypervolume of methods on each data set."""
    part = found[(found["measure"] == "hypervolume") & found["method"].isin(methods)]
    plain = f"plain, beside {'aware' if methods is AWARE else 'blind'}"
    counts = found[(found["method"] == plain) & (found["measure"] == "splits")]
    of_case = counts.set_index(CASE)["value"]
    heads = [SHORT.get(method, method) for method in methods]
    lines = [["data; criterion", "splits", *heads]]
    for (data, learner, criterion), here in part.groupby(
        ["data", "learner", "criterion"], sort=False
    ):
        value = here.set_index("method")["value"]
        values = [f"{value[method]:.2f}" if method in value else "" for method in methods]
        n_splits = f"{of_case[data, learner, criterion]:.0f}"
        lines.append([case_name(data, learner, criterion), n_splits, *values])
    return lines


def cost_table(costs: pd.DataFrame) -> list[list[Any]]:
    """Return fits, seconds and memory at one knob and at 21."""
    lines = [["criterion", "method", "fits", "seconds", "MB", "fits, 21", "seconds, 21", "MB, 21"]]
    here = costs[costs["table"] == "costs"]
    for (criterion, method), part in here.groupby(["criterion", "method"], sort=False):
        line = [criterion, method if method != "plain" else "no constraint"]
        for knobs in (1, 21):
            at = part[part["knobs"] == knobs]
            if not len(at):
                line += ["", "", ""]
            elif at["seconds"].isna().all():
                line += ["", "over 60", ""]
            else:
                first = at.iloc[0]
                fits = f"{first['fits']:.0f}" if first["fits"] else "its own"
                line += [fits, f"{first['seconds']:.2f}", f"{first['megabytes']:.0f}"]
        lines.append(line)
    return lines


BOUND, GAP = "accuracy / gap at the same bound", "accuracy at the published gap"


def published_tables(published: pd.DataFrame) -> dict[str, list[list[Any]]]:
    """Return published accuracies beside ours, published times beside ours, and what differs."""
    published = published.fillna("")
    notes: dict[str, int] = {}
    for differs in published["differs"]:
        for note in differs.split("; "):
            notes.setdefault(note, len(notes) + 1)
    numbered = published["differs"].map(
        lambda differs: ", ".join(map(str, sorted(notes[note] for note in differs.split("; "))))
    )
    published = published.assign(notes=numbered)
    # Without a constraint there is no bound.
    measure = published["measure"].replace("accuracy / gap", BOUND)
    is_accuracy = measure.isin([BOUND, GAP])
    where = ["source", "setting", "published", "notes"]
    accuracies = [["source", "setting", "published", "ours, same bound", "ours, its gap", "notes"]]
    by_line = published.assign(measure=measure)[is_accuracy].groupby(where, sort=False)
    for line, part in by_line:
        ours = part.set_index("measure")["ours"]
        accuracies.append([*line[:3], ours.get(BOUND, ""), ours.get(GAP, ""), line[3]])
    columns = ["source", "setting", "published", "measure", "ours", "notes"]
    times = [["source", "what", "published", "measured by us", "ours", "notes"]]
    times += published[~is_accuracy][columns].to_numpy().tolist()
    return {
        "published_accuracy": accuracies,
        "published_time": times,
        "published_notes": [["note", "what differs"], *([n, note] for note, n in notes.items())],
    }


def write(name: str, lines: list[list[Any]]) -> None:
    """Write a table for the page."""
    with (PLACE / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


def save(name: str, figure: Any) -> None:
    """Write a picture: the same bytes for the same numbers, to a tenth of a pixel, no spaces."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    plt.close(figure)
    # What is read, such as the number at a tick, stays as it is.
    short = re.sub(
        r"\d+\.\d{5,}(?!\d*</text>)", lambda number: f"{float(number[0]):.1f}", text.getvalue()
    )
    short = re.sub(r' transform="rotate\(-0 [^"]*"', "", short)
    short = re.sub(r"\n\s*", "\n", short)
    (PLACE / f"{name}.svg").write_text(short, encoding="utf-8")


def main() -> None:
    """Write everything that the page shows."""
    mpl.use("svg")
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "fairlearnkit"}
    mpl.rcParams |= {"font.size": 9, "font.sans-serif": ["DejaVu Sans"]}
    PLACE.mkdir(parents=True, exist_ok=True)
    found = pd.read_csv(HERE / "results" / "compare.csv")
    found["value"] = pd.to_numeric(found["value"], errors="coerce")  # versions are words
    for criterion in CRITERIA:
        for kind, methods in (("aware", AWARE), ("blind", BLIND)):
            name = f"frontiers_{kind}_{criterion.split()[1]}"
            save(name, frontier_picture(found, criterion, methods))
    write("verdicts", verdicts(found))
    write("losses", losses(found))
    write("areas_aware", areas(found, AWARE))
    write("areas_blind", areas(found, BLIND))
    costs = pd.read_csv(HERE / "results" / "compare_costs.csv")
    save("growth", growth_picture(costs))
    write("costs", cost_table(costs))
    for name, lines in published_tables(pd.read_csv(HERE / "results" / "published.csv")).items():
        write(name, lines)
    print(f"Written: {PLACE.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
