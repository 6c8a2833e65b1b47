"""Catalogues of cells: the worked example's, and small ones, imported as `ci-admin` does."""

import csv
from dataclasses import asdict, fields

from ci_admin.catalogue_files import Problems, read_file
from ci_common.catalogue import CellGroup, EntityType, Synonym
from ci_persistence.sqlite.catalogue import SqliteCatalogueKeeper
from ci_persistence.sqlite.catalogue_draft import SqliteCatalogueDraft
from support.instances import ROOT

EXAMPLE = ROOT / "examples" / "haystack" / "data"
CELLS, SYNONYMS = EXAMPLE / "cells.csv", EXAMPLE / "synonyms.csv"


def a_group(**fields):
    """A group of treated cells."""
    usual = CellGroup(
        dataset="atlas",
        cell_type_name="B cell",
        cell_type_cl_id="CL:0000236",
        perturbation_name="interleukin-4",
        perturbation_type="cytokine",
        is_control=False,
        tissue="blood",
        donor="donor_1",
        disease="healthy",
        condition="24 h",
        count=30,
    )
    return CellGroup(**{**asdict(usual), **fields})


def a_control(**fields):
    """The controls that match it."""
    usual = {"perturbation_name": "PBS", "perturbation_type": "control", "is_control": True}
    return a_group(**{**usual, **fields})


def a_synonym(synonym, canonical_name, entity_type=EntityType.PERTURBATION):
    return Synonym(canonical_name, synonym, entity_type)


def write_csv(path, entries):
    """A file of groups or of synonyms."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(field.name for field in fields(entries[0]))
        writer.writerows(asdict(entry).values() for entry in entries)
    return path


async def fill(database, *entries):
    """Replace the tables of which there are entries."""
    with SqliteCatalogueDraft() as draft:
        for row, entry in enumerate(entries):
            assert draft.add(row, entry) is None
        await SqliteCatalogueKeeper(database).replace(draft)


async def import_example(database):
    """The catalogue of examples/haystack."""
    with SqliteCatalogueDraft() as draft:
        for path in (CELLS, SYNONYMS):
            problems = Problems(path)
            read_file(path, draft, problems)
            assert problems.lines == []
        await SqliteCatalogueKeeper(database).replace(draft)
