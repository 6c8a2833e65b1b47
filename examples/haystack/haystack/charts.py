"""Charts as SVG elements within an HTML page: numbers and escaped text, nothing from outside."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from haystack.atlas import Array

WIDTH, HEIGHT, MARGIN = 520, 280, 44
COLOURS = ("#1f5fa8", "#c2571a", "#2f7d4f", "#8a3f8f", "#444444")
GREY = "#9aa0a6"


def score_lines(scores: Mapping[str, Sequence[float]]) -> str:
    """Scores from 1 to 10 by iteration, a line for each name."""
    longest = max(map(len, scores.values()))
    parts = [_axes("iteration", "score", (1, max(longest, 2)), (1, 10))]
    for number, (name, values) in enumerate(scores.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = [(_x(i, 1, max(longest, 2)), _y(v, 1, 10)) for i, v in enumerate(values, start=1)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        parts.append(_text(WIDTH + 8, MARGIN + 18 * number, name, colour))
    return _svg("Scores by iteration", parts, WIDTH + 170)


def volcano(change: Array, adjusted: Array, is_significant: Array, genes: Sequence[str]) -> str:
    """Log2 fold change against -log10 of the adjusted p-value, the strongest genes by name."""
    evidence = -np.log10(np.maximum(adjusted, 1e-30))
    reach = max(1.0, float(np.abs(change).max()))
    top = max(2.0, 1.1 * float(evidence.max()))
    parts = [_axes("log2 fold change", "-log10 q", (-reach, reach), (0, top))]
    for x, y, found in zip(change, evidence, is_significant, strict=True):
        colour = (COLOURS[1] if x > 0 else COLOURS[0]) if found else GREY
        parts.append(
            f'<circle cx="{_x(x, -reach, reach):.1f}" cy="{_y(y, 0, top):.1f}" r="2.5" '
            f'fill="{colour}" fill-opacity="0.7"/>'
        )
    named: list[tuple[float, float]] = []
    for place in np.argsort(-np.abs(change) * is_significant, kind="stable")[:12]:
        x, y = _x(change[place], -reach, reach), _y(evidence[place], 0, top)
        is_free = all(abs(x - other) > 60 or abs(y - above) > 10 for other, above in named)
        if is_significant[place] and is_free:
            named.append((x, y))
            anchor = "end" if change[place] > 0 else "start"
            parts.append(_text(x, y - 5, genes[place], "#222222", size=9, anchor=anchor))
    return _svg("Change of each gene", parts)


def bars(title: str, values: Mapping[str, float], unit: str) -> str:
    """A horizontal bar for each name."""
    height, label = 22, 250
    most = max([*values.values(), 1e-9])
    parts = []
    for number, (name, value) in enumerate(values.items()):
        y, width = 12 + number * height, max(0.0, value) / most * (WIDTH - label - 70)
        parts.append(_text(0, y + 11, name, "#222222"))
        parts.append(
            f'<rect x="{label}" y="{y}" width="{width:.1f}" height="14" fill="{COLOURS[0]}"/>'
        )
        parts.append(_text(label + width + 6, y + 11, f"{value:.2f} {unit}".strip(), "#222222"))
    return _svg(title, parts, height=24 + height * len(values))


def _svg(title: str, parts: list[str], width: int = WIDTH, height: int = HEIGHT) -> str:
    body = "".join(parts)
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(title)}">{body}</svg>'
    )


def _axes(x_name: str, y_name: str, x: tuple[float, float], y: tuple[float, float]) -> str:
    left, right, low, high = MARGIN, WIDTH - 10, HEIGHT - MARGIN, 10
    return (
        f'<path d="M{left} {high}V{low}H{right}" fill="none" stroke="#333333"/>'
        + _text(left, low + 16, f"{x[0]:.3g}", "#333333")
        + _text(right - 24, low + 16, f"{x[1]:.3g}", "#333333")
        + _text(4, low, f"{y[0]:.3g}", "#333333")
        + _text(4, high + 10, f"{y[1]:.3g}", "#333333")
        + _text((left + right) / 2 - 40, low + 30, x_name, "#333333")
        + _text(0, (low + high) / 2, y_name, "#333333", size=10)
    )


def _x(value: float, least: float, most: float) -> float:
    return MARGIN + (float(value) - least) / (most - least) * (WIDTH - 10 - MARGIN)


def _y(value: float, least: float, most: float) -> float:
    return HEIGHT - MARGIN - (float(value) - least) / (most - least) * (HEIGHT - MARGIN - 10)


def _text(x: float, y: float, text: str, colour: str, size: int = 11, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )
