"""A picture of the distribution, with the optional extra `plot` (matplotlib)."""

import io
import itertools
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import RequestError
from engine.numbers.arrays import Floats
from engine.numbers.distribution import Statistics, bin_edges, percentile
from engine.output.results import WARNINGS, check_place, write
from engine.output.run import Run

FORMATS = (".png", ".svg")
BINS = 50
LINE = 110  # letters
TAIL = 5  # percent of the scenarios
DASHES = ("--", "-.", ":", (0, (8, 2)))


def check(path: Path) -> None:
    """Refuse before the work is done what cannot be drawn after it.

    Raises:
        RequestError: the ending is not .png or .svg, or matplotlib is not installed.
        EngineError: the file cannot be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise RequestError(f"{path}: a plot ends in {' or '.join(FORMATS)}")
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise RequestError("a plot needs matplotlib: install the extra `plot`") from error
    check_place(path)


def draw(result: Run, path: Path) -> None:
    """Write a histogram with percentiles and CTE marked; PNG or SVG by the file's ending.

    Raises:
        EngineError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots()
    _draw_distribution(axes, result.valuation.npv)
    _draw_statistics(axes, result.statistics)
    axes.set_xlabel("Net present value of the portfolio")
    axes.set_ylabel("Scenarios")
    axes.set_title("\n".join(_title(result)), fontsize="medium", parse_math=False)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    # Beside the bars: looking for a free place between them takes long, and matplotlib says so.
    figure.legend(loc="outside right upper", fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix.lower()[1:], dpi=120)
    write(path, lambda file: file.write(buffer.getvalue()))


def _draw_distribution(axes: Any, npv: Floats) -> None:
    """The histogram, with the lowest twentieth of the scenarios shaded."""
    edges = bin_edges(npv, BINS).tolist()
    axes.hist(npv, bins=edges, color="#4c78a8", alpha=0.75)
    end = percentile(np.sort(npv).tolist(), TAIL)
    axes.axvspan(edges[0], end, color="#e45756", alpha=0.15, label=f"Lowest {TAIL} %")


def _draw_statistics(axes: Any, found: Statistics) -> None:
    """Lines that can be told apart: each percentile has a colour of its own, neighbours dashes."""
    from matplotlib import colormaps

    axes.axvline(found.mean, color="black", label=f"Mean {found.mean:,.0f}")
    axes.axvline(found.cte_95, color="#e45756", label=f"CTE 95 {found.cte_95:,.0f}")
    colors = colormaps["viridis"](np.linspace(0.0, 0.9, len(found.percentiles)))
    lines = zip(found.percentiles.items(), colors, itertools.cycle(DASHES), strict=False)
    for (p, amount), color, dashes in lines:
        axes.axvline(amount, color=color, linestyle=dashes, label=f"P{p:g} {amount:,.0f}")


def _title(result: Run) -> list[str]:
    """The model's name, what was valued, and warnings, in lines that fit into the picture."""
    counts = result.document
    name = "".join(letter if letter.isprintable() else " " for letter in result.name)
    valued = f"{counts['policy_count']:,} policies, {counts['scenario_count']:,} scenarios"
    warnings = [f"Warning: {text}" for text in counts.get(WARNINGS, ())]
    lines = [line for text in warnings for line in textwrap.wrap(text, LINE)]
    return [*textwrap.wrap(name, LINE, max_lines=1, placeholder=" …"), valued, *lines]
