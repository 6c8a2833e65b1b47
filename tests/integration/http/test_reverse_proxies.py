"""The proxies' files in deploy/, in front of a real server: TLS, HTTP/2, quiet streams, large
uploads.
"""

import json
import os
import shutil
import signal
import ssl
import subprocess
import time
import zipfile
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support.administration import create_key, create_user
from support.archives import zip_bytes
from support.live_server import ROOT, LiveServer, free_port
from support.waiting import until_sync

pytestmark = pytest.mark.docker

HOST = "ci.example.com"
QUIET_SECONDS = 61
UPSTREAM = "127.0.0.1:8000"
MIB = 1 << 20


def certificate(directory):
    """A certificate for the host, and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (directory / "ci.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (directory / "ci.key").write_bytes(private)


def replaced(name, **changes):
    """The file as an operator changes it: only these texts, each of which must be there."""
    text = (ROOT / "deploy" / name).read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


def nginx(directory, port, upstream):
    own = replaced(
        "nginx/ci-runner.conf",
        **{
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            UPSTREAM: upstream,
            "/etc/ssl/ci": f"{directory}/ci",
            "/var/log/nginx": str(directory),
        },
    )
    (directory / "ci-runner.conf").write_text(own)
    temporary = "".join(
        f"{kind}_temp_path {directory}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "nginx.conf").write_text(
        f"daemon off; pid {directory}/pid; error_log {directory}/nginx.log; "
        f"events {{}} http {{ {temporary} include {directory}/ci-runner.conf; }}"
    )
    return ["nginx", "-p", directory, "-c", directory / "nginx.conf"]


def caddy(directory, port, upstream):
    tls = f"tls {directory}/ci.pem {directory}/ci.key"
    site = f"{HOST} {{\n    bind 127.0.0.1\n    {tls}"
    own = replaced("caddy/Caddyfile", **{f"{HOST} {{": site, UPSTREAM: upstream})
    options = f"admin off\nauto_https disable_redirects\nhttps_port {port}\n"
    (directory / "Caddyfile").write_text(f"{{\n{options}}}\n{own}")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", directory / "Caddyfile"]


PROXIES = {"nginx": nginx, "caddy": caddy}
ACCESS_LOGS = {"nginx": "access.log", "caddy": "output"}
CLIENTS = ("nginx HTTP/2", "nginx HTTP/1.1", "caddy HTTP/1.1")
"""Browsers speak HTTP/2, `ci` speaks HTTP/1.1."""


@contextmanager
def proxy(name, directory, upstream):
    """The proxy in front of the server; clients of it that resolve the host, by version of HTTP."""
    if shutil.which(name) is None:
        pytest.skip(f"needs {name} (scripts/test installs it where it can)")
    directory.mkdir()
    certificate(directory)
    port = free_port()
    command = PROXIES[name](directory, port, upstream)
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, "HOME": str(directory)},
        )
    trusting = ssl.create_default_context(cafile=directory / "ci.pem")
    with httpx.Client(verify=trusting, timeout=90, trust_env=False) as http:
        try:
            client = Through(http, port, directory / ACCESS_LOGS[name])
            until_sync(client.answers, bool, f"{name}: {(directory / 'output').read_text()}", 60)
            yield {"HTTP/1.1": client, "HTTP/2": Curl(directory, port, client.log)}
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Through:
    """Requests to the host, over the proxy on this machine."""

    def __init__(self, http, port, log):
        self.log = log
        self._http, self._base = http, f"https://127.0.0.1:{port}"
        self._own = {"headers": {"Host": HOST}, "extensions": {"sni_hostname": HOST}}

    def answers(self):
        with suppress(httpx.TransportError):
            return self.ask("GET", "/health").status_code == 200
        return False

    def ask(self, method, path, headers=(), **options):
        own = {**self._own, "headers": {**self._own["headers"], **dict(headers)}}
        return self._http.request(method, self._base + path, **own, **options)

    def stream(self, path, headers):
        own = {**self._own, "headers": {**self._own["headers"], **headers}}
        return self._http.stream("GET", self._base + path, **own)


class Curl:
    """The same over HTTP/2. httpx needs a library for that, which `ci` would load at its start."""

    def __init__(self, directory, port, log):
        self.log = log
        self._sent = directory / "sent"
        self._argv = ["curl", "-sSN", "--http2", "--noproxy", "*", "--max-time", "90"]
        self._argv += ["--cacert", directory / "ci.pem", "--connect-to", f"::127.0.0.1:{port}"]

    def ask(self, method, path, headers=(), files=None, data=None):
        own = ["-i", "-X", method, *self._about(path, headers)]
        for name, (filename, content) in (files or {}).items():
            self._sent.write_bytes(content)
            own += ["-F", f"{name}=@{self._sent};filename={filename}"]
        for name, value in (data or {}).items():
            own += ["--form-string", f"{name}={value}"]
        done = subprocess.run([*self._argv, *own], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        version, status, *lines = head.replace(b" ", b"\r\n", 1).split(b"\r\n")
        told = [tuple(line.split(b": ", 1)) for line in lines]
        about = {"http_version": version}
        return httpx.Response(int(status), headers=told, content=content, extensions=about)

    @contextmanager
    def stream(self, path, headers):
        argv = [*self._argv, *self._about(path, headers)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield SimpleNamespace(iter_lines=lambda: iter(process.stdout))
            finally:
                process.kill()

    def _about(self, path, headers):
        sent = [part for pair in dict(headers).items() for part in ("-H", ": ".join(pair))]
        return [*sent, f"https://{HOST}{path}"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    settings = {"trusted_proxies": "127.0.0.1", "iap_header": "false"}
    with LiveServer(tmp_path_factory.mktemp("behind"), hardened=True, **settings) as server:
        create_user(server)
        server.key = create_key(server)
        yield server.start()


@pytest.fixture(scope="module")
def proxies(server, tmp_path_factory):
    """Clients, as `CLIENTS` names them; together, because one test has to wait for a minute."""
    directory = tmp_path_factory.mktemp("proxies")
    with ExitStack() as stack:
        upstream = server.url.removeprefix("http://")
        yield {
            f"{name} {version}": client
            for name in PROXIES
            for version, client in stack.enter_context(
                proxy(name, Path(directory, name), upstream)
            ).items()
        }


def own_headers(server):
    return {"Authorization": f"Bearer {server.key}"}


def submit(server, client, command):
    files = {"file": ("p.zip", zip_bytes({"a.txt": b"a"}))}
    spec = {"spec": json.dumps({"command": ["sh", "-c", command]})}
    answer = client.ask("POST", "/submit-async", own_headers(server), files=files, data=spec)
    assert answer.status_code == 200, answer.text
    return answer.json()["job_id"]


def test_a_stream_that_is_quiet_for_a_minute_stays_open(server, proxies):
    with ExitStack() as stack:
        streams = {}
        for name in CLIENTS:
            client = proxies[name]
            job_id = submit(server, client, f"echo begin; sleep {QUIET_SECONDS}; echo end")
            answer = stack.enter_context(
                client.stream(f"/jobs/{job_id}/stream", own_headers(server))
            )
            streams[name] = answer.iter_lines()
        for name, lines in streams.items():
            assert any('"begin' in line for line in lines), name
            began = time.monotonic()
            rest = "\n".join(lines)
            assert '"end\\n"' in rest, name
            assert '"success": true' in rest.replace('":true', '": true'), name
            # The others have been quiet while the first was read.
            assert name != CLIENTS[0] or time.monotonic() - began > QUIET_SECONDS - 1


@pytest.mark.parametrize("name", CLIENTS)
class TestProxy:
    """Each of them."""

    def test_output_passes_at_once(self, server, proxies, name):
        job_id = submit(server, proxies[name], "echo first; sleep 600")
        with proxies[name].stream(f"/jobs/{job_id}/stream", own_headers(server)) as answer:
            lines = answer.iter_lines()
            # It would not come if the proxy waited for more, because there is no more.
            assert any('"first' in line for line in lines)
            cancelled = proxies[name].ask("DELETE", f"/jobs/{job_id}", own_headers(server))
            assert cancelled.status_code in (200, 202), cancelled.text
            assert any('"complete"' in line for line in lines)

    def test_headers_that_identify_are_not_believed(self, proxies, name):
        for forged in (
            {"X-Goog-Authenticated-User-Email": "accounts.google.com:evil@example.com"},
            {"X-Forwarded-For": "127.0.0.1"},
        ):
            assert proxies[name].ask("GET", "/jobs", forged).status_code == 401

    def test_answers_are_those_of_https(self, server, proxies, name):
        answer = proxies[name].ask("GET", "/jobs?limit=1", own_headers(server))
        assert answer.status_code == 200
        assert answer.http_version == name.split()[1]
        assert answer.headers["strict-transport-security"]
        if "link" in answer.headers:
            assert answer.headers["link"].startswith(f"<https://{HOST}")
        assert "<title>" in proxies[name].ask("GET", "/ui/").text

    def test_secrets_in_urls_are_not_logged(self, proxies, name):
        for path in (
            "/preview/pv1.secret/report/index.html?secret",
            "/jobs/some-job/stream?after=1&token=st1.secret",
            "/session/oidc/callback?code=secret&state=secret",
            "/artifacts?sig=secret",
        ):
            proxies[name].ask("GET", path, {"Referer": f"https://{HOST}/preview/pv1.secret/"})
        read = proxies[name].log.read_text
        until_sync(lambda: "/artifacts" in read(), bool, "the access log")
        assert "/preview/***" in read()
        assert "/jobs/some-job/stream" in read()
        assert "secret" not in read()

    def test_uploads_up_to_the_servers_limit_pass(self, server, proxies, name):
        content = zip_bytes({"a": bytes(90 * MIB)}, compression=zipfile.ZIP_STORED)
        nearly = {"file": ("p.zip", content)}
        spec = {"spec": '{"command": ["true"]}'}
        ask = proxies[name].ask
        answer = ask("POST", "/submit-async", own_headers(server), files=nearly, data=spec)
        assert answer.status_code == 200, answer.text
