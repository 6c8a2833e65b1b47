"""The commands that ask about a machine instead of a model: parity, bench and serve."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from engine.command import bench
from engine.errors import EngineError
from engine.model.config import Execution
from engine.parity import places
from engine.parity.golden_set import GOLDEN, from_zip
from engine.parity.remote import Remote, compare_worker
from engine.service.limits import WorkerLimits
from engine.service.serving import serve
from engine.service.settings import DEFAULT_PORT

DEFAULT_IMAGE = "ci-runner:latest"


def add_parity(command: argparse.ArgumentParser) -> None:
    """The grammar of `parity`."""
    add = command.add_argument
    add("--golden", type=Path, default=GOLDEN, metavar="DIR", help="directory of test cases")
    add(
        "--image",
        default=DEFAULT_IMAGE,
        help=f"container image to compare with, default {DEFAULT_IMAGE}",
    )
    add("--no-image", action="store_true", help="compare on this machine only")
    add("--url", help="compare with this running worker only; its token is in $ENGINE_TOKEN")
    add("--json", action="store_true", help="print the comparison as JSON")
    add("--from-zip", action="store_true", help="read a set from stdin and print its hashes")
    command.set_defaults(command=_parity)


def add_bench(command: argparse.ArgumentParser) -> None:
    """The grammar of `bench`."""
    add = command.add_argument
    add("--threads", type=int, metavar="N")
    add("--quick", action="store_true", help="skip the runs with a million policies")
    add("--json", action="store_true", help="print the timings as JSON")
    command.set_defaults(command=_bench)


def add_serve(command: argparse.ArgumentParser) -> None:
    """The grammar of `serve`."""
    default = WorkerLimits()
    add = command.add_argument
    add("--host", default="127.0.0.1", help="address to listen on, default 127.0.0.1")
    port_help = f"port to listen on; 0: any free port [default: $PORT, or {DEFAULT_PORT}]"
    add("--port", type=int, help=port_help)
    add("--threads", type=int, metavar="N", help="threads per model")
    add("--max-body", type=int, default=default.body, metavar="BYTES")
    add("--allow-hooks", action="store_true", help="run the hooks (Python code) of models")
    command.set_defaults(command=_serve)


def _parity(options: argparse.Namespace) -> int:
    if options.from_zip:
        print(json.dumps(from_zip(sys.stdin.buffer), sort_keys=True))
        return 0
    comparisons = []
    for comparison in _comparisons(options):
        comparisons.append(comparison)
        if not options.json:
            print(_line(comparison), flush=True)
    if options.json:
        print(json.dumps([vars(c) | {"same": c.same} for c in comparisons]))
    return 0 if all(c.same for c in comparisons) else EngineError.exit_code


def _comparisons(options: argparse.Namespace) -> Iterator[places.Comparison]:
    if options.url is not None:
        return compare_worker(Remote(options.url, os.environ.get("ENGINE_TOKEN")), options.golden)
    return places.compare(options.golden, None if options.no_image else options.image)


def _line(comparison: places.Comparison) -> str:
    if comparison.error is not None:
        return f"ERROR  {comparison.place}: {comparison.error}"
    if comparison.differing:
        return f"DIFFER {comparison.place}: {'; '.join(comparison.differing)}"
    return f"same   {comparison.place}"


def _bench(options: argparse.Namespace) -> int:
    timings = []
    for timing in bench.bench(Execution(threads=options.threads), quick=options.quick):
        timings.append(timing)
        if not options.json:
            print(bench.table(timing), flush=True)
    if options.json:
        print(json.dumps(bench.document(timings), indent=2))
    return 0


def _serve(options: argparse.Namespace) -> int:
    limits = WorkerLimits(
        body=options.max_body, threads=options.threads, allow_hooks=options.allow_hooks
    )
    serve(options.host, options.port, limits)
    return 0
