"""What the two files of the catalogue have to hold: their columns, and the rows made of them."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

from ci_common.catalogue import (
    MAX_COUNT,
    MAX_NAME_CHARACTERS,
    CellGroup,
    EntityType,
    Synonym,
)

Entry = CellGroup | Synonym
Value = str | bool | int | EntityType

_TERM = re.compile(r"[A-Za-z][A-Za-z0-9_]*:[A-Za-z0-9_.-]+")
_DIGITS = re.compile(r"[0-9]{1,18}")
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True, eq=False)
class FileKind:
    """One of the two files."""

    name: str
    entry: Callable[..., Entry]
    columns: Mapping[str, Callable[[str], Value]]
    """What makes a column's value of its text; raises ValueError, which says what is wrong."""


def name_value(text: str) -> str:
    """A name, as it is. Raises ValueError."""
    if not text:
        raise ValueError("is empty")
    if len(text) > MAX_NAME_CHARACTERS:
        raise ValueError(f"is longer than {MAX_NAME_CHARACTERS} characters")
    if not text.isprintable():
        raise ValueError(_unprintable(text))
    if text != text.strip():
        raise ValueError("begins or ends with a space")
    return text


def _unprintable(text: str) -> str:
    character = next(character for character in text if not character.isprintable())
    if "\ud800" <= character <= "\udfff":
        return "is not UTF-8: save the file in that encoding"
    called = unicodedata.name(character, "a control character")
    return f"contains U+{ord(character):04X} ({called}), which is not printable"


def _term(text: str) -> str:
    if not _TERM.fullmatch(name_value(text)):
        raise ValueError("must be a term of an ontology such as CL:0000624")
    return text


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("must be true or false")
    return text.lower() == "true"


def _count(text: str) -> int:
    if not _DIGITS.fullmatch(text) or not 1 <= int(text) <= MAX_COUNT:
        raise ValueError(f"must be an integer from 1 to {MAX_COUNT}")
    return int(text)


def _entity_type(text: str) -> EntityType:
    try:
        return EntityType(text)
    except ValueError:
        raise ValueError(f"must be {' or '.join(EntityType)}") from None


CELLS = FileKind(
    "cells",
    CellGroup,
    {
        **{field.name: name_value for field in fields(CellGroup)},
        "cell_type_cl_id": _term,
        "is_control": _flag,
        "count": _count,
    },
)
SYNONYMS = FileKind(
    "synonyms",
    Synonym,
    {
        **{field.name: name_value for field in fields(Synonym)},
        "entity_type": _entity_type,
    },
)
KINDS = (CELLS, SYNONYMS)


def kind_of(header: Sequence[str]) -> FileKind | None:
    """The kind of file that has most of these columns; `None` when neither has any."""
    best = max(KINDS, key=lambda kind: len(kind.columns.keys() & set(header)))
    return best if best.columns.keys() & set(header) else None


def shown(text: str) -> str:
    """A value, for a message."""
    safe = text.encode("utf-8", "replace").decode()
    return repr(safe if len(safe) <= _SHOWN_CHARACTERS else f"{safe[:_SHOWN_CHARACTERS]}...")
