"""The text of a project's table of jobs, with what each line means, for people to go on from."""

import json

from ci_client.packing.project_kind import ProjectKind, Way

_MOST_OTHERS = 3


def table_text(kind: ProjectKind, prefix: str) -> str:
    """TOML; `prefix` is what tables begin with: `tool.ci.` in pyproject.toml."""
    lines = [
        "# How `ci submit` and `ci run` run this project's tests, in a fresh container.",
        f"# Add a table [{prefix}jobs.lint] for another job: `ci submit lint`.",
        f"[{prefix}jobs.test]",
        f"# The command, run by /bin/sh. Chosen because {kind.way.why}.",
        f"command = {_string(kind.way.command)}",
        *(f"# Also found: {_said(way)}" for way in kind.others[:_MOST_OTHERS]),
        *_install(kind),
        *_image(kind.way),
        "# Files to keep, even if the job fails: `ci artifacts ID` lists them.",
        'artifacts = ["output/**"]',
        "# Timeout. The server has a default, and may have a maximum.",
        '# timeout = "10m"',
        "# Memory limit; a job that exceeds it is killed.",
        '# memory = "1GB"',
        "# Environment variables, not secret. For passwords, use `--secret NAME`.",
        '# env = { LOG_LEVEL = "debug" }',
    ]
    return "\n".join(map(_harmless, lines)) + "\n"


def _harmless(line: str) -> str:
    """What the names of files have in them cannot end a comment."""
    return "".join(character if character.isprintable() else "?" for character in line)


def _install(kind: ProjectKind) -> list[str]:
    if kind.way.install is not None:
        return [
            "# Installed before the command: lines of a requirements file.",
            f"install = {json.dumps(list(kind.way.install)) if kind.way.install else 'false'}",
        ]
    if kind.installed:
        about = (
            f"The requirements in {' and '.join(kind.installed)} are installed before the command"
        )
    else:
        about = "Nothing is installed before the command: no file lists what the tests need"
    return [
        f"# {about}.",
        "# To override this, list lines of a requirements file, or set false for nothing.",
        '# install = ["-r requirements.txt", "-e ."]',
    ]


def _image(way: Way) -> list[str]:
    about = "# Container image; it must have /bin/sh. The default is the server's."
    example = f"image = {_string(way.image)}" if way.image else '# image = "python:3.12"'
    return [about, example]


def _said(way: Way) -> str:
    needs = f", with install = {json.dumps(list(way.install))}" if way.install else ""
    image = f", with image = {_string(way.image)}" if way.image else ""
    return f"command = {_string(way.command)}{needs}{image} ({way.why})"


def _string(text: str) -> str:
    return json.dumps(text)  # one of JSON is one of TOML, where it is ASCII
