"""A running worker, and whether it gives the hashes that this process gives."""

import http.client
import json
import shutil
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from engine.errors import EngineError, RequestError
from engine.model.config import NAMES
from engine.output.results import result_hash
from engine.output.run import Changes, Request, run
from engine.parity.golden_set import DEFAULT_CONFIG, GOLDEN, HOOKED, cases, to_zip
from engine.parity.places import Comparison
from engine.parity.portfolio import write_portfolio

POLICIES = 10_000
SCENARIOS = 1000
TABLES = ("mortality.csv", "lapse.csv", "expenses.csv")
ANSWER_SECONDS = 300.0
PATIENCE_SECONDS = 60.0
RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Remote:
    """A worker by its URL, and the bearer token that it asks for, if it does.

    Redirects are errors: the token is for this worker.
    """

    url: str
    token: str | None = None

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RequestError(f"{self.url} is not a URL like http://worker:3000")

    def get(self, path: str) -> dict[str, Any]:
        """A document.

        Raises:
            EngineError: it is not answered well.
        """
        return self._decoded(*self._ask("GET", path, None))

    def execute(self, package: bytes) -> dict[str, Any]:
        """The result of a model, a zip; a busy worker is asked again for a minute.

        Raises:
            EngineError: it gives none.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            status, text = self._ask("POST", "/execute", package)
            if status != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                return self._decoded(status, text)
            threading.Event().wait(RETRY_SECONDS)

    def _ask(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        parts = urllib.parse.urlsplit(self.url)
        secure = parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        headers = {"Content-Type": "application/zip"} if body is not None else {}
        headers |= {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            connection = kind(parts.hostname or "", parts.port, timeout=ANSWER_SECONDS)
            with closing(connection):
                connection.request(method, parts.path.rstrip("/") + path, body, headers)
                answer = connection.getresponse()
                return answer.status, answer.read()
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise EngineError(f"cannot be reached: {error}") from error

    def _decoded(self, status: int, text: bytes) -> dict[str, Any]:
        try:
            document: Any = json.loads(text)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise EngineError(f"answers {status}, and not with JSON: is this a worker?")
        if status != HTTPStatus.OK:
            error = document.get("error")
            message = error.get("message") if isinstance(error, dict) else None
            told = f"answers {status}: {message}"
            if status == HTTPStatus.UNAUTHORIZED:
                told += "; set the environment variable ENGINE_TOKEN to the worker's token"
            raise EngineError(told)
        return document


def compare_worker(remote: Remote, golden: Path = GOLDEN) -> Iterator[Comparison]:
    """Ask for its capabilities, and have it value the golden set, without hooks, and a made-up
    portfolio of 10,000 policies; after an answer that is none, nothing else is asked.
    """
    yield (first := _capabilities(remote))
    if first.error is not None:
        return
    with tempfile.TemporaryDirectory(prefix="engine-parity-") as directory:
        for number, (name, package) in enumerate(_packages(golden, Path(directory))):
            root = Path(directory) / str(number)
            yield _compared(remote, f"{remote.url}, {name}", root, package)


def _capabilities(remote: Remote) -> Comparison:
    place = f"{remote.url}, capabilities"
    try:
        found = remote.get("/capabilities")
    except EngineError as error:
        return Comparison(place, error=str(error))
    alignment = found.get("alignment")
    aligned = isinstance(alignment, dict) and alignment.get("verified") is True
    failed = [] if aligned else ["alignment is not verified"]
    if found.get("parity") != "pass":
        failed += [str(what) for what in found.get("failed") or ["no verdict"]]
    return Comparison(place, tuple(failed))


def _compared(remote: Remote, place: str, root: Path, package: bytes) -> Comparison:
    own = run(Request(root, Changes(), allow_hooks=False)).document["result_hash"]
    try:
        document = remote.execute(package)
    except EngineError as error:
        return Comparison(place, error=str(error))
    hashes = {document.get("result_hash"), result_hash(document)}
    other = ", ".join(sorted(map(str, hashes - {own})))
    return Comparison(place, (f"{other}, here {own}",) if other else ())


def _packages(golden: Path, directory: Path) -> Iterator[tuple[str, bytes]]:
    """Names and zips of models, each in a directory of its own, by number."""
    number = 0
    for case, name, document in cases(golden):
        if name != HOOKED:  # which workers refuse
            yield f"{case.name}, {name}", _package(directory / str(number), case, document)
            number += 1
    root = directory / "portfolio"
    root.mkdir()
    for table in TABLES:
        shutil.copyfile(GOLDEN / "term_life_100x10" / table, root / table)
    write_portfolio(root / "policies.csv", POLICIES)
    document = DEFAULT_CONFIG | {"scenarios": {"count": SCENARIOS}}
    yield f"{POLICIES:,} policies", _package(directory / str(number), root, document)


def _package(root: Path, files: Path, document: dict[str, Any]) -> bytes:
    shutil.copytree(files, root, ignore=shutil.ignore_patterns(*NAMES, "expected.json"))
    (root / NAMES[1]).write_text(json.dumps(document), encoding="utf-8")
    return to_zip(root)
