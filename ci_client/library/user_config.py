"""The user's configuration file: profiles, each a server and, if it needs one, the key for it.

The keys `server` and `api_key` at its top are the profile `default`; `[profiles.NAME]` are others.
"""

import os
import re
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ci_client.errors import ConfigError
from ci_client.library.server_address import DEFAULT_SERVER, Origin, normal_url, origin

DEFAULT_PROFILE = "default"
_FIRST_PLACE = Path("~/.ci/config")
"""Where it was before it was where the platform has such files; it is still used if it is there."""
_OF_PROFILES = {"server": DEFAULT_SERVER, "api_key": "ci_..."}
_KEYS = (*_OF_PROFILES, "profile", "profiles")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Profile:
    """A server that the user has given a name."""

    name: str
    server_url: str | None = None
    """In its one form. Only the profile `default` may have none: its key is then for whatever
    server the user names."""
    api_key: str | None = field(default=None, repr=False)

    def is_for(self, server: Origin) -> bool:
        """Whether it is this server's."""
        return self.server_url is not None and origin(self.server_url) == server


@dataclass(frozen=True, slots=True)
class UserConfig:
    """What the file says."""

    path: Path | None = None
    """Where it is, or would be; `None` for a user without a home directory."""
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    default: str = DEFAULT_PROFILE
    """The profile that is used where nothing names another."""
    is_exposed: bool = False
    """Whether others of this machine can read keys in it."""

    def profile(self, name: str, said_in: str) -> Profile:
        """The profile of this name. Raises ConfigError with those that there are."""
        if name in self.profiles:
            return self.profiles[name]
        from ci_common.suggestions import closest

        meant = closest(name, self.profiles)
        known = (
            f"Your profiles: {', '.join(self.profiles)}."
            if self.profiles
            else "There are no profiles yet."
        )
        advice = f" Did you mean {meant}?" if meant else ""
        raise ConfigError(
            f"{said_in}: there is no profile {name!r} in {self.path}.{advice} {known} `ci login "
            "--profile NAME --server URL` creates one."
        )

    def default_profile(self) -> Profile | None:
        """The one that is used where nothing names another, if there is one."""
        if self.default == DEFAULT_PROFILE:
            return self.profiles.get(DEFAULT_PROFILE)
        return self.profile(self.default, f"{self.path}: profile")

    def profiles_of(self, server: Origin) -> list[Profile]:
        """Those of this server: the default one first, then in the order of the file."""
        found = [one for one in self.profiles.values() if one.is_for(server)]
        return sorted(found, key=lambda one: (one.name != self.default, one.api_key is None))

    def check_private(self) -> None:
        """Raise ConfigError if others can read keys in it."""
        if self.is_exposed:
            raise ConfigError(
                f"{self.path} contains an API key and is readable by other users of this machine. "
                f"Run: chmod 600 {self.path} (and, if others may have read it, get a new key)."
            )


def read_user_config() -> UserConfig:
    """The configuration of whoever runs this; an empty one without the file.

    Raises ConfigError for one that cannot be read, or has a key that means nothing.
    """
    path = config_path()
    if path is None or not path.exists():
        return UserConfig(path)
    text, mode = _content(path)
    return parse_user_config(path, text, mode)


def parse_user_config(path: Path, text: str, mode: int = 0) -> UserConfig:
    """The configuration in a text. Raises ConfigError."""
    import tomllib

    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _unreadable(path, str(error)) from None
    profiles = _profiles(path, table)
    default = table.get("profile", DEFAULT_PROFILE)
    if not isinstance(default, str) or not default:
        raise ConfigError(f'{path}: `profile` must be the name of a profile, such as "work".')
    has_key = any(profile.api_key for profile in profiles.values())
    is_open = os.name == "posix" and bool(mode & (stat.S_IRWXG | stat.S_IRWXO))
    return UserConfig(path, profiles, default, has_key and is_open)


def config_path() -> Path | None:
    """Where the file is, or would be. Raises ConfigError where there are two."""
    first, usual = _expanded(_FIRST_PLACE), _usual_place()
    if first is None or not first.exists():
        return usual
    if usual is not None and usual.exists():
        raise ConfigError(
            f"There are two configuration files, {first} and {usual}, so it is ambiguous which to "
            "use: merge them into one, and delete the other."
        )
    return first


def check_profile_name(name: str, said_in: str) -> None:
    """Raise ConfigError for what cannot be the name of a profile."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{said_in}: {name!r:.80} is not a valid profile name: use at most 64 letters, "
            "digits, and _ . -, and begin with none of . and -."
        )


def _usual_place() -> Path | None:
    """Where the platform has such files."""
    if sys.platform == "darwin":
        base = "~/Library/Application Support"
    elif sys.platform == "win32":
        base = os.environ.get("APPDATA") or "~/AppData/Roaming"
    else:
        base = os.environ.get("XDG_CONFIG_HOME", "")
        if not os.path.isabs(base):  # as the XDG specification has it
            base = "~/.config"
    directory = _expanded(Path(base))
    return directory and directory / "ci-runner" / "config.toml"


def _expanded(path: Path) -> Path | None:
    try:
        return path.expanduser()
    except RuntimeError:  # an account without a home directory
        return None


def _content(path: Path) -> tuple[str, int]:
    try:
        with path.open("rb") as file:
            return file.read().decode(), os.fstat(file.fileno()).st_mode
    except UnicodeDecodeError:
        raise _unreadable(path, "it is not UTF-8") from None
    except OSError as error:
        raise _unreadable(path, str(error)) from error


def _unreadable(path: Path, why: str) -> ConfigError:
    return ConfigError(f"Cannot read {path}: {why}. Fix or delete the file.")


def _profiles(path: Path, table: dict[str, Any]) -> dict[str, Profile]:
    _check_keys(path, table, _KEYS)
    found: dict[str, Profile] = {}
    if table.keys() & _OF_PROFILES.keys():
        found[DEFAULT_PROFILE] = _profile(path, DEFAULT_PROFILE, table, "")
    named = table.get("profiles", {})
    if not isinstance(named, dict):
        raise ConfigError(f"{path}: `profiles` must be tables, such as [profiles.work].")
    for name, own in named.items():
        check_profile_name(name, f"{path}: profiles")
        where = f"profiles.{name}"
        if not isinstance(own, dict):
            raise ConfigError(f"{path}: `{where}` must be a table: [{where}].")
        if name in found:
            raise ConfigError(
                f"{path}: `server` and `api_key` at the top are the profile {name!r}, too: move "
                f"them into [{where}], or remove that table."
            )
        _check_keys(path, own, tuple(_OF_PROFILES), f"{where}.")
        found[name] = _profile(path, name, own, f"{where}.")
        if found[name].server_url is None:
            raise ConfigError(f"{path}: [{where}] has no `server`. A key is for one server only.")
    return found


def _profile(path: Path, name: str, table: Mapping[str, Any], prefix: str) -> Profile:
    server, key = (_text(path, table, one, prefix) for one in _OF_PROFILES)
    url = None if server is None else normal_url(server, f"{path}: {prefix}server")
    return Profile(name, url, key)


def _check_keys(
    path: Path, table: Mapping[str, Any], known: tuple[str, ...], prefix: str = ""
) -> None:
    unknown = [name for name in table if name not in known]
    if unknown:
        raise ConfigError(
            f"{path}: unknown key {', '.join(repr(prefix + name) for name in unknown)}, which "
            f"would have no effect. Known keys: {', '.join(map(repr, known[:-1]))} and "
            f"{known[-1]!r}. Correct the name, or remove the line."
        )


def _text(path: Path, table: Mapping[str, Any], name: str, prefix: str) -> str | None:
    value = table.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigError(
            f'{path}: `{prefix}{name}` must be a string such as "{_OF_PROFILES[name]}".'
        )
    return value or None
