"""docs/api.md against the JSON that the server sends, and the routes that it has."""

import re
from dataclasses import fields, replace

from ci_admin.catalogue_columns import KINDS
from ci_common.events import CompleteEvent, JobIdEvent, LogEvent, StatusEvent, WaitingEvent
from ci_common.job import (
    Artifact,
    CaseResult,
    CoverageSummary,
    JobStatus,
    Reason,
    SuiteSummary,
    utc_now,
)
from ci_common.ports.catalogue import CellTypeTotal, PerturbationTotal
from ci_common.ports.logs import LogMark
from ci_common.ports.usage import NO_QUOTAS, TenantUsage
from ci_common.principal import LOCAL_PRINCIPAL, KeyFacts, Role
from ci_common.sessions import IssuedUser, Session
from ci_common.waiting import Waiting, WaitReason
from ci_server.apis.models.form import FORM
from ci_server.apis.models.present import artifact_json as model_artifact
from ci_server.apis.models.present import job_json as job_of_model
from ci_server.apis.models.present import submitted_json as submitted_model
from ci_server.apis.native.openapi import routes_of
from ci_server.apis.native.present import (
    artifact_json,
    caller_json,
    event_json,
    job_json,
    server_json,
    single_job_json,
    usage_json,
)
from ci_server.apis.native.present_logs import mark_event_json
from ci_server.apis.native.submitted import SubmittedSpec
from ci_server.apis.runs.control_strategy import assessment_json
from ci_server.apis.sessions.own import own_session_json
from ci_server.app import create_app
from ci_server.dashboard.pages import UI_PATH
from ci_server.http.errors import STATUS_OF_CODE
from ci_server.services.control_strategy import ControlAssessment
from ci_server.services.intake import SubmissionLimits
from ci_server.services.result_files import FileResult
from ci_server.services.server_facts import ServerFacts
from ci_server.services.sessions import OwnSession
from ci_server.services.usage import UsageReport
from ci_server.submission.job_limits import DefaultLimits
from ci_server.submission.package_check import PackageLimits
from tests.support.jobs import a_job
from tests.support.pages import page, words_in_code

API = page("api.md")
MODELS = page("models.md")
RUNS = page("runs.md")
DURABLE = page("durable-streams.md")
TESTS = SuiteSummary(1, 1, 0, 0, 0, 0.5, (), (CaseResult("a::b", 0.5),))
FINISHED = replace(a_job(JobStatus.COMPLETED), tests=TESTS, coverage=CoverageSummary(1, 2, 3, 4))
BYTES = b"\xff"
DOCUMENT = {
    "statistics": {
        "mean_npv": 1.0,
        "std_dev": 1.0,
        "cte_95": 1.0,
        "min": 1.0,
        "max": 1.0,
        "percentiles": {"p50": 1.0},
    },
    "policy_count": 1,
    "scenario_count": 1,
    "result_hash": "0",
}


def first_cells(title, header=None):
    return [word for row in API.rows(title, header) for word in words_in_code(row[0])]


def test_fields_of_a_job():
    shown = first_cells("Fields of a job")
    assert len(shown) == len(set(shown))
    assert set(shown) == set(single_job_json(FINISHED, None))


def test_fields_of_test_results():
    assert first_cells("Test results") == [field.name for field in fields(SuiteSummary)]
    entries = API.section("Test results").rpartition("|")[2]
    assert words_in_code(entries) == [field.name for field in fields(CaseResult)]


def test_fields_of_a_model_job():
    result = FileResult(DOCUMENT)
    files = [model_artifact(Artifact("output/npv.npy", 1, "b"), "http://")]
    shown = job_of_model(FINISHED, "ws://", result, files, None)
    fields_of_a_job = [
        word
        for row in MODELS.rows("Fields of a model job", "field")
        for word in words_in_code(row[0])
    ]
    assert set(fields_of_a_job) == set(shown)
    result_fields = [
        word for row in MODELS.rows("Results", "field") for word in words_in_code(row[0])
    ]
    assert set(result_fields) == set(shown["resultData"])
    statistics, *_, artifacts = (row[1] for row in MODELS.rows("Results", "field"))
    assert set(shown["resultData"]["statistics"]) <= set(words_in_code(statistics))
    assert set(words_in_code(artifacts)) == set(shown["resultData"]["artifacts"][0])


def test_fields_of_a_submitted_model():
    shown = [
        word for row in MODELS.rows("Submit a model", "field") for word in words_in_code(row[0])
    ]
    assert shown == list(submitted_model(FINISHED, "ws://", None))
    parts = [row[0] for row in MODELS.rows("Submit a model", "part")]
    assert [words_in_code(part)[0] for part in parts] == [FORM.file, *FORM.texts]


def test_fields_of_metadata_and_assessments():
    shown = {words_in_code(row[0])[0]: row[2] for row in RUNS.rows("Metadata")}
    for path, kind in (("perturbations", PerturbationTotal), ("cell-types", CellTypeTotal)):
        (entry,) = words_in_code(shown[f"GET /api/v1/metadata/{path}"])
        assert entry == "{" + ", ".join(field.name for field in fields(kind)) + "}"
    told = [words_in_code(row[0]) for row in RUNS.rows("Control strategies")]
    answer = assessment_json(ControlAssessment(True, 1, [], [], "", None, None))
    assert [name for names in told for name in names] == list(answer)


def test_columns_of_the_catalogue():
    for kind in KINDS:
        rows = RUNS.rows("The catalogue", f"column of {kind.name}")
        shown = [name for row in rows for name in words_in_code(row[0])]
        assert shown == list(kind.columns)


def test_fields_of_coverage():
    assert first_cells("Coverage") == list(job_json(FINISHED)["coverage"])


def test_reasons_to_wait():
    rows = first_cells("Why a job waits", "reason")
    assert rows == [reason.value for reason in WaitReason]


def test_fields_of_events():
    events = [
        [JobIdEvent("id")],
        [StatusEvent(JobStatus.RUNNING), StatusEvent(JobStatus.QUEUED, 3)],
        [WaitingEvent(Waiting(WaitReason.QUEUE, "1 job ahead", 1))],
        [LogEvent(b"text", 4), LogEvent(BYTES, 5)],
        [CompleteEvent(FINISHED)],
    ]
    sent = {}
    told_events = [event_json(event) for kind in events for event in kind]
    for told in [*told_events, mark_event_json(LogMark(0, 0, 0.0))]:
        sent.setdefault(told.pop("type"), set()).update(told)
    rows = {words_in_code(row[0])[0]: row[1] for row in API.rows("Watch", "type")}
    assert {kind: set(words_in_code(cell)) for kind, cell in rows.items()} == sent


def test_fields_of_artifacts():
    assert first_cells("Artifacts", "field") == list(artifact_json(Artifact("a", 1, "b")))


def test_fields_of_usage():
    usage = usage_json(UsageReport(NO_QUOTAS, None, [TenantUsage("acme")]))
    (tenant,) = usage["tenants"]
    expected = {
        "limits": set(usage["limits"]),
        "tenants": set(tenant),
        "jobs": set(tenant["jobs"]),
        "bytes": set(tenant["bytes"]),
    }
    shown = {words_in_code(row[0])[0]: set(words_in_code(row[1])) for row in API.rows("Usage")}
    assert {name: words - {"null"} for name, words in shown.items()} == expected


def test_fields_of_the_caller():
    told = caller_json(replace(LOCAL_PRINCIPAL, key=KeyFacts("ci_", "a key")))
    assert first_cells("Who may do what", "field") == list(told)
    (key,) = (row[1] for row in API.rows("Who may do what", "field") if row[0] == "`key`")
    assert [name for name in words_in_code(key) if name != "null"] == list(told["key"])


def test_fields_of_a_session():
    user = IssuedUser("https://login.example", "acme", "ann", Role.VIEWER)
    session = Session("s", user, *[utc_now()] * 3)
    told = own_session_json(OwnSession(session, utc_now(), is_current=True))
    rows = API.rows("Browser sessions", "field of a session")
    assert {word for row in rows for word in words_in_code(row[0])} == set(told)


def test_fields_of_the_server():
    limits = SubmissionLimits(
        1, 1.0, PackageLimits(1, 1, 1), DefaultLimits(60.0, None, None, 1, 1, 1.0)
    )
    facts = ServerFacts(limits, "docker", "image", 4, None, 1, 1)
    told = server_json(facts, LOCAL_PRINCIPAL)
    assert first_cells("Server", "field") == list(told)
    assert first_cells("Server", "limit") == list(told["limits"])
    (rows,) = (row for row in API.rows("Server", "limit") if "pids" in row[0])
    for name in words_in_code(rows[0]):
        assert set(words_in_code(rows[1])) == set(told["limits"][name])


def test_keys_of_a_submission():
    assert first_cells("Submit", "key") == list(SubmittedSpec.model_fields)


def test_statuses_and_reasons():
    assert first_cells("Statuses") == list(JobStatus)
    told = API.section("Reasons").partition("[Error codes]")[0]
    assert set(words_in_code(told)) - {"reason", "exit_code"} == set(Reason)


def test_statuses_of_codes():
    """Wherever a table has a status in front of codes."""
    rows = [row for title in ("Submit", "Watch") for row in API.rows(title, "status")]
    assert len(rows) > 10
    known = {code: status.value for code, status in STATUS_OF_CODE.items()}
    known |= {"invalid_request": 400, "range_not_satisfiable": 416}
    for status, codes, *_ in rows:
        assert {known[code] for code in words_in_code(codes)} == {int(status)}


def test_every_route():
    shown = {
        (method, re.sub(r"\{\w+(:\w+)?\}", "{}", path))
        for text in (API.text, DURABLE.text, MODELS.text, RUNS.text)
        for method, path in re.findall(r"`(GET|POST|DELETE) (/[^`?]*)`", text)
    }
    routes = {
        (method, re.sub(r"\{\w+(:\w+)?\}", "{}", route.path_format))
        for route in routes_of(create_app())
        for method in (route.methods or set()) - {"HEAD"}
        if not f"{route.path_format}/".startswith(f"{UI_PATH}/")  # pages are for people
    }
    assert shown == {*routes, ("GET", "/openapi.json")}
