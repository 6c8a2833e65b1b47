"""docs/errors.md against the code, both ways: no code, reason or exit code missing, or extra."""

import ast
from dataclasses import replace

import pytest

from ci_admin import cli as ci_admin_cli
from ci_client.command import exit_codes
from ci_client.errors import (
    AccessRefused,
    ArtifactsIncomplete,
    ClientError,
    DownloadError,
    JobFinished,
    JobNotFound,
    RequestRefused,
    ServerUnreachable,
    UnexpectedAnswer,
)
from ci_common.errors import RunnerError
from ci_common.job import JobStatus, Outcome, Reason
from ci_common.job_states import WRONG_IMAGE
from ci_server.apis.native.present import job_json
from ci_server.http.errors import STATUS_OF_CODE
from tests.support.jobs import a_job
from tests.support.pages import ROOT, page, words_in_code

ERRORS = page("errors.md")
OF_FRAMEWORK = {"not_found": 404, "method_not_allowed": 405}
"""What Starlette answers by itself; `ci_server/http/errors.py` makes codes of its phrases."""
OF_CONNECTIONS = {
    "headers_too_large": [431],
    "url_too_long": [414],
    "too_many_requests": [429],
    "too_many_connections": [503, 429],
    "invalid_request": [400],
    "internal_error": [500],
    "range_not_satisfiable": [416],
}
"""Codes without an exception of their own."""


def all_codes(kind=RunnerError):
    yield kind.code
    for child in kind.__subclasses__():
        yield from all_codes(child)


def written_codes():
    """The codes that the server's code writes into answers without an exception."""
    for path in (ROOT / "ci_server").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
                "Refusal",
                "error_response",
            ):
                yield from (
                    argument.value
                    for argument in node.args[1:2]
                    if isinstance(argument, ast.Constant)
                )


def sent():
    return {words_in_code(row[0])[0]: row for row in ERRORS.rows("Codes in HTTP responses")}


def test_every_code_that_clients_can_get_is_listed():
    expected = {*STATUS_OF_CODE, *OF_FRAMEWORK, *written_codes()}
    assert set(sent()) == expected


def test_every_other_code_is_listed_once():
    rows = ERRORS.rows("Codes inside the server and of ci-admin")
    assert [words_in_code(row[0])[0] for row in rows] == sorted(set(all_codes()) - set(sent()))


def test_codes_are_sorted():
    assert list(sent()) == sorted(sent())


@pytest.mark.parametrize("code", sorted(sent()))
def test_status_and_exit_code(code):
    shown, exits = sent()[code][1:3]
    statuses = [int(status) for status in shown.split(", ")]
    by_table = {**STATUS_OF_CODE, **OF_FRAMEWORK}
    assert statuses == ([by_table[code]] if code in by_table else OF_CONNECTIONS[code])
    kind = AccessRefused if statuses[0] in (401, 403) else RequestRefused
    assert {exit_codes.of_error(kind(code, "", status)) for status in statuses} == {int(exits)}


def test_every_reason_is_listed():
    rows = ERRORS.rows("Reasons")
    assert {words_in_code(row[0])[0] for row in rows} == set(Reason)


@pytest.mark.parametrize("row", ERRORS.rows("Reasons"), ids=lambda row: words_in_code(row[0])[0])
def test_status_and_exit_codes_of_a_reason(row):
    reason = Reason(words_in_code(row[0])[0])
    status = JobStatus(words_in_code(row[1])[0])
    exits = [0, 1] if "0" in row[2] else [None]
    messages = ["", WRONG_IMAGE] if reason is Reason.IMAGE_UNAVAILABLE else [""]
    ends = {ended(status, reason, code, message) for code in exits for message in messages}
    assert ends == {int(code) for code in row[2].split(", ")}


def ended(status, reason, code, message):
    job = replace(a_job(status), outcome=Outcome(status, reason, message, code))
    return exit_codes.of_result(job_json(job))


MADE = {
    AccessRefused: [AccessRefused("c", "", 403)],
    ArtifactsIncomplete: [
        ArtifactsIncomplete({"a": DownloadError("")}, []),
        ArtifactsIncomplete({"a": DownloadError(""), "b": ServerUnreachable("", "")}, []),
    ],
    DownloadError: [DownloadError(""), DownloadError("", damaged=True)],
    JobFinished: [JobFinished("id")],
    JobNotFound: [JobNotFound("id")],
    RequestRefused: [RequestRefused("c", "", status) for status in (400, 404, 408, 429, 500, 503)],
    ServerUnreachable: [ServerUnreachable("", "")],
    UnexpectedAnswer: [UnexpectedAnswer("", "")],
}
"""Errors of the client that need more than a message, or have more than one exit code."""


def errors_of_the_client(kind=ClientError):
    yield kind
    for child in kind.__subclasses__():
        yield from errors_of_the_client(child)


def test_exit_codes_of_the_clients_errors():
    rows = ERRORS.rows("Errors of the client")
    assert {words_in_code(row[0])[0]: row[1] for row in rows} == {
        kind.__name__: ", ".join(
            sorted({str(exit_codes.of_error(error)) for error in MADE.get(kind) or [kind("")]})
        )
        for kind in errors_of_the_client()
    }


def test_exit_codes_of_ci():
    known = {value for name, value in vars(exit_codes).items() if isinstance(value, int)}
    assert [int(row[0]) for row in ERRORS.rows("Exit codes of ci")] == sorted(known)


def test_exit_codes_of_ci_admin():
    own = ci_admin_cli
    known = {own.HEALTHY, own.PROBLEMS, own.USAGE, own.CANNOT_RUN, 130, 143}
    assert [int(row[0]) for row in ERRORS.rows("Exit codes of ci-admin")] == sorted(known)
