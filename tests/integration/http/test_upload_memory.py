"""Uploads go to disk as they arrive: the server's memory does not grow with them."""

import os
import zipfile
from pathlib import Path

from support.archives import entry

MEGABYTE = 1 << 20


def resident_peak(pid):
    """The most memory the process ever had, in bytes (proc(5), status)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no VmHWM")


def test_an_upload_of_80_mb_takes_less_than_40_mb_of_memory(own_server, tmp_path):
    server = own_server(controller="external").start()
    server.submit(_zip(tmp_path / "small.zip", 1).read_bytes())
    before = resident_peak(server.process.pid)
    with _zip(tmp_path / "large.zip", 80).open("rb") as file:
        answer = server.http.post("/submit-async", files={"file": file})
    assert answer.status_code == 200, answer.text
    job_id = answer.json()["job_id"]
    assert (server.data / "packages" / f"{job_id}.zip").stat().st_size > 80 * MEGABYTE
    assert resident_peak(server.process.pid) - before < 40 * MEGABYTE


def _zip(path, megabytes):
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(megabytes):
            info = entry(f"noise{number}", compression=zipfile.ZIP_STORED)
            archive.writestr(info, os.urandom(MEGABYTE))
    return path
