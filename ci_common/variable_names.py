"""Names of environment variables that reach a job."""

import re

WHAT_A_NAME_IS = "letters, digits and _, not beginning with a digit"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def is_variable_name(name: str) -> bool:
    """Whether a shell passes a variable of this name on. Jobs are started by the shell of their
    image, and many shells drop all others without a word.
    """
    return _NAME.fullmatch(name) is not None
