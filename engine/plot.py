"""A picture of the distribution, with the optional extra `plot` (matplotlib)."""

import io
import textwrap
from pathlib import Path

from engine.distribution import bin_edges
from engine.errors import RequestError
from engine.results import WARNINGS, write
from engine.run import Run

FORMATS = (".png", ".svg")
BINS = 50
LINE = 110  # letters


def check(path: Path) -> None:
    """Refuse before the work is done what cannot be drawn after it.

    Raises:
        RequestError: the ending is not .png or .svg, or matplotlib is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise RequestError(f"{path}: a plot ends in {' or '.join(FORMATS)}")
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise RequestError("a plot needs matplotlib: install the extra `plot`") from error


def draw(result: Run, path: Path) -> None:
    """Write a histogram with percentiles and CTE marked; PNG or SVG by the file's ending."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots()
    npv = result.valuation.npv
    axes.hist(npv, bins=bin_edges(npv, BINS).tolist(), color="#4c78a8", alpha=0.75)
    found = result.statistics
    axes.axvline(found.mean, color="black", label=f"Mean {found.mean:,.0f}")
    axes.axvline(found.cte_95, color="#e45756", label=f"CTE 95 {found.cte_95:,.0f}")
    for p, amount in found.percentiles.items():
        axes.axvline(amount, color="#54a24b", linestyle="--", label=f"P{p:g} {amount:,.0f}")
    axes.set_xlabel("Net present value of the portfolio")
    axes.set_ylabel("Scenarios")
    counts = result.document
    title = f"{counts['policy_count']:,} policies, {counts['scenario_count']:,} scenarios"
    axes.set_title("\n".join([title, *_warnings(result)]), fontsize="medium")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.legend(fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix.lower()[1:], dpi=120)
    write(path, lambda file: file.write(buffer.getvalue()))


def _warnings(result: Run) -> list[str]:
    """Lines that fit into the width of the picture."""
    texts = [f"Warning: {text}" for text in result.document.get(WARNINGS, ())]
    return [line for text in texts for line in textwrap.wrap(text, LINE)]
