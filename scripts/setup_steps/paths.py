"""Where things are in a clone."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
VENV_BIN = VENV / "bin"
PYPROJECT = ROOT / "pyproject.toml"
CONSTRAINTS = ROOT / "constraints.txt"
DOCKER_DIR = ROOT / "docker"
ENGINE_PACKAGE = ROOT / "engine"
EXAMPLES = ROOT / "examples"
