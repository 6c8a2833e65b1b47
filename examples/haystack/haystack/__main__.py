"""`python -m haystack`: a run as its environment describes it. README.md documents both."""

import os
import sys
from pathlib import Path

from haystack.errors import RunError, SettingsError
from haystack.settings import read_settings

STOPPED = 128 + 15
"""The exit code after SIGTERM."""


def main() -> int:
    """0 after a run, 1 for a query that cannot be answered, 2 for a wrong environment, 143 when
    stopped by SIGTERM.
    """
    try:
        return _run()
    except RunError as error:
        sys.stderr.write(f"haystack: {error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"haystack: {error}\n")
        return 1


def _run() -> int:
    settings = read_settings(os.environ)
    data = _data_directory()
    # Later than the settings, whose mistakes need no library; and SIGTERM from here on.
    from haystack.stopping import StopRequest

    stop = StopRequest()
    stop.listen()
    from haystack.advisor import Rules
    from haystack.progress import Progress
    from haystack.run import run

    outcome = run(
        settings,
        data=data,
        output=Path("output"),
        advisor=Rules(),
        progress=Progress(settings.max_iterations),
        stop=stop,
    )
    return 0 if outcome.success else STOPPED


def _data_directory() -> Path:
    if name := os.environ.get("HAYSTACK_DATA"):
        return Path(name)
    raise SettingsError(
        "HAYSTACK_DATA must name the directory with the atlas; "
        "python -m haystack.atlas_generator DIRECTORY makes one"
    )


sys.exit(main())
