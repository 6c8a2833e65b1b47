"""Packages are seen by the operator's scanner before they are accepted, or are not accepted."""

import asyncio
import json
import os
import shlex
import shutil
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ci_common.errors import (
    DataDirectoryUnavailableError,
    InvalidUploadError,
    PackageGoneError,
    PackageRefusedError,
    ScannerUnavailableError,
)
from ci_common.job import JobStatus
from ci_common.ports.rows import Ending
from ci_server.submission.package_scan import PackageScanner
from support import projects
from support.archives import zip_bytes
from support.intake_place import ANN, TRUE, Place, pieces
from support.jobs import NOON
from support.models import SMALL, zipped
from support.processes import processes_with
from support.rows import FAILED
from support.waiting import until

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""In two parts, so that scanners leave this file alone."""
SIGNATURE = "44d88612fea8a8f36de82e1278abb02f:68:Test.Eicar\n"
INFECTED = zip_bytes({"readme.txt": "harmless\n", "data/sample.bin": EICAR})


@pytest.fixture
async def place(tmp_path):
    place = await Place().open(tmp_path)
    yield place
    await place.rows.database.close()


def scanner(script, *arguments, seconds=30.0, at_once=2):
    return PackageScanner(("/bin/sh", "-c", script, "sh", *arguments), seconds, at_once)


async def submit(place, package_scanner, content=projects.ANY, gone=None):
    intake = place.made(scanner=package_scanner)
    async with intake.upload(ANN, gone) as upload:
        await upload.receive(pieces(content))
        return await upload.submit(replace(TRUE, title=None))


async def refused(place, package_scanner, kind, **options):
    with pytest.raises(kind) as caught:
        await submit(place, package_scanner, **options)
    await place.check_nothing_happened()
    return caught.value


# ---------------------------------------------------------------- what the scanner is given


@pytest.mark.anyio
async def test_a_clean_package_was_seen_whole_twice_and_without_the_servers_secrets(
    place, tmp_path, monkeypatch
):
    monkeypatch.setenv("CI_SECRET_KEY", "do not tell")
    seen = tmp_path / "seen"
    script = f"cat > {seen}.stdin; cat $1 > {seen}.path; env > {seen}.env; ps -o sid= -p $$ >&2"
    job = await submit(place, scanner(script, "{path}"))
    assert (await place.job(job.job_id)).status is JobStatus.QUEUED
    assert seen.with_suffix(".stdin").read_bytes() == projects.ANY
    assert seen.with_suffix(".path").read_bytes() == projects.ANY
    assert "CI_" not in seen.with_suffix(".env").read_text()


@pytest.mark.anyio
async def test_what_it_finds_is_told_without_control_characters_and_is_in_the_audit_log(place):
    colored = "\\033[1;31mEvil.A\\033[0m\\033]0;title\\a\\033"
    script = f"printf '%s: {colored}\\nFOUND\\n' $1; yes x | head -c 100000; exit 1"
    error = await refused(place, scanner(script, "{path}"), PackageRefusedError)
    assert error.message.startswith(
        "the server's package scanner refused the upload: upload: Evil.A; FOUND; x; x"
    )
    assert error.message.isprintable()
    assert len(error.message) < 1000
    assert str(place.path) not in error.message
    assert await place.recorded() == [("submit", "denied", "ann", None)]


@pytest.mark.parametrize(
    "script",
    ["exit 2", "exit 127", "kill -9 $$", "kill -TERM $$", "echo /etc/secret >&2; exit 3"],
)
@pytest.mark.anyio
async def test_a_scanner_that_fails_accepts_nothing_and_tells_its_words_to_the_log_only(
    place, script, caplog
):
    error = await refused(place, scanner(script), ScannerUnavailableError)
    assert error.retry_after
    assert "/etc/secret" not in error.message
    assert ("/etc/secret" in caplog.text) == ("secret" in script)


@pytest.mark.parametrize("program", ["/nonexistent/scanner", "/etc/passwd", "/etc"])
@pytest.mark.anyio
async def test_a_scanner_that_cannot_be_started_accepts_nothing(place, program):
    package_scanner = PackageScanner((program, "-"), 30, 1)
    assert program in package_scanner.problem()
    await refused(place, package_scanner, ScannerUnavailableError)


@pytest.mark.anyio
async def test_one_that_does_not_end_is_killed_with_its_children_and_the_loop_goes_on(
    place, tmp_path, monkeypatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # is passed on, and marks its processes
    longest, ended = 0.0, False

    async def watch_the_loop():
        nonlocal longest
        while not ended:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - before)

    watching = asyncio.create_task(watch_the_loop())
    script = "sleep 1000 & yes endless & wait"
    error = await refused(place, scanner(script, seconds=3), ScannerUnavailableError)
    ended = True
    await watching
    assert error.code == "scanner_unavailable"
    assert longest < 2
    await until(lambda: not processes_with(f"TMPDIR={tmp_path}"), what="the end of the processes")


@pytest.mark.anyio
async def test_a_grandchild_that_keeps_the_output_open_delays_nothing(place):
    script = "setsid sleep 20 & echo Evil FOUND; exit 1"
    began = time.monotonic()
    error = await refused(place, scanner(script, seconds=60), PackageRefusedError)
    assert "Evil FOUND" in error.message
    assert time.monotonic() - began < 15


@pytest.mark.anyio
async def test_the_scan_ends_with_the_client(place, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    mark = tmp_path / "scanning"

    async def gone():
        await until(mark.exists)

    await refused(place, scanner(f": > {mark}; sleep 1000"), InvalidUploadError, gone=gone)
    await until(lambda: not processes_with(f"TMPDIR={tmp_path}"), what="the end of the processes")


@pytest.mark.anyio
async def test_only_so_many_scan_at_once_not_all_of_one_tenant_and_waiting_counts(tmp_path):
    file = tmp_path / "package.zip"
    file.write_bytes(projects.ANY)
    running, go = tmp_path / "running", tmp_path / "go"
    running.mkdir()
    script = f"echo > {running}/$$; while [ ! -e {go} ]; do sleep 0.02; done"
    package_scanner = scanner(script, seconds=60, at_once=3)
    scans = [asyncio.create_task(package_scanner.scan("acme", file)) for _ in range(5)]
    await until(lambda: len(os.listdir(running)) == 2)
    scans.append(asyncio.create_task(package_scanner.scan("other", file)))
    await until(lambda: len(os.listdir(running)) == 3, what="the scan of another tenant")
    busy = scanner(f"while [ ! -e {go} ]; do sleep 0.02; done", seconds=0.3, at_once=1)
    one, other = await asyncio.gather(
        busy.scan("acme", file), busy.scan("other", file), return_exceptions=True
    )
    assert isinstance(one, ScannerUnavailableError)
    assert isinstance(other, ScannerUnavailableError)
    assert len(os.listdir(running)) == 3
    go.touch()
    await asyncio.gather(*scans)
    assert len(os.listdir(running)) == 6


@pytest.mark.anyio
async def test_an_upload_that_was_deleted_meanwhile_is_told_as_such(place):
    intake = place.made(scanner=scanner("exit 0"))
    async with intake.upload(ANN) as upload:
        await upload.receive(pieces(projects.ANY))

        def delete(path, asked):
            path.unlink()
            return asked

        with pytest.raises(DataDirectoryUnavailableError):
            await upload.submit(TRUE, complete=delete)
    await place.check_nothing_happened()


@pytest.mark.anyio
async def test_a_package_that_is_run_again_is_scanned_again(place):
    clean, evil = scanner("exit 0"), scanner("echo Evil FOUND; exit 1")
    old = await submit(place, clean)
    await place.rows.transitions.finish(old.job_id, Ending(FAILED, 0), NOON, keep_package=True)
    old = await place.job(old.job_id)
    for package_scanner, kind in (
        (evil, PackageRefusedError),
        (scanner("exit 9"), ScannerUnavailableError),
    ):
        with pytest.raises(kind):
            await place.made(scanner=package_scanner).repeat(ANN, old)
    assert await place.rows.transitions.active() == []
    assert place.left() == [f"{old.job_id}.zip"]
    assert (await place.recorded())[-1] == ("rerun", "denied", "ann", None)
    new = await place.made(scanner=clean).repeat(ANN, old)
    assert new.rerun_of == old.job_id
    place.packages.delete(old.job_id)
    with pytest.raises(PackageGoneError):
        await place.made(scanner=clean).repeat(ANN, old)


# ---------------------------------------------------------------- a real server, a real scanner


def raw_bytes(request):
    head = f"{request.method} {request.url.path} HTTP/1.1\r\n".encode()
    headers = b"".join(b"%s: %s\r\n" % header for header in request.headers.raw)
    return head + headers + b"\r\n" + request.read()


def test_every_door_of_a_server_and_its_doctor(own_server, tmp_path):
    """A stand-in that finds a word, fails when a file says so, and hangs when another does."""
    program, state = tmp_path / "scan words.sh", tmp_path / "state"
    program.write_text(
        "#!/bin/sh\n"
        f"case $(cat {state}) in\n"
        "down) echo no daemon >&2; exit 2;;\n"
        f"hang) echo $$ > {state}.part; mv {state}.part {state}.pid; exec sleep 1000;;\n"
        "esac\n"
        "if grep -q evil; then echo Evil.Word FOUND; exit 1; fi\n"
    )
    program.chmod(0o755)
    state.write_text("up")
    pid_file = tmp_path / "state.pid"
    command = shlex.join([str(program)])
    server = own_server(hardened=True, scan_command=command, controller="external").start()
    evil = zip_bytes({"evil-name.txt": "x"})  # names are in a zip as they are
    answers = [
        server.http.post("/submit-async", **server.form(evil)),
        server.http.post("/submit-stream", **server.form(evil)),
        server.http.post(
            "/v1/jobs/submit",
            files={"package": ("m.zip", zipped({**SMALL, "evil.txt": b"x"}))},
        ),
    ]
    for answer in answers:
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["code"] == "package_refused"
        assert "Evil.Word FOUND" in answer.json()["error"]["message"]
    refusals = [json.loads(line) for line in server.admin("audit", "--json").stdout.splitlines()]
    assert {(one["action"], one["outcome"]) for one in refusals} == {("submit", "denied")}
    assert all("Evil.Word FOUND" in one["detail"] for one in refusals)
    job_id = server.submit(projects.ANY, ["true"])

    state.write_text("down")
    for answer in (
        server.http.post("/submit-async", **server.form(projects.ANY)),
        server.http.post(f"/jobs/{job_id}/rerun"),
    ):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30"), answer.text
        assert answer.json()["error"]["code"] == "scanner_unavailable"
        assert "daemon" not in answer.text
    server.until(lambda: "exit code 2: no daemon" in server.log_tail(), what="its line in the log")
    doctor = server.admin("doctor").stdout
    assert "scanner_failing: CI_SCAN_COMMAND: exit code 2 for an empty file: no daemon" in doctor

    state.write_text("hang")
    request = server.http.build_request("POST", "/submit-async", **server.form(projects.ANY))
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(raw_bytes(request))
        server.until(pid_file.exists, what="the scan")
    process = Path("/proc") / pid_file.read_text().strip()
    server.until(lambda: not process.exists(), what="the end of the scan whose client has gone")
    state.write_text("up")
    assert "scanner_failing" not in server.admin("doctor").stdout
    assert [job["job_id"] for job in server.http.get("/jobs").json()] == [job_id]


@pytest.mark.skipif(shutil.which("clamscan") is None, reason="needs clamscan")
def test_clamscan_finds_a_file_within_the_zip(own_server, tmp_path):
    signatures = tmp_path / "own.hdb"
    signatures.write_text(SIGNATURE)
    command = f"clamscan --no-summary --database={signatures} -"
    server = own_server(scan_command=command, controller="external").start()
    answer = server.http.post("/submit-async", **server.form(INFECTED))
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == "package_refused"
    assert "Test.Eicar.UNOFFICIAL FOUND" in answer.json()["error"]["message"]
    assert server.submit(projects.ANY)
    signatures.unlink()  # as where freshclam never ran
    answer = server.http.post("/submit-async", **server.form(projects.ANY))
    assert answer.json()["error"]["code"] == "scanner_unavailable", answer.text


def test_a_server_whose_scanner_is_missing_does_not_start(own_server):
    server = own_server(scan_command="no-such-scanner -", controller="external")
    with pytest.raises(pytest.fail.Exception, match="did not start"):
        server.start()
    told = server.log_tail()
    assert "CI_SCAN_COMMAND: no-such-scanner is not an executable program" in told
    assert "Traceback" not in told
