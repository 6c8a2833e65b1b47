"""The virtual environment in `.venv`: made once, brought up to date when its inputs change.

Standard library only. `ensure()` returns at once (milliseconds) when nothing is to do; `enter()`
also continues the calling script inside the environment.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from setup_steps import locks
from setup_steps.console import SetupError, run_quietly, say, step
from setup_steps.paths import CONSTRAINTS, PYPROJECT, ROOT, VENV, VENV_BIN

PYTHON = VENV_BIN / "python"
STAMP = VENV / "installed.json"
OWN_INDEX_KEYS = ("index-url", "no-index", "proxy")
EXTRAS = ("server", "engine", "grpc")
"""Of the project: without them it is the client alone."""


def ensure(*, dev: bool = False, may_apt: bool = True) -> None:
    """Make `.venv` hold the project, and the development tools when `dev`.

    Raises:
        SetupError: something could not be installed.
    """
    if is_current(dev=dev):
        return
    with locks.held(locks.clone_lock_name("venv")):
        if is_current(dev=dev):
            return
        if not _works():
            _create(may_apt=may_apt)
        dev = dev or bool(_read_stamp().get("dev"))
        install(PYTHON, dev=dev)
        STAMP.write_text(json.dumps({"digest": digest(), "dev": dev}))


def enter(*, dev: bool = False, may_apt: bool = True) -> None:
    """`ensure()`, then replace this process by the same script under `.venv`'s Python."""
    ensure(dev=dev, may_apt=may_apt)
    if not os.path.samefile(sys.prefix, VENV):
        os.execv(PYTHON, [str(PYTHON), *sys.argv])


def is_current(*, dev: bool) -> bool:
    """Whether what is installed was installed from the files as they are now."""
    stamp = _read_stamp()
    return _works() and stamp.get("digest") == digest() and bool(stamp.get("dev") or not dev)


def digest(root: Path = ROOT) -> str:
    """A hash of everything an installation depends on; settings of tools are left out."""
    project = tomllib.loads((root / PYPROJECT.name).read_text(encoding="utf-8"))
    tool = project.get("tool", {}).get("setuptools")
    packages = sorted(str(p.parent.name) for p in root.glob("*/__init__.py"))
    parts = [project.get(k) for k in ("build-system", "project", "dependency-groups")]
    inputs = json.dumps([parts, tool, packages, sys.version_info[:2]], sort_keys=True)
    return hashlib.sha256(inputs.encode() + (root / CONSTRAINTS.name).read_bytes()).hexdigest()


def child_environment() -> dict[str, str]:
    """The environment with `.venv` activated, for commands started by the scripts."""
    path = os.pathsep.join([str(VENV_BIN), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "VIRTUAL_ENV": str(VENV), "PATH": path}


def _works() -> bool:
    """Whether `.venv` is there and of this Python's minor version."""
    library = VENV / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return PYTHON.exists() and (library / "site-packages").is_dir()


def _read_stamp() -> dict[str, object]:
    try:
        return dict(json.loads(STAMP.read_text()))
    except (OSError, ValueError):
        return {}


def _create(*, may_apt: bool) -> None:
    with step(f"Making the virtual environment {VENV.name} (Python {sys.version.split()[0]})"):
        shutil.rmtree(VENV, ignore_errors=True)
        if not _has_ensurepip():
            _install_venv_module(may_apt=may_apt)
        run_quietly(
            [sys.executable, "-m", "venv", str(VENV)],
            failure="The virtual environment could not be made.",
        )


def _has_ensurepip() -> bool:
    try:
        import ensurepip
        import venv  # noqa: F401
    except ImportError:
        return False
    return bool(ensurepip.version())


def _install_venv_module(*, may_apt: bool) -> None:
    """Debian keeps `venv` and `ensurepip` in a package of their own."""
    from setup_steps import apt

    package = f"python3.{sys.version_info.minor}-venv"
    if not (may_apt and apt.is_usable()):
        raise SetupError(
            f"{sys.executable} has no venv module, so no virtual environment can be made.\n"
            f"Install it (Debian, Ubuntu: apt-get install {package}) and start again."
        )
    apt.install(package)


def install(python: Path, *, dev: bool) -> None:
    """Install the project, as constraints.txt pins it, into the environment of this Python.

    Raises:
        SetupError: with the end of the installer's output.
    """
    with step("Installing the project" + (" and its development tools" if dev else "")):
        pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
        failure = "The project could not be installed from the Python package index."
        run_quietly(
            [*pip, "install", "-q", "-c", str(CONSTRAINTS), *_group("setup")], failure=failure
        )
        what = ["--no-build-isolation", "-c", str(CONSTRAINTS), "-e", f"{ROOT}[{','.join(EXTRAS)}]"]
        what += _group("dev") if dev else []
        if not (_uv_may_be_used(pip) and _install_with_uv(python, what)):
            run_quietly([*pip, "install", *what], failure=failure)


def _group(name: str) -> list[str]:
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    return [str(requirement) for requirement in project["dependency-groups"][name]]


def _uv_may_be_used(pip: list[str]) -> bool:
    """uv reads no pip configuration: where the user has an index of their own, pip is right."""
    listed = subprocess.run([*pip, "config", "list"], capture_output=True, text=True, check=False)
    keys = {line.partition("=")[0].rpartition(".")[2] for line in listed.stdout.splitlines()}
    return not keys.intersection(OWN_INDEX_KEYS)


def _install_with_uv(python: Path, what: list[str]) -> bool:
    environment = dict(os.environ)
    if "PIP_CERT" in environment:
        environment.setdefault("SSL_CERT_FILE", environment["PIP_CERT"])
    command = [str(python.parent / "uv"), "pip", "install", "--python", str(python), *what]
    try:
        run_quietly(command, failure="uv failed", env=environment)
    except SetupError:
        say("    uv could not install it: trying pip")
        return False
    return True
