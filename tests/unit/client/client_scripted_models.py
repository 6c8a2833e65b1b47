"""A scripted server of the model-job API, with one finished job, and a model to send."""

import json
import re
from pathlib import Path

from client_scripted_server import (
    JOB,
    reply_json,
)

from ci_common.model_result import result_hash

EXAMPLE = Path(__file__).parents[3] / "examples/term_life"
SUBMIT = "POST /v1/jobs/submit"
GET = f"GET /v1/jobs/{JOB}"
DELETE = f"DELETE /v1/jobs/{JOB}"
SUBMITTED = {
    "jobId": JOB, "status": "queued", "websocketUrl": f"ws://here/jobs/{JOB}/stream?token=abc",
    "createdAt": "2026-01-02T03:04:05.678Z", "estimatedStartTime": None,
}  # fmt: skip
DOCUMENT = {
    "statistics": {
        "mean_npv": 22009362.604, "std_dev": 0.1, "cte_95": -1.5, "min": -2.0, "max": 3.0,
        "percentiles": {"p50": 1.0, "p99.5": 3.0},
    },
    "scenario_count": 1000,
    "policy_count": 10000,
}  # fmt: skip
HASH = result_hash(DOCUMENT)
RESULTS = json.dumps({**DOCUMENT, "result_hash": HASH}).encode()
FILES = {
    "output/results.json": RESULTS,
    "output/npv.npy": b"npy",
    "other.txt": b"not of the results",
}
RESULT_DATA = {
    "statistics": {
        "mean": 22009362.604, "stdDev": 0.1, "cte95": -1.5, "min": -2.0, "max": 3,
        "percentiles": {"p50": 1.0, "p99.5": 3.0},
    },
    "policyCount": 10000, "scenarioCount": 1000, "executionTimeMs": 1500, "resultHash": HASH,
    "artifacts": [{"name": "output/npv.npy", "size": 3, "sha256": "0" * 64, "url": "http://x/y"}],
}  # fmt: skip
QUEUED = {
    "jobId": JOB, "tenantId": "t", "userId": "u", "modelName": "Term life", "priority": 3,
    "status": "queued", "packagePath": f"package:{JOB}", "packageHash": "1" * 64,
    "websocketUrl": f"ws://here/jobs/{JOB}/stream?token=abc",
    "createdAt": "2026-01-02T03:04:05.678Z", "startedAt": None, "completedAt": None,
    "resultData": None, "errorMessage": None, "executionTimeMs": None,
}  # fmt: skip
COMPLETED = QUEUED | {
    "status": "completed", "startedAt": "2026-01-02T03:04:06Z",
    "completedAt": "2026-01-02T03:04:07.5Z", "resultData": RESULT_DATA, "executionTimeMs": 1500,
}  # fmt: skip
FAILED = QUEUED | {"status": "failed", "errorMessage": "lapse.csv: no \x1b[2J\nmodel.toml: none\n"}
TABLE = "10,000 policies, 1,000 scenarios\n  Mean NPV             22,009,362.60\n"


def refused(status, code, message):
    return reply_json({"detail": message, "error": {"code": code, "message": message}}, status)


SUBMIT_IT = ("model", "submit", "../portfolio")


def parts_of(request):
    """The form of a submission: by name, the file's content and the others' text."""
    boundary = re.search("boundary=(.*)", request.headers["content-type"])[1].encode()
    parts = {}
    for piece in request.body.split(b"--" + boundary)[1:-1]:
        head, _, content = piece.partition(b"\r\n\r\n")
        parts[re.search(rb' name="(\w+)"', head)[1].decode()] = content[:-2]
    return parts
