"""What a query asks for, as far as the catalogue knows it.

A query is understood as examples/haystack understands it: names and synonyms anywhere in the text,
the longest first. Where it has none of a kind, the closest name of the full-text index counts, with
a warning.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from ci_common.catalogue import EntityType, words
from ci_common.ports.catalogue import CatalogueReader, KnownName, TreatedCells

_CLOSEST = 50
_CLOSE_SHARE = 0.5
"""A name is close to a query that has at least this part of its words."""
_SHOWN_NAMES = 5

_KINDS = {EntityType.CELL_TYPE: "cell type", EntityType.PERTURBATION: "treatment"}


@dataclass(frozen=True, slots=True)
class QuerySubject:
    """A treatment, and the cell type whose response is asked for."""

    perturbation: str
    treated: Sequence[TreatedCells]
    """All cells that have it, of any type."""
    cell_type: str


class QueryReader:
    """Reads queries by the catalogue."""

    def __init__(self, catalogue: CatalogueReader, control_names: Collection[str]) -> None:
        """`control_names`: perturbations that are no treatments, casefolded."""
        self._catalogue = catalogue
        self._control_names = control_names

    async def read(self, query: str, warnings: list[str]) -> QuerySubject | None:
        """What the query asks for; `None` when it names no treatment. What was assumed or ignored
        is added to `warnings`.
        """
        asked = words(query)
        known = await self._catalogue.names_beginning_with(set(asked))
        named, rest = _mentioned(asked, known)
        treatments = await self._treatments(_canonical(named, EntityType.PERTURBATION))
        if not treatments:
            treatments = await self._closest(rest, EntityType.PERTURBATION, warnings)
        if not treatments:
            warnings.append("The query names no treatment that the catalogue has.")
            return None
        _note_ignored(treatments, warnings)
        treated = await self._catalogue.treated(treatments[0])
        cell_types = _canonical(named, EntityType.CELL_TYPE)
        if not cell_types:
            cell_types = await self._closest(rest, EntityType.CELL_TYPE, warnings)
        if not cell_types:
            cell_types = [_most_treated(treated)]
            warnings.append(
                f"The query names no cell type that the catalogue has; {cell_types[0]} is assumed."
            )
        _note_ignored(cell_types, warnings)
        return QuerySubject(treatments[0], treated, cell_types[0])

    async def _treatments(self, perturbations: Collection[str]) -> list[str]:
        """Those that are no controls."""
        known = await self._catalogue.treatments_among(perturbations)
        return [
            name
            for name in perturbations
            if name in known and name.casefold() not in self._control_names
        ]

    async def _closest(
        self, there: Collection[str], kind: EntityType, warnings: list[str]
    ) -> list[str]:
        """The name that has most of its words there, when there is one such name."""
        found = await self._catalogue.names_sharing(there, kind, _CLOSEST)
        shares = {name: _share(name, there) for name in found}
        close = [name for name, share in shares.items() if share >= _CLOSE_SHARE]
        if kind is EntityType.PERTURBATION:
            usable = set(await self._treatments(_canonical(close, kind)))
            close = [name for name in close if name.canonical_name in usable]
        best = max((shares[name] for name in close), default=0)
        closest = _canonical([name for name in close if shares[name] == best], kind)
        if len(closest) == 1:
            warnings.append(
                f"The query names no {_KINDS[kind]} exactly; {closest[0]} is the closest. Use that "
                "name: a run may not recognize another."
            )
            return closest
        if closest:
            shown = ", ".join(closest[:_SHOWN_NAMES])
            warnings.append(f"Several {_KINDS[kind]}s are close: {shown}.")
        return []


def _mentioned(
    query: Sequence[str], names: Iterable[KnownName]
) -> tuple[list[KnownName], set[str]]:
    """Names in the query in the order of their places, each word used once, and the words that are
    in none. Longer names come before names within them, canonical names before synonyms.
    """
    by_words: dict[tuple[str, ...], KnownName] = {}
    for name in sorted(names, key=lambda name: (name.is_synonym, name.canonical_name)):
        by_words.setdefault(name.words, name)
    lengths: dict[str, set[int]] = defaultdict(set)
    for phrase in by_words:
        lengths[phrase[0]].add(len(phrase))
    places = [
        (-length, tuple(query[start : start + length]), start)
        for start, word in enumerate(query)
        for length in lengths.get(word, ())
    ]
    free = [True] * len(query)
    used: list[tuple[int, KnownName]] = []
    for _, phrase, start in sorted(place for place in places if place[1] in by_words):
        span = slice(start, start + len(phrase))
        if all(free[span]):
            free[span] = [False] * len(phrase)
            used.append((start, by_words[phrase]))
    rest = {word for word, is_free in zip(query, free, strict=True) if is_free}
    return [name for _, name in sorted(used, key=lambda place: place[0])], rest


def _canonical(names: Iterable[KnownName], kind: EntityType) -> list[str]:
    """Of one kind, each once."""
    return list(dict.fromkeys(name.canonical_name for name in names if name.entity_type is kind))


def _share(name: KnownName, there: Collection[str]) -> float:
    """Which part of the name's words is there."""
    return sum(word in there for word in name.words) / len(name.words)


def _most_treated(treated: Iterable[TreatedCells]) -> str:
    """The cell type of most of the cells; of several, the first by name."""
    counts: dict[str, int] = defaultdict(int)
    for cells in treated:
        counts[cells.cell_type_name] += cells.count
    return min(counts, key=lambda name: (-counts[name], name))


def _note_ignored(names: Sequence[str], warnings: list[str]) -> None:
    if len(names) > 1:
        others = ", ".join(sorted(names[1:])[:_SHOWN_NAMES])
        warnings.append(f"{names[0]} is used; also named, and ignored: {others}.")
