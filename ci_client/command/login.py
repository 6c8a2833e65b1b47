"""`ci login` and `ci logout`: keys come into the configuration file, and out of it again."""

import os
import re
import shlex
import sys
from dataclasses import replace
from itertools import chain, count
from typing import Any
from urllib.parse import urlsplit

from ci_client.command import exit_codes
from ci_client.command.caller_display import caller_line
from ci_client.command.display import say
from ci_client.errors import AccessRefused, ConfigError, UsageError
from ci_client.library.caller import ask_server
from ci_client.library.config import (
    KEY_VARIABLE,
    PROFILE_VARIABLE,
    ServerChoice,
    checked_key,
    choose_server,
)
from ci_client.library.config_edit import remove_profile, store_profile
from ci_client.library.server_address import (
    DEFAULT_SERVER,
    check_key_is_safe,
    check_without_user,
    normal_url,
    origin,
)
from ci_client.library.user_config import (
    DEFAULT_PROFILE,
    Profile,
    UserConfig,
    check_profile_name,
    read_user_config,
)

_MOST_BYTES = 64 << 10
"""That are read of stdin."""
_UNAUTHORIZED = 401


def login(choice: ServerChoice) -> int:
    """Ask for a key, try it, and store it; the exit code."""
    user = read_user_config()
    profile = _wanted_profile(choice, user)
    server = str(profile.server_url)
    caller = _caller_without_key(server)
    if caller is not None:
        print(f"{server} needs no API key. {caller_line(caller)}".rstrip(), flush=True)
        known = user.profiles.get(profile.name)
        has_key_for_it = known is not None and known.api_key and known.server_url == server
        # A server may be without users for a while, such as in a restore: its key is not dropped.
        if not has_key_for_it and (server != DEFAULT_SERVER or choice.profile):
            _store(profile)
        return exit_codes.PASSED
    check_key_is_safe(server)
    try:
        key = _read_key(server)
    except KeyboardInterrupt:
        say("\nInterrupted: nothing was stored.")
        return exit_codes.INTERRUPTED
    caller = _caller_with_key(server, key)
    print(f"Logged in to {server}. {caller_line(caller)}".rstrip(), flush=True)
    _store(replace(profile, api_key=key))
    _tell_of_variable()
    return exit_codes.PASSED


def logout(choice: ServerChoice) -> int:
    """Forget the keys for a server, or that of a profile; the exit code."""
    user = read_user_config()
    server = choose_server(choice, user)
    found = user.profiles_of(origin(server.url))
    if server.project_file is None:
        found += [one for one in user.profiles.values() if one.server_url is None]
    named = choice.profile or (None if choice.server_url else os.environ.get(PROFILE_VARIABLE))
    if named:
        found = [one for one in found if one.name == named]
    found = [one for one in found if one.api_key]
    for profile in found:
        path = store_profile(user, replace(profile, api_key=None))
        user = read_user_config()
        print(f"Removed the key of the profile {profile.name} from {path}.", flush=True)
    if found:
        say("The key itself stays valid; an administrator revokes it with `ci-admin key revoke`.")
    elif choice.profile and choice.profile != user.default:
        path = remove_profile(user, choice.profile)
        print(f"Removed the profile {choice.profile}, which had no key, from {path}.", flush=True)
    else:
        print(f"No key is stored for {server.url}.", flush=True)
    _tell_of_variable()
    return exit_codes.PASSED


def _wanted_profile(choice: ServerChoice, user: UserConfig) -> Profile:
    """What is to be stored, without a key."""
    if choice.profile and choice.server_url:
        check_profile_name(choice.profile, "--profile")
        url = normal_url(choice.server_url, "--server")
        check_without_user(url, "--server")
        return Profile(choice.profile, url)
    server = choose_server(choice, user)
    check_without_user(server.url, str(server.source))
    if not server.is_known:
        raise ConfigError(
            f"Only this project's {server.project_file} names the server {server.url}. If you "
            f"trust it with your key, run: ci login --server {shlex.quote(server.url)}"
        )
    known = server.profile or next(iter(user.profiles_of(origin(server.url))), None)
    if known is not None and server.project_file is not None:
        return replace(known, api_key=None)
    return Profile(known.name if known else _new_name(user, server.url), server.url)


def _new_name(user: UserConfig, url: str) -> str:
    """For a server that has no profile yet."""
    default = user.profiles.get(DEFAULT_PROFILE)
    if user.default == DEFAULT_PROFILE and (default is None or default.server_url is None):
        return DEFAULT_PROFILE
    host = urlsplit(url).netloc.lower()
    name = re.sub(r"[^a-z0-9.-]+", "-", host).strip(".-")[:50] or "server"
    names = chain([name], (f"{name}-{number}" for number in count(2)))
    return next(one for one in names if one not in user.profiles)


def _caller_without_key(server: str) -> dict[str, Any] | None:
    """Whom the server takes us for without a key; `None` where it needs one."""
    try:
        return ask_server(server, None)
    except AccessRefused as error:
        if error.http_status != _UNAUTHORIZED:
            raise
        return None


def _caller_with_key(server: str, key: str) -> dict[str, Any]:
    try:
        return ask_server(server, key)
    except AccessRefused as error:
        if error.http_status != _UNAUTHORIZED:
            raise
        raise ConfigError(
            f"{server} does not accept this API key: it is unknown there, expired or revoked. "
            "Nothing was stored. An administrator creates a new one with `ci-admin key create`."
        ) from error


def _read_key(server: str) -> str:
    """From the terminal, without showing it, or else from stdin."""
    if sys.stdin is None:
        text = ""
    elif sys.stdin.isatty():
        text = _typed(f"API key for {server}: ")
    else:
        text = sys.stdin.buffer.read(_MOST_BYTES).decode("utf-8-sig", "replace")
    if not text.strip():
        raise UsageError(
            "No API key was given; nothing was stored. Enter it at the prompt, or pass it on "
            f"stdin: ci login --server {shlex.quote(server)} < FILE"
        )
    return checked_key(text)


def _typed(prompt: str) -> str:
    import getpass
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(prompt)
        except EOFError:
            say("")
            return ""
        except getpass.GetPassWarning:
            raise UsageError(
                "This terminal cannot hide what you type. Pass the key on stdin."
            ) from None


def _store(profile: Profile) -> None:
    user = read_user_config()  # again: another login may have changed it meanwhile
    if user.profiles.get(profile.name) == profile and not user.is_exposed:
        return
    path = store_profile(user, profile)
    how = "used by default"
    if profile.name != user.default:
        how = f"used with --profile {profile.name} or --server {profile.server_url}"
    print(f"Stored as the profile {profile.name}, {how}, in {path}", flush=True)
    if user.is_exposed:
        say(
            f"Warning: {path} was readable by other users of this machine; it no longer is. If "
            "someone may have read a key in it, have that key revoked."
        )


def _tell_of_variable() -> None:
    if os.environ.get(KEY_VARIABLE):
        say(f"Note: {KEY_VARIABLE} is set and overrides stored keys. Unset it to use them.")
