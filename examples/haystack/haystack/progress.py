"""Progress of a run, as lines of its output: `::progress {json}`."""

import json
import sys
from collections.abc import Mapping
from typing import Any, TextIO

PHASES = ("query_analysis", "prompt_generation", "inference", "evaluation", "output_generation")
MAX_LINE_BYTES = 1000
"""What is longer is an ordinary line of the log to those who read progress."""


class Progress:
    """Counts steps and reports each: three for an iteration, one before and one after them all."""

    def __init__(self, max_iterations: int, output: TextIO = sys.stdout) -> None:
        self._total = 3 * max_iterations + 2
        self._current = 0
        self._output = output

    def say(self, text: str) -> None:
        """An ordinary line of the log."""
        self._output.write(f"{text}\n")
        self._output.flush()

    def begin(self, phase: str, message: str, iteration: int | None = None) -> None:
        """A step begins. The last phase is always the last step, whatever was left out."""
        if phase == PHASES[-1]:
            self._current = self._total - 1
        self._report(phase, message, iteration=iteration)
        self._current += 1

    def scored(self, iteration: int, score: float, scores: Mapping[str, float]) -> None:
        """An iteration ends. Only this line has a score."""
        message = f"iteration {iteration}: score {score:.2f} of 10"
        self._report("evaluation", message, iteration=iteration, score=score, scores=dict(scores))

    def finish(self, message: str) -> None:
        """The run ends."""
        self._current = self._total
        self._report(PHASES[-1], message)

    def _report(self, phase: str, message: str, **more: Any) -> None:
        facts = {"current": self._current, "total": self._total, "phase": phase, **more}
        facts = {name: value for name, value in facts.items() if value is not None}
        self.say(f"::progress {_fitting(facts, message)}")


def _fitting(facts: dict[str, Any], message: str) -> str:
    """The line's JSON, in ASCII, with as much of the message as there is room for."""
    room = MAX_LINE_BYTES - len("::progress ")
    while len(text := json.dumps({**facts, "message": message})) > room:
        message = message[: len(message) // 2]
    return text
