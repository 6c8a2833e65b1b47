"""What a fresh machine needs before it can run the project, one noun per module.

`paths`, `console`, `locks`, `apt` and `venv` use the standard library only: they run before there
is a virtual environment. The rest runs inside it. This file must be readable by older Pythons.
"""

import sys

OLDEST_PYTHON = (3, 11)


def check_python(version: "tuple[int, ...]") -> None:
    """End the program, with advice, when this Python is too old to read the other modules."""
    if version < OLDEST_PYTHON:
        found = ".".join(map(str, version))
        raise SystemExit(
            f"error: Python {found} ({sys.executable}) is too old: 3.11 or newer is needed.\n"
            "Install one and start the script with it: python3.12 scripts/quickstart"
        )


check_python(sys.version_info[:3])
