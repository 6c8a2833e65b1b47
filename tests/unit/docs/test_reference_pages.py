"""Names in the pages against the code: settings, variables, keys of tables, roles, findings."""

import importlib
import pkgutil
import re

import pytest
from pydantic_settings import BaseSettings

import ci_common
import ci_controller
from ci_admin.diagnosis import REPAIRABLE, Code
from ci_common.git_facts import GitFacts
from ci_common.model_manifest import Asset, manifest_document
from ci_common.ports.audit import AuditAction
from ci_common.ports.launch_request import LaunchRequest
from ci_common.principal import Role
from ci_common.secret import Secret
from ci_controller.executors.shared.job_environment import job_environment
from ci_controller.running.git_environment import git_environment
from ci_server.submission.project_config import JobTable, ProjectTable, read_table
from tests.support.pages import CURRENT, DOCS, ROOT, Page, page, words_in_code

CLIENT_VARIABLES = {"CI_SERVER_URL", "CI_PROFILE", "CI_API_KEY", "CI_ALLOW_HTTP"}
WITH_EVERYTHING = LaunchRequest(
    "id", 1, 1, ("true",), secrets=(Secret("TOKEN", b"value"),), tty=True, color=True
)
JOB_VARIABLES = set(job_environment(WITH_EVERYTHING, "/workspace", "/run/secrets"))
GIT_VARIABLES = set(git_environment(GitFacts("0" * 40, "main")))


def settings():
    """The environment variables of every settings class, wherever it is defined."""
    for package in (ci_common, ci_controller):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    return {
        f"{kind.model_config.get('env_prefix', '')}{name}".upper()
        for kind in all_subclasses(BaseSettings)
        if kind.__module__.startswith("ci_")
        for name in kind.model_fields
    }


def all_subclasses(kind):
    return {kind}.union(*map(all_subclasses, kind.__subclasses__()))


# ------------------------------------------------------------------ settings and variables


def test_every_setting_has_a_row_and_every_row_is_a_setting():
    rows = page("configuration.md").rows("Configuration", "variable")
    shown = [words_in_code(row[0])[0] for row in rows]
    assert sorted(shown) == sorted(settings())


@pytest.mark.parametrize("path", CURRENT, ids=lambda path: path.name)
def test_every_variable_in_the_pages_exists(path):
    named = set(re.findall(r"\bCI_[A-Z][A-Z0-9_]*[A-Z0-9]\b", path.read_text()))
    assert named - settings() - CLIENT_VARIABLES - JOB_VARIABLES - GIT_VARIABLES == set()


def test_variables_of_the_client():
    named = set(re.findall(r"CI_\w+", page("configuration.md").section("The client")))
    assert named == CLIENT_VARIABLES
    library = (ROOT / "ci_client" / "library").glob("*.py")
    source = "".join(path.read_text() for path in library)
    assert set(re.findall(r'"(CI_\w+)"', source)) == CLIENT_VARIABLES


def test_variables_of_a_job():
    section = page("using.md").section("The job's environment")
    assert set(words_in_code(section)) >= GIT_VARIABLES
    rows = page("using.md").rows("The job's environment")
    assert {words_in_code(row[0])[0] for row in rows} == JOB_VARIABLES


# ------------------------------------------------------------------ the project's table


def test_the_example_of_the_table_has_every_key():
    example = page("using.md").fences("toml")[0]
    table = read_table({"pyproject.toml": example.encode()})
    assert table.model_fields_set == set(ProjectTable.model_fields)
    jobs = table.jobs
    assert set().union(*(job.model_fields_set for job in jobs.values())) == set(
        JobTable.model_fields
    )


@pytest.mark.parametrize("path", CURRENT, ids=lambda path: path.name)
def test_every_example_of_a_table_is_valid(path):
    for example in Page(path).fences("toml"):
        if "[tool.ci" in example:
            assert read_table({"pyproject.toml": example.encode()}).jobs


# ------------------------------------------------------------------ the manifest of a model


def test_fields_of_a_manifest():
    rows = page("models.md").rows("Command line", "field")
    assets = [Asset(name, "0" * 64, 1) for name in ("model.toml", "hooks.py", "policies.csv")]
    document = manifest_document(assets, "2026-01-01T00:00:00Z")
    assert [words_in_code(row[0])[0] for row in rows] == list(document)
    shown = next(row[1] for row in rows if row[0] == "`assets`")
    said = set(words_in_code(shown))
    assert said >= {*document["assets"][0], *(asset["type"] for asset in document["assets"])}
    assert [row[1] for row in rows if row[0] == "`version`"] == [f"`{document['version']}`"]


# ------------------------------------------------------------------ roles, actions, findings


def test_roles():
    api = {words_in_code(row[0])[0] for row in page("api.md").rows("Who may do what", "role")}
    rows = page("how-to/add-users-and-keys.md").rows("Add users and API keys", "role")
    assert {words_in_code(row[0])[0] for row in rows} == api == set(Role)


def test_actions_of_the_audit_log():
    rows = page("how-to/read-the-audit-log.md").rows("Read the audit log")
    shown = [action for row in rows for action in words_in_code(row[0])]
    assert sorted(shown) == sorted(AuditAction)


def test_findings_of_the_doctor():
    rows = page("how-to/check-an-instance.md").rows("Check and repair an instance")
    shown = {code: row[2] != "-" for row in rows for code in words_in_code(row[0])}
    assert shown == {code.value: code in REPAIRABLE for code in Code}


# ------------------------------------------------------------------ messages, terms, pages


def test_messages_of_the_log_are_those_that_are_written():
    rows = page("how-to/monitor-a-server.md").rows("Monitor a server", "message contains")
    shown = [message for row in rows for message in words_in_code(row[0])]
    source = "\n".join(path.read_text() for path in ROOT.glob("ci_*/**/*.py"))
    assert shown
    assert [message for message in shown if message not in source] == []


def test_terms_of_the_glossary_are_sorted():
    terms = [row[0] for row in page("glossary.md").rows("Glossary")]
    assert terms == sorted(terms, key=str.lower)
    assert len(set(terms)) == len(terms)


def test_every_how_to_page_is_in_the_index():
    linked = set(page("administration.md").links)
    pages = {f"how-to/{path.name}" for path in (DOCS / "how-to").glob("*.md")}
    assert pages - linked == set()
