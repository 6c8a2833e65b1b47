"""The alert rules and the dashboard: promtool likes them, and they name metrics that there are."""

import json
import re
import shutil
import subprocess

import pytest
import yaml
from prometheus_client import CollectorRegistry

from ci_common.job import Reason
from ci_common.metrics import ProcessMetrics
from ci_common.ports.metrics import InstanceFacts
from ci_controller.telemetry.metrics import ControllerMetrics
from ci_server.services.job_totals import JobInstruments
from ci_server.services.metrics import state_of
from ci_server.telemetry.metrics import ServerMetrics
from setup_steps.paths import ROOT
from support.jobs import NOON
from tests.support.pages import page

PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES, RULE_TESTS = PROMETHEUS / "ci-runner.rules.yml", PROMETHEUS / "ci-runner.test.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "ci-runner.json"
GUIDE = page("how-to/monitor-with-prometheus.md")

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs promtool (scripts/test installs it if it can)"
)

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def exposed():
    """The families of every process and of the instance, by name."""
    registry = CollectorRegistry()
    ServerMetrics(registry)
    ControllerMetrics(registry)
    facts = InstanceFacts([], [], None, NOON, engine_error=False, stream="s", last_event=0)
    sources = (
        ProcessMetrics(None, "server").registry.collect(),
        registry.collect(),
        JobInstruments().registry.collect(),
        state_of(facts, behind=0, disk=(1, 1), now=NOON),
    )
    return {metric.name: metric for source in sources for metric in source}


def names():
    return {
        f"{metric.name}{suffix}"
        for metric in exposed().values()
        for suffix in SUFFIXES[metric.type]
    }


def queries():
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def alerts():
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return group["rules"]


def named(text):
    return set(re.findall(r"\bci_[a-z_]+", text))


@needs_promtool
@pytest.mark.parametrize(
    "command",
    [
        ("check", "rules", "--lint-fatal", RULES),
        ("check", "config", PROMETHEUS / "prometheus.yml"),
        ("test", "rules", RULE_TESTS),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_promtool_accepts(command):
    done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_promtool_understands_every_query_of_the_dashboard(tmp_path):
    """As recording rules: Grafana's own variables are put in first."""
    rules = [
        {"record": f"query:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(queries())
    ]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_dashboard_name_metrics_that_there_are():
    used = {name for query in queries() for name in named(query)}
    used |= {name for rule in alerts() for name in named(rule["expr"])}
    used |= named(RULE_TESTS.read_text())
    assert used <= names()
    assert len(used) > 20
    shown = {name for query in queries() for name in named(query)}
    families = {name for name in exposed() if any(one.startswith(name) for one in shown)}
    unseen = {"ci_jobs_kept", "ci_job_events", "ci_metrics_events_behind", "ci_server_info"}
    assert set(exposed()) - families <= unseen | {"ci_grpc_request_seconds"}


def test_names_follow_the_conventions_of_prometheus():
    for name, metric in exposed().items():
        assert re.fullmatch(r"ci_[a-z]+(_[a-z]+)*", name)
        assert not re.search(r"(milli|micro)?(minutes|hours|ms|kb|mb|percent)$", name)
        assert metric.documentation.endswith(".")


def test_the_alert_about_failed_jobs_names_what_is_the_runners_fault():
    (rule,) = [rule for rule in alerts() if rule["alert"] == "CiJobsFailToRun"]
    listed = re.search(r'reason=~"([a-z_|]+)"', rule["expr"])[1].split("|")
    assert set(listed) == {reason.value for reason in Reason if reason.is_infrastructure}


def test_every_alert_is_tried_and_explained():
    tried = RULE_TESTS.read_text().partition("everything is wrong")[2]
    for rule in alerts():
        assert rule["alert"] in tried
        assert f"`{rule['alert']}`" in GUIDE.path.read_text()


def test_the_guide_lists_every_metric():
    listed = {re.match(r"`(ci_[a-z_]+)", row[0])[1] for row in GUIDE.rows("Metrics", "metric")}
    assert listed == {
        f"{name}_total" if metric.type == "counter" else name for name, metric in exposed().items()
    }
