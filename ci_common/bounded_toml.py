"""Parse untrusted TOML, refusing documents that are expensive to parse."""

import re
import tomllib
from typing import Any

_MOST_DOTS = 100
_STRING_OR_COMMENT = re.compile(
    r'''"""(?:[^\\]|\\.)*?(?:"{3,5}|\\?\Z)'''
    r"""|'''.*?(?:'{3,5}|\Z)"""
    r"""|"(?:[^"\\\n]|\\[^\n])*(?:"|(?=\n)|\Z|\\)"""
    r"""|'[^'\n]*(?:'|(?=\n)|\Z)"""
    r"""|\#[^\n]*""",
    re.DOTALL,
)
"""As the parser reads them. One that is not closed ends where the parser gives up: each
alternative matches wherever it begins, so that a text is read once, whatever is in it.
"""


class CostlyTomlError(ValueError):
    """Reading it would take too long."""


def read_toml(content: bytes) -> dict[str, Any]:
    """The table of a file.

    Raises CostlyTomlError, whose message begins with `line N: `, other ValueErrors, and
    RecursionError, also of numbers with thousands of digits.
    """
    text = content.decode()
    _check_cost(text)
    return tomllib.loads(text)


def _check_cost(text: str) -> None:
    """The parser's time and memory grow with the square of the depth of dotted keys."""
    keys = _STRING_OR_COMMENT.sub(_line_ends, text.replace("\r\n", "\n"))
    for number, line in enumerate(keys.split("\n"), start=1):
        if line.count(".") > _MOST_DOTS:
            raise CostlyTomlError(f"line {number}: more than {_MOST_DOTS} dots outside of strings")


def _line_ends(found: re.Match[str]) -> str:
    return "\n" * found[0].count("\n")
