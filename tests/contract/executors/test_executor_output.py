"""What every executor promises of a workload's output (port Output), run against the real ones."""

import asyncio
import inspect
import random

import pytest

from ci_common.errors import WorkloadLostError
from ci_common.ports.workloads import WorkloadState
from support.executors import (
    collect,
    collect_storing,
    read_line,
    read_some,
    running,
)

pytestmark = pytest.mark.anyio


# ------------------------------------------------------------------ output


async def test_output_is_exact_to_the_byte(bench):
    finished = await bench.run(
        "import sys; w = sys.stdout.buffer.write; "
        "w(b'\\xff\\xfe invalid \\0 NUL \\r CR \\r\\n \\x1b[31m red \\n'); "
        "w(bytes(range(256)) * 3); w(b'no newline at the end')"
    )
    assert finished.output == (
        b"\xff\xfe invalid \0 NUL \r CR \r\n \x1b[31m red \n"
        + bytes(range(256)) * 3
        + b"no newline at the end"
    )
    assert finished.setup == b""
    assert finished.workload.exit_code == 0


@pytest.mark.parametrize("more", [1, 100])
async def test_from_beyond_its_end_there_is_nothing_and_its_size_is_told(bench, more):
    """The log may have the runner's own lines after the output, when it is taken up again."""
    job = bench.job("print('hello')")
    assert await collect(await bench.launch(job)) == b"hello\n"
    await bench.ended(job.job_id)
    output = await bench.executor.reattach(job.job_id, 6 + more)
    assert await collect(output) == b""
    assert (output.end.size, output.end.lost) == (6, 0)


async def test_a_megabyte_without_a_newline(bench):
    finished = await bench.run("import sys; sys.stdout.write('0123456789abcdef' * (1 << 16))")
    assert finished.output == b"0123456789abcdef" * (1 << 16)


async def test_both_streams_in_the_order_they_were_written(bench):
    finished = await bench.run("import os\nfor n in range(500): os.write(1 + n % 2, b'%d\\n' % n)")
    assert finished.output == b"".join(b"%d\n" % number for number in range(500))


async def test_no_output_at_all(bench):
    assert (await bench.run("pass")).output == b""


async def test_a_shell_that_opens_its_output_again_appends(bench):
    script = (
        "echo one; echo two > /dev/stderr; echo three; echo four > /dev/stdout\n"
        "sh -c 'echo five > /dev/stderr'; echo six >> /dev/stdout; printf seven"
    )
    finished = await bench.run("sh", "-c", script)
    assert finished.output == b"one\ntwo\nthree\nfour\nfive\nsix\nseven"


async def test_a_command_that_closes_its_output_goes_on(bench):
    script = "echo before; exec 3>&1 >&- 2>&-; sleep 0.2; echo after >&3; exec 3>&-; exit 7"
    finished = await bench.run("sh", "-c", script)
    assert finished.output == b"before\nafter\n"
    assert finished.workload.exit_code == 7


DAEMON = """
import os
ready, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    number = 0
    while True:
        os.write(1 + number % 2, b"daemon %d\\n" % number)
        if number == 100:
            os.write(tell, b"!")
        number += 1
os.read(ready, 1)
os.write(1, b"the last line\\n")
"""


async def test_a_daemon_that_goes_on_writing_does_not_hold_up_the_end(bench):
    finished = await bench.run(DAEMON)
    *lines, end = finished.output.split(b"\n")
    assert lines.count(b"the last line") == 1
    lines.remove(b"the last line")
    assert lines == [b"daemon %d" % number for number in range(len(lines))]
    assert (b"daemon %d" % len(lines)).startswith(end)
    assert len(lines) > 100


async def test_output_arrives_while_the_command_runs(bench):
    async with running(bench) as (job, _):
        seen = await bench.executor.inspect(job.job_id)
        assert seen.state is WorkloadState.RUNNING


# ------------------------------------------------------------------ reattach

COUNT = "import sys\nfor n in range(2000): sys.stdout.write('line %d\\n' % n)"
COUNTED = b"".join(b"line %d\n" % number for number in range(2000))


async def test_reattach_after_the_end(bench):
    job = bench.job(COUNT)
    await collect(await bench.launch(job))
    await bench.ended(job.job_id)
    for skip in (0, 1, 5000, len(COUNTED) - 1, len(COUNTED)):
        output = await bench.executor.reattach(job.job_id, skip)
        assert await collect(output) == COUNTED[skip:]


async def test_reattach_during_the_run_by_a_new_executor(bench):
    # The signal to go on is SIGTERM: it reaches a container, too.
    source = (
        "import signal\nsignal.signal(signal.SIGTERM, lambda *_: None)\n"
        "print('ready', flush=True)\nsignal.pause()\n" + COUNT
    )
    job = bench.job(source)
    first = await bench.launch(job)
    assert await read_line(first) == b"ready\n"
    first.close()
    await collect(first)
    new = bench.new_executor()
    try:
        output = await new.reattach(job.job_id, 3)
        assert await read_line(output) == b"dy\n"
        stopping = asyncio.create_task(bench.executor.stop(job.job_id, 20))
        assert await collect(output) == COUNTED
        await stopping
    finally:
        await new.close()
    assert (await bench.ended(job.job_id)).exit_code == 0


def wild_pieces():
    """Bytes of every kind, short and long lines, in this order."""
    dice = random.Random(5)
    for number in range(60):
        size = dice.choice([1, 80, 20_000, 300_000])
        if number == 30:
            yield b"x" * 5_000_000 + b"\n"
        elif number % 3:
            yield dice.randbytes(size)
        else:
            yield bytes([dice.randrange(128)]) * size


# Halfway it waits for SIGTERM, which reaches a container, too.
WILD = f"""
import os, random, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
{inspect.getsource(wild_pieces)}
for number, content in enumerate(wild_pieces()):
    while content:
        content = content[os.write(1, content):]
    if number == 35:
        signal.sigwait([signal.SIGTERM])
"""


async def test_reattach_anywhere_during_the_run_and_after_it(bench):
    pieces = list(wild_pieces())
    whole, first = b"".join(pieces), sum(map(len, pieces[:36]))
    dice = random.Random(6)
    job = bench.job(WILD)
    output = await bench.launch(job)
    assert (await read_some(output, first)) == whole[:first]
    for _ in range(5):
        skip = dice.randrange(first)
        again = await bench.executor.reattach(job.job_id, skip)
        content = await read_some(again, min(400_000, first - skip))
        again.close()
        assert content == whole[skip : skip + len(content)]
    stopping = asyncio.create_task(bench.executor.stop(job.job_id, 20))
    assert await collect(output) == whole[first:]
    await stopping
    for skip in (dice.randrange(len(whole)), len(whole) - 5, len(whole)):
        assert await collect(await bench.executor.reattach(job.job_id, skip)) == whole[skip:]


async def test_the_end_is_told(bench):
    job = bench.job(COUNT + "\nraise SystemExit(3)")
    output = await bench.launch(job)
    assert output.end is None
    # The log may have more than the output, when an ending line was written to it.
    for skip in (0, 10, len(COUNTED), len(COUNTED) + 1000):
        if skip:
            output = await bench.executor.reattach(job.job_id, skip)
        assert await collect(output) == COUNTED[skip:]
        assert (output.end.size, output.end.lost, output.end.exit_code) == (len(COUNTED), 0, 3)


async def test_to_say_again_what_is_stored_is_harmless(bench):
    job = bench.job(COUNT)
    output = await bench.launch(job)
    content = await read_line(output)
    for offset in (1, 5, 5, 3):
        await asyncio.to_thread(output.stored, offset)
    content += await read_some(output, len(COUNTED))
    assert content == COUNTED
    assert output.end.size == len(COUNTED)
    for _ in range(2):
        await asyncio.to_thread(output.stored, len(COUNTED))
    await bench.ended(job.job_id)
    await asyncio.to_thread(output.stored, len(COUNTED))
    output.close()
    again = await bench.executor.reattach(job.job_id, len(COUNTED))
    await asyncio.to_thread(again.stored, len(COUNTED))
    assert await collect(again) == b""
    assert again.end.size == len(COUNTED)


# ------------------------------------------------------------------ output that nobody reads

BLOCK = 1 << 16
BLOCKS = 1600
FLOOD = f"""
import os
for number in range({BLOCKS}):
    content = b"%015d\\n" % number * {BLOCK // 16}
    while content:
        content = content[os.write(1, content):]
"""


def flood(start, end):
    """What it writes from one offset to another."""
    blocks = range(start // BLOCK, -(-end // BLOCK))
    content = b"".join(b"%015d\n" % number * (BLOCK // 16) for number in blocks)
    first = start // BLOCK * BLOCK
    return content[start - first : end - first]


async def test_a_command_that_nobody_reads_waits_and_loses_nothing(bench):
    """100 MiB, of which no more than 64 are kept for whoever comes late."""
    job = bench.job(FLOOD)
    (await bench.launch(job)).close()
    early, late = 56 << 20, 80 << 20
    output = await bench.executor.reattach(job.job_id, 0)
    seen = await read_some(output, early)
    assert seen == flood(0, len(seen))
    output.close()
    assert (await bench.executor.inspect(job.job_id)).state is WorkloadState.RUNNING
    new = bench.new_executor()
    try:
        output = await new.reattach(job.job_id, 0)  # nobody said that anything was stored
        seen = await read_some(output, early)
        await asyncio.to_thread(output.stored, len(seen))
        seen += await read_some(output, late - len(seen))
        assert seen == flood(0, len(seen))
        output.close()
        output = await new.reattach(job.job_id, len(seen))
        assert await collect_storing(output, len(seen)) == flood(len(seen), BLOCKS * BLOCK)
        assert (output.end.size, output.end.lost) == (BLOCKS * BLOCK, 0)
    finally:
        await new.close()


async def test_all_is_there_that_was_written_until_the_command_was_killed(bench):
    source = (
        "import os, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "number = 0\n"
        "while True: os.write(1, b'line %d\\n' % number); number += 1"
    )
    job = bench.job(source)
    output = await bench.launch(job)
    begin = await read_some(output, 100)
    collecting = asyncio.create_task(collect_storing(output, len(begin)))
    await bench.executor.stop(job.job_id, 0.3)
    *lines, end = (begin + await collecting).split(b"\n")
    assert lines == [b"line %d" % number for number in range(len(lines))]
    assert (b"line %d\n" % len(lines)).startswith(end)
    assert output.end.lost == 0
    assert (await bench.ended(job.job_id)).exit_code == 137


async def test_a_command_that_waits_for_a_reader_is_stopped(bench):
    """What it had written before is there, though nobody was there to make room."""
    job = bench.job(FLOOD)
    output = await bench.launch(job)
    seen = await read_some(output, 56 << 20)
    output.close()
    await bench.executor.stop(job.job_id, 0)
    output = await bench.executor.reattach(job.job_id, len(seen))
    seen += await collect(output)
    assert seen == flood(0, len(seen))
    assert (output.end.size, output.end.lost) == (len(seen), 0)
    assert len(seen) < BLOCKS * BLOCK


async def test_reattach_without_a_workload(bench):
    with pytest.raises(WorkloadLostError):
        await bench.executor.reattach("11111111-0000-4000-8000-000000000000", 0)


async def test_close_makes_a_blocked_read_return(bench):
    async with running(bench) as (job, output):
        again = await bench.executor.reattach(job.job_id, 6)
        for blocked in (output, again):
            reading = asyncio.create_task(asyncio.to_thread(blocked.read))
            await asyncio.sleep(0.05)
            assert not reading.done()
            blocked.close()
            assert await asyncio.wait_for(reading, 5) == b""
            blocked.close()
