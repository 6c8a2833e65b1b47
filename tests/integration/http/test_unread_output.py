"""A server whose stdout and stderr are pipes that nobody reads."""

import os
import subprocess
import threading

import httpx
import pytest

from support import projects

REQUESTS = 5_000
PIPE_BYTES = 64 << 10


@pytest.mark.docker
def test_it_serves_runs_jobs_and_ends_with_full_pipes(own_server):
    server = own_server().start(stdout=subprocess.PIPE, stderr=subprocess.PIPE).ready()
    try:
        for _ in range(REQUESTS):
            assert server.http.get("/health").status_code == 200
        job, log = server.run(projects.ANY, ["echo", "all the same"])
        assert (job["success"], log) == (True, b"all the same\n")
        running = server.submit(projects.ANY, projects.ENDLESS)
        server.under_way(running, b"started")
        with OpenStreams(server, running):
            server.terminate(seconds=10)
        assert len(_unread(server.process.stderr)) > PIPE_BYTES // 2
    finally:
        server.process.stdout.close()
        server.process.stderr.close()


class OpenStreams:
    """Two watchers, an event stream and a raw one, that read on in the background."""

    def __init__(self, server, job_id):
        self._url = f"{server.url}/jobs/{job_id}"
        self._opened = threading.Barrier(3)
        paths = ("/stream?from_beginning=true", "/logs?follow=true")
        self._threads = [threading.Thread(target=self._watch, args=(path,)) for path in paths]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self._opened.wait(20)

    def __exit__(self, *error):
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()

    def _watch(self, path):
        try:
            with httpx.stream("GET", self._url + path, trust_env=False, timeout=60) as answer:
                pieces = answer.iter_raw()
                next(pieces)
                self._opened.wait(20)
                for _ in pieces:
                    pass
        except httpx.TransportError:
            return


def _unread(pipe):
    """What lies in the pipe, which has no writer any more."""
    os.set_blocking(pipe.fileno(), True)
    return pipe.read()


def test_it_goes_on_when_the_reader_of_its_output_ends(own_server):
    """As under `uvicorn … 2>&1 | head`: the pipe breaks, the server does not."""
    server = own_server(controller="external")
    server.start(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    server.process.stdout.close()
    server.process.stderr.close()
    for _ in range(50):
        assert server.http.get("/health").status_code == 200
    server.submit(projects.ANY)
    server.terminate(seconds=10)
