"""Whose fault it is when the engine refuses: the job's, the registry's, or the engine's own.

The status alone does not tell. These are the answers of dockerd 20.10 to the usual mistakes, as
seen with containers made the way ours are (`/bin/sh` below an init process):

| mistake                                     | answer                                            |
| ------------------------------------------- | ------------------------------------------------- |
| no such command, no shell in the image,     | none: the container exits with 127 or 1, and its  |
| a file of another machine's format          | log says why                                      |
| image name that is none                     | 400 "invalid reference format"                    |
| image that is not there                     | 404 "No such image"                               |
| memory below the minimum                    | 400 "Minimum memory limit allowed is 6MB"         |
| environment variable without a name         | 400 "invalid environment variable"                |
| ... with a NUL in its value                 | 500 "... can't contain null"                      |
| `/workspace` is a file in the image         | 500 "Cannot mkdir: ... is not a directory"        |
| a limit that the kernel refuses             | 500 "error setting cgroup config ... invalid"     |
| device to throttle that is not there        | 500 "stat /dev/...: no such file or directory"    |
| size of the container                       | 500 "--storage-opt ..."                           |
| project with a name too long for the disk   | 500 "Error processing tar file ... too long"      |
| command that runc cannot start (no init)    | 400 (others: 404, 500) "...process: exec: ..."    |
| user that is not in the image               | 500 "unable to find user"                         |
| registry that cannot be reached             | 500 "Get "https://...": dial tcp: ..."            |
| registry whose name is not resolved         | 500 "... lookup ...: no such host"                |
| registry that has no such image             | 404 "manifest for ... not found", "pull access    |
|                                             | denied for ..."; 500 "unauthorized: ..."          |
| runtime that the engine does not have       | 400 "Unknown runtime specified ..."               |

and to what ails the engine itself:

| trouble                                     | answer                                            |
| ------------------------------------------- | ------------------------------------------------- |
| bridge gone                                 | 500 "... could not find bridge docker0 ..."       |
| program of the runtime gone                 | 400 "OCI runtime create failed: ... fork/exec"    |
| no address left for a network               | 404 "could not find an available ... address pool"|
| layer of an image lost                      | 500 "error creating overlay mount to ..."         |

So words and status do not tell them apart. What is known to be the job's own ends the job at once,
unless a container of the server's own is refused as well (see probe.py); all else is tried again.
"""

import http
import re

from docker.errors import APIError

_JOB_FAULT = re.compile(
    r"""
      ^Cannot\ mkdir:
    | unable\ to\ find\ user
    | unable\ to\ start\ container\ process:\ exec:
    | exec\ format\ error
    | can't\ contain\ null
    | error\ setting\ cgroup\ config\ .*:\ (?:invalid\ argument|no\ such\ device|numerical\ result)
    | ^stat\ /dev/\S+:\ no\ such\ file
    | --storage-opt\ is\ supported\ only
    | Error\ processing\ tar\ file.*:\ (?:file\ name\ too\ long|not\ a\ directory|invalid\ argument)
    """,
    re.VERBOSE | re.DOTALL,
)

_REGISTRY_AWAY = re.compile(
    r"""
      (?:dial|lookup|read|write)\ (?:tcp|udp)
    | i/o\ timeout | TLS\ handshake\ timeout | context\ deadline\ exceeded | request\ canceled
    | :\ (?:unexpected\ )?EOF$ | connection\ reset
    | toomanyrequests
    | received\ unexpected\ HTTP\ status:\ 5
    """,
    re.VERBOSE,
)

_REGISTRY_FAULT = re.compile(
    r"""
      no\ such\ host$
    | manifest | pull\ access\ denied | repository\ .*\ not\ found | unauthorized | denied:
    | x509: | server\ gave\ HTTP\ response
    | ^(?:Get|Head)\ "?https?://
    | received\ unexpected\ HTTP\ status | error\ parsing\ HTTP
    """,
    re.VERBOSE,
)

_NO_RUNTIME = re.compile(r"[Uu]nknown (?:or invalid )?runtime")

_UNREADABLE = re.compile(r"(?:too many links in \S+|: (?:file name too long|permission denied))$")

_PASSING = frozenset(
    {
        http.HTTPStatus.NOT_FOUND,  # somebody removed what was there a moment ago
        http.HTTPStatus.CONFLICT,  # somebody else is at it
        http.HTTPStatus.REQUEST_TIMEOUT,
        http.HTTPStatus.TOO_MANY_REQUESTS,
    }
)


def explanation(error: APIError) -> str:
    """What the engine said."""
    return str(error.explanation or error)


def is_engine_fault(error: APIError) -> bool:
    """Whether trying again may help: the answer is not the job's own fault."""
    if _JOB_FAULT.search(explanation(error)):
        return False
    status = error.status_code
    return status is None or status >= http.HTTPStatus.INTERNAL_SERVER_ERROR or status in _PASSING


def is_registry_away(error: APIError) -> bool:
    """Whether a pull failed because the registry could not be reached, or not just now."""
    return bool(_REGISTRY_AWAY.search(explanation(error))) and not is_host_unknown(error)


def is_host_unknown(error: APIError) -> bool:
    """Whether a pull failed because there is no address of the registry's host: it is mistyped, or
    the engine's name server is at fault.
    """
    return explanation(error).endswith("no such host")


def is_registry_fault(error: APIError) -> bool:
    """Whether a pull failed for what the registry answered, and will answer again."""
    if is_registry_away(error):
        return False
    return not is_engine_fault(error) or bool(_REGISTRY_FAULT.search(explanation(error)))


def remedy(error: APIError, runtime: str | None) -> str:
    """What happened and what the operator does, where it cannot pass by itself and concerns every
    job; otherwise empty.
    """
    if not _NO_RUNTIME.search(explanation(error)):
        return ""
    return (
        f"the container engine has no runtime {runtime!r}, which CI_DOCKER_RUNTIME names "
        f"({explanation(error)}); the operator must install it and add it to `runtimes` in the "
        "engine's daemon.json, or change the setting"
    )


def is_unreadable(error: APIError) -> bool:
    """Whether a path in a container cannot be read, however often one tries."""
    return not is_engine_fault(error) or bool(_UNREADABLE.search(explanation(error)))


def is_sysctl_refused(error: APIError) -> bool:
    """Whether a kernel parameter of the container was refused: there is none of that name, or the
    runtime, or the container's network, does not allow it.
    """
    said = explanation(error).lower()
    return "sysctl" in said or "/proc/sys/" in said
