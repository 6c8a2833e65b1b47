"""Changes of the user's configuration file: one profile at a time, and all else stays as it was."""

import json
import os
import re
import stat
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from ci_client.errors import ConfigError
from ci_client.library.user_config import (
    DEFAULT_PROFILE,
    Profile,
    UserConfig,
    parse_user_config,
)

_MODE, _DIRECTORY_MODE = 0o600, 0o700
_HEADER = re.compile(r"\s*\[")


def store_profile(user: UserConfig, profile: Profile) -> Path:
    """Add a profile to the file that `user` was read from, or replace the one of its name; where
    the file is. Others of this machine cannot read it then, whether they could before or not.

    Raises ConfigError when there is no place for it, or it cannot be written.
    """
    path = user.path
    if path is None:
        raise ConfigError(
            "Cannot store the key: this account has no home directory. Set HOME, or use "
            "CI_SERVER_URL and CI_API_KEY."
        )
    profiles = {**user.profiles, profile.name: profile}
    _replace(path, lambda text: _edited(text, profile), user.default, profiles)
    return path


def remove_profile(user: UserConfig, name: str) -> Path:
    """Remove a profile from the file that `user` was read from; where the file is.

    Raises ConfigError when it cannot be written.
    """
    path = user.path
    if path is None:
        raise ConfigError("There is no configuration file: this account has no home directory.")
    profiles = {one: profile for one, profile in user.profiles.items() if one != name}
    _replace(path, lambda text: _without(text, name), user.default, profiles)
    return path


def _replace(
    path: Path, edit: Callable[[str], str], default: str, profiles: Mapping[str, Profile]
) -> None:
    wanted = {name: one for name, one in profiles.items() if one.server_url or one.api_key}
    try:
        text = path.read_bytes().decode() if path.exists() else ""
        new = edit(text)
        if not _means(path, new, wanted):
            new = _written_anew(default, wanted)
        _write(path, new)
    except OSError as error:
        raise ConfigError(
            f"Cannot write {path}: {error.strerror or error}. Nothing was stored."
        ) from error


def _edited(text: str, profile: Profile) -> str:
    """The text with the lines of the profile changed, and no others."""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    start, end = _section(lines, profile.name)
    if start is None:
        separator = ["\n"] if lines else []
        return "".join([*lines, *separator, f"[profiles.{_key(profile.name)}]\n", *_lines(profile)])
    own = lines[start:end]
    first = next((at for at, line in enumerate(own) if _assigns(line)), 0)
    kept = [line for line in own[first:] if not _assigns(line)]
    return "".join([*lines[:start], *own[:first], *_lines(profile), *kept, *lines[end:]])


def _without(text: str, name: str) -> str:
    """The text without the profile's table; its comments stay."""
    lines = text.splitlines(keepends=True)
    start, end = _section(lines, name)
    if start is None:
        return text
    kept = [line for line in lines[start:end] if not _assigns(line)]
    return "".join([*lines[: max(0, start - 1)], *kept, *lines[end:]])


def _section(lines: list[str], name: str) -> tuple[int | None, int]:
    """Where the lines of a profile are; the first is `None` where it has none."""
    headers = [at for at, line in enumerate(lines) if _HEADER.match(line)]
    quoted = "|".join(re.escape(one) for one in (name, f'"{name}"', f"'{name}'"))
    own = re.compile(rf"\s*\[\s*profiles\s*\.\s*(?:{quoted})\s*\]\s*(?:#.*)?$")
    at = next((at for at in headers if own.match(lines[at])), None)
    if at is None and name != DEFAULT_PROFILE:
        return None, 0
    start = 0 if at is None else at + 1
    return start, next((one for one in headers if one >= start), len(lines))


def _assigns(line: str) -> bool:
    return re.match(r"\s*(server|api_key)\s*=", line) is not None


def _lines(profile: Profile) -> list[str]:
    values = {"server": profile.server_url, "api_key": profile.api_key}
    return [f"{name} = {json.dumps(value)}\n" for name, value in values.items() if value]


def _key(name: str) -> str:
    return name if "." not in name else json.dumps(name)


def _means(path: Path, text: str, wanted: Mapping[str, Profile]) -> bool:
    """Whether a text has these profiles: one with an unusual form cannot be edited by lines."""
    try:
        return parse_user_config(path, text).profiles == wanted
    except ConfigError:
        return False


def _written_anew(default: str, profiles: Mapping[str, Profile]) -> str:
    parts = [f"profile = {json.dumps(default)}\n"] if default != DEFAULT_PROFILE else []
    top = profiles.get(DEFAULT_PROFILE)
    parts += _lines(top) if top else []
    for name, profile in profiles.items():
        if name != DEFAULT_PROFILE:
            parts += [f"\n[profiles.{_key(name)}]\n", *_lines(profile)]
    return "".join(parts)


def _write(path: Path, text: str) -> None:
    """Replace the file as a whole, so that whoever reads it meanwhile finds the old or the new."""
    target = Path(os.path.realpath(path))  # a link stays one
    if not target.parent.exists():
        target.parent.mkdir(parents=True, mode=_DIRECTORY_MODE)
    elif target.parent == path.parent:
        _make_private(target.parent)
    descriptor, name = tempfile.mkstemp(prefix=".config-", dir=target.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _make_private(directory: Path) -> None:
    if os.name == "posix" and stat.S_IMODE(directory.stat().st_mode) & 0o077:
        directory.chmod(_DIRECTORY_MODE)
