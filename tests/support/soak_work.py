"""What a job of a soak does: it performs a plan of soak_shapes.py, which lies beside this file.

Both are sent along as parts of its project, so they need nothing but the standard library.
"""

import os
import resource
import signal
import sys
import time

import soak_shapes

_SECRET_MISSING, _SURVIVED = 99, 98


def write_all(where, content):
    """Write to a descriptor, or to a file opened for this."""
    descriptor = where if isinstance(where, int) else os.open(where, os.O_WRONLY | os.O_TRUNC)
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    if descriptor != where:
        os.close(descriptor)


def in_child(work):
    """Run it in a child; its process id."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return child


def by_daemon(step):
    """Let a process write that has left the command's session, and stays."""
    reading, writing = os.pipe()

    def leave():
        os.setsid()
        in_child(stay)

    def stay():
        write_all(step.where, step.content)
        os.write(writing, b".")
        time.sleep(1000)

    os.waitpid(in_child(leave), 0)
    os.read(reading, 1)


def line_by_line(step):
    for line in step.content.splitlines(keepends=True):
        write_all(step.where, line)


def perform(step):
    """Do what the plan says; the child to wait for at the end, if there is one."""
    if step.pause:
        time.sleep(step.pause)
    if step.by == "crowd":
        return in_child(lambda: line_by_line(step))
    if step.by == "child":
        os.waitpid(in_child(lambda: write_all(step.where, step.content)), 0)
    elif step.by == "daemon":
        by_daemon(step)
    else:
        write_all(step.where, step.content)
    return None


def has_secrets(values):
    """Whether the job was given its secrets, as variables and as files."""
    directory = os.environ.get("CI_SECRETS_DIR", "/run/secrets")
    for name, value in values.items():
        with open(f"{directory}/{name}", "rb") as file:
            if file.read() != value or os.environb[name.encode()] != value:
                return False
    return True


def main(shape, seed):
    """What a job does."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    made = soak_shapes.plan(shape, seed)
    if not has_secrets(made.secrets):
        os._exit(_SECRET_MISSING)
    crowd_of = [child for step in made.steps if (child := perform(step))]
    for child in crowd_of:
        os.waitpid(child, 0)
    if not made.signal:
        os._exit(made.exit_code)
    if made.signal != signal.SIGKILL:
        signal.signal(made.signal, signal.SIG_DFL)
    os.kill(os.getpid(), made.signal)
    time.sleep(5)
    os._exit(_SURVIVED)


if __name__ == "__main__":
    main(*sys.argv[1:])
