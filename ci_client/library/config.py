"""Which server to talk to, and who we are to it.

The server is the first that is named by: an option, the environment (`CI_SERVER_URL`,
`CI_PROFILE`), the project's table if the user has a profile for that server, the user's default
profile, the project's table, and at last the address of a server on this machine.

A key is sent to one server only. A stored one belongs to the server (scheme, host and port) of its
profile. One of an option or of `CI_API_KEY` is for the server that the user named: the server that
only a project names never gets it.
"""

import os
import re
import shlex
from dataclasses import dataclass, field, replace
from enum import StrEnum

from typing_extensions import override

from ci_client.errors import ConfigError, UsageError
from ci_client.library.server_address import (
    DEFAULT_SERVER,
    check_key_is_safe,
    check_without_user,
    normal_url,
    origin,
)
from ci_client.library.user_config import Profile, UserConfig, read_user_config

SERVER_VARIABLE, PROFILE_VARIABLE, KEY_VARIABLE = "CI_SERVER_URL", "CI_PROFILE", "CI_API_KEY"


class SourceKind(StrEnum):
    """Who named a server, or gave a key."""

    OPTION = "option"
    ENVIRONMENT = "environment"
    PROFILE = "profile"
    PROJECT = "project"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a server or a key comes from."""

    kind: SourceKind
    name: str = ""
    """Of the option, the variable, the profile or the project's file."""

    @override
    def __str__(self) -> str:
        if self.kind is SourceKind.PROFILE:
            return f"profile {self.name}"
        return self.name or "default"


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """What a user asked for explicitly; `None` leaves it to the environment and the files."""

    server_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    profile: str | None = None
    project: str = "."
    """The directory whose table may name a server."""


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """What a client must know before it can ask anything."""

    server_url: str
    """Without a slash at the end."""
    api_key: str | None = field(default=None, repr=False)
    """Never to be shown."""
    server_option: str = ""
    """What `ci` must be told elsewhere to reach the same server, such as ` --server URL`."""
    server_source: Source = Source(SourceKind.DEFAULT)
    key_source: Source | None = None
    is_projects_choice: bool = False
    """Whether only the project's table names the server, and the user never did."""
    passed_over: str | None = None
    """The server that the project names, if the user's own is used because there is no profile for
    the project's."""
    profile_without_key: str | None = None
    """The profile in force, if it has no key, and nothing else gives one."""


@dataclass(frozen=True, slots=True)
class ChosenServer:
    """A server, and who named it."""

    url: str
    source: Source
    profile: Profile | None = None
    """The profile that names it, or is to give the key for it."""
    project_file: str | None = None
    """The project's file, if it is the project's choice which server this is."""
    passed_over: str | None = None
    """The server that the project names, if that of the default profile is used instead."""

    @property
    def is_known(self) -> bool:
        """Whether anybody but the project names it."""
        return self.project_file is None or self.profile is not None


def load_config(
    server_url: str | None = None,
    api_key: str | None = None,
    profile: str | None = None,
    project: str | os.PathLike[str] = ".",
) -> ClientConfig:
    """The configuration in force, given what was asked for explicitly. `project` is the directory
    whose table may name a server.

    Raises:
        ConfigError: the configuration file cannot be read, has a key that means nothing, or others
            can read the API key in it; the address, the profile or the key is not one; several
            profiles have a key for the server; or the key would be sent to a server that only the
            project names, or where everybody can read it.
        UsageError: what the project's table says of its server is wrong.
    """
    choice = ServerChoice(server_url, api_key, profile, os.fspath(project))
    names_server = server_url or (
        os.environ.get(SERVER_VARIABLE) and not os.environ.get(PROFILE_VARIABLE)
    )
    is_complete = names_server and not profile and (api_key or os.environ.get(KEY_VARIABLE))
    user = UserConfig() if is_complete else read_user_config()
    user.check_private()
    server = choose_server(choice, user)
    found = _choose_key(choice, user, server)
    key, key_source = found or (None, None)
    keyless = server.profile.name if server.profile and found is None else None
    if key is not None:
        key = checked_key(key)
        check_key_is_safe(server.url)
    return ClientConfig(
        server.url,
        key,
        _server_option(choice, user, server),
        server.source,
        key_source,
        not server.is_known,
        server.passed_over,
        keyless,
    )


def choose_server(choice: ServerChoice, user: UserConfig) -> ChosenServer:
    """The server in force. Raises what `load_config` raises for it."""
    return (
        _named_server(choice.server_url, "--server", choice.profile, "--profile", user)
        or _named_server(
            os.environ.get(SERVER_VARIABLE),
            SERVER_VARIABLE,
            os.environ.get(PROFILE_VARIABLE),
            PROFILE_VARIABLE,
            user,
        )
        or _configured_server(choice.project, user)
    )


def checked_key(text: str) -> str:
    """The key without white space around it. Raises ConfigError, without the key in it."""
    # What a header cannot carry would come back in somebody's error message, key and all.
    key = text.strip()
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise ConfigError(
            "The API key is malformed: it must be a single word of ASCII characters. Keys are "
            "looked up in this order: --api-key, CI_API_KEY, the profile (`ci login` stores it)."
        )
    return key


def _named_server(
    url: str | None, url_name: str, profile: str | None, profile_name: str, user: UserConfig
) -> ChosenServer | None:
    """What options, or the environment, name."""
    kind = SourceKind.OPTION if url_name.startswith("--") else SourceKind.ENVIRONMENT
    named = user.profile(profile, profile_name) if profile else None
    if url:
        address = normal_url(url, url_name)
        if named and named.server_url and origin(named.server_url) != origin(address):
            raise ConfigError(
                f"{url_name} and {profile_name} name different servers: {address}, and "
                f"{named.server_url} of the profile {named.name!r}. Use only one of them."
            )
        return ChosenServer(address, Source(kind, url_name), named)
    if named is None:
        return None
    if named.server_url is None:
        raise ConfigError(
            f"{profile_name}: the profile {named.name!r} in {user.path} has no `server`. Add "
            f'`server = "https://…"` there, or use --server.'
        )
    return ChosenServer(named.server_url, Source(SourceKind.PROFILE, named.name), named)


def _configured_server(project: str, user: UserConfig) -> ChosenServer:
    """What files name, or the default."""
    projects, usual = _projects_server(project), user.default_profile()
    url = usual.server_url if usual else None
    if projects is not None and (url is None or origin(url) != origin(projects.url)):
        if known := user.profiles_of(origin(projects.url)):
            return replace(projects, profile=known[0])
        if url is None:
            return projects
    if url is None or usual is None:
        return ChosenServer(DEFAULT_SERVER, Source(SourceKind.DEFAULT))
    passed_over = projects.url if projects and not usual.is_for(origin(projects.url)) else None
    source = Source(SourceKind.PROFILE, usual.name)
    return ChosenServer(url, source, usual, passed_over=passed_over)


def _projects_server(directory: str) -> ChosenServer | None:
    from ci_client.project_config import read_project_table  # only where nothing else names one

    table = read_project_table(directory)
    url = table.values.get("server")
    if url is None:
        return None
    said_in = f"{table.prefix}server"
    if not isinstance(url, str) or not url:
        raise UsageError(f"{said_in} must be a server address, such as 'https://ci.example.com'")
    address = normal_url(url, said_in)
    check_without_user(address, said_in)
    return ChosenServer(address, Source(SourceKind.PROJECT, table.file), None, table.file)


def _choose_key(
    choice: ServerChoice, user: UserConfig, server: ChosenServer
) -> tuple[str, Source] | None:
    option = (choice.api_key, Source(SourceKind.OPTION, "--api-key"))
    variable = (os.environ.get(KEY_VARIABLE), Source(SourceKind.ENVIRONMENT, KEY_VARIABLE))
    stored = None  # looked up only if it is its turn, because it may be ambiguous
    order = [option, variable, stored]
    if server.project_file is not None and server.profile is not None:
        order = [option, stored]  # the variable may hold the key of another server of the user
    elif choice.profile:
        order = [option, stored, variable]
    for given in order:
        key, source = given or _stored_key(user, server)
        if not key:
            continue
        if not server.is_known:
            raise ConfigError(_not_the_projects(source.name, server))
        return key, source
    return None


def _stored_key(user: UserConfig, server: ChosenServer) -> tuple[str | None, Source]:
    """The key of the profile in force. Only where an address names the server it is that of one of
    its profiles: of the default one, or the only one there is. Raises ConfigError for several.
    """
    if server.profile is not None and server.project_file is None:
        profile = server.profile
        return profile.api_key, Source(SourceKind.PROFILE, profile.name)
    with_key = [one for one in user.profiles.values() if one.api_key]
    found = [one for one in user.profiles_of(origin(server.url)) if one.api_key] if with_key else []
    if len({one.api_key for one in found}) > 1 and found[0].name != user.default:
        raise ConfigError(
            f"Several profiles have an API key for {server.url}: "
            f"{', '.join(one.name for one in found)}. Choose one with --profile or "
            f"{PROFILE_VARIABLE}."
        )
    if server.project_file is None:
        # A key without a server is for those that the user names.
        found += [one for one in with_key if one.server_url is None]
    profile = found[0] if found else Profile("")
    return profile.api_key, Source(SourceKind.PROFILE, profile.name)


def _not_the_projects(key_name: str, server: ChosenServer) -> str:
    address = shlex.quote(server.url)
    return (
        f"The API key from {key_name} was not sent: only this project's {server.project_file} "
        f"names the server {server.url}, and a project must not decide who gets your key. If you "
        f"trust this server, run: ci login --server {address} (or set it with --server or "
        f"{SERVER_VARIABLE})."
    )


def _server_option(choice: ServerChoice, user: UserConfig, server: ChosenServer) -> str:
    profile = server.profile.name if server.profile else ""
    if server.source.kind is SourceKind.PROFILE:
        return "" if profile == user.default else f" --profile {profile}"
    if server.source.kind is SourceKind.DEFAULT:
        return ""
    if server.source.kind is SourceKind.ENVIRONMENT:
        # The variable may be set in this terminal only; the file and the default are everywhere.
        usual = user.default_profile()
        if server.url == ((usual and usual.server_url) or DEFAULT_SERVER):
            return ""
    option = f" --server {shlex.quote(server.url)}"
    return f"{option} --profile {profile}" if choice.profile else option
