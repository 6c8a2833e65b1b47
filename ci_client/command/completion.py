"""What a shell asks while the user types: click's protocol, in variables of the environment."""

import click
from click.shell_completion import (
    BashComplete,
    FishComplete,
    add_completion_class,
    shell_complete,
)
from typing_extensions import override


@add_completion_class
class _Bash(BashComplete):
    """Bash, which takes `:` for a word of its own, as in the address of a server."""

    @override
    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is completed, and that one."""
        words, incomplete = super().get_completion_args()
        joined: list[str] = []
        for word in words:
            if joined and (word == ":" or joined[-1].endswith(":")):
                joined[-1] += word
            else:
                joined.append(word)
        return joined, incomplete


@add_completion_class
class _Fish(FishComplete):
    """Fish, with descriptions that have commas."""

    source_template = FishComplete.source_template.replace("string split ", "string split -m 1 ")


def answer_shell(command: click.Command, program: str, variable: str, instruction: str) -> int:
    """Print what the shell asks for; the exit code."""
    return shell_complete(command, {}, program, variable, instruction)
