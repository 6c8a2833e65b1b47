"""The files of a run, each of which appears whole or not at all, result.json last."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd

from haystack.atlas import COLUMNS, write_cells
from haystack.outcome import Outcome
from haystack.record import Record
from haystack.report import write_report
from haystack.scoring import Activation

NOTICE = "SYNTHETIC DATA: predicted from a generated atlas, not measured in any cell"
MAX_RESULT_BYTES = 1 << 20
MOST_GENES = 50


def write_outputs(outcome: Outcome, directory: Path) -> None:
    """Write all files to `directory`, which is made if needed.

    Raises:
        OSError: a file cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    run_id = outcome.subject.settings.run_id
    names = file_names(run_id)
    _replace(directory / names["anndata"], partial(write_cells, predictions(outcome)))
    _replace(directory / names["report"], _text_writer(write_report(outcome)))
    _replace(directory / names["log"], _text_writer(_json(log(outcome))))
    content = _json(result(outcome))
    if len(content) > MAX_RESULT_BYTES:
        raise ValueError(f"result.json would have {len(content)} bytes")
    _replace(directory / "result.json", _text_writer(content))


def file_names(run_id: str) -> dict[str, str]:
    """The names of the three files."""
    return {
        "anndata": f"{run_id}_predictions.h5ad",
        "report": f"{run_id}_report.html",
        "log": f"{run_id}_log.json",
    }


def result(outcome: Outcome) -> dict[str, Any]:
    """What result.json holds: README.md says what each field is."""
    subject, best = outcome.subject, outcome.best
    return {
        "run_id": subject.settings.run_id,
        "success": outcome.success,
        "grounding_score": best.evaluation.score,
        "grounding_scores": best.evaluation.scores,
        "termination_reason": outcome.termination_reason,
        "num_de_genes": int(best.expression.is_significant.sum()),
        "top_upregulated": _genes(outcome, 1),
        "top_downregulated": _genes(outcome, -1),
        "enriched_pathways": [asdict(item) for item in best.evaluation.pathways],
        "activated_tfs": [_factor(item) for item in best.evaluation.factors],
        "control_strategy": subject.settings.control_strategy,
        "control_strategy_effective": subject.control_strategy,
        "control_cells_available": len(subject.cells.positions) if subject.cells.is_matched else 0,
        "iterations": [_iteration(record) for record in outcome.records],
        "files": file_names(subject.settings.run_id),
    }


def log(outcome: Outcome) -> dict[str, Any]:
    """What the log file holds: the settings, how the query was understood, and every iteration."""
    subject = outcome.subject
    settings = asdict(subject.settings)
    notes = settings.pop("notes")
    return {
        "notice": NOTICE,
        "settings": settings,
        "query": asdict(subject.query),
        "notes": notes,
        "query_cells": {
            "count": len(subject.cells.positions),
            "datasets": subject.cells.datasets,
            "matched": subject.cells.is_matched,
        },
        "control_strategy_effective": subject.control_strategy,
        "language_model_calls": 0,
        "termination_reason": outcome.termination_reason,
        "best_iteration": outcome.best.iteration,
        "iterations": [
            {
                **_iteration(record),
                "plan": asdict(record.plan),
                "donor_correlations": record.evaluation.donor_correlations,
                "prompt_cell_ids": subject.atlas.cells[record.prompt].tolist(),
            }
            for record in outcome.records
        ],
    }


def predictions(outcome: Outcome) -> anndata.AnnData:
    """Both arms of the best iteration, cells x genes: README.md documents obs, var and uns."""
    subject, best = outcome.subject, outcome.best
    arms = {"predicted_treated": best.prediction.treated, "control": best.prediction.control}
    positions = subject.cells.positions
    obs = pd.DataFrame(
        {name: np.tile(subject.atlas.columns[name][positions], 2) for name in COLUMNS}
        | {"source_cell": np.tile(subject.atlas.cells[positions], 2)}
        | {"arm": np.repeat(list(arms), len(positions))}
    )
    obs["predicted_perturbation"] = np.where(
        obs["arm"] == "control", "none", subject.query.perturbation
    )
    obs.index = pd.Index(
        [f"{arm}:{cell}" for arm, cell in zip(obs["arm"], obs["source_cell"], strict=True)]
    )
    return anndata.AnnData(
        X=np.concatenate(list(arms.values())).astype(np.float32),
        obs=obs,
        var=_genes_table(outcome),
        uns=_unstructured(outcome),
    )


def _genes_table(outcome: Outcome) -> pd.DataFrame:
    atlas, knowledge = outcome.subject.atlas, outcome.subject.knowledge
    expression = outcome.best.expression
    pathway = np.full(len(atlas.genes), "", dtype=object)
    for name, genes in knowledge.pathways.items():
        pathway[genes] = name
    return pd.DataFrame(
        {
            "log2_fold_change": expression.log2_fold_change,
            "p_value": expression.p_value,
            "adjusted_p_value": expression.adjusted_p_value,
            "is_significant": expression.is_significant,
            "pathway": pathway.astype(str),
            "is_transcription_factor": [gene in knowledge.regulons for gene in atlas.genes],
        },
        index=pd.Index(atlas.genes),
    )


def _unstructured(outcome: Outcome) -> dict[str, Any]:
    settings, best = outcome.subject.settings, outcome.best
    return {
        "synthetic": True,
        "notice": NOTICE,
        "run_id": settings.run_id,
        "query": settings.query,
        "cell_type": outcome.subject.query.cell_type,
        "perturbation": outcome.subject.query.perturbation,
        "control_strategy_effective": outcome.subject.control_strategy,
        "random_seed": settings.random_seed,
        "iteration": best.iteration,
        "grounding_score": best.evaluation.score,
        "grounding_scores": dict(best.evaluation.scores),
        "expression_unit": "log2(1 + counts per 1000)",
    }


def _genes(outcome: Outcome, sign: int) -> list[dict[str, Any]]:
    expression, genes = outcome.best.expression, outcome.subject.atlas.genes
    return [
        {
            "gene": genes[place],
            "log2_fold_change": round(float(expression.log2_fold_change[place]), 4),
            "p_value": float(expression.p_value[place]),
            "adjusted_p_value": float(expression.adjusted_p_value[place]),
        }
        for place in expression.strongest(sign, MOST_GENES)
    ]


def _factor(item: Activation) -> dict[str, Any]:
    facts = asdict(item)
    return {"tf": facts.pop("factor"), **facts}


def _iteration(record: Record) -> dict[str, Any]:
    return {
        "iteration": record.iteration,
        "score": record.evaluation.score,
        "scores": record.evaluation.scores,
        "num_de_genes": int(record.expression.is_significant.sum()),
        "prompt_strategy": record.plan.strategy,
        "prompt_cells": len(record.prompt),
        "reason": record.reason,
    }


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _text_writer(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text, encoding="utf-8")


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Have a file written under another name, then given its own."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        write(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
