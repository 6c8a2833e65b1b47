"""The messages of the model-job WebSocket: the only place that knows their names and layout."""

import base64
import json
import struct
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ci_common.errors import quoted
from ci_common.events import LogEvent
from ci_common.job import Job, format_time
from ci_common.progress import Initialized, Progress
from ci_server.apis.models.present import execution_time_ms, model_status, statistics_json
from ci_server.streams.encoded_cache import EncodedLogCache
from ci_server.streams.log_stream import cut_where_readable

LOG_PIECE_BYTES = 8 << 10
"""The most of the log in one message, so that a link that breaks again and again carries the log,
too. As JSON it takes up to eight times as much.
"""

MAGIC = b"CINV"
VERSION = 1
FLOAT64 = 1
ALIGNMENT = 16

_CACHE_BYTES = 8 << 20
_MESSAGE_BYTES = 100
"""What each of the texts takes besides its characters."""


def connected(now: datetime) -> str:
    """The first message."""
    return _encoded("connected", timestamp=format_time(now))


def initialized(job: Job, told: Initialized | None) -> str:
    """What the job works on: as it said itself, or as far as the server knows."""
    if told is None:
        told = Initialized(assets_hash=job.package.sha256 if job.package else None)
    return _encoded(
        "initialized",
        jobId=job.job_id,
        pipelineId=told.pipeline_id,
        assetsHash=told.assets_hash,
        nodeCount=told.node_count,
    )


def progress(job: Job, step: Progress) -> str:
    """How far the job says it is."""
    return _encoded(
        "progress",
        jobId=job.job_id,
        current=step.current,
        total=step.total,
        phase=step.phase,
        message=step.message,
    )


def complete(job: Job, document: dict[str, Any] | None) -> str:
    """The last message of a job that succeeded; `document` is its result, if it left one."""
    return _encoded(
        "complete",
        jobId=job.job_id,
        status=model_status(job).value,
        executionTimeMs=execution_time_ms(job),
        resultHash=document["result_hash"] if document else None,
    )


def failed(job: Job, failure: str | None) -> str:
    """The last message of a job that did not; `failure` is why, for people."""
    outcome = job.outcome
    if outcome is None:
        raise ValueError(f"job {job.job_id} is not finished")
    return _encoded(
        "error",
        jobId=job.job_id,
        error=failure or outcome.message,
        details=outcome.message,
        status=model_status(job).value,
        reason=outcome.reason.value,
        exitCode=outcome.exit_code,
    )


def unsupported(job: Job, kind: str) -> str:
    """The answer to a message that this server knows nothing to do about."""
    return _encoded(
        "error",
        jobId=job.job_id,
        error=f"messages of the type {quoted(kind)} are not supported",
        details="this stream is read-only; the job and its stream continue",
    )


def results(job: Job, document: dict[str, Any]) -> bytes:
    """The statistics, as a binary frame. The newline lets clients tell it from one of values."""
    return b"\n" + json.dumps(statistics_json(job, document)).encode("ascii")


def values_header(shape: Sequence[int]) -> bytes:
    """The binary frame before those of float64 values, little-endian: magic, version, type of the
    values, number of dimensions (a byte each), the dimensions (8 bytes each), zeros up to a
    multiple of 16 bytes.
    """
    fixed = struct.pack("<4sBBBx", MAGIC, VERSION, FLOAT64, len(shape))
    header = fixed + struct.pack(f"<{len(shape)}Q", *shape)
    return header + bytes(-len(header) % ALIGNMENT)


class LogMessages(EncodedLogCache[tuple[str, ...]]):
    """Log events as messages of bounded size, one or several for each."""

    def __init__(self) -> None:
        super().__init__(_log_pieces, _size, _CACHE_BYTES)


def _log_pieces(job_id: str, event: LogEvent) -> tuple[str, ...]:
    made: list[str] = []
    content = event.content
    offset = event.end_offset - len(content)
    while content:
        piece = content
        if len(content) > LOG_PIECE_BYTES:
            piece = cut_where_readable(content[:LOG_PIECE_BYTES])
        offset += len(piece)
        content = content[len(piece) :]
        made.append(_log(job_id, piece, offset))
    return tuple(made)


def _log(job_id: str, content: bytes, offset: int) -> str:
    """Text, and where the bytes are not UTF-8 also `raw`, the exact bytes."""
    try:
        return _encoded("log", jobId=job_id, offset=offset, data=content.decode())
    except UnicodeDecodeError:
        raw = base64.b64encode(content).decode("ascii")
        data = content.decode(errors="replace")
        return _encoded("log", jobId=job_id, offset=offset, data=data, raw=raw)


def _size(messages: Sequence[str]) -> int:
    return sum(map(len, messages)) + _MESSAGE_BYTES * len(messages)


def _encoded(kind: str, **fields: object) -> str:
    """ASCII only: what jobs print may hold what cannot be encoded otherwise."""
    return json.dumps({"type": kind, **fields}, separators=(",", ":"))
