"""The commands `ci` and `ci-submit`: where a process begins and ends.

Whatever happens, a user sees a message and never a traceback. What the commands do is in
`ci_client.command.commands`; it is imported late, so that Ctrl-C is ours from the start.
"""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn


def main() -> None:
    """The command `ci`."""
    _run(lambda: __import__("ci_client.command.commands", fromlist=["app"]).app(prog_name="ci"))


def submit_main() -> None:
    """The command `ci-submit`: the same as `ci submit`."""
    _run(
        lambda: __import__("ci_client.command.commands", fromlist=["submit_app"]).submit_app(
            prog_name="ci-submit"
        )
    )


def _run(command: Callable[[], object]) -> None:
    try:
        _prepare_process()
        command()
    except KeyboardInterrupt:
        sys.exit(130)


def _prepare_process() -> None:
    signal.signal(signal.SIGTERM, _terminate)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        else:
            stream.reconfigure(errors="backslashreplace")
    # httpx imports its own command line with the package, which takes longer than all the rest
    # of it. It does without, as where its extra dependencies are not installed.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    # Not the default action: temporary files are removed on the way out.
    sys.exit(143)


if __name__ == "__main__":
    main()
