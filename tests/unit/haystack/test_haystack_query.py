"""How queries are understood."""

import pytest

from haystack.catalogue import words
from haystack.errors import QueryError
from haystack.query import parse_query


@pytest.mark.parametrize(
    ("text", "cell_type", "perturbation"),
    [
        (
            "How do CD4 T cells respond to interferon-beta?",
            "CD4-positive T cell",
            "interferon-beta",
        ),
        ("effect of IFN-β on CD8+ T CELLS", "CD8-positive T cell", "interferon-beta"),
        ("IFNγ, NK cells, 24 hours", "natural killer cell", "interferon-gamma"),
        ("TGF-β1 in fibroblasts of the lung", "fibroblast", "transforming growth factor beta 1"),
        ("Does IL4 change B lymphocytes?", "B cell", "interleukin-4"),
        ("macrophages with DEX versus DMSO", "alveolar macrophage", "dexamethasone"),
        ("PBS or TNF-alpha for monocytes", "CD14-positive monocyte", "tumor necrosis factor"),
    ],
)
def test_names_and_synonyms_are_found(catalogue, text, cell_type, perturbation):
    found = parse_query(text, catalogue)
    assert (found.cell_type, found.perturbation) == (cell_type, perturbation)
    assert found.assumptions == ()


def test_without_a_cell_type_the_most_treated_one_is_assumed(catalogue):
    found = parse_query("what does TGF-beta do?", catalogue)
    treated = catalogue.treated("transforming growth factor beta 1")
    assert treated[found.cell_type] == max(treated.values())
    assert "assumed" in found.assumptions[0]


def test_the_first_of_several_counts_and_the_others_are_told(catalogue):
    found = parse_query("IL-4 and then TNF on B cells and monocytes", catalogue)
    assert (found.perturbation, found.cell_type) == ("interleukin-4", "B cell")
    assert "tumor necrosis factor" in found.assumptions[0]
    assert "CD14-positive monocyte" in found.assumptions[1]


@pytest.mark.parametrize(
    "text",
    [
        "what about aspirin?",
        "B cells in PBS only",
        "ifnotbeta",
        "🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂",
        "' OR 1=1 --; <b>",
    ],
)
def test_without_a_treatment_the_known_ones_are_told(catalogue, text):
    with pytest.raises(QueryError, match=r"dexamethasone, interferon-beta.*B cell"):
        parse_query(text, catalogue)


def test_words_are_compared_without_case_signs_and_plurals():
    assert words("IFN-β1s") == ("ifn", "beta", "1", "s")
    assert words("ＣＤ４⁺ T-Cells") == ("cd", "4", "t", "cell")
    assert words("PBS, class") == ("pbs", "class")
