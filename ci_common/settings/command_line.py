"""Commands in settings: split into words as a shell would, and not run by a shell."""

import shlex


def checked_command(value: str) -> str:
    """The value, which names a program. Raises ValueError."""
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise ValueError(f"is not a command: {error}") from None
    if not words or not words[0]:
        raise ValueError("must begin with the name of a program")
    return value
