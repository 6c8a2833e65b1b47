"""The text of a project's table of jobs, with what each line means, for people to go on from."""

import json

from ci_client.packing.project_kind import ProjectKind, Way

_MOST_OTHERS = 3


def table_text(kind: ProjectKind, prefix: str) -> str:
    """TOML; `prefix` is what tables begin with: `tool.ci.` in pyproject.toml."""
    lines = [
        "# How `ci submit` and `ci run` run this project's tests, in a fresh container.",
        f"# Another table, [{prefix}jobs.lint], is another job: `ci submit lint`.",
        f"[{prefix}jobs.test]",
        f"# What runs, by /bin/sh. It was chosen because {kind.way.why}.",
        f"command = {_string(kind.way.command)}",
        *(f"# Also found: {_said(way)}" for way in kind.others[:_MOST_OTHERS]),
        *_install(kind),
        *_image(kind.way),
        "# Files to keep at the end, also of a job that failed: `ci artifacts ID` lists them.",
        'artifacts = ["output/**"]',
        "# Stop the job after this time. The server has a default, and perhaps a ceiling.",
        '# timeout = "10m"',
        "# The most memory it may use; more ends it.",
        '# memory = "1GB"',
        "# Variables of the job, which are not secret. For passwords there is `--secret NAME`.",
        '# env = { LOG_LEVEL = "debug" }',
    ]
    return "\n".join(map(_harmless, lines)) + "\n"


def _harmless(line: str) -> str:
    """What the names of files have in them cannot end a comment."""
    return "".join(character if character.isprintable() else "?" for character in line)


def _install(kind: ProjectKind) -> list[str]:
    if kind.way.install is not None:
        return [
            "# What is installed before the command: lines of a requirements file.",
            f"install = {json.dumps(list(kind.way.install)) if kind.way.install else 'false'}",
        ]
    if kind.installed:
        about = f"Before the command, what {' and '.join(kind.installed)} says is installed"
    else:
        about = "Before the command nothing is installed: no file says what the tests need"
    return [
        f"# {about}.",
        "# To choose it yourself, give lines of a requirements file, or false for nothing.",
        '# install = ["-r requirements.txt", "-e ."]',
    ]


def _image(way: Way) -> list[str]:
    about = "# The container image, which needs /bin/sh. Without this line it is the server's own."
    example = f"image = {_string(way.image)}" if way.image else '# image = "python:3.12"'
    return [about, example]


def _said(way: Way) -> str:
    needs = f", with install = {json.dumps(list(way.install))}" if way.install else ""
    image = f", with image = {_string(way.image)}" if way.image else ""
    return f"command = {_string(way.command)}{needs}{image} ({way.why})"


def _string(text: str) -> str:
    return json.dumps(text)  # one of JSON is one of TOML, where it is ASCII
