"""Secrets of jobs: what they are, and what they may be."""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ci_common.errors import InvalidSecretError

MIN_SECRET_BYTES = 8
"""What is shorter would be found everywhere in a log, and is soon guessed."""

MAX_SECRET_BYTES = 64 << 10
MAX_SECRETS = 50
MAX_ALL_SECRETS_BYTES = 96 << 10
"""Of all values of a job. The environment of a process has not much more room, either."""

KEY_BYTES = 32
"""Of the keys that secrets are encrypted with."""

WHAT_A_KEY_IS = (
    f"a key is {KEY_BYTES} random bytes in base64, as `openssl rand -base64 {KEY_BYTES}` writes "
    "them; separate several by commas, the first one encrypts"
)

SECRETS_DIRECTORY_VARIABLE = "CI_SECRETS_DIR"

NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]{0,99}$"
"""What a shell takes for the name of a variable, and a file system for that of a file."""

_NAME = re.compile(NAME_PATTERN)

_RESERVED = frozenset(
    {
        *("CI", "CI_JOB_ID", SECRETS_DIRECTORY_VARIABLE, "PYTHONUNBUFFERED", "PYTEST_ADDOPTS"),
        *("PATH", "HOME", "PWD", "IFS", "ENV", "BASH_ENV", "LD_PRELOAD", "LD_LIBRARY_PATH"),
    }
)
"""Variables of the runner, and those without which a job would not even start."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A named value that a job is given, and that its log must not show."""

    name: str
    value: bytes = field(repr=False)
    in_environment: bool = True
    """Whether it is a variable, too, and not a file only."""


def check_name(name: str) -> None:
    """Raise InvalidSecretError unless it can name a secret. What is no name is not repeated: it
    may be a value that was put in the wrong place.
    """
    if not _NAME.fullmatch(name) or name.endswith("\n"):
        raise InvalidSecretError(
            "a secret's name must be a valid variable name: at most 100 letters, digits and _, "
            "not beginning with a digit"
        )
    if name in _RESERVED:
        raise InvalidSecretError(f"{name} is reserved; choose another name for the secret")


def check_secret(secret: Secret) -> None:
    """Raise InvalidSecretError unless the secret can be given to a job, and masked."""
    check_name(secret.name)
    if len(secret.value) > MAX_SECRET_BYTES:
        raise InvalidSecretError(
            f"the secret {secret.name} has {len(secret.value)} bytes; at most "
            f"{MAX_SECRET_BYTES} are allowed"
        )
    if not masked_lines(secret.value):
        raise InvalidSecretError(
            f"the secret {secret.name} is too short: it has no line of at least {MIN_SECRET_BYTES} "
            "bytes, and masking anything shorter would mask ordinary words, too"
        )
    if secret.in_environment and b"\0" in secret.value:
        raise InvalidSecretError(
            f"the secret {secret.name} contains a NUL byte, which environment variables cannot "
            "hold; pass it as a file"
        )


def check_secrets(secrets: Iterable[Secret]) -> None:
    """Raise InvalidSecretError unless a job can have all of these."""
    names: set[str] = set()
    size = 0
    for secret in secrets:
        check_secret(secret)
        if secret.name in names:
            raise InvalidSecretError(f"the secret {secret.name} is given twice")
        names.add(secret.name)
        size += len(secret.value)
    if len(names) > MAX_SECRETS:
        raise InvalidSecretError(f"a job may have at most {MAX_SECRETS} secrets, not {len(names)}")
    if size > MAX_ALL_SECRETS_BYTES:
        raise InvalidSecretError(
            f"the secrets of a job may have at most {MAX_ALL_SECRETS_BYTES} bytes in total, not "
            f"{size}"
        )


def masked_lines(value: bytes) -> list[bytes]:
    """The lines of a value that are long enough to be looked for."""
    lines = (line.strip() for line in value.splitlines())
    return [line for line in lines if len(line) >= MIN_SECRET_BYTES]


def decoded_key(text: str) -> bytes:
    """A key from its base64, in either alphabet. Raises ValueError, without the text."""
    try:
        key = base64.b64decode(text.strip().translate(str.maketrans("-_", "+/")), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(WHAT_A_KEY_IS)
    return key
