"""Whether this machine gives the results that every other one gives."""

import time
from dataclasses import dataclass
from typing import Any

from engine.errors import EngineError
from engine.parity.golden_set import GOLDEN, fingerprints, known_hashes
from engine.valuation.capabilities import alignment

PASS, FAIL = "pass", "fail"


@dataclass(frozen=True)
class Verdict:
    """What failed, a sentence each; nothing is a pass. `seconds` is what it took to find out."""

    failed: tuple[str, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether all is well."""
        return not self.failed

    def document(self) -> dict[str, Any]:
        """For `/capabilities`."""
        parity = PASS if self.passed else FAIL
        return {"parity": parity, "failed": list(self.failed), "seconds": round(self.seconds, 3)}


def verdict() -> Verdict:
    """Check numpy's alignment, and value the golden set: its hashes are known."""
    start = time.perf_counter()
    failed = [*_misaligned(), *_differing()]
    return Verdict(tuple(failed), time.perf_counter() - start)


def _misaligned() -> list[str]:
    found = alignment()
    if found["verified"]:
        return []
    return [f"alignment: numpy's buffers start at multiples of {found['found']} bytes"]


def _differing() -> list[str]:
    try:
        own = fingerprints(GOLDEN, every_way=False)
    except EngineError as error:
        return [str(error)]
    known = known_hashes()
    return [f"{case}: another hash" for case in known if own.get(case) != known[case]]
