"""What is kept of an iteration."""

from dataclasses import dataclass

from haystack.atlas import Array
from haystack.expression import Expression
from haystack.prediction import Prediction
from haystack.prompt_cells import PromptPlan
from haystack.scoring import Evaluation


@dataclass(frozen=True)
class Record:
    """An iteration from its plan to its scores."""

    iteration: int
    """From 1."""
    plan: PromptPlan
    reason: str
    prompt: Array
    """Positions of the prompt cells in the atlas."""
    prediction: Prediction
    expression: Expression
    evaluation: Evaluation
