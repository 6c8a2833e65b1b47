"""What a short command imports: `ci --help` and `ci list` start in a moment.

`benchmarks/client_start.py` counts instructions.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from client_scripted_server import reply_json

OURS = {
    *("ci_client", "ci_client.cli", "ci_client.errors", "ci_common", "ci_common.suggestions"),
    "ci_client.command",
    *(
        f"ci_client.command.{name}"
        for name in ("commands", "early_signals", "help_page", "programs")
    ),
}
"""Of `ci --help`, all."""

OPTIONS = {f"ci_client.command.{name}" for name in ("completers", "options")}
SUBMIT = OPTIONS | {
    f"ci_client.command.{name}" for name in ("color", "submit_command", "submit_options")
}
OF_HELP = {
    "--help": OURS,
    "list --help": OURS | OPTIONS | {"ci_client.command.job_commands"},
    "submit --help": OURS | SUBMIT,
    "run --help": OURS | SUBMIT | {"ci_client.command.run_command"},
}

OF_SUBMISSIONS = {
    "ci_client.packing",
    "ci_client.library.artifact_download",
    "ci_client.library.job_request",
    "ci_client.library.sse_reader",
    "ci_client.command.watching",
    "ci_common.job",
    "ci_common.secret",
}
HEAVY = {"asyncio", "httpx_sse", "pathspec", "subprocess", "tomllib", "zipfile"}


def imported(*arguments):
    code = (
        "import sys; before = set(sys.modules); from ci_client.cli import main\n"
        "sys.argv[0] = 'ci'\n"
        "try: main()\n"
        "except SystemExit: print(*set(sys.modules) - before, sep='\\n', file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return set(done.stderr.splitlines())


@pytest.mark.parametrize("command", OF_HELP)
def test_help_imports_what_it_shows(command):
    found = imported(*command.split())
    assert {name for name in found if name.startswith(("ci_", "engine"))} == OF_HELP[command]
    assert not {*HEAVY, "dataclasses", "httpx", "json"} & found


def test_a_wrong_option_imports_no_more():
    assert "httpx" not in imported("list", "--limit", "many")


def test_a_list_imports_nothing_of_submissions(server):
    server.on("GET /jobs", reply_json([]))
    found = imported("list", "--server", server.url)
    assert "httpx" in found
    assert not (OF_SUBMISSIONS | HEAVY) & found


def test_nothing_of_the_servers_libraries_is_imported(server):
    server.on("GET /jobs", reply_json([]))
    found = {name.partition(".")[0] for name in imported("list", "--server", server.url)}
    assert not found & {"pydantic", "typer", "rich", "numpy", "docker", "fastapi", "pygments"}


@pytest.mark.skipif(
    shutil.which("valgrind") is None,
    reason="needs valgrind (scripts/test installs it where it can)",
)
@pytest.mark.timeout(540)  # valgrind takes minutes on a busy machine; the count stays the same
def test_starting_costs_no_more_instructions_than_recorded():
    benchmark = Path(__file__).parents[3] / "benchmarks" / "client_start.py"
    done = subprocess.run([sys.executable, benchmark], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
