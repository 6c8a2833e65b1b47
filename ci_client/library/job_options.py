"""Variables, image and amounts of a submission: the values that a user types, and their rules."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ci_client.errors import UsageError
from ci_common.labels import read_label
from ci_common.sizes import parse_mebibytes
from ci_common.variable_names import WHAT_A_NAME_IS, is_variable_name

_IMAGE = re.compile(r"[!-~]{1,500}")
_LARGEST_CPU, _LEAST_MEMORY, _LARGEST_MEMORY = 1_000_000, 16, 1 << 30
_MOST_BYTES = 64 << 10
"""Of a file of variables: a server takes no more."""


def read_variables(files: Iterable[str], options: Iterable[str]) -> dict[str, str]:
    """The variables of these files, and of these `NAME=VALUE`, which come after them. A NAME alone
    has the value that it has here.

    Raises:
        UsageError: one is none, or a file cannot be read.
    """
    found: dict[str, str] = {}
    for path in files:
        found |= _of_file(path)
    for option in options:
        name, separator, value = option.partition("=")
        if not separator:
            value = os.environ.get(name, "")
            if name not in os.environ:
                raise UsageError(
                    f"--env {name}: the environment variable {name} is not set. Set it, or use "
                    f"--env {name}=VALUE."
                )
        found[name] = value
    check_variables(found)
    return found


def _of_file(path: str) -> dict[str, str]:
    try:
        with Path(path).expanduser().open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        text = content.decode()
    except (OSError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"--env-file: {path} cannot be read: {why}.") from error
    except UnicodeDecodeError:
        raise UsageError(f"--env-file: {path} is not UTF-8.") from None
    if len(content) > _MOST_BYTES:
        raise UsageError(f"--env-file: {path} is larger than {_MOST_BYTES >> 10} KiB.")
    found = {}
    for number, written in enumerate(text.splitlines(), 1):
        line = written.strip().removeprefix("export ")
        if not line or line.startswith("#"):
            continue
        name, separator, value = line.partition("=")
        if not separator:
            raise UsageError(f"--env-file: line {number} of {path} is not NAME=VALUE.")
        found[name.strip()] = _without_quotes(value.strip())
    return found


def _without_quotes(value: str) -> str:
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if is_quoted else value


def check_variables(variables: Mapping[str, str]) -> None:
    """Raises UsageError, which repeats no value, for what no environment can hold."""
    for name, value in variables.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise UsageError("env must map names to strings, such as {'CI_LEVEL': '2'}")
        if not is_variable_name(name):
            raise UsageError(
                f"env: {name!r:.60} is not a valid variable name: it must consist of "
                f"{WHAT_A_NAME_IS}"
            )
        if "\0" in value or _is_not_utf8(value):
            raise UsageError(f"env: the value of {name:.60} contains NUL or is not UTF-8")


def check_image(image: str) -> None:
    """Raises UsageError for what is no name of an image."""
    if not isinstance(image, str) or not _IMAGE.fullmatch(image):
        raise UsageError(
            "image must be an image name of 1 to 500 ASCII characters without spaces; this is "
            f"{image!r:.60}"
        )


def check_cpu(cpu: int) -> None:
    """Raises UsageError for what is no percentage of a core."""
    if not isinstance(cpu, int) or isinstance(cpu, bool) or not 1 <= cpu <= _LARGEST_CPU:
        raise UsageError(
            f"cpu must be an integer from 1 to {_LARGEST_CPU}, percent of one core; this is "
            f"{cpu!r:.60}"
        )


def check_memory(memory: int | str) -> None:
    """Raises UsageError for what is no amount of memory."""
    try:
        amount = parse_mebibytes(memory) if isinstance(memory, str) else memory
    except ValueError as error:
        raise UsageError(f"memory: {error}") from None
    is_integer = isinstance(amount, int) and not isinstance(amount, bool)
    if not is_integer or not _LEAST_MEMORY <= amount <= _LARGEST_MEMORY:
        raise UsageError(
            f"memory must be at least {_LEAST_MEMORY} (MiB), or a string such as '512MB'; this is "
            f"{memory!r:.60}"
        )


def check_artifacts(patterns: object) -> None:
    """Raises UsageError for what is no list of patterns."""
    is_list = isinstance(patterns, list | tuple) and len(patterns) <= 100
    if not is_list or any(not _is_text(one) for one in patterns):  # type: ignore[attr-defined]
        raise UsageError(
            "artifacts must be a list of at most 100 paths or patterns, such as ['output/**']; "
            f"this is {patterns!r:.60}"
        )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value) and not _is_not_utf8(value)


def _is_not_utf8(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def read_labels(given: Sequence[str], option: str = "--label") -> dict[str, str]:
    """Labels of options, KEY=VALUE each. Raises UsageError."""
    labels: dict[str, str] = {}
    for text in given:
        try:
            key, value = read_label(text, "=")
        except ValueError as error:
            raise UsageError(f"{option}: {error}") from None
        if key in labels:
            raise UsageError(f"{option}: {key} is given more than once")
        labels[key] = value
    return labels
