"""Workers for the tests, and how to talk to them."""

import http.client
import io
import json
import re
import threading
import zipfile
from contextlib import contextmanager

from engine.parity.golden_set import DEFAULT_CONFIG, GOLDEN
from engine.service.limits import WorkerLimits
from engine.service.worker import Worker

CASE = GOLDEN / "term_life_100x10"
TABLES = ("policies", "mortality", "lapse", "expenses", "scenarios")
JSON, ZIP = "application/json", "application/zip"
LABEL = r'[a-z]+="[^"]*"'
SAMPLE = re.compile(rf"([a-z_]+)(\{{{LABEL}(?:,{LABEL})*\}})? (\S+)")
ENDLESS = """
def adjust_lapse(policies, year, lives, rates):
    while True:
        pass
"""


@contextmanager
def running(access=None, **limits):
    """A worker that serves on a port of its own."""
    worker = Worker(("127.0.0.1", 0), WorkerLimits(**limits), access)
    thread = threading.Thread(target=worker.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield worker
    finally:
        worker.shutdown()
        worker.server_close()
        thread.join()


@contextmanager
def answered(address, method, path, body=None, kind=JSON, **headers):
    """An answer whose body was not read yet."""
    connection = http.client.HTTPConnection(*address[:2], timeout=30)
    try:
        connection.request(method, path, body, {"Content-Type": kind} | headers)
        yield connection.getresponse()
    finally:
        connection.close()


def ask(worker, method, path, body=None, kind=JSON, **headers):
    """Status and decoded body of an answer."""
    with answered(worker.server_address, method, path, body, kind, **headers) as answer:
        return answer.status, json.loads(answer.read())


def model(**changes):
    """A small model, as a document."""
    files = {f"{name}.csv": (CASE / f"{name}.csv").read_text() for name in TABLES}
    return {"config": DEFAULT_CONFIG | changes, "files": files}


def endless():
    """A model that never ends, in JSON; its hooks have to be allowed."""
    hooked = model(hooks="hooks.py")
    hooked["files"]["hooks.py"] = ENDLESS
    return json.dumps(hooked)


def zipped(root=CASE):
    """The files of a directory as a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.iterdir()):
            if path.is_file():
                archive.write(path, path.name)
    return buffer.getvalue()


def read_events(answer):
    """The events of a stream as they come, each its name and content; comments are ("", text)."""
    for line in iter(answer.readline, b""):
        if line.startswith(b":"):
            yield "", line.decode().strip()
        elif line.startswith(b"event: "):
            data = answer.readline()
            assert data.startswith(b"data: ")
            yield line[7:].decode().strip(), json.loads(data[6:])


def samples(text):
    """The values of Prometheus' text format, by name and labels; it has to be well formed."""
    found, kinds = {}, {}
    for line in text.splitlines():
        if line.startswith("# "):
            word, name, rest = line[2:].split(" ", 2)
            if word == "TYPE":
                assert name not in kinds, name
                kinds[name] = rest
            continue
        match = re.fullmatch(
            r"([a-z_]+)(\{[a-z]+=\"[^\"]*\"(?:,[a-z]+=\"[^\"]*\")*\})? (\S+)", line
        )
        assert match, line
        base = re.sub(r"_(bucket|sum|count)$", "", match[1])
        assert match[1] in kinds or kinds.get(base) == "histogram", line
        key = match[1] + (match[2] or "")
        assert key not in found, key
        found[key] = float(match[3])
    return found
