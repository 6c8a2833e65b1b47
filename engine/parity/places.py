"""Other processes and containers, and whether they give the hashes that this process gives.

The golden set is valued by processes that are denied parts of the processor, and in the runner
image, which gets it as a zip on its standard input, as a submitted model would be.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import RequestError
from engine.parity.golden_set import Fingerprints, fingerprints, to_zip

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
        raise RequestError("docker is not installed: use --no-image to compare without it")
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
