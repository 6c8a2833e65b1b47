"""What a person reads at the end of a run: a table, and a histogram made of text."""

from collections.abc import Sequence

import numpy as np

from engine.numbers.arrays import Floats
from engine.numbers.distribution import bin_edges
from engine.output.results import WARNINGS
from engine.output.run import Run

BARS = 15
WIDTH = 40


def report(result: Run) -> str:
    """Table and histogram; amounts with thousands separators."""
    lines = [*table(result), ""]
    if result.config.output.show_distribution and len(result.valuation.npv) > 1:
        lines += [*histogram(result.valuation.npv), ""]
    lines.append(f"result_hash {result.document['result_hash']}")
    return "\n".join(lines)


def table(result: Run) -> list[str]:
    """The statistics, one a line, numbers flush right."""
    found = result.statistics
    rows = [("Mean NPV", found.mean), ("Standard deviation", found.std_dev), ("Least", found.least)]
    rows += [("CTE 95 (lowest 5 %)", found.cte_95)]
    rows += [(f"Percentile {p:g}", amount) for p, amount in found.percentiles.items()]
    rows += [("Greatest", found.greatest)]
    texts = [(name, f"{amount:,.2f}") for name, amount in rows]
    width = max(len(text) for _, text in texts)
    head = (
        f"{result.document['policy_count']:,} policies, "
        f"{result.document['scenario_count']:,} scenarios, "
        f"{result.timings['load_seconds']:.2f} s to load, "
        f"{result.timings['value_seconds']:.2f} s to value"
    )
    if result.losing is not None:
        head += f"\n{result.losing:,} policies have a mean NPV below zero"
    warnings = [f"Warning: {text}" for text in result.document.get(WARNINGS, ())]
    return [head, *(f"  {name:<20} {text:>{width}}" for name, text in texts), *warnings]


def histogram(npv: Floats) -> list[str]:
    """How many scenarios fall into each of 15 equal ranges."""
    counts, edges = np.histogram(npv, bins=bin_edges(npv, BARS))
    return [
        _bar(edges[i : i + 2].tolist(), int(n), int(counts.max())) for i, n in enumerate(counts)
    ]


def _bar(edges: Sequence[float], count: int, most: int) -> str:
    eighths = round(8 * WIDTH * count / most)
    bar = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
    return f"  {edges[0]:>16,.0f} … {edges[1]:>16,.0f}  {bar} {count:,}"
