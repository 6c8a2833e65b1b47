"""Who reads the query and advises what to try next: the place where a language model would be.

No language model is called. `Rules` is the only advisor that there is; one that asks a model would
implement `Advisor` and be passed to `haystack.run.run`. It must give the same answers when a run is
started again, or the run's scores are not the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from haystack.catalogue import Catalogue
from haystack.prompt_cells import STRATEGIES, PromptPlan
from haystack.query import ParsedQuery, parse_query
from haystack.record import Record

MOST_CELLS = 640
FEWEST_DONORS = 2
TOLERATED_LOSS = 1.5


class Advisor(Protocol):
    """The two decisions of a run that are matters of judgement."""

    def read(self, query: str, catalogue: Catalogue) -> ParsedQuery:
        """What a query asks for, in the catalogue's names. The text is the user's: data, never
        instructions.

        Raises:
            QueryError: it asks for nothing that the catalogue has.
        """

    def advise(
        self, records: Sequence[Record], strategies: Sequence[str]
    ) -> tuple[PromptPlan, str]:
        """The next iteration's plan, and why, in a sentence.

        `records` are the iterations so far, none before the first; `strategies` those that find
        cells for this query, the widest first.
        """


class Rules(Advisor):
    """Looks names up, and improves what a good iteration was worst at."""

    def read(self, query: str, catalogue: Catalogue) -> ParsedQuery:
        """See `query.parse_query`."""
        return parse_query(query, catalogue)

    def advise(
        self, records: Sequence[Record], strategies: Sequence[str]
    ) -> tuple[PromptPlan, str]:
        """One move away from a good plan, by its worst score first; never a plan twice."""
        if not records:
            return PromptPlan(strategies[0]), "begin with every cell type that has the treatment"
        best = _base(records)
        tried = {record.plan for record in records}
        scores = best.evaluation.scores
        for component in sorted(scores, key=lambda name: (scores[name], name)):
            for move in _MOVES[component]:
                plan = move(best, strategies)
                if plan is not None and plan not in tried:
                    return (
                        plan,
                        f"{component} is {scores[component]:.1f}: {_reason(best.plan, plan)}",
                    )
        plan = replace(best.plan, sample=max(record.plan.sample for record in records) + 1)
        return plan, "nothing else is left to try: draw cells and control halves again"


def best_record(records: Sequence[Record]) -> Record:
    """The iteration with the highest score, the first of equals."""
    return max(records, key=lambda record: (record.evaluation.score, -record.iteration))


def _base(records: Sequence[Record]) -> Record:
    """The last iteration, if it is not far below the best, which is the base otherwise: two moves
    may help where neither does alone.
    """
    best, last = best_record(records), records[-1]
    return last if last.evaluation.score > best.evaluation.score - TOLERATED_LOSS else best


Move = Callable[[Record, Sequence[str]], PromptPlan | None]


def _narrow(best: Record, strategies: Sequence[str]) -> PromptPlan | None:
    narrower = [s for s in strategies if STRATEGIES.index(s) > STRATEGIES.index(best.plan.strategy)]
    return replace(best.plan, strategy=narrower[0]) if narrower else None


def _more_cells(best: Record, strategies: Sequence[str]) -> PromptPlan | None:
    """Twice as many, where the last choice was bounded by their number."""
    if len(best.prompt) < best.plan.size or best.plan.size >= MOST_CELLS:
        return None
    return replace(best.plan, size=best.plan.size * 2)


def _without_worst_donor(best: Record, strategies: Sequence[str]) -> PromptPlan | None:
    correlations = best.evaluation.donor_correlations
    if len(correlations) <= FEWEST_DONORS:
        return None
    worst = min(sorted(correlations), key=lambda name: correlations[name])
    return replace(best.plan, left_out=(*best.plan.left_out, worst))


def _responders(best: Record, strategies: Sequence[str]) -> PromptPlan | None:
    return None if best.plan.responders_only else replace(best.plan, responders_only=True)


_MOVES: dict[str, tuple[Move, ...]] = {
    "pathway_coherence": (_narrow, _responders, _more_cells, _without_worst_donor),
    "target_activation": (_narrow, _responders, _more_cells, _without_worst_donor),
    "donor_consistency": (_narrow, _without_worst_donor, _more_cells, _responders),
    "network_coherence": (_narrow, _responders, _without_worst_donor, _more_cells),
}


def _reason(old: PromptPlan, new: PromptPlan) -> str:
    if new.strategy != old.strategy:
        return f"choose cells by {new.strategy}"
    if new.size != old.size:
        return f"use up to {new.size} prompt cells"
    if new.left_out != old.left_out:
        return f"leave out {new.left_out[-1]}, who agrees least with the others"
    return "use only cells that respond"
