"""The dashboard's modules without a browser, in Node.js: how they link, sizes, the log viewer."""

import base64
import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

import ci_server.dashboard
from ci_client.command.report_display import size_text
from ci_server.dashboard.pages import site

NODE = shutil.which("node")
HERE = Path(__file__).parent
STATIC = Path(ci_server.dashboard.__file__).parent / "static"
JOINED = [path for path in site().assets if path.startswith("joined/") and path.endswith(".js")]

pytestmark = pytest.mark.skipif(NODE is None, reason="needs Node.js (scripts/test installs it)")


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A function that runs Node.js with what it is given on stdin; its output."""
    modules = tmp_path_factory.mktemp("modules")
    shutil.copytree(STATIC, modules, dirs_exist_ok=True)
    (modules / "joined").mkdir()
    for path in JOINED:
        (modules / path).write_bytes(site().assets[path].content)
    (modules / "package.json").write_text('{"type": "module"}')

    def run(*arguments, given=""):
        done = subprocess.run(
            [NODE, *arguments],
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "MODULES": f"{modules.as_uri()}/"},
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_what_modules_import_is_exported(node):
    """There is no build that would tell."""
    modules = [path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*.js")]
    node("--experimental-vm-modules", "--no-warnings", HERE / "link.mjs", *modules)


def test_joined_modules_import_what_is_exported(node):
    node("--experimental-vm-modules", "--no-warnings", HERE / "link.mjs", *JOINED)


def test_what_is_asked_for_early_is_used_once(node):
    node("--test", HERE / "early.test.mjs")


def test_the_list_of_jobs_while_answers_and_events_cross(node):
    node("--test", HERE / "job_list.test.mjs")


def test_requests_of_a_log_that_fail_or_overtake_each_other(node):
    node("--test", HERE / "log_requests.test.mjs")


def test_rows_styles_and_folds(node):
    node("--test", HERE / "screen.test.mjs")


WORDS = ["a", "word", "日本語", "é", "\U0001f600", "====", " ", "x" * 50]


def random_log(rng):
    """Lines of all lengths, also longer than pieces; text of one to four bytes a character."""
    lines = []
    while sum(map(len, lines)) < 900_000:
        words = rng.choice([0, 1, 3, 30, 300] * 40 + [30_000, 70_000, 200_000])
        lines.append("".join(rng.choices(WORDS, k=words)).encode())
    log = b"\n".join(lines)
    return log + b"\n" * rng.choice([0, 1, 3])


def expected_rows(log, piece):
    """The rows by the viewer's rule, said in another way: lines, cut at each beginning of a piece
    without a newline, but not within a character.
    """
    cuts = set()
    for start in range(piece, len(log) - piece + 1, piece):
        if b"\n" in log[start : start + piece] or log[start - 1 : start] == b"\n":
            continue
        while log[start] & 0xC0 == 0x80:
            start += 1
        cuts.add(start)
    rows, offset = [], 0
    for number, line in enumerate(log.splitlines(keepends=True) if log else [], 1):
        inside = sorted(cut for cut in cuts if offset < cut < offset + len(line))
        for start, end in zip([offset, *inside], [*inside, offset + len(line)], strict=True):
            text = log[start:end].removesuffix(b"\n").decode()
            rows.append([start, number, start > offset, text])
        offset += len(line)
    return rows


@pytest.mark.parametrize("seed", range(4))
def test_pieces_make_the_rows_of_the_whole_log(node, seed):
    """However it grew, and in whatever order it was looked at."""
    rng = random.Random(seed)
    log = random_log(rng)
    appends, left = [], len(log)
    while left:
        appends.append(min(left, rng.choice([1, 1000, 50_000, 131_072, 300_000])))
        left -= appends[-1]
    visits = [rng.sample(range(8), k=3) for _ in appends]
    given = {"log": base64.b64encode(log).decode(), "appends": appends, "visits": visits}
    shown = json.loads(node(HERE / "pieces.mjs", given=json.dumps(given)))
    assert shown["size"] == len(log)
    assert shown["rows"] == expected_rows(log, shown["piece"])


KIB, MIB, GIB, TIB = (1 << power for power in (10, 20, 30, 40))
SIZES = {
    0: "0 B",
    1: "1 B",
    1000: "1000 B",
    KIB - 1: "1023 B",
    KIB: "1.0 KiB",
    1280: "1.3 KiB",  # a tie is rounded up
    10 * KIB - 52: "9.9 KiB",
    10 * KIB - 51: "10 KiB",
    10 * KIB + 512: "11 KiB",
    MIB - 513: "1023 KiB",
    MIB - 512: "1.0 MiB",
    1_500_000: "1.4 MiB",
    512 * MIB: "512 MiB",
    GIB - 1: "1.0 GiB",
    7 * TIB // 2: "3.5 TiB",
    5000 * TIB: "5000 TiB",
}


def test_sizes_are_those_of_the_command_line(node):
    exact = [near + step for near in SIZES for step in (-1, 0, 1) if near + step >= 0]
    sizes = [*exact, *(random.Random(1).getrandbits(bits) for bits in range(1, 50))]
    script = """
      const { bytes } = await import(new URL("lib/sizes.js", process.env.MODULES));
      const given = JSON.parse((await import("node:fs")).readFileSync(0, "utf8"));
      console.log(JSON.stringify(given.map(bytes)));"""
    shown = json.loads(node("--input-type=module", "-e", script, given=json.dumps(sizes)))
    assert dict(zip(sizes, shown, strict=True)) == {size: size_text(size) for size in sizes}
    assert {size: size_text(size) for size in SIZES} == SIZES
