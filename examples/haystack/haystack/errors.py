"""What ends a run with a message instead of a traceback."""


class RunError(Exception):
    """The run cannot be done. Its text is for the user; the command exits with 1."""

    exit_code = 1


class SettingsError(RunError):
    """The environment is wrong: its text names the variable. The command exits with 2."""

    exit_code = 2


class QueryError(RunError):
    """The query names nothing that the catalogue knows."""
