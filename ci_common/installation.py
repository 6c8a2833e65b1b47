"""What is installed: the client alone, or also what an extra of the distribution brings."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

DISTRIBUTION = "ci-runner"
_USAGE = 2
_OURS = frozenset(
    {
        *("ci_admin", "ci_client", "ci_common", "ci_controller", "ci_persistence", "ci_server"),
        *("ci_worker", "engine"),
    }
)


def install_command(extra: str) -> str:
    """What a person types to get the extra, in any shell."""
    return f'pip install "{DISTRIBUTION}[{extra}]"'


def is_installed(module: str) -> bool:
    """Whether a module of somebody else's can be imported. It is not."""
    return find_spec(module) is not None


@contextmanager
def needing(extra: str, program: str) -> Iterator[None]:
    """Around the imports of a program that needs an extra: without it, the process ends with the
    exit code 2 and a message that says what to install.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in _OURS:
            raise  # a bug, which no installation mends
        print(
            f"{program}: {missing} is not installed. Install it with: {install_command(extra)}",
            file=sys.stderr,
        )
        raise SystemExit(_USAGE) from None
