"""The loop: choose prompt cells, predict, score, and take advice from the score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from haystack.advisor import Advisor, best_record
from haystack.atlas import Atlas, Knowledge
from haystack.expression import compare_arms
from haystack.prediction import predict
from haystack.progress import Progress
from haystack.prompt_cells import (
    PromptPlan,
    QueryCells,
    available_strategies,
    choose_prompt_cells,
)
from haystack.query import ParsedQuery
from haystack.record import Record
from haystack.scoring import evaluate
from haystack.settings import Settings
from haystack.stopping import StopRequest

PLATEAU = 3
"""Iterations in a row without a better score, after which there will be none."""

LEAST_GAIN = 0.01


@dataclass(frozen=True)
class Subject:
    """What all iterations of a run have in common."""

    settings: Settings
    atlas: Atlas
    knowledge: Knowledge
    query: ParsedQuery
    cells: QueryCells
    control_strategy: str
    """The effective one."""


def iterate(
    subject: Subject, advisor: Advisor, progress: Progress, stop: StopRequest
) -> tuple[list[Record], str]:
    """All iterations, at least one, and why they ended: `threshold_reached`, `plateau`,
    `max_iterations` or `stopped`.
    """
    strategies = available_strategies(subject.atlas, subject.query, subject.cells)
    records: list[Record] = []
    while True:
        plan, reason = advisor.advise(records, strategies)
        records.append(_iteration(subject, records, plan, reason, progress))
        if ending := _ending(records, subject.settings, stop):
            return records, ending


def _iteration(
    subject: Subject, records: Sequence[Record], plan: PromptPlan, reason: str, progress: Progress
) -> Record:
    number = len(records) + 1
    rng = np.random.default_rng([subject.settings.random_seed, number])
    progress.begin("prompt_generation", reason, number)
    expected = best_record(records).prediction.shift if records else None
    prompt = choose_prompt_cells(subject.atlas, subject.query, subject.cells, plan, expected, rng)
    progress.begin("inference", f"predict from {len(prompt)} prompt cells", number)
    prediction = predict(subject.atlas, subject.cells, prompt, subject.control_strategy, rng)
    expression = compare_arms(prediction, subject.settings.expression)
    changed = int(expression.is_significant.sum())
    progress.begin("evaluation", f"score {changed} differentially expressed genes", number)
    evaluation = evaluate(
        prediction,
        expression,
        subject.knowledge,
        subject.query.perturbation,
        with_pathways=subject.settings.enable_pathway_enrichment,
    )
    progress.scored(number, evaluation.score, evaluation.scores)
    return Record(number, plan, reason, prompt, prediction, expression, evaluation)


def _ending(records: Sequence[Record], settings: Settings, stop: StopRequest) -> str | None:
    scores = [record.evaluation.score for record in records]
    if scores[-1] >= settings.score_threshold:
        return "threshold_reached"
    if len(scores) >= settings.max_iterations:
        return "max_iterations"
    if len(scores) > PLATEAU and max(scores[-PLATEAU:]) < max(scores[:-PLATEAU]) + LEAST_GAIN:
        return "plateau"
    return "stopped" if stop.is_set else None
