"""The init process of job containers, built for each processor; the binaries are in the repository.

The compiler is Zig's, from the Python package index, at a version that is pinned here: the same
source gives the same bytes on every machine, so whoever wants can check what is committed.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from setup_steps.console import SetupError, run_quietly, step
from setup_steps.paths import ROOT

KEEPER = ROOT / "ci_controller" / "executors" / "docker" / "keeper"
SOURCE = KEEPER / "ci_init.c"
PROCESSORS = ("x86_64", "aarch64")

_COMPILER = "ziglang==0.17.1"
_FLAGS = ("-Os", "-static", "-s", "-Wall", "-Wextra", "-Werror")


def build() -> None:
    """Write the binaries beside their source. Raises SetupError."""
    with tempfile.TemporaryDirectory() as directory:
        for built in _compile(Path(directory)):
            (KEEPER / built.name).write_bytes(built.read_bytes())


def check() -> None:
    """Raise SetupError unless the committed binaries are what their source gives."""
    with tempfile.TemporaryDirectory() as directory:
        different = [
            built.name
            for built in _compile(Path(directory))
            if built.read_bytes() != (KEEPER / built.name).read_bytes()
        ]
    if different:
        raise SetupError(
            f"{', '.join(different)} in {KEEPER.relative_to(ROOT)} is not what {SOURCE.name} "
            "gives.\nRun scripts/init-binaries, and commit the result with the source."
        )


def _compile(directory: Path) -> list[Path]:
    python = directory / "venv" / "bin" / "python"
    with step(f"Installing the compiler ({_COMPILER}) in a temporary environment"):
        failure = "The compiler could not be installed from the Python package index."
        run_quietly([sys.executable, "-m", "venv", str(directory / "venv")], failure=failure)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-q"]
        run_quietly([*pip, _COMPILER], failure=failure)
    return [_compile_for(processor, python, directory) for processor in PROCESSORS]


def _compile_for(processor: str, python: Path, directory: Path) -> Path:
    target = directory / f"ci-init.{processor}"
    command = [str(python), "-m", "ziglang", "cc", "-target", f"{processor}-linux-musl"]
    with step(f"Compiling {SOURCE.name} for {processor}"):
        # In its directory: no path of this machine may be in the result.
        done = subprocess.run(
            [*command, *_FLAGS, "-o", str(target), SOURCE.name],
            cwd=KEEPER,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SetupError(f"{SOURCE.name} does not compile for {processor}:\n{done.stderr}")
    return target
