"""Secrets as the options `--secret` and `--secret-file` name them; no error repeats a value."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from ci_client.errors import UsageError
from ci_common.addresses import is_loopback
from ci_common.errors import InvalidSecretError
from ci_common.secret import MAX_SECRET_BYTES, Secret, check_name, check_secrets


def read_secrets(names: Iterable[str], files: Iterable[str]) -> list[Secret]:
    """The secrets of these variables of ours, and of these files, `NAME=PATH` each.

    Raises:
        UsageError: one is not there, or cannot be a secret.
    """
    try:
        secrets = [*map(_of_variable, names), *map(_of_file, files)]
        check_secrets(secrets)
    except InvalidSecretError as error:
        raise UsageError(_sentence(error.message)) from error
    return secrets


def given_secrets(values: Mapping[str, str | bytes] | None) -> list[Secret]:
    """The secrets that a program gives by name.

    Raises:
        UsageError: one cannot be a secret.
    """
    secrets = [
        Secret(name, value.encode() if isinstance(value, str) else value)
        for name, value in (values or {}).items()
    ]
    try:
        check_secrets(secrets)
    except InvalidSecretError as error:
        raise UsageError(_sentence(error.message)) from error
    return secrets


def goes_openly(server_url: str) -> bool:
    """Whether others on the way to this server can read what is sent."""
    parts = urlsplit(server_url)
    return parts.scheme != "https" and not is_loopback(parts.hostname or "")


def _of_variable(name: str) -> Secret:
    if "=" in name:
        raise UsageError(
            "--secret takes the NAME of an environment variable, not a value: command lines are "
            "visible to other users of this machine. Set the variable (`read -rs NAME && export "
            "NAME`), or use --secret-file."
        )
    check_name(name)
    value = os.environ.get(name)
    if value is None:
        raise UsageError(
            f"--secret {name}: the environment variable {name} is not set. Export it, or use "
            f"--secret-file {name}=PATH."
        )
    return Secret(name, os.fsencode(value))


def _of_file(option: str) -> Secret:
    name, separator, path = option.partition("=")
    if not separator or not path:
        raise UsageError("--secret-file takes NAME=PATH, such as KEY=~/.ssh/deploy_key.")
    check_name(name)
    try:
        with Path(path).expanduser().open("rb") as file:
            value = file.read(MAX_SECRET_BYTES + 1)
    except (OSError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"--secret-file {name}: {path} cannot be read: {why}.") from error
    return Secret(name, value, in_environment=False)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
