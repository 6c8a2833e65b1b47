"""The diagrams of docs/architecture.md against the code."""

import re

from ci_common.job import TRANSITIONS, JobStatus
from tests.support.pages import page

DIAGRAMS = page("architecture.md").fences("mermaid")
ENDS = {status for status in JobStatus if status.is_terminal}
RETRY = (JobStatus.RUNNING, JobStatus.INITIALIZING)
"""The next attempt begins: `JobTransitions.retry`, which is not a move within an attempt."""


def diagram(kind):
    (found,) = [text for text in DIAGRAMS if text.startswith(kind)]
    return found


def arrows():
    return re.findall(r"^ +(\S+) --> (\S+)(?: : (.+))?$", diagram("stateDiagram-v2"), re.MULTILINE)


def test_the_state_diagram_has_every_transition_and_no_other():
    moves = {(source, target) for source, targets in TRANSITIONS.items() for target in targets}
    border = {("[*]", JobStatus.QUEUED), *((status, "[*]") for status in ENDS)}
    drawn = [(source, target) for source, target, _ in arrows()]
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == {*moves, *border, RETRY}


def test_the_retry_is_told_from_the_moves_within_an_attempt():
    labels = {(source, target): label for source, target, label in arrows()}
    assert labels[RETRY].startswith("retry")
    assert sum(label.startswith("retry") for label in labels.values()) == 1


def test_the_sequence_diagram_uses_the_participants_that_it_names():
    text = diagram("sequenceDiagram")
    named = set(re.findall(r"(?:participant|actor) (\w+) as ", text))
    used = set(re.findall(r"^ +(\w+)--?>>(\w+): .+$", text, re.MULTILINE))
    assert {name for pair in used for name in pair} == named


def test_the_sequence_diagram_moves_a_job_as_the_table_allows():
    moves = re.findall(r"C->>D: (\w+) to (\w+)", diagram("sequenceDiagram"))
    assert len(moves) == 3
    assert all(JobStatus(target) in TRANSITIONS[JobStatus(source)] for source, target in moves)
