"""Figures to verdicts, verdicts to a table."""

import statistics
from dataclasses import asdict, dataclass
from typing import Optional


@dataclass
class Verdict:
    name: str
    what: str
    measured: Optional[float]
    against: Optional[float]
    ratio: Optional[float]
    bar: str
    verdict: str  # met, NOT MET, reference, missing, FAILED
    why: str = ""


def _median(taken, name, key):
    """The median over the runs, or the reason why there is none."""
    runs, problem = taken[name]["runs"], taken[name]["problem"]
    if problem:
        return None, problem
    return statistics.median(run[key] for run in runs), None


def judge(row, taken):
    measured, problem = _median(taken, row.measured, row.key)
    against, against_problem = None, None
    if row.against:
        against, against_problem = _median(taken, row.against, row.key)
    ratio = measured / against if measured is not None and against else None
    figure = ratio if row.against else measured
    bar = "" if row.at_least is None else f">= {row.at_least:g}"
    bar = bar if row.at_most is None else f"<= {row.at_most:g}"
    problem = problem or against_problem
    if problem:
        verdict = problem["kind"]
    elif not bar:
        verdict = "reference"
    else:
        met = figure >= row.at_least if row.at_least is not None else figure <= row.at_most
        verdict = "met" if met else "NOT MET"
    why = problem["text"] if problem else ""
    return Verdict(row.name, row.what, measured, against, ratio, bar, verdict, why)


def _number(value):
    if value is None:
        return "-"
    if value >= 1e6:
        return f"{value / 1e6:.2f} M"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def table(verdicts):
    head = ("workload", "unit", "measured", "yardstick", "ratio", "bar", "")
    rows = [
        (v.name, v.what, _number(v.measured), _number(v.against),
         "-" if v.ratio is None else f"{v.ratio:.2f}", v.bar or "-", v.verdict)
        for v in verdicts
    ]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    left = (0, 1, 6)  # text; the others are numbers

    def line(cells):
        return "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths))
        ).rstrip()

    reasons = sorted({v.why for v in verdicts if v.why})
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(head), rule, *map(line, rows), *reasons])


def as_json(machine, options, taken, verdicts):
    return {
        "machine": machine,
        "options": options,
        "rows": [asdict(verdict) for verdict in verdicts],
        "measurements": taken,
    }
