"""Which cells the synthetic atlas has: data sets, cell types, donors, treatments and counts."""

from collections.abc import Iterator
from dataclasses import dataclass

CELL_TYPES = {
    "CD4-positive T cell": "CL:0000624",
    "CD8-positive T cell": "CL:0000625",
    "B cell": "CL:0000236",
    "natural killer cell": "CL:0000623",
    "CD14-positive monocyte": "CL:0001054",
    "dendritic cell": "CL:0000451",
    "fibroblast": "CL:0000057",
    "alveolar macrophage": "CL:0000583",
    "lung epithelial cell": "CL:0000082",
}
"""Terms of the Cell Ontology by the name used here. The cells themselves are made up."""

SYNONYMS = (
    ("CD4-positive T cell", "cell_type", ("CD4 T cell", "CD4+ T cell", "helper T cell")),
    ("CD8-positive T cell", "cell_type", ("CD8 T cell", "CD8+ T cell", "cytotoxic T cell")),
    ("B cell", "cell_type", ("B lymphocyte",)),
    ("natural killer cell", "cell_type", ("NK cell",)),
    ("CD14-positive monocyte", "cell_type", ("CD14 monocyte", "CD14+ monocyte", "monocyte")),
    ("dendritic cell", "cell_type", ("DC",)),
    ("fibroblast", "cell_type", ("lung fibroblast",)),
    ("alveolar macrophage", "cell_type", ("lung macrophage", "macrophage")),
    ("lung epithelial cell", "cell_type", ("epithelial cell", "pneumocyte")),
    ("interferon-beta", "perturbation", ("IFN-beta", "IFNb", "IFN-β", "interferon β", "IFNB1")),
    ("interferon-gamma", "perturbation", ("IFN-gamma", "IFNg", "IFN-γ", "interferon γ", "IFNG")),
    ("tumor necrosis factor", "perturbation", ("TNF", "TNF-alpha", "TNF-α", "TNFa")),
    ("interleukin-4", "perturbation", ("IL-4", "IL4")),
    (
        "transforming growth factor beta 1",
        "perturbation",
        ("TGF-beta", "TGF-beta 1", "TGFb", "TGF-β", "TGF-β1", "TGFB1"),
    ),
    ("dexamethasone", "perturbation", ("DEX",)),
    ("PBS", "perturbation", ("phosphate-buffered saline",)),
    ("DMSO", "perturbation", ("dimethyl sulfoxide",)),
)

SYNONYM_COLUMNS = ("canonical_name", "synonym", "entity_type")
CELL_COLUMNS = (
    "dataset",
    "cell_type_name",
    "cell_type_cl_id",
    "perturbation_name",
    "perturbation_type",
    "is_control",
    "tissue",
    "donor",
    "disease",
    "condition",
    "count",
)


@dataclass(frozen=True)
class Group:
    """Cells that have everything in common: a row of cells.csv."""

    dataset: str
    cell_type: str
    perturbation: str
    perturbation_type: str
    is_control: bool
    tissue: str
    donor: str
    disease: str
    condition: str
    count: int

    def row(self) -> tuple[str, ...]:
        """Its values in the order of `CELL_COLUMNS`."""
        return (
            self.dataset,
            self.cell_type,
            CELL_TYPES[self.cell_type],
            self.perturbation,
            self.perturbation_type,
            "true" if self.is_control else "false",
            self.tissue,
            self.donor,
            self.disease,
            self.condition,
            str(self.count),
        )


@dataclass(frozen=True)
class _Study:
    dataset: str
    tissue: str
    condition: str
    control: str
    cell_types: tuple[str, ...]
    perturbations: tuple[tuple[str, str], ...]
    donors: tuple[str, ...]
    patients: tuple[str, ...]
    disease: str


_STUDIES = (
    _Study(
        "synthetic_blood_atlas",
        "blood",
        "24 h",
        "PBS",
        tuple(CELL_TYPES)[:5],
        (
            ("interferon-beta", "cytokine"),
            ("interferon-gamma", "cytokine"),
            ("tumor necrosis factor", "cytokine"),
            ("interleukin-4", "cytokine"),
        ),
        tuple(f"synthetic_donor_{n:02d}" for n in range(1, 5)),
        ("synthetic_donor_03", "synthetic_donor_04"),
        "systemic lupus erythematosus",
    ),
    _Study(
        "synthetic_lung_atlas",
        "lung",
        "48 h",
        "DMSO",
        tuple(CELL_TYPES)[6:],
        (
            ("transforming growth factor beta 1", "cytokine"),
            ("dexamethasone", "drug"),
            ("tumor necrosis factor", "cytokine"),
        ),
        tuple(f"synthetic_donor_{n:02d}" for n in range(5, 9)),
        ("synthetic_donor_06",),
        "pulmonary fibrosis",
    ),
)


def groups() -> Iterator[Group]:
    """All groups of cells, in the order in which the atlas holds them."""
    for study in _STUDIES:
        for cell_type in study.cell_types:
            for number, donor in enumerate(study.donors):
                yield _group(study, cell_type, study.control, "control", donor, 22 + number)
                for name, kind in study.perturbations:
                    yield _group(study, cell_type, name, kind, donor, 20 + number)
    yield from _without_matched_control()


def is_misleading(group: Group) -> bool:
    """Whether few of these treated cells respond, and most are stressed instead: the second donor
    of each study was handled badly.
    """
    return not group.is_control and group.donor == {
        "synthetic_blood_atlas": "synthetic_donor_02",
        "synthetic_lung_atlas": "synthetic_donor_07",
    }.get(group.dataset)


def _without_matched_control() -> Iterator[Group]:
    """Treated dendritic cells of blood; untreated ones are of another data set only."""
    blood = _STUDIES[0]
    for number, donor in enumerate(blood.donors):
        yield _group(blood, "dendritic cell", "interferon-beta", "cytokine", donor, 18 + number)
    for number in (9, 10):
        yield Group(
            "synthetic_reference_atlas",
            "dendritic cell",
            "untreated",
            "control",
            True,
            "blood",
            f"synthetic_donor_{number:02d}",
            "healthy",
            "0 h",
            30,
        )


def _group(
    study: _Study, cell_type: str, perturbation: str, kind: str, donor: str, count: int
) -> Group:
    return Group(
        study.dataset,
        cell_type,
        perturbation,
        kind,
        kind == "control",
        study.tissue,
        donor,
        study.disease if donor in study.patients else "healthy",
        study.condition,
        count,
    )
