"""The checks that run no code of ours: all of them run, each failure is shown whole."""

import subprocess
import time

from setup_steps import advisories, venv
from setup_steps.console import say
from setup_steps.paths import CONSTRAINTS, ROOT

CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("lint-imports", "--no-logo"),
)


def run() -> int:
    """0 when every check passed, otherwise 1."""
    failed = [name for name in (*map(_run_one, CHECKS), _audit()) if name]
    if failed:
        say(f"\nstatic checks failed: {', '.join(failed)}")
    return 1 if failed else 0


def _audit() -> str | None:
    """Ask for known vulnerabilities; the check's name when it failed."""
    title, result = "advisories for dependencies", advisories.audit(CONSTRAINTS)
    first, *others = result.lines
    say(f"==> {title}: {first}")
    for line in others:
        say(f"    {line}")
    return None if result.is_ok else title


def _run_one(command: tuple[str, ...]) -> str | None:
    """Run one check; its name when it failed."""
    title, start = " ".join(command), time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=venv.child_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    outcome = "ok" if done.returncode == 0 else f"FAILED ({done.returncode})"
    say(f"==> {title}: {outcome} ({time.monotonic() - start:.1f} s)")
    if done.returncode != 0:
        say(done.stdout.rstrip())
    return title if done.returncode != 0 else None
