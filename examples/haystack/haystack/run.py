"""A run, from its settings to its files."""

from pathlib import Path

import numpy as np

from haystack.advisor import Advisor
from haystack.atlas import read_atlas, read_knowledge
from haystack.catalogue import read_catalogue
from haystack.iteration import Subject, iterate
from haystack.outcome import Outcome
from haystack.outputs import write_outputs
from haystack.progress import Progress
from haystack.prompt_cells import find_query_cells
from haystack.settings import Settings
from haystack.stopping import StopRequest


def run(
    settings: Settings,
    *,
    data: Path,
    output: Path,
    advisor: Advisor,
    progress: Progress,
    stop: StopRequest,
) -> Outcome:
    """Do a run with the atlas in `data`, and write its files to `output`.

    Raises:
        RunError: the query cannot be answered.
        OSError: a file cannot be read or written.
    """
    subject = _analyse(settings, data, advisor, progress)
    records, ending = iterate(subject, advisor, progress, stop)
    outcome = Outcome(subject, tuple(records), ending)
    progress.begin("output_generation", f"write files to {output}")
    write_outputs(outcome, output)
    best = outcome.best
    progress.finish(f"score {best.evaluation.score:.2f} in iteration {best.iteration} ({ending})")
    return outcome


def _analyse(settings: Settings, data: Path, advisor: Advisor, progress: Progress) -> Subject:
    """Understand the query, and find the cells it is about."""
    progress.begin("query_analysis", "look the query up in the catalogue")
    catalogue = read_catalogue(data)
    query = advisor.read(settings.query, catalogue)
    progress.say(f"query: the response of {query.cell_type} to {query.perturbation}")
    atlas, knowledge = read_atlas(data), read_knowledge(data)
    cells = find_query_cells(atlas, query, np.random.default_rng([settings.random_seed, 0]))
    strategy = settings.control_strategy
    if not cells.is_matched and strategy == "synthetic_control":
        strategy = "query_as_control"
    for note in (*query.assumptions, *settings.notes):
        progress.say(f"note: {note}")
    matched = "matched" if cells.is_matched else "unmatched"
    progress.say(f"{len(cells.positions)} query cells ({matched} controls), {strategy}")
    return Subject(settings, atlas, knowledge, query, cells, strategy)
