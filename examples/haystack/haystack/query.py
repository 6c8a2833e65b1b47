"""A query, and what of it the catalogue knows."""

from dataclasses import dataclass

from haystack.catalogue import CELL_TYPE, PERTURBATION, Catalogue, Name, words
from haystack.errors import QueryError


@dataclass(frozen=True)
class ParsedQuery:
    """Which response is asked for."""

    cell_type: str
    perturbation: str
    assumptions: tuple[str, ...] = ()
    """What the query leaves open, and how it is understood; for people."""


def parse_query(text: str, catalogue: Catalogue) -> ParsedQuery:
    """Find the treatment and the cell type that a query names, by name or synonym; of several of a
    kind, the first. Longer names win over names within them.

    Raises:
        QueryError: it names no treatment that is in the catalogue.
    """
    found = _mentioned(words(text), catalogue)
    treatments = [
        name.canonical
        for name in found
        if name.entity_type == PERTURBATION and name.canonical in catalogue.treatments()
    ]
    if not treatments:
        raise QueryError(_unknown(catalogue))
    assumptions = _ignored(treatments)
    cell_types = [name.canonical for name in found if name.entity_type == CELL_TYPE]
    assumptions += _ignored(cell_types)
    if not cell_types:
        treated = catalogue.treated(treatments[0])
        cell_types = [max(sorted(treated), key=lambda name: treated[name])]
        assumptions.append(f"no cell type of the catalogue is named: {cell_types[0]} is assumed")
    return ParsedQuery(cell_types[0], treatments[0], tuple(assumptions))


def _mentioned(query: tuple[str, ...], catalogue: Catalogue) -> list[Name]:
    """Names in the query in the order of their places, each word used once."""
    free = [True] * len(query)
    found: list[tuple[int, Name]] = []
    for name in catalogue.names:
        length = len(name.words)
        for start in range(len(query) - length + 1):
            if query[start : start + length] == name.words and all(free[start : start + length]):
                free[start : start + length] = [False] * length
                found.append((start, name))
    return [name for _, name in sorted(found, key=lambda place: place[0])]


def _ignored(names: list[str]) -> list[str]:
    others = sorted(set(names) - set(names[:1]))
    return [f"{names[0]} is used; also named, and ignored: {', '.join(others)}"] if others else []


def _unknown(catalogue: Catalogue) -> str:
    return (
        "the query names no treatment that the catalogue knows. Treatments: "
        f"{', '.join(catalogue.treatments())}. Cell types: {', '.join(catalogue.cell_types())}"
    )
