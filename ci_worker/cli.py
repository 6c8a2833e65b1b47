"""The command `job-worker`: where a process begins and ends.

Whatever happens, a user sees a message and never a traceback. What the commands do is in
`commands`; it is imported late, so that Ctrl-C is ours from the start.
"""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from ci_common.installation import needing

INTERRUPTED = 130


def main() -> None:
    """Run the command."""
    signal.signal(signal.SIGTERM, _terminate)
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what fails, we say
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        with needing("grpc", "job-worker"):
            from ci_worker.commands import app

        app(prog_name="job-worker")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    sys.exit(143)


if __name__ == "__main__":
    main()
