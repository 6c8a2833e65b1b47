"""What dockerd 20.10 really answered, and whose fault that is."""

import pytest
import requests
from docker.errors import APIError

from ci_controller.executors.docker.blame import is_engines, is_registrys, is_unreadable


def answer(status, text):
    response = requests.Response()
    response.status_code = status
    return APIError("", response=response, explanation=text)


OCI = "failed to create shim task: OCI runtime create failed: runc create failed: "
STARTING = f"{OCI}unable to start container process: "
LIMIT = f"{STARTING}error during container init: error setting cgroup config for procHooks process:"

JOBS_OWN = [
    (400, "invalid reference format: repository name must be lowercase"),
    (400, "Minimum memory limit allowed is 6MB"),
    (400, "invalid environment variable: =x"),
    (400, f'{STARTING}exec: "nosuch": executable file not found in $PATH: unknown'),
    (404, f'{STARTING}exec: "nosuch": executable file not found in $PATH: unknown'),
    (500, f'{STARTING}exec: "/x": stat /x: no such file or directory: unknown'),
    (500, "standard_init_linux.go:228: exec user process caused: exec format error"),
    (500, "Cannot mkdir: /workspace is not a directory"),
    (500, "unable to find user nosuchuser: no matching entries in passwd file"),
    (
        500,
        f'{LIMIT} failed to write "1099511627776": write /sys/fs/cgroup/pids/docker/68/pids.max: '
        "invalid argument: unknown",
    ),
    (
        500,
        f'{LIMIT} failed to write "0:0 100": write '
        "/sys/fs/cgroup/blkio/docker/7c/blkio.throttle.read_bps_device: no such device: unknown",
    ),
    (
        500,
        f"{STARTING}error during container init: environment variable value can't contain "
        'null(\\x00): "A=a\\x00b": unknown',
    ),
    (500, "stat /dev/nosuch: no such file or directory"),
    (500, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"),
    (500, "Error processing tar file(exit status 1): open /workspace/xxx: file name too long"),
]

ENGINES = [
    (
        500,
        "failed to create endpoint x on network bridge: adding interface veth1 to bridge docker0 "
        "failed: could not find bridge docker0: route ip+net: no such network interface",
    ),
    (500, "dial unix:///run/containerd/containerd.sock: timeout"),
    (500, "write /var/lib/docker/tmp: no space left on device"),
    (500, "Error processing tar file(exit status 1): write /workspace/a: no space left on device"),
    (500, f"{LIMIT} mkdir /sys/fs/cgroup/memory/docker/1: cannot allocate memory: unknown"),
    (500, f"{OCI}unable to retrieve OCI runtime error: EOF: unknown"),
    (500, ""),
    (502, "Bad Gateway"),
    (503, "the engine is shutting down"),
    (404, "No such container: x"),
    (404, "No such image: x"),
    (409, "Conflict. The container name is already in use by container 1"),
    (429, "too many requests"),
    (None, "no status"),
]

REGISTRYS = [
    (
        500,
        'Get "https://nosuchhost.invalid/v2/": dial tcp: lookup nosuchhost.invalid: no such host',
    ),
    (500, 'Get "http://localhost:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused'),
    (500, "toomanyrequests: You have reached your pull rate limit."),
    (500, "manifest for x:1 not found"),
    (400, "invalid reference format"),
]

UNREADABLE = [
    (500, "evalSymlinksInScope: too many links in /var/lib/docker/overlay2/70/merged/workspace/a"),
    (500, "lstat /var/lib/docker/overlay2/70/merged/workspace/xxx: file name too long"),
    (400, "path cannot be empty"),
]


@pytest.mark.parametrize(("status", "text"), JOBS_OWN)
def test_what_is_the_jobs_own(status, text):
    assert not is_engines(answer(status, text))


@pytest.mark.parametrize(("status", "text"), ENGINES)
def test_what_passes(status, text):
    error = answer(status, text)
    assert is_engines(error)
    assert not is_registrys(error)
    assert not is_unreadable(error)


@pytest.mark.parametrize(("status", "text"), REGISTRYS)
def test_what_the_registry_says(status, text):
    assert is_registrys(answer(status, text))


@pytest.mark.parametrize(("status", "text"), UNREADABLE)
def test_what_cannot_be_read(status, text):
    assert is_unreadable(answer(status, text))
