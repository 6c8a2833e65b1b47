"""The commands `ci` and `ci-submit`: where a process begins and ends.

Whatever happens, a user sees a message and never a traceback. What the commands do is in
`ci_client.command.commands`; it is imported late, so that Ctrl-C is ours from the start.
"""

import os
import sys
from importlib import import_module


def main() -> None:
    """The command `ci`."""
    sys.exit(_exit_code("commands", "app", "ci"))


def submit_main() -> None:
    """The command `ci-submit`: the same as `ci submit`."""
    sys.exit(_exit_code("submit_command", "submit", "ci-submit"))


def _exit_code(module: str, command: str, program: str) -> int:
    try:
        from ci_client.command.early_signals import raise_what_was_lost, take_signals

        take_signals()
        _prepare_process()
        from ci_client.command.programs import carry_out

        defined = import_module(f"ci_client.command.{module}")
        raise_what_was_lost()
        return carry_out(getattr(defined, command), program, sys.argv[1:])
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 (no traceback, ever)
        from ci_client.command.error_boundary import exit_code_of

        return exit_code_of(error)


def _prepare_process() -> None:
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        else:
            stream.reconfigure(errors="backslashreplace")
    # httpx imports its own command line with the package, which takes longer than all the rest
    # of it. It does without, as where its extra dependencies are not installed.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
