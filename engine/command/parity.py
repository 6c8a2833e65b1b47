"""The same bytes everywhere: the golden set with other threads, blocks, processors, machines.

Every case is valued in several ways of running it; all have to give the case's one hash. Then the
set is valued by processes that are denied parts of the processor, and in the runner image, which
gets it as a zip on its standard input, as a submitted model would be.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from engine.errors import EngineError, RequestError
from engine.model.config import (
    NAMES,
    Config,
    DynamicLapse,
    Multipliers,
    OutputOptions,
    Scenarios,
    load_config,
    parse_config,
)
from engine.model.model import Model, load_model
from engine.model.package import unpacked
from engine.numbers.distribution import summarize
from engine.output.results import result_document
from engine.scenarios.generator import STREAMS
from engine.valuation.plan import Plan
from engine.valuation.valuation import value

GOLDEN = Path(__file__).parents[1] / "golden"
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
WITHOUT_AVX512 = "AVX512F AVX512_SKX X86_V4 AVX512_ICL AVX512_SPR"
PROCESSORS: Mapping[str, Mapping[str, str]] = {
    "numpy without AVX2 and AVX512": {
        "NPY_DISABLE_CPU_FEATURES": f"AVX2 FMA3 X86_V3 {WITHOUT_AVX512}"
    },
    "numpy without AVX512": {"NPY_DISABLE_CPU_FEATURES": WITHOUT_AVX512},
    "BLAS for Prescott": {"OPENBLAS_CORETYPE": "Prescott"},
    "BLAS for Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "one BLAS thread": {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
}
Fingerprints = dict[str, str]


@dataclass(frozen=True)
class Comparison:
    """One place, and for which cases it gave other hashes than here; `error` if it gave none."""

    place: str
    differing: tuple[str, ...] = ()
    error: str | None = None

    @property
    def same(self) -> bool:
        """Whether all is well."""
        return not self.differing and self.error is None


def fingerprints(golden: Path, *, every_way: bool = True) -> Fingerprints:
    """The hash of each case and variant.

    Raises:
        EngineError: one is not the same in every way of running it, or not the expected one.
    """
    found: Fingerprints = {}
    for case in sorted(path for path in golden.iterdir() if path.is_dir()):
        for name, config in _variants(_config(case)):
            model = load_model(case, config, allow_hooks=False)
            model = _with_hooks(model) if name == "hooks" else model
            hashes = {_hash(model, plan) for plan in _plans(every_way)}
            if len(hashes) > 1:
                raise EngineError(f"{case.name}, {name}: depends on threads or blocks")
            found[f"{case.name}, {name}"] = hashes.pop()
        _check_expected(case)
    if not found:
        raise RequestError(f"{golden} holds no case")
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


def compare(golden: Path, image: str | None) -> Iterator[Comparison]:
    """Compare this process with other processes, and with a container of the image."""
    own = fingerprints(golden)
    package = to_zip(golden)
    command = [sys.executable, "-m", "engine", "parity", "--from-zip"]
    for place, variables in PROCESSORS.items():
        yield compared(place, own, command, package, variables)
    if image is not None:
        yield compared(f"image {image}", own, _container(image), package, {})


def _container(image: str) -> list[str]:
    docker = shutil.which("docker")
    if docker is None:
        raise RequestError("the command docker is not here: compare without it by --no-image")
    run = [docker, "run", "--rm", "--interactive", "--network", "none", image]
    return [*run, "python", "-m", "engine", "parity", "--from-zip"]


def compared(
    place: str, own: Fingerprints, command: list[str], package: bytes, variables: Mapping[str, str]
) -> Comparison:
    """Give the set to a command in a changed environment, and compare the hashes it prints."""
    environment = os.environ | variables | {"PYTHONPATH": _python_path()}
    done = subprocess.run(command, input=package, env=environment, capture_output=True, check=False)
    try:
        others: Any = json.loads(done.stdout)
    except ValueError:
        message = done.stderr.decode(errors="replace").strip().splitlines() or ["no answer"]
        return Comparison(place, error=message[-1])
    return Comparison(place, tuple(case for case in own if others.get(case) != own[case]))


def _python_path() -> str:
    """So that the other process finds this very engine, wherever it was started."""
    return os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])


def _config(case: Path) -> Config:
    if any((case / name).is_file() for name in NAMES):
        return load_config(case)
    return parse_config(DEFAULT_CONFIG, case.name)


def _variants(config: Config) -> Iterator[tuple[str, Config]]:
    yield "as it is", config
    yield "multipliers", replace(config, multipliers=Multipliers(1.25, 0.8, 1.1))
    dynamic = DynamicLapse(5.0, 0.02, 0.5, 2.0)
    yield "dynamic lapse", replace(config, dynamic_lapse=dynamic)
    yield "hooks", config
    output = OutputOptions(
        (50.0, 99.5), False, True, accept_no_maturity=config.output.accept_no_maturity
    )
    yield "breakdown", replace(config, output=output)
    for stream in STREAMS:
        yield stream, replace(config, scenarios=Scenarios(None, 100, 42, stream))


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


def _check_expected(case: Path) -> None:
    path = case / "expected.json"
    if not path.is_file():
        return
    expected = json.loads(path.read_text())["distribution"]
    npv = value(load_model(case, _config(case)), Plan()).npv
    if not np.allclose(npv, expected, rtol=TOLERANCE, atol=0.0):
        raise EngineError(f"{case.name}: differs from expected.json by more than {TOLERANCE:g}")
