"""What a query may cost, decided before it is executed, or even validated.

Validation compares fields in pairs, and executing takes its time for each value, so both are only
bounded if the numbers of fields and values are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionNode,
    VariableNode,
)

from ci_common.errors import QueryTooComplexError
from ci_common.ports.trends import TREND_RUNS
from ci_common.resources import MOST_SAMPLES

MOST_DEPTH = 8
MOST_SELECTIONS = 300
"""Fields and fragments, each as often as it is used."""
MOST_LOOKS = 10
"""Fields of the query itself: each asks the database."""
MOST_VALUES = 10_000
"""In the answer: a field counts once for each item of the lists around it."""
MOST_TEXTS = 50_000
"""In lists in the answer whose lengths only jobs know: while they are completed nothing else runs.
"""
MOST_OF_SCHEMA = 16
"""Depth of questions about the schema. Programs that generate code ask to a depth of 15."""

LARGEST_PAGE = 1000
PAGES = {"jobs": 50, "events": 100, "artifacts": 20}
"""Fields whose length is their argument `limit`, and its default."""
MOST_TRENDS = 100
"""Several tenants can have jobs of one name."""
_LENGTHS = {
    "failures": 100,
    "slowest": 10,
    "tenants": 100,
    "trends": MOST_TRENDS,
    "runs": TREND_RUNS,
    "points": MOST_SAMPLES,
}
_LISTS_OF_SCHEMA = frozenset(
    {"types", "fields", "inputFields", "interfaces", "possibleTypes", "enumValues"}
)
_SCHEMA = frozenset({"__schema", "__type"})


class Texts:
    """How many more texts there may be in lists of one answer."""

    def __init__(self) -> None:
        self._left = MOST_TEXTS

    def take(self, number: int) -> None:
        """Raise QueryTooComplexError when there is no room for so many."""
        self._left -= number
        if self._left < 0:
            raise QueryTooComplexError(
                f"the answer has more than {MOST_TEXTS:,} words in commands, settings and secrets; "
                "ask for those of fewer jobs at once"
            )


def check_cost(document: DocumentNode, variables: Mapping[str, Any]) -> None:
    """Raise QueryTooComplexError for a document with more than is allowed."""
    fragments = {
        node.name.value: node
        for node in document.definitions
        if isinstance(node, FragmentDefinitionNode)
    }
    count = _Count(fragments, variables)
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            count.defaults = _defaults(node)
            count.add(node.selection_set.selections, 1, 1)
    for node in document.definitions:
        if isinstance(node, FragmentDefinitionNode) and id(node) not in count.used:
            # Validation refuses it, but looks at it first.
            count.add(node.selection_set.selections, 1, 1)


def _defaults(operation: OperationDefinitionNode) -> Mapping[str, Any]:
    return {
        definition.variable.name.value: int(definition.default_value.value)
        for definition in operation.variable_definitions or ()
        if isinstance(definition.default_value, IntValueNode)
    }


class _Count:
    """Of all operations of a document."""

    def __init__(
        self, fragments: Mapping[str, FragmentDefinitionNode], variables: Mapping[str, Any]
    ) -> None:
        self.defaults: Mapping[str, Any] = {}
        self.used: set[int] = set()
        """The ids of fragments."""
        self._fragments = fragments
        self._variables = variables
        self._selections = 0
        self._values = 0
        self._looks = 0
        self._within: list[str] = []
        """The fragments around."""

    def add(self, selections: Sequence[SelectionNode], depth: int, factor: int) -> None:
        """Count what is selected `factor` times."""
        self._check("levels", depth, MOST_DEPTH)
        for node in selections:
            self._add_selection()
            if isinstance(node, FieldNode):
                self._add_field(node, depth, factor)
            else:
                self._within_fragment(node, lambda inner: self.add(inner, depth, factor))

    def _add_field(self, node: FieldNode, depth: int, factor: int) -> None:
        name = node.name.value
        if name in _SCHEMA:
            self._add_of_schema((node,), 1, frozenset())
            return
        self._looks += depth == 1
        self._check("top-level fields", self._looks, MOST_LOOKS)
        self._values += factor
        self._check("values in its response", self._values, MOST_VALUES)
        if node.selection_set is not None:
            self.add(node.selection_set.selections, depth + 1, factor * self._length(node, depth))

    def _add_of_schema(
        self, selections: Sequence[SelectionNode], depth: int, lists: frozenset[str]
    ) -> None:
        """Of the schema everything may be asked, but nothing repeatedly."""
        self._check("levels", depth, MOST_OF_SCHEMA)
        for node in selections:
            self._add_selection()
            if not isinstance(node, FieldNode):
                self._within_fragment(node, lambda inner: self._add_of_schema(inner, depth, lists))
                continue
            name = node.name.value
            if node.alias is not None or name in lists:
                raise QueryTooComplexError(
                    f"{name}: a query about the schema may not use aliases, or nest its lists"
                )
            if node.selection_set is not None:
                inner = lists | {name} if name in _LISTS_OF_SCHEMA else lists
                self._add_of_schema(node.selection_set.selections, depth + 1, inner)

    def _within_fragment(self, node: SelectionNode, add: Any) -> None:
        if isinstance(node, InlineFragmentNode):
            add(node.selection_set.selections)
        elif isinstance(node, FragmentSpreadNode):
            name = node.name.value
            fragment = self._fragments.get(name)
            if fragment is None or name in self._within:
                return  # validation tells what is wrong with it
            self.used.add(id(fragment))
            self._within.append(name)
            add(fragment.selection_set.selections)
            self._within.pop()

    def _add_selection(self) -> None:
        self._selections += 1
        self._check("fields and fragments", self._selections, MOST_SELECTIONS)

    def _length(self, node: FieldNode, depth: int) -> int:
        name = node.name.value
        if name not in PAGES or (name == "jobs" and depth > 1):  # those of a tenant are counts
            return _LENGTHS.get(name, 1)
        for argument in node.arguments or ():
            if argument.name.value == "limit":
                return self._limit(argument.value, PAGES[name])
        return PAGES[name]

    def _limit(self, node: Any, default: int) -> int:
        """What else it is than a number from 1 on is refused later."""
        value: Any = None
        if isinstance(node, IntValueNode):
            value = int(node.value)
        elif isinstance(node, VariableNode):
            name = node.name.value
            value = self._variables.get(name, self.defaults.get(name, default))
        if value is None:
            return 1  # null, which the resolver refuses
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return min(max(value, 1), LARGEST_PAGE) if is_number else LARGEST_PAGE

    def _check(self, what: str, found: int, most: int) -> None:
        if found > most:
            raise QueryTooComplexError(
                f"the query has too many {what}: more than {most:,}. Ask for fewer fields, or set "
                "smaller limits: a field in a list counts as often as the list's `limit` says"
            )
