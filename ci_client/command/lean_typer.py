"""typer without what it takes long to import.

typer 0.29 passes every value of a command line through pydantic, whose import (0.2 s) takes
longer than all the rest of a short command. Strings need no conversion, and what was not given
needs none either; only the other values are left to typer.
"""

from typing import Any

from typer.core import TyperCommand, TyperGroup
from typing_extensions import override


class LeanCommand(TyperCommand):
    """A command that hands strings through."""

    @override
    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, with lean conversions in the place of typer's own."""
        return _lean(super().get_params(ctx))


class LeanGroup(TyperGroup):
    """A group of commands that does the same."""

    @override
    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, with lean conversions in the place of typer's own."""
        return _lean(super().get_params(ctx))


def _lean(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        # Versions of typer that have no such attribute do not look at it either.
        parameter._runtime_param = _LeanConversion()
    return parameters


class _LeanConversion:
    """Stands in for typer's conversion until a value needs that."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value as the command's function gets it."""
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        annotation = param.type_descriptor.annotation
        if isinstance(value, bool):
            return value
        if annotation in (str, list[str]):
            return list(value) if several else value
        param._runtime_param = None
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)
