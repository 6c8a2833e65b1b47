"""The shapes of output that a soak tries: each is a function of a seed, computed on both sides.

The job gets this file as a part of its project and performs the plan (soak_work.py); the checker
makes the same plan and knows every byte. It needs nothing but the standard library.
"""

import base64
import random
import signal
from dataclasses import dataclass, field

CHUNK = 128 << 10
"""The server cuts log events at multiples of this."""
SEGMENT = 4 << 20

STDOUT, STDERR = 1, 2
_PLACES = (STDOUT, STDERR, "/dev/stdout", "/dev/stderr", "/proc/self/fd/1")
_SIGNALS = ("KILL", "TERM", "INT", "HUP", "SEGV", "ABRT", "USR1", "PIPE", "ALRM")
_CHARACTERS = "aZ0 \n\t\u00e9\u00df\u20ac\u65e5\u672c\u2028\u0085\U0001f600\U0001f468\u200d"


@dataclass
class Step:
    """Bytes that are written at once, and how."""

    content: bytes
    where: int | str = STDOUT
    """A descriptor, or a path that is opened for it, as `> /dev/stderr` does."""
    by: str = "self"
    """`self`; `child`: of a child that is waited for; `daemon`: of one that outlives the command;
    `crowd`: of one of many children, line by line.
    """
    pause: float = 0.0
    """Seconds to wait before."""


@dataclass
class Plan:
    """What a job does."""

    steps: list[Step]
    exit_code: int = 0
    signal: int = 0
    """Which signal it dies of, if not 0."""
    in_order: bool = True
    """False: whole lines are in any order."""
    log_mb: int | None = None
    """The cap of the job's log."""
    secrets: dict[str, bytes] = field(default_factory=dict)
    command: list[str] | None = None
    """Instead of soak_work.py; it writes the files `0.bin`, `1.bin`, … of the steps."""

    @property
    def output(self):
        return b"".join(step.content for step in self.steps)

    @property
    def code(self):
        """The exit code as an engine tells it."""
        return 128 + self.signal if self.signal else self.exit_code


# ------------------------------------------------------------------- content


def text(dice, size, longest=200):
    """So many bytes of numbered lines that nobody guesses; the last byte ends a line."""
    block = dice.randbytes(8192).hex()
    found, have, number = [], 0, 0
    while have < size:
        at, length = dice.randrange(len(block) - longest), dice.randint(0, longest)
        found.append(f"{number} {block[at : at + length]}\n".encode())
        have += len(found[-1])
        number += 1
    return b"".join(found)[: size - 1] + b"\n" if size else b""


def one_line(dice, size):
    """So many bytes without the end of a line."""
    return dice.randbytes(size // 2 + 1).hex()[:size].encode()


def characters(dice, size):
    """About so many bytes of characters of one to four bytes."""
    return "".join(dice.choices(_CHARACTERS, k=size // 2)).encode()


def no_text(dice, size):
    """Bytes that are not UTF-8, and what terminals and readers trip over."""
    found = [bytes(range(256)), b"\r\n\r\x00\x1b[31mred\x1b[0m\n", b"data: x\n\nid: 7\n\n"]
    while sum(map(len, found)) < size:
        cut = dice.choice("\u20ac\U0001f600").encode()
        found.append(dice.randbytes(dice.randint(1, 400)))
        found.append(cut[: dice.randint(1, len(cut) - 1)] + dice.choice([b"", b"\n", b"a"]))
    return b"".join(found)


def cut(dice, content, low, high):
    """The content in pieces of random sizes."""
    found, at = [], 0
    while at < len(content):
        size = dice.randint(low, high)
        found.append(content[at : at + size])
        at += size
    return found


def steps(dice, contents, seconds=0.0, places=(STDOUT,)):
    """A step for each, with random pauses that sum up to about so many seconds."""
    each = 2 * seconds / max(len(contents), 1)
    return [Step(one, dice.choice(places), pause=dice.uniform(0, each)) for one in contents]


def ended(dice, plan):
    """The plan with a random end."""
    kind = dice.random()
    if kind < 0.5:
        plan.exit_code = dice.randrange(256)
    elif kind < 0.7:
        plan.signal = getattr(signal, f"SIG{dice.choice(_SIGNALS)}").value
    return plan


def shell(dice, plan, script):
    """The plan as a shell's script, `{end}` of which is its end."""
    ended(dice, plan)
    end = f"kill -{plan.signal} $$; sleep 5" if plan.signal else f"exit {plan.exit_code}"
    plan.command = ["sh", "-c", "ulimit -c 0; " + script.format(end=end)]
    return plan


# ------------------------------------------------------------------- shapes


def first_instruction(dice):
    """The command does nothing but write; `cat` and `printf` start in a millisecond."""
    if dice.random() < 0.3:
        words = dice.randbytes(dice.randint(1, 60)).hex()
        return Plan([Step(words.encode())], command=["printf", "%s", words])
    content = dice.choice([text, one_line, characters])(dice, dice.randint(2, 100_000))
    return Plan([Step(content)], command=["cat", "0.bin"])


def first_and_later(dice):
    """At the first instruction, and then nothing for a while."""
    plan = Plan([Step(text(dice, dice.randint(1, 9000)))])
    return shell(dice, plan, f"cat 0.bin; sleep {dice.uniform(0, 0.8):.2f}; {{end}}")


def last_moment(dice):
    """Nothing between the last byte and the end."""
    content = text(dice, dice.randint(1, 300_000))
    return ended(dice, Plan([Step(content, pause=dice.uniform(0, 0.6))]))


def last_moment_of_a_shell(dice):
    """The same of a shell, and of what it becomes."""
    plan = Plan([Step(one_line(dice, dice.randint(1, 70_000)))])
    pause = f"sleep {dice.uniform(0, 0.5):.2f}"
    if dice.random() < 0.5:
        plan.command = ["sh", "-c", f"{pause}; exec cat 0.bin"]
        return plan
    return shell(dice, plan, f"{pause}; cat 0.bin; {{end}}")


def no_newline(dice):
    """The last line has no end."""
    content = text(dice, dice.randint(0, 20_000)) + one_line(dice, dice.randint(1, 3000))
    return ended(dice, Plan(steps(dice, cut(dice, content, 1, 5000), 0.3)))


def bursts(dice):
    """Much at once, and then nothing."""
    contents = [text(dice, dice.randint(1, 400_000)) for _ in range(dice.randint(3, 8))]
    return ended(dice, Plan(steps(dice, contents, 1.2, (STDOUT, STDERR))))


def interleaved(dice):
    """Both streams, and files that are opened for them."""
    contents = cut(dice, text(dice, dice.randint(1000, 60_000)), 1, 600)
    return ended(dice, Plan(steps(dice, contents, dice.choice([0, 0.5]), _PLACES)))


def redirected(dice):
    """A shell's `> /dev/stderr`, which truncates a file, and must not harm what is there."""
    plan = Plan([Step(text(dice, dice.randint(1, 30_000))) for _ in range(5)])
    script = (
        "cat 0.bin; cat 1.bin > /dev/stderr; cat 2.bin >> /dev/stdout; cat 3.bin >&2; "
        "cat 4.bin | tee /dev/stderr > /dev/null; {end}"
    )
    return shell(dice, plan, script)


def children(dice):
    """Children that write one after the other, and their parent in between."""
    contents = cut(dice, text(dice, dice.randint(1000, 80_000)), 100, 9000)
    plan = Plan(steps(dice, contents, 0.2, (STDOUT, STDERR)))
    for step in plan.steps:
        step.by = dice.choice(["self", "child"])
    return ended(dice, plan)


def daemons(dice):
    """Some that hold the output open beyond the end of the command."""
    plan = Plan([Step(text(dice, dice.randint(1, 9000)), by="daemon") for _ in range(3)])
    plan.steps.append(Step(text(dice, dice.randint(1, 9000))))
    return ended(dice, plan)


def crowd(dice):
    """Many children at once; a line is written whole, and the order is anybody's."""
    parts = [text(dice, dice.randint(1, 30_000)) for _ in range(dice.randint(2, 8))]
    return ended(dice, Plan([Step(part, by="crowd") for part in parts], in_order=False))


def multiples(unit, most):
    """A shape: a multiple of a buffer's size, or one more or less, with a pause at the border."""

    def shape(dice):
        border = unit * dice.randint(1, most)
        content = dice.choice([text, one_line])(dice, border + dice.choice([-1, 0, 1]))
        rest = text(dice, dice.choice([0, 0, 1, 5000]))
        plan = Plan([Step(content), Step(rest, pause=dice.uniform(0, 0.4))])
        return ended(dice, plan)

    return shape


def split_characters(dice):
    """Characters of several bytes, written byte by byte or nearly so."""
    content = characters(dice, dice.randint(500, 6000))
    return ended(dice, Plan(steps(dice, cut(dice, content, 1, dice.choice([1, 3, 7])), 0.4)))


def many_characters(dice):
    """So many that events end within them."""
    content = characters(dice, dice.randint(CHUNK, 4 * CHUNK)).replace(b"\n", b"")
    return ended(dice, Plan(steps(dice, cut(dice, content, 1000, 99_999), 0.3)))


def invalid(dice):
    """Not UTF-8."""
    content = no_text(dice, dice.choice([300, 20_000, 400_000]))
    least = 1 if len(content) < 30_000 else 3000
    return ended(dice, Plan(steps(dice, cut(dice, content, least, 8 * least), 0.4)))


def lines_of_20_kb(dice):
    """Longer than what engines take for a line."""
    lines = [one_line(dice, dice.randint(16_000, 20_480)) + b"\n" for _ in range(30)]
    return ended(dice, Plan(steps(dice, lines, 0.4, (STDOUT, STDERR))))


def line_of_5_mb(dice):
    """One line, which no buffer holds."""
    content = one_line(dice, 5_000_000 + dice.randint(-9, 9))
    return ended(dice, Plan(steps(dice, cut(dice, content, 100_000, 2_000_000), 0.5)))


def silent(dice):
    """No output at all."""
    if dice.random() < 0.3:
        return Plan([], command=["true"])
    return ended(dice, Plan([Step(b"", pause=dice.uniform(0, 0.3))]))


def secrets(dice):
    """Values, and forms of them, at the ends, next to each other, over borders, and halves."""
    one, other = (dice.randbytes(dice.randint(6, 16)).hex() for _ in range(2))
    values = {"SOAK_ONE": one.encode(), "SOAK_TWO": f"{other}\n{other[::-1]}".encode()}
    forms = [form for value in values.values() for form in secret_forms(value)]
    content = dice.choice([b"", dice.choice(forms)])
    for _ in range(dice.randint(5, 40)):
        content += b" " + text(dice, dice.randint(0, 300)) + dice.choice(forms)
        content += dice.choice(
            [b"", b"\n", dice.choice(forms), one[: dice.randint(1, 11)].encode()]
        )
    filler = CHUNK - len(content) - dice.randint(1, 20)
    content += dice.choice([b"", text(dice, filler) + dice.choice(forms)])
    content += dice.choice([b"", b"\n", one[:-1].encode()])
    pieces = cut(dice, content, 1, dice.choice([5, 50, 9000]))
    return ended(dice, Plan(steps(dice, pieces, 0.4), secrets=values))


def secret_forms(value):
    """Some of the forms in which a secret is to be masked."""
    return [value, value.hex().encode(), value.hex().upper().encode(), base64.b64encode(value)]


def big(dice):
    """Tens of megabytes, as fast as they can be made."""
    content = text(dice, dice.randint(10 << 20, 40 << 20), longest=1000)
    return ended(dice, Plan(steps(dice, cut(dice, content, 1 << 16, 1 << 20))))


def capped(dice):
    """More than the log may hold, or exactly as much."""
    log_mb = dice.choice([1, 2, 8])
    cap = log_mb << 20
    size = dice.choice([cap - 1, cap, cap + 1, cap + 70_000, 3 * cap, cap * 3 // 4 + 1])
    content = dice.choice([text, text, one_line])(dice, size)
    return ended(dice, Plan(steps(dice, cut(dice, content, 1000, 1 << 18)), log_mb=log_mb))


SHAPES = {
    "first-instruction": first_instruction,
    "first-and-later": first_and_later,
    "last-moment": last_moment,
    "last-moment-shell": last_moment_of_a_shell,
    "no-newline": no_newline,
    "bursts": bursts,
    "interleaved": interleaved,
    "redirected": redirected,
    "children": children,
    "daemons": daemons,
    "crowd": crowd,
    "128k": multiples(CHUNK, 8),
    "4m": multiples(SEGMENT, 2),
    "split-characters": split_characters,
    "many-characters": many_characters,
    "invalid": invalid,
    "lines-20k": lines_of_20_kb,
    "line-5m": line_of_5_mb,
    "silent": silent,
    "secrets": secrets,
    "big": big,
    "capped": capped,
}


def plan(shape, seed):
    """The plan of a shape and a seed."""
    return SHAPES[shape](random.Random(f"{shape}:{seed}"))
