"""The files in deploy/ against the pages that show them and the programs that read them."""

import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.support.pages import ROOT

DEPLOY = ROOT / "deploy"
PROXIES = (ROOT / "docs/how-to/run-behind-a-proxy.md").read_text()
UNIT = DEPLOY / "systemd/ci-runner.service"


@pytest.mark.parametrize(
    ("title", "name"), [("Caddy", "caddy/Caddyfile"), ("nginx", "nginx/ci-runner.conf")]
)
def test_the_page_shows_the_file(title, name):
    shown = re.search(rf"## {title}\n.*?```\n(.*?)```", PROXIES, re.DOTALL)
    assert shown[1] == (DEPLOY / name).read_text()


def test_the_compose_file_mounts_what_the_image_stores():
    compose = yaml.safe_load((DEPLOY / "docker/compose.yaml").read_text())
    dockerfile = (DEPLOY / "docker/Dockerfile").read_text()
    (volume,) = re.findall(r"^VOLUME (\S+)$", dockerfile, re.MULTILINE)
    assert f"data:{volume}" in compose["services"]["server"]["volumes"]
    assert "data" in compose["volumes"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_understands_the_unit(tmp_path):
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/ci-runner/bin/python", sys.executable))
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (verified.returncode, verified.stderr) == (0, "")
