"""What no job needs, whether git ignores it or not."""

import os


def is_never_wanted(name: str, path: str) -> bool:
    """Whether a directory of this name, at this path, is git's, a cache, or an environment."""
    return name in (".git", "__pycache__") or _is_virtual_environment(name, path)


def _is_virtual_environment(name: str, path: str) -> bool:
    if os.path.exists(os.path.join(path, "pyvenv.cfg")):
        return True
    if name not in (".venv", "venv", ".env", "env", "virtualenv"):
        return False
    signs = ("bin/python", "Scripts/python.exe", "conda-meta")
    return any(os.path.lexists(os.path.join(path, sign)) for sign in signs)


_WELL_KNOWN = frozenset(
    (
        ".DS_Store",
        ".cache",
        ".hypothesis",
        ".idea",
        ".ipynb_checkpoints",
        ".mypy_cache",
        ".nox",
        ".pytest_cache",
        ".ruff_cache",
        ".tox",
        ".vscode",
    )
)


def is_well_known(name: str) -> bool:
    """Whether nobody would expect a job to need this hidden file: git's own, and caches."""
    return name.startswith(".git") or name in _WELL_KNOWN
