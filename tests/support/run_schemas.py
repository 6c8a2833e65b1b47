"""The published shapes of the runs API's answers, as JSON Schemas, and a client that checks them.

They are written from the contract, not from the code.
"""

import jsonschema_rs

from support.run_program import query

TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT, "uniqueItems": True}
FLAG = {"type": "boolean"}
COUNT = {"type": "integer", "minimum": 0}
NUMBER = {"type": "number"}
RUN_ID = {"type": "string", "pattern": "^run_[0-9a-f]{12}$"}
UUID = {"type": "string", "pattern": r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}
STRATEGY = {"enum": ["synthetic_control", "query_as_control"]}
OBJECTS = {"type": "array", "items": {"type": "object"}}
SCORES = {"type": "object", "additionalProperties": NUMBER}


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


def _list_of(schema):
    return {"type": "array", "items": schema}


PERTURBATIONS = _list_of(
    _object(
        perturbation_name=TEXT,
        perturbation_type=TEXT,
        datasets_present=TEXTS,
        total_cells=COUNT,
        cell_types_present=TEXTS,
    )
)
CELL_TYPES = _list_of(
    _object(
        cell_type_cl_id=TEXT,
        cell_type_name=TEXT,
        datasets_present=TEXTS,
        total_cells=COUNT,
        perturbations_present=TEXTS,
    )
)
DATASETS = TEXTS
ASSESSMENT = _object(
    synthetic_control_available=FLAG,
    control_cells_found=COUNT,
    control_donors=TEXTS,
    control_conditions=TEXTS,
    recommendation={"type": "string", "minLength": 1},
    warning={"anyOf": [{"type": "string", "minLength": 1}, {"type": "null"}]},
)
_STATUS = {
    "run_id": RUN_ID,
    "job_id": UUID,
    "status": {"enum": ["pending", "running", "completed", "failed", "cancelled"]},
    "current_iteration": _or_null(COUNT),
    "max_iterations": {"type": "integer", "minimum": 1, "maximum": 10},
    "current_phase": _or_null(TEXT),
    "current_score": _or_null(NUMBER),
    "message": _or_null(TEXT),
    "grounding_scores": _or_null(SCORES),
    "control_strategy": STRATEGY,
    "control_strategy_effective": _or_null(STRATEGY),
    "control_cells_available": _or_null(COUNT),
    "created_at": TIME,
    "updated_at": TIME,
    "start_time": _or_null(TIME),
    "end_time": _or_null(TIME),
    "error_message": _or_null(TEXT),
    "user_email": TEXT,
}
STATUS = _object(**_STATUS)
ITEM = _object(
    **_STATUS,
    config={"type": "object"},
    random_seed=_or_null(COUNT),
    raw_query=TEXT,
    iterations=OBJECTS,
    final_score=_or_null(NUMBER),
    termination_reason=_or_null(TEXT),
    anndata_path=_or_null(TEXT),
    report_path=_or_null(TEXT),
    log_path=_or_null(TEXT),
)
PAGE = _object(
    runs={"type": "array", "items": ITEM},
    total=COUNT,
    page={"type": "integer", "minimum": 1},
    page_size={"type": "integer", "minimum": 1, "maximum": 100},
)
RESULT = _object(
    run_id=RUN_ID,
    success={"type": "boolean"},
    grounding_score=_or_null(NUMBER),
    termination_reason=_or_null(TEXT),
    num_de_genes=_or_null(COUNT),
    top_upregulated=OBJECTS,
    top_downregulated=OBJECTS,
    enriched_pathways=OBJECTS,
    activated_tfs=OBJECTS,
    control_strategy_effective=_or_null(STRATEGY),
    iterations=OBJECTS,
    anndata_url=_or_null(TEXT),
    report_url=_or_null(TEXT),
    log_url=_or_null(TEXT),
)
CANCELLED = _object(status={"const": "cancelled"})
ERROR = _object(detail=TEXT, error=_object(code=TEXT, message=TEXT, request_id=TEXT))

EVENTS = {
    "iteration_start": _object(type={"const": "iteration_start"}, iteration=COUNT),
    "iteration_end": _object(type={"const": "iteration_end"}, iteration=COUNT, score=NUMBER),
    "progress": {
        "type": "object",
        "properties": {
            "type": {"const": "progress"},
            "current": {"type": "integer"},
            "total": {"type": "integer"},
            "phase": TEXT,
            "message": TEXT,
            "iteration": {"type": "integer"},
            "score": NUMBER,
            "scores": SCORES,
        },
        "required": ["type", "current", "total", "phase"],
        "additionalProperties": False,
    },
}


def checked(answer, schema, status=200):
    """The JSON of an answer that has this status and shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    content = answer.json()
    jsonschema_rs.validate(schema, content)
    return content


def refused(answer, status, code):
    """The message of an error."""
    error = checked(answer, ERROR, status)
    assert error["error"]["code"] == code
    assert error["detail"] == error["error"]["message"]
    return error["detail"]


def check(schema, document):
    """The document, if it is as published."""
    jsonschema_rs.validate(schema, document)
    return document


class Runs:
    """A client of one caller. It uses paths with and without a slash at the end, in turn."""

    def __init__(self, http, headers=None):
        self._http = http
        self._headers = headers or {}
        self._has_slash = False

    def ask(self, method, path, **options):
        """An answer as it is."""
        self._has_slash = not self._has_slash
        slash = "/" if self._has_slash else ""
        return self._http.request(
            method, f"/api/v1/runs{path}{slash}", headers=self._headers, **options
        )

    def submit(self, query, **options):
        """The status of a new run."""
        return self._checked(STATUS, "POST", "", json={"query": query, **options})

    def get(self, run_id):
        """A run's status."""
        return self._checked(STATUS, "GET", f"/{run_id}")

    def page(self, **parameters):
        """A page of runs."""
        return self._checked(PAGE, "GET", "", params=parameters)

    def result(self, run_id):
        """A completed run's result."""
        return self._checked(RESULT, "GET", f"/{run_id}/result")

    def cancel(self, run_id):
        """Ask for the end of a run."""
        return self._checked(CANCELLED, "POST", f"/{run_id}/cancel")

    def refused(self, status, code, method, path, **options):
        """The `detail` of an error."""
        return refused(self.ask(method, path, **options), status, code)

    def _checked(self, schema, method, path, **options):
        return checked(self.ask(method, path, **options), schema)


def in_status(server, runs, run_id, status):
    """The run, once it has this status."""
    return server.until(
        lambda: runs.get(run_id),
        lambda run: run["status"] == status,
        what=f"{run_id} to be {status}",
    )


def ended(server, runs, *steps, status="completed", **options):
    """A run of `run_program` that ended so."""
    run_id = runs.submit(query(*steps), **options)["run_id"]
    return in_status(server, runs, run_id, status)
