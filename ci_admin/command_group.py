"""The group of all commands of `ci-admin`."""

from typing import Any

from typer import BadParameter
from typer.core import TyperGroup
from typing_extensions import override

_PREFIX = "Value error, "


class CommandGroup(TyperGroup):
    """Says what is wrong with a value without the words that pydantic puts in front."""

    @override
    def invoke(self, ctx: Any) -> Any:
        # Commands read their arguments in here, also those of groups within this one.
        try:
            return super().invoke(ctx)
        except BadParameter as error:
            error.message = error.message.removeprefix(_PREFIX)
            raise
