"""The report: one HTML page that needs nothing else, and runs no script."""

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from haystack import charts
from haystack.outcome import Outcome

MOST_GENES = 15

_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:.5rem 0}"
    "td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;text-align:left}"
    ".notice{background:#fff3cd;border:1px solid #d8b84a;padding:.6rem 1rem}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f5f5f5;padding:.6rem}"
    "svg{max-width:100%;height:auto}"
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def write_report(outcome: Outcome) -> str:
    """The page. All text from outside, the query first of all, is escaped."""
    settings, query = outcome.subject.settings, outcome.subject.query
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>Run {escape(settings.run_id)} (synthetic data)</title>",
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>Predicted response: {escape(query.cell_type)}, {escape(query.perturbation)}</h1>",
        '<p class="notice"><strong>Synthetic data.</strong> Cells, genes and responses were '
        "generated for this example. Nothing here says anything about real cells.</p>",
        _summary(outcome),
        "<h2>Scores</h2>",
        charts.score_lines(_score_lines(outcome)),
        _iterations(outcome),
        "<h2>Genes</h2>",
        _genes(outcome),
        "<h2>Pathways and transcription factors</h2>",
        _pathways(outcome),
        "<h2>Donors</h2>",
        _donors(outcome),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _summary(outcome: Outcome) -> str:
    subject, best = outcome.subject, outcome.best
    rows = [
        ("Run", subject.settings.run_id),
        ("Score", f"{best.evaluation.score:.2f} of 10, in iteration {best.iteration}"),
        ("Ended by", outcome.termination_reason),
        ("Control strategy", _control_strategy(outcome)),
        ("Query cells", str(len(subject.cells.positions))),
        ("Prompt cells", str(len(best.prompt))),
        ("Random seed", str(subject.settings.random_seed)),
    ]
    notes = [*subject.query.assumptions, *subject.settings.notes]
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        f"<h2>Query</h2><pre>{escape(subject.settings.query)}</pre>"
        + _table((), rows)
        + (f"<ul>{items}</ul>" if items else "")
    )


def _control_strategy(outcome: Outcome) -> str:
    asked, used = outcome.subject.settings.control_strategy, outcome.subject.control_strategy
    return used if asked == used else f"{used} (asked: {asked}; there are no matched controls)"


def _score_lines(outcome: Outcome) -> dict[str, Sequence[float]]:
    evaluations = [record.evaluation for record in outcome.records]
    lines: dict[str, Sequence[float]] = {"overall": [e.score for e in evaluations]}
    for name in evaluations[0].scores:
        lines[name] = [e.scores[name] for e in evaluations]
    return lines


def _iterations(outcome: Outcome) -> str:
    rows = [
        (
            str(record.iteration),
            f"{record.evaluation.score:.2f}",
            record.plan.strategy,
            str(len(record.prompt)),
            record.reason,
        )
        for record in outcome.records
    ]
    return _table(("Iteration", "Score", "Strategy", "Prompt cells", "Why"), rows)


def _genes(outcome: Outcome) -> str:
    expression, genes = outcome.best.expression, outcome.subject.atlas.genes
    change, adjusted = expression.log2_fold_change, expression.adjusted_p_value
    chart = charts.volcano(change, adjusted, expression.is_significant, genes)
    strongest = [*expression.strongest(1, MOST_GENES), *expression.strongest(-1, MOST_GENES)]
    rows = [(genes[i], f"{change[i]:+.2f}", f"{adjusted[i]:.2g}") for i in strongest]
    return chart + _table(("Gene", "log2 fold change", "Adjusted p-value"), rows)


def _pathways(outcome: Outcome) -> str:
    evaluation = outcome.best.evaluation
    evidence = {p.pathway: -float(np.log10(max(p.p_value, 1e-300))) for p in evaluation.pathways}
    rows = [
        (p.pathway, f"{p.overlap} of {p.size}", f"{p.adjusted_p_value:.2g}")
        for p in evaluation.pathways
    ]
    factors = [
        (f.factor, str(f.targets), f"{f.z:.1f}", f"{f.adjusted_p_value:.2g}")
        for f in evaluation.factors
    ]
    return (
        (charts.bars("Pathways by -log10 p", evidence, "") if evidence else "")
        + _table(("Pathway", "Changed genes", "Adjusted p-value"), rows)
        + _table(("Transcription factor", "Targets", "z", "Adjusted p-value"), factors)
    )


def _donors(outcome: Outcome) -> str:
    correlations = outcome.best.evaluation.donor_correlations
    if not correlations:
        return "<p>The prompt cells are of a single donor.</p>"
    return charts.bars("Correlation with the other donors", correlations, "r")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a heading, or, without, one whose first column heads the rows."""
    lines = ["<table>"]
    if head:
        lines.append("<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>")
    for row in rows:
        first = "td" if head else "th"
        cells = [
            f"<{first}>{escape(row[0])}</{first}>",
            *(f"<td>{escape(c)}</td>" for c in row[1:]),
        ]
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return "".join([*lines, "</table>"])
