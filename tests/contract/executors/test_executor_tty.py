"""What every executor promises of a command on a pseudo-terminal, run against the real ones."""

import asyncio
import inspect
import random
import signal

import pytest

from ci_common.ports.workloads import WorkloadState
from support.executors import MemoryLog, collect, collect_storing, read_line, read_some

pytestmark = pytest.mark.anyio


async def on_terminal(bench, *command, **options):
    return await bench.run(*command, tty=True, **options)


def as_lines(text):
    """As a terminal's line discipline writes it."""
    return text.replace(b"\n", b"\r\n")


# ------------------------------------------------------------------ a terminal


async def test_all_three_are_the_terminal_which_is_the_commands_own(bench):
    source = (
        "import os, sys\n"
        "print([os.isatty(n) for n in range(3)], len({os.ttyname(n) for n in range(3)}))\n"
        "print(os.getsid(0) == os.getpid() == os.tcgetpgrp(0), os.stat(os.ttyname(0)).st_uid == "
        "os.getuid())\n"
        "open('/dev/tty', 'w').write('by its name\\n')\n"
        "print(os.environ['TERM'])"
    )
    finished = await on_terminal(bench, source)
    assert finished.output.decode().split("\r\n") == [
        "[True, True, True] 1",
        "True True",
        "by its name",
        "xterm-256color",
        "",
    ]
    assert finished.workload.exit_code == 0


async def test_without_it_there_is_none(bench):
    source = (
        "import os\n"
        "print([os.isatty(n) for n in range(3)], 'TERM' in os.environ)\n"
        "try: open('/dev/tty')\n"
        "except OSError: print('none')"
    )
    assert (await bench.run(source)).output == b"[False, False, False] False\nnone\n"


@pytest.mark.parametrize(
    ("env", "size"),
    [
        ({}, "80x24"),
        ({"COLUMNS": "200", "LINES": "50"}, "200x50"),
        ({"COLUMNS": "132"}, "132x24"),
        ({"COLUMNS": "0", "LINES": "wide"}, "80x24"),
        ({"COLUMNS": "70000", "LINES": "-3"}, "80x24"),
    ],
)
async def test_its_size_is_what_the_variables_say(bench, env, size):
    source = (
        "import os\n"
        "for n in range(3):\n"
        "    size = os.get_terminal_size(n)\n"
        "    print(f'{size.columns}x{size.lines}')"
    )
    finished = await on_terminal(bench, source, env=env)
    assert finished.output.decode().split() == [size] * 3


async def test_the_job_says_which_terminal_it_is(bench):
    finished = await on_terminal(
        bench, "import os; print(os.environ['TERM'])", env={"TERM": "vt100"}
    )
    assert finished.output == b"vt100\r\n"


# ------------------------------------------------------------------ output


async def test_bytes_are_as_they_are_but_for_the_line_ends(bench):
    content = (
        b"\xff\xfe invalid \0 NUL \r CR \r\n \x1b[31m red \t\x03\x04\x11\x13 \n"
        + bytes(range(256)) * 9
    )
    finished = await on_terminal(
        bench, f"import os; os.write(1, {content!r}); os.write(2, b'no newline at the end')"
    )
    assert finished.output == as_lines(content) + b"no newline at the end"


async def test_a_program_that_makes_it_raw_writes_bytes_as_they_are(bench):
    content = bytes(range(256)) * 100
    source = (
        f"import os, tty; tty.setraw(1)\ncontent = {content!r}\n"
        "while content: content = content[os.write(1, content):]"
    )
    assert (await on_terminal(bench, source)).output == content


async def test_both_streams_in_the_order_they_were_written(bench):
    source = "import os\nfor n in range(500): os.write(1 + n % 2, b'%d\\n' % n)"
    finished = await on_terminal(bench, source)
    assert finished.output == b"".join(b"%d\r\n" % number for number in range(500))


async def test_a_shell_that_opens_its_output_again_appends(bench):
    script = "echo one; echo two > /dev/stderr; echo three > /dev/stdout; echo four > /dev/tty"
    finished = await on_terminal(bench, "sh", "-c", script)
    assert finished.output == b"one\r\ntwo\r\nthree\r\nfour\r\n"


async def test_a_command_that_closes_its_output_goes_on(bench):
    script = "echo before; exec 3>&1 <&- >&- 2>&-; sleep 0.2; echo after >&3; exec 3>&-; exit 7"
    finished = await on_terminal(bench, "sh", "-c", script)
    assert finished.output == b"before\r\nafter\r\n"
    assert finished.workload.exit_code == 7


async def test_when_nobody_has_it_open_for_a_while_nothing_ends(bench):
    source = (
        "import os, time\n"
        "name = os.ttyname(1); os.write(1, b'before\\n')\n"
        "for n in range(3): os.close(n)\n"
        "time.sleep(0.3)\n"
        "os.write(os.open(name, os.O_RDWR), b'after\\n'); os._exit(4)"
    )
    finished = await on_terminal(bench, source)
    assert finished.output == b"before\r\nafter\r\n"
    assert finished.workload.exit_code == 4


def terminal_lines(blocks):
    """Lines of every length, `blocks` times 64 KiB of them, without their line ends."""
    dice = random.Random(7)
    for number in range(blocks):
        left = 1 << 16
        while left > 0:
            size = min(dice.choice([0, 1, 79, 4095, 4096, 20_000]), left)
            yield bytes([32 + number % 90]) * size
            left -= size + 1


MUCH = f"""
import random, sys
{inspect.getsource(terminal_lines)}
for line in terminal_lines(BLOCKS):
    sys.stdout.buffer.write(line + b"\\n")
"""


async def test_much_output_is_exact(bench):
    job = bench.job(MUCH.replace("BLOCKS", "320"), tty=True)
    output = await bench.launch(job)
    seen = await collect_storing(output)
    assert seen == b"".join(line + b"\r\n" for line in terminal_lines(320))
    assert (output.end.size, output.end.lost, output.end.exit_code) == (len(seen), 0, 0)


async def test_a_command_that_nobody_reads_waits_and_loses_nothing(bench):
    """75 MiB, of which no more than 64 are kept for whoever comes late."""
    blocks = 1200
    job = bench.job(MUCH.replace("BLOCKS", str(blocks)), tty=True)
    (await bench.launch(job)).close()
    output = await bench.executor.reattach(job.job_id, 0)
    seen = await read_some(output, 56 << 20)
    output.close()
    assert (await bench.executor.inspect(job.job_id)).state is WorkloadState.RUNNING
    output = await bench.executor.reattach(job.job_id, len(seen))
    seen += await collect_storing(output, len(seen))
    assert seen == b"".join(line + b"\r\n" for line in terminal_lines(blocks))
    assert (output.end.size, output.end.lost) == (len(seen), 0)


CHILD = """
import os
ready, tell = os.pipe()
if os.fork() == 0:
    %s
    number = 0
    while True:
        os.write(1 + number %% 2, b"child %%d\\n" %% number)
        if number == 1000:
            os.write(tell, b"!")
        number += 1
os.read(ready, 1)
os.write(1, b"the last line\\n")
os._exit(9)
"""


@pytest.mark.parametrize(
    "becomes",
    ["pass", "os.setsid()", "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"],
)
async def test_a_child_that_goes_on_writing_does_not_hold_up_the_end(bench, becomes):
    finished = await on_terminal(bench, CHILD % becomes)
    *lines, end = finished.output.split(b"\r\n")
    assert lines.count(b"the last line") == 1
    lines.remove(b"the last line")
    assert lines == [b"child %d" % number for number in range(len(lines))]
    assert (b"child %d\r" % len(lines)).startswith(end)
    assert len(lines) > 1000
    assert finished.workload.exit_code == 9


async def test_the_last_it_wrote_is_there_when_it_ends(bench):
    """More than the terminal holds, written just before the end."""
    content = b"x" * 300_001 + b"\n"
    source = (
        "import os\n"
        "content = b'x' * 300001 + b'\\n'\n"
        "while content: content = content[os.write(1, content):]"
    )
    job = bench.job(source, tty=True)
    output = await bench.launch(job)
    assert await collect(output) == as_lines(content)
    assert output.end.lost == 0


# ------------------------------------------------------------------ input


async def test_whoever_reads_is_at_the_end_of_the_input(bench):
    source = (
        "import os, subprocess, sys\n"
        "print([os.read(0, 10) for _ in range(3)], sys.stdin.read(), open('/dev/tty').read())\n"
        "subprocess.run(['cat'], check=True)\n"
        "try: input('name? ')\n"
        "except EOFError: print('nobody')\n"
    )
    finished = await on_terminal(bench, source)
    assert finished.output == b"[b'', b'', b'']  \r\nname? nobody\r\n"


async def test_a_question_for_a_password_is_not_answered_and_does_not_wait(bench):
    """It discards what was typed before, and reads from the terminal, whatever its input is."""
    source = (
        "import getpass, warnings\n"
        "for _ in range(2):\n"
        "    try: getpass.getpass()\n"
        "    except EOFError: print('nobody')"
    )
    finished = await on_terminal(bench, source)
    assert finished.output.count(b"nobody") == 2
    assert b"^D" not in finished.output


async def test_a_program_that_reads_single_characters_sees_the_end_of_file_character(bench):
    source = (
        "import os, tty\n"
        "old = tty.tcgetattr(0)\n"
        "tty.setcbreak(0)\n"
        "print(os.read(0, 1))\n"
        "tty.tcsetattr(0, tty.TCSAFLUSH, old)\n"
        "print(os.read(0, 9))"
    )
    assert (await on_terminal(bench, source)).output == b"b'\\x04'\r\nb''\r\n"


async def test_in_the_background_reading_and_changing_it_does_not_wait(bench):
    source = (
        "import os, subprocess, sys\n"
        "child = '''import os, tty\n"
        "tty.tcsetattr(0, tty.TCSANOW, tty.tcgetattr(0))\n"
        "try: os.read(0, 1)\n"
        "except OSError as error: print(error.strerror)'''\n"
        "subprocess.run([sys.executable, '-c', child], process_group=0, check=True)"
    )
    assert (await on_terminal(bench, source)).output == b"Input/output error\r\n"


# ------------------------------------------------------------------ exit codes, signals


@pytest.mark.parametrize("code", [0, 1, 42, 129, 255])
async def test_exit_code(bench, code):
    finished = await on_terminal(bench, f"import os; os._exit({code})")
    assert finished.workload.exit_code == code


@pytest.mark.parametrize("number", [1, 9, 11, 15])
async def test_exit_code_of_a_signal(bench, number):
    finished = await on_terminal(bench, f"import os; os.kill(os.getpid(), {number})")
    assert finished.workload.exit_code == 128 + number


async def test_command_not_found(bench):
    finished = await on_terminal(bench, "no-such-command", "argument")
    assert finished.workload.exit_code == 127
    assert b"no-such-command" in finished.output


async def test_stop_lets_a_handler_finish(bench):
    source = (
        "import signal, sys, time\n"
        "def end(*_): print('bye', flush=True); sys.exit(5)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    job = bench.job(source, tty=True)
    output = await bench.launch(job)
    assert await read_line(output) == b"ready\r\n"
    await bench.executor.stop(job.job_id, 30)
    assert await collect(output) == b"bye\r\n"
    assert (await bench.ended(job.job_id)).exit_code == 5


async def test_stop_right_after_the_start(bench):
    job = bench.job("import time; time.sleep(60)", tty=True)
    output = await bench.launch(job)
    await bench.executor.stop(job.job_id, 30)
    assert await collect(output) in (b"", b"Terminated\r\n")
    assert (await bench.ended(job.job_id)).exit_code == 143


async def test_all_is_there_that_was_written_until_the_command_was_killed(bench):
    source = (
        "import os, signal\n"
        "for one in (signal.SIGTERM, signal.SIGHUP): signal.signal(one, signal.SIG_IGN)\n"
        "number = 0\n"
        "while True: os.write(1, b'line %d\\n' % number); number += 1"
    )
    job = bench.job(source, tty=True)
    output = await bench.launch(job)
    begin = await read_some(output, 100)
    collecting = asyncio.create_task(collect_storing(output, len(begin)))
    await bench.executor.stop(job.job_id, 0.3)
    *lines, end = (begin + await collecting).split(b"\r\n")
    assert lines == [b"line %d" % number for number in range(len(lines))]
    assert (b"line %d\r" % len(lines)).startswith(end)
    assert output.end.lost == 0
    assert (await bench.ended(job.job_id)).exit_code == 137


async def test_reattach_anywhere_after_the_end(bench):
    job = bench.job("for n in range(2000): print('line', n)", tty=True)
    whole = await collect(await bench.launch(job, MemoryLog()))
    assert whole == b"".join(b"line %d\r\n" % number for number in range(2000))
    await bench.ended(job.job_id)
    for skip in (1, 5000, len(whole) - 1, len(whole)):
        assert await collect(await bench.executor.reattach(job.job_id, skip)) == whole[skip:]


# ------------------------------------------------------------------ colour


@pytest.mark.parametrize(
    ("env", "colors"),
    [
        ({}, ["1", "1", None, "xterm-256color"]),
        ({"TERM": "vt100"}, ["1", "1", None, "vt100"]),
        ({"FORCE_COLOR": "0"}, ["0", None, None, None]),
        ({"NO_COLOR": "1"}, [None, None, "1", None]),
    ],
)
async def test_colours_without_a_terminal_unless_the_job_says_something_of_them(bench, env, colors):
    names = ("FORCE_COLOR", "CLICOLOR_FORCE", "NO_COLOR", "TERM")
    source = f"import os; print([os.environ.get(name) for name in {names!r}])"
    finished = await bench.run(source, env=env, color=True)
    assert finished.output.decode() == f"{colors}\n"


@pytest.mark.parametrize("tty", [False, True])
async def test_a_command_does_not_inherit_ignored_signals(bench, tty):
    """As when it was started with nohup, or in the background of a script."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        finished = await bench.run(
            "import os, signal; os.kill(os.getpid(), signal.SIGHUP)", tty=tty
        )
    finally:
        signal.signal(signal.SIGHUP, before)
    assert finished.workload.exit_code == 128 + signal.SIGHUP
