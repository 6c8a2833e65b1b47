"""Uploads are scanned by ClamAV's daemon, with the settings that the how-to page shows."""

import contextlib
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor, as_completed
from hashlib import md5
from zipfile import ZIP_STORED

import pytest

from ci_admin.scanner_check import examine_scanner
from ci_common.errors import ScannerUnavailableError
from ci_common.settings import Settings
from ci_server.submission.package_scan import PackageScanner
from support import projects
from support.archives import with_zip64, zip_bytes
from support.clamd import EICAR, Clamd, documented_settings
from support.command_line import CommandLine
from support.live_server import LiveServer
from support.waiting import until

pytestmark = pytest.mark.skipif(
    shutil.which("clamd") is None or shutil.which("clamdscan") is None,
    reason="needs clamd and clamdscan",
)

FOUND = "Test.Eicar.UNOFFICIAL FOUND"
AT_ONCE = 2
"""Scans of one tenant, which are half of CI_MAX_SCANS."""
LIMIT = 1 << 20
BEYOND = zip_bytes({"a.bin": bytes(LIMIT + 1), "b.bin": EICAR}, compression=ZIP_STORED)
"""Larger than the daemon's limits, where a test sets some."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A daemon, which is not started, and a server that has it scan."""
    with contextlib.closing(Clamd()) as clamd:
        settings = {"scan_command": clamd.command(), "max_scans": 2 * AT_ONCE, "max_upload_mb": 3}
        with LiveServer(
            tmp_path_factory.mktemp("scanned"), controller="external", **settings
        ) as server:
            yield clamd, server.start()


@pytest.fixture
def clamd(installed):
    """The daemon, which the test starts with what settings it needs."""
    clamd, _ = installed
    yield clamd
    clamd.stop(signal.SIGKILL)


@pytest.fixture
def server(installed):
    """The server; nothing else submits to it while the test runs."""
    return installed[1]


def post(server, content):
    return server.http.post("/submit-async", **server.form(content))


def check_refused(answer, words):
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == "package_refused"
    assert words in answer.json()["error"]["message"]


def check_unavailable(answer):
    assert answer.status_code == 503, answer.text
    assert answer.json()["error"]["code"] == "scanner_unavailable"


async def examined(server, command):
    """What the doctor says of this scanner, without its look at everything else."""
    changed = {"scan_command": command, "max_entries": 300}
    return await examine_scanner(server.settings.model_copy(update=changed))


@contextlib.contextmanager
def nothing_accepted(server):
    """No job, and no file of one, is there that was not there before."""
    before = server.rows(), server.stored_files()
    yield
    assert (server.rows(), server.stored_files()) == before


def test_the_documented_limits_are_not_below_the_servers():
    settings, limits = Settings(), documented_settings()
    sizes = {name: int(limits[name].removesuffix("M")) for name in limits if "M" in limits[name]}
    assert limits["AlertExceedsMax"] == "yes"
    assert sizes["MaxFileSize"] >= settings.max_upload_mb
    assert sizes["StreamMaxLength"] >= settings.max_upload_mb
    assert sizes["MaxScanSize"] >= settings.max_upload_mb + settings.max_unpacked_mb
    assert int(limits["MaxFiles"]) >= settings.max_entries
    assert int(limits["MaxScanTime"]) < settings.scan_timeout_seconds * 1000


def test_uploads_get_what_the_daemon_says_and_while_it_is_down_nothing_is_accepted(
    clamd, server, tmp_path
):
    clamd.start()
    stored = zip_bytes({"data/sample.bin": EICAR}, compression=ZIP_STORED)
    deflated = zip_bytes({"readme.txt": "harmless\n" * 50, "data/sample.bin": EICAR})
    project = tmp_path / "project"
    project.mkdir()
    (project / "sample.bin").write_bytes(EICAR)
    with nothing_accepted(server):
        for infected in (stored, deflated, zip_bytes({"inner.zip": deflated})):
            check_refused(post(server, infected), FOUND)
        check_refused(post(server, with_zip64({"sample.bin": EICAR})), "the zip64 format")
        done = CommandLine(server.url, project).run("submit", "--", "true")
    assert done.code == 2
    assert FOUND in " ".join(done.err.split())
    assert server.submit(projects.ANY)

    clamd.stop()
    with nothing_accepted(server):
        for content in (projects.ANY, deflated):
            check_unavailable(post(server, content))
    assert "exit code 2: ERROR: Could not connect to clamd on LocalSocket" in server.log_tail()

    clamd.start()
    later = zip_bytes({"later.txt": "harmless so far\n"})
    assert server.submit(later)
    clamd.learn(f"{md5(later).hexdigest()}:{len(later)}:Test.Later\n")
    answer = server.until(
        lambda: post(server, later),
        lambda answer: answer.status_code != 200,
        what="the new signature, in spite of clamd's cache",
    )
    check_refused(answer, "Test.Later.UNOFFICIAL FOUND")


def test_no_upload_is_accepted_unseen_while_the_daemon_is_killed(clamd, server):
    clamd.start()
    clean = [zip_bytes({"a.txt": f"harmless {number}"}) for number in range(14)]
    infected = [zip_bytes({"a.txt": str(number), "b.bin": EICAR}) for number in range(14)]
    with ThreadPoolExecutor(6) as pool:
        clamd.pause()
        with nothing_accepted(server):
            answers = [pool.submit(post, server, content) for content in clean[:6]]
            server.until(clamd.clients, lambda count: count == AT_ONCE, what="scans under way")
            clamd.stop(signal.SIGKILL)
            for answer in answers:
                check_unavailable(answer.result())

        clamd.start()
        jobs, verdicts = server.rows(), clamd.clean_verdicts()
        kinds, seen = {}, set()
        for pair in zip(clean, infected, strict=True):
            for kind, content in zip(("clean", "infected"), pair, strict=True):
                kinds[pool.submit(post, server, content)] = kind
        for number, answer in enumerate(as_completed(kinds), 1):
            seen.add((kinds[answer], answer.result().status_code))
            if number == 8:
                clamd.stop(signal.SIGKILL)
    assert ("clean", 200) in seen
    assert seen <= {("clean", 200), ("clean", 503), ("infected", 400), ("infected", 503)}
    assert {("clean", 503), ("infected", 503)} & seen
    # It logs a verdict just after it has answered, and may have been killed in between.
    assert 0 < server.rows() - jobs <= clamd.clean_verdicts() - verdicts + AT_ONCE
    clamd.start()
    assert server.submit(projects.ANY)


@pytest.mark.anyio
async def test_a_daemon_that_does_not_answer_is_not_waited_for(clamd, tmp_path, caplog):
    clamd.start()
    file = tmp_path / "package.zip"
    file.write_bytes(projects.ANY)
    clamd.pause()
    scanner = PackageScanner(clamd.command().split(), 1, 1)
    with pytest.raises(ScannerUnavailableError):
        await scanner.scan("acme", file)
    assert "no result within 1 s" in caplog.text
    await until(lambda: not clamd.clients(), what="the end of clamdscan")


def test_what_exceeds_the_daemons_limits_is_refused(clamd, server):
    clamd.start(MaxFileSize=LIMIT)
    with nothing_accepted(server):
        check_refused(post(server, BEYOND), "Heuristics.Limits.Exceeded.MaxFileSize FOUND")
    assert server.submit(projects.ANY)


@pytest.mark.parametrize(
    ("settings", "options", "finding"),
    [
        ({}, (), None),
        ({"MaxFileSize": LIMIT}, (), None),
        ({"MaxFileSize": LIMIT, "AlertExceedsMax": "no"}, (), "not in a zip of 3 MiB"),
        ({"MaxFiles": 100, "AlertExceedsMax": "no"}, (), "not in a zip of 3 MiB and 300 files"),
        ({"StreamMaxLength": LIMIT}, ("--stream",), "not in a zip of 3 MiB"),
    ],
)
@pytest.mark.anyio
async def test_the_doctor_finds_limits_beyond_which_packages_are_accepted_unseen(
    clamd, server, settings, options, finding
):
    clamd.start(**settings)
    with nothing_accepted(server):
        report = await examined(server, clamd.command(*options))
    assert report.notes == []
    assert [one.code for one in report.findings] == ["scanner_limited"] * (finding is not None)
    assert (finding or "") in "".join(one.message for one in report.findings)


@pytest.mark.anyio
async def test_the_doctor_tells_of_a_daemon_that_is_down_and_of_one_that_cannot_unpack(
    clamd, server
):
    (failing,) = (await examined(server, clamd.command())).findings
    assert failing.code == "scanner_failing"
    assert "exit code 2 for an empty file: ERROR: Could not connect" in failing.message
    clamd.start()
    clamd.temporary.chmod(0o500)
    try:
        told = server.admin("doctor").stdout
    finally:
        clamd.temporary.chmod(0o700)
    assert "note: CI_SCAN_COMMAND finds nothing in a zip with the EICAR test file" in told
