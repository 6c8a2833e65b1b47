"""The published shapes of the model-job API's answers, as JSON Schemas, and a client that checks.

They are written from the contract, not from the code.
"""

import jsonschema_rs

UUID = {"type": "string", "pattern": r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}
TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}
NUMBER = {"type": "number"}
SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
STATUS = {"enum": ["queued", "initializing", "running", "completed", "failed", "cancelled"]}
STREAM = {"type": "string", "pattern": r"^wss?://[^/]+(/.*)?/jobs/[0-9a-f-]{36}/stream"}


def _or_null(schema):
    return {"anyOf": [schema, {"type": "null"}]}


def _object(**properties):
    """Exactly these, all of them."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


STATISTICS = _object(
    mean=NUMBER,
    stdDev=NUMBER,
    cte95=NUMBER,
    percentiles={
        "type": "object",
        "minProperties": 1,
        "patternProperties": {r"^p\d+(\.\d+)?$": NUMBER},
        "additionalProperties": False,
    },
    min=NUMBER,
    max=NUMBER,
)
RESULT = _object(
    statistics=STATISTICS,
    policyCount=COUNT,
    scenarioCount=COUNT,
    executionTimeMs=COUNT,
    resultHash=SHA256,
    artifacts={"type": "array", "items": _object(name=TEXT, size=COUNT, sha256=SHA256, url=TEXT)},
)
SUBMITTED = _object(
    jobId=UUID,
    status={"const": "queued"},
    websocketUrl=STREAM,
    createdAt=TIME,
    estimatedStartTime=_or_null(TIME),
)
JOB = _object(
    jobId=UUID,
    tenantId=TEXT,
    userId=TEXT,
    modelName=_or_null(TEXT),
    priority={"type": "integer", "minimum": 0, "maximum": 10},
    status=STATUS,
    packagePath=TEXT,
    packageHash=SHA256,
    websocketUrl=STREAM,
    createdAt=TIME,
    startedAt=_or_null(TIME),
    completedAt=_or_null(TIME),
    resultData=_or_null(RESULT),
    errorMessage=_or_null(TEXT),
    executionTimeMs=_or_null(COUNT),
)
JOBS = _object(jobs={"type": "array", "items": JOB}, nextCursor=_or_null(TEXT))
ERROR = _object(detail=TEXT, error=_object(code=TEXT, message=TEXT, request_id=TEXT))

MESSAGES = {
    "connected": _object(type=TEXT, timestamp=TIME),
    "initialized": _object(
        type=TEXT,
        jobId=UUID,
        pipelineId=_or_null(TEXT),
        assetsHash=_or_null(SHA256),
        nodeCount=_or_null(COUNT),
    ),
    "progress": _object(
        type=TEXT,
        jobId=UUID,
        current={"type": "integer", "minimum": 1},
        total=COUNT,
        phase=TEXT,
        message=_or_null(TEXT),
    ),
    "log": {
        "type": "object",
        "properties": {"type": TEXT, "jobId": UUID, "offset": COUNT, "data": TEXT, "raw": TEXT},
        "required": ["type", "jobId", "offset", "data"],
        "additionalProperties": False,
    },
    "complete": _object(
        type=TEXT,
        jobId=UUID,
        status={"const": "completed"},
        executionTimeMs=_or_null(COUNT),
        resultHash=_or_null(SHA256),
    ),
    "error": {
        "type": "object",
        "properties": {"type": TEXT, "jobId": UUID, "error": TEXT, "details": TEXT},
        "required": ["type", "jobId", "error", "details"],
    },
}
"""Of the WebSocket, by type. The end of a job that failed has more fields than are published."""


def check(schema, document):
    """Fail unless the document is as the schema says."""
    problems = list(jsonschema_rs.validator_for(schema).iter_errors(document))
    assert not problems, "\n".join(f"{problem.instance_path}: {problem}" for problem in problems)
    return document


class ModelJobs:
    """A client of the API that checks the shape of every answer."""

    def __init__(self, http, headers=None):
        self._http = http
        self._headers = headers or {}

    def submit(self, package, name="model.zip", **fields):
        files = {"package": (name, package)}
        return self._ask("POST", "/submit", SUBMITTED, files=files, data=fields)

    def get(self, job_id, **params):
        return self._ask("GET", f"/{job_id}", JOB, params=params)

    def list(self, **params):
        return self._ask("GET", "", JOBS, params=params)

    def cancel(self, job_id, **params):
        return self._ask("DELETE", f"/{job_id}", None, params=params)

    def _ask(self, method, path, schema, **options):
        """The document; of an error the answer, whose body was checked."""
        answer = self._http.request(
            method, f"/v1/jobs{path}", headers=self._headers, timeout=60, **options
        )
        if answer.status_code >= 400:
            body = check(ERROR, answer.json())
            assert body["detail"] == body["error"]["message"]
            return answer
        if schema is None:
            assert (answer.status_code, answer.content) == (204, b"")
            return None
        assert answer.status_code == (201 if method == "POST" else 200)
        return check(schema, answer.json())
