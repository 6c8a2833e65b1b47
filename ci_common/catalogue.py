"""The catalogue of cells that runs may use: which groups of cells there are, and by which names
people ask for them.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

MAX_NAME_CHARACTERS = 200
MAX_COUNT = 10**12
"""Of the cells of one group; sums of many such groups fit into 64 bits."""

_GREEK = str.maketrans(
    {
        "\N{GREEK SMALL LETTER ALPHA}": " alpha ",
        "\N{GREEK SMALL LETTER BETA}": " beta ",
        "\N{GREEK SMALL LETTER GAMMA}": " gamma ",
        "\N{GREEK SMALL LETTER DELTA}": " delta ",
        "\N{GREEK SMALL LETTER KAPPA}": " kappa ",
    }
)


class EntityType(StrEnum):
    """What a name is for."""

    CELL_TYPE = "cell_type"
    PERTURBATION = "perturbation"


@dataclass(frozen=True, slots=True)
class CellGroup:
    """Cells that have everything in common; the fields are the columns of cells.csv."""

    dataset: str
    cell_type_name: str
    cell_type_cl_id: str
    """Term of the Cell Ontology, such as CL:0000624."""
    perturbation_name: str
    perturbation_type: str
    is_control: bool
    tissue: str
    donor: str
    disease: str
    condition: str
    count: int
    """Number of cells, from 1 to MAX_COUNT."""


@dataclass(frozen=True, slots=True)
class Synonym:
    """Another name for a cell type or perturbation; the fields are the columns of synonyms.csv."""

    canonical_name: str
    synonym: str
    entity_type: EntityType


def words(text: str) -> tuple[str, ...]:
    """The words of a text as names are compared: without case, punctuation and plurals, Greek
    letters spelled out, letters and digits apart. "IFN-alpha2" has ifn, alpha and 2.

    The same as in examples/haystack, whose image reads the same catalogue.
    """
    plain = unicodedata.normalize("NFKC", text).casefold().translate(_GREEK)
    return tuple(map(_singular, re.findall(r"\d+|[^\W\d_]+", plain)))


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
