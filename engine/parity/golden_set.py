"""The golden set: small models, valued in many ways that have to give the same bytes.

Every case is valued in several ways of running it; all have to give the case's one hash, which is
in `golden/hashes.json` for the set that comes with the engine.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from engine.errors import EngineError, RequestError
from engine.model.config import NAMES, load_document, parse_config
from engine.model.model import Model, load_model
from engine.model.package import unpacked
from engine.numbers.distribution import summarize
from engine.output.results import result_document
from engine.scenarios.generator import STREAMS
from engine.valuation.plan import Plan
from engine.valuation.valuation import value

GOLDEN = Path(__file__).parents[1] / "golden"
HASHES = GOLDEN / "hashes.json"
TOLERANCE = 1e-12
THREADS = (1, 2, 3, 8)
BLOCKS = (1, 7, 64)
HOOKS = """
def adjust_mortality(policies, year, lives, rates):
    return 1.0 + 0.01 * policies.age[:, None] / (1.0 + lives)
"""
DEFAULT_CONFIG = {
    "model": "term_life",
    "policies": "policies.csv",
    "assumptions": {"mortality": "mortality.csv", "lapse": "lapse.csv", "expenses": "expenses.csv"},
    "scenarios": {"file": "scenarios.csv"},
    "output": {"acceptNoMaturity": True},
}
AS_IT_IS, HOOKED = "as it is", "hooks"
Fingerprints = dict[str, str]


def fingerprints(golden: Path, *, every_way: bool = True) -> Fingerprints:
    """The hash of each case and variant.

    Raises:
        EngineError: one is not the same in every way of running it, or not the expected one.
    """
    found: Fingerprints = {}
    for case, name, document in cases(golden):
        model = load_model(case, parse_config(document, case.name), allow_hooks=False)
        model = _with_hooks(model) if name == HOOKED else model
        hashes = {_hash(model, plan) for plan in _plans(every_way)}
        if len(hashes) > 1:
            raise EngineError(f"{case.name}, {name}: depends on threads or blocks")
        found[f"{case.name}, {name}"] = hashes.pop()
        if name == AS_IT_IS:
            _check_expected(case, model)
    if not found:
        raise RequestError(f"{golden} contains no cases")
    return found


def from_zip(file: BinaryIO) -> Fingerprints:
    """The hashes of a set that comes as a zip."""
    with unpacked(io.BytesIO(file.read()), "standard input") as root:
        single = any((root / name).is_file() for name in ("policies.csv", *NAMES))
        return fingerprints(root.parent if single else root)


def to_zip(golden: Path) -> bytes:
    """A set as a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(golden.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(golden))
    return buffer.getvalue()


def cases(golden: Path) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    """Every directory of the set, with the name and the description of each of its variants.

    The variant "hooks" has the description of the case as it is; its hooks are added by the caller.
    """
    for case in sorted(path for path in golden.iterdir() if path.is_dir()):
        described = any((case / name).is_file() for name in NAMES)
        document = load_document(case)[0] if described else DEFAULT_CONFIG
        for name, changes in _variants(document):
            yield case, name, document | changes


def known_hashes() -> Fingerprints:
    """What the set that comes with the engine has to give."""
    hashes: Fingerprints = json.loads(HASHES.read_text(encoding="ascii"))
    return hashes


def _variants(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield AS_IT_IS, {}
    yield "multipliers", {"multipliers": {"mortality": 1.25, "lapse": 0.8, "expense": 1.1}}
    dynamic = {"sensitivity": 5, "referenceRate": 0.02, "minMultiplier": 0.5, "maxMultiplier": 2}
    yield "dynamic lapse", {"dynamicLapse": dynamic}
    yield HOOKED, {}
    output = {"percentiles": [50, 99.5], "showDistribution": False, "showCashflows": True}
    yield "breakdown", {"output": document.get("output", {}) | output}
    for stream in STREAMS:
        yield stream, {"scenarios": {"count": 100, "seed": 42, "rng": stream}}


def _plans(every_way: bool) -> Iterator[Plan]:
    yield Plan()
    if every_way:
        yield from (Plan(threads, block, block) for threads in THREADS for block in BLOCKS)


def _with_hooks(model: Model) -> Model:
    from engine.model.hooks import Hooks

    namespace: dict[str, Any] = {}
    exec(HOOKS, namespace)  # noqa: S102 - the text above
    hooks = Hooks("parity", adjust_mortality=namespace["adjust_mortality"])
    return replace(model, basis=replace(model.basis, hooks=hooks))


def _hash(model: Model, plan: Plan) -> str:
    npv = value(model, plan).npv
    statistics = summarize(npv, model.config.output.percentiles)
    return str(result_document(statistics, npv, len(model.policies))["result_hash"])


def _check_expected(case: Path, model: Model) -> None:
    path = case / "expected.json"
    if not path.is_file():
        return
    expected = json.loads(path.read_text())["distribution"]
    npv = value(model, Plan()).npv
    if not np.allclose(npv, expected, rtol=TOLERANCE, atol=0.0):
        raise EngineError(f"{case.name}: differs from expected.json by more than {TOLERANCE:g}")
