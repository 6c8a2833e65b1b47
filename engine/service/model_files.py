"""A request's body as a model: a zip as it came, or a directory of the files in a JSON text."""

import json
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

from engine.errors import ModelError, Problem, RequestError
from engine.model.config import NAMES, Config
from engine.service.answers import Refused
from engine.service.limits import WorkerLimits

BODY = "body"
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
ZIP, JSON = "application/zip", "application/json"


def check_content_type(content_type: str) -> None:
    """Refuse what is no model at all, before it is read."""
    if content_type not in (ZIP, JSON):
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send {ZIP} or {JSON}")


def model_of(directory: Path, content_type: str) -> Path:
    """The model in the file `body` of a directory, to which the files of a JSON text are added.

    Raises:
        Refused: it is not the JSON that was agreed on.
        ModelError: a file's name or text is none.
    """
    body = directory / BODY
    if content_type == ZIP:
        return body.rename(directory / "model.zip")
    root = directory / "model"
    root.mkdir()
    _write_files(root, body.read_bytes())
    return root


def check_size(config: Config, limits: WorkerLimits) -> None:
    """Refuse more scenarios than are made here.

    Raises:
        RequestError: there are more.
    """
    count = config.scenarios.count
    if config.scenarios.file is None and (count or 0) > limits.scenarios:
        raise RequestError(f"at most {limits.scenarios} scenarios are run here, not {count}")


def _write_files(root: Path, body: bytes) -> None:
    document = _document(body)
    for name, text in document["files"].items():
        if not FILE_NAME.fullmatch(name) or name in NAMES or not isinstance(text, str):
            raise ModelError(
                [Problem("files", "is not a plain file name with a string as content", value=name)]
            )
        (root / name).write_bytes(text.encode(errors="surrogatepass"))  # which is not UTF-8 then
    (root / NAMES[1]).write_text(json.dumps(document["config"]), encoding="utf-8")


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "the body is not JSON") from error
    files = document.get("files") if isinstance(document, dict) else None
    if not isinstance(files, dict) or not isinstance(document.get("config"), dict):
        raise Refused(HTTPStatus.BAD_REQUEST, 'the body must be {"config": {…}, "files": {…}}')
    return dict(document)
