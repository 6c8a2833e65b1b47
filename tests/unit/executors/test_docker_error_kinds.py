"""What dockerd 20.10 really answered, and whose fault that is."""

import pytest
import requests
from docker.errors import APIError

from ci_controller.executors.docker.error_kinds import (
    is_engine_fault,
    is_registry_away,
    is_registry_fault,
    is_unreadable,
    remedy,
)


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

REGISTRY_AWAY = [
    (500, 'Get "http://localhost:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused'),
    (
        500,
        'Get "https://registry.example/v2/": dial tcp: lookup registry.example on '
        "10.0.0.53:53: dial udp 10.0.0.53:53: connect: network is unreachable",
    ),
    (500, 'Get "https://registry.example/v2/": dial tcp 10.0.0.1:443: i/o timeout'),
    (500, 'Get "https://registry.example/v2/": net/http: TLS handshake timeout'),
    (500, 'Get "http://localhost:5000/v2/": EOF'),
    (500, "toomanyrequests: You have reached your pull rate limit."),
    (500, "received unexpected HTTP status: 503 Service Unavailable"),
    (None, "read tcp 10.0.0.2:4711->10.0.0.1:443: read: connection reset by peer"),
]

REGISTRYS_NO = [
    (
        500,
        'Get "https://nosuchhost.invalid/v2/": dial tcp: lookup nosuchhost.invalid: no such host',
    ),
    (404, "manifest for x:1 not found: manifest unknown: manifest unknown"),
    (
        404,
        "pull access denied for x, repository does not exist or may require 'docker login': "
        "denied: requested access to the resource is denied",
    ),
    (500, "unauthorized: authentication required"),
    (500, "no matching manifest for linux/amd64 in the manifest list entries"),
    (500, 'Get "https://registry.example/v2/": x509: certificate signed by unknown authority'),
    (400, "invalid reference format"),
]

UNREADABLE = [
    (500, "evalSymlinksInScope: too many links in /var/lib/docker/overlay2/70/merged/workspace/a"),
    (500, "lstat /var/lib/docker/overlay2/70/merged/workspace/xxx: file name too long"),
    (400, "path cannot be empty"),
]


@pytest.mark.parametrize(("status", "text"), JOBS_OWN)
def test_what_is_the_jobs_own(status, text):
    assert not is_engine_fault(answer(status, text))


@pytest.mark.parametrize(("status", "text"), ENGINES)
def test_what_passes(status, text):
    error = answer(status, text)
    assert is_engine_fault(error)
    assert not is_registry_away(error)
    assert not is_registry_fault(error)
    assert not is_unreadable(error)


@pytest.mark.parametrize(("status", "text"), REGISTRY_AWAY)
def test_a_registry_that_may_be_back_soon(status, text):
    error = answer(status, text)
    assert is_registry_away(error)
    assert not is_registry_fault(error)


@pytest.mark.parametrize(("status", "text"), REGISTRYS_NO)
def test_what_the_registry_will_say_again(status, text):
    error = answer(status, text)
    assert is_registry_fault(error)
    assert not is_registry_away(error)


@pytest.mark.parametrize(
    "text", ["Unknown runtime specified runsc", "unknown or invalid runtime name: runsc"]
)
def test_a_runtime_that_the_engine_does_not_have_comes_with_what_to_do(text):
    told = remedy(answer(400, text), "runsc")
    assert "'runsc'" in told
    assert "CI_DOCKER_RUNTIME" in told
    assert "daemon.json" in told


@pytest.mark.parametrize(("status", "text"), [*JOBS_OWN, *ENGINES])
def test_there_is_no_remedy_for_the_rest(status, text):
    assert remedy(answer(status, text), "runsc") == ""


@pytest.mark.parametrize(("status", "text"), UNREADABLE)
def test_what_cannot_be_read(status, text):
    assert is_unreadable(answer(status, text))
