"""The layers of requirement lines: one that needs no file of the project, and one upon it."""

import re
from collections.abc import Sequence

from ci_controller.executors.shared.install_layers import (
    BUILD,
    DEPENDENCIES,
    LINES,
    PROJECT,
    Layer,
    Step,
    content_of,
)
from ci_controller.executors.shared.manifests import Manifests
from ci_controller.executors.shared.project_metadata import ProjectMetadata, read_metadata
from ci_controller.executors.shared.requirements import (
    Kind,
    LocalPackage,
    RequirementLines,
    read_requirements,
)


def layers_of_lines(manifests: Manifests, lines: Sequence[str]) -> tuple[Layer, ...]:
    """A layer of what needs no project file, and upon it one of what does."""
    if not lines:
        return ()
    single = re.fullmatch(r"-r (\S+)", lines[0]) if len(lines) == 1 else None
    name, content = LINES, content_of(lines)
    if single is not None and (own := manifests.read(single[1])) is not None:
        name, content = single[1], own
    found = read_requirements(manifests, name, content)
    if not found.of(Kind.INDEX, Kind.LOCAL, Kind.OTHER):
        return ()
    if found.of(Kind.OTHER):
        files = {LINES: content} if name == LINES else {}
        return (Layer((Step(("-r", name)),), files, needs_project=True),)
    if not found.of(Kind.LOCAL):
        return (Layer((Step(("-r", name)),), found.files),)
    return _split(manifests, found)


def _split(manifests: Manifests, found: RequirementLines) -> tuple[Layer, ...]:
    locals_ = [line.local for line in found.of(Kind.LOCAL)]
    described = [(one, _described(manifests, one)) for one in locals_ if one is not None]
    needed = [text for one, metadata in described for text in metadata.needed(one.extras)]
    builds = [text for _, metadata in described for text in metadata.build_requires]
    own = {metadata.name for _, metadata in described}
    needed = [text for text in dict.fromkeys(needed) if _project_name(text) not in own]
    is_complete = len(described) == len(locals_) and all(
        metadata.is_complete and set(one.extras) <= set(metadata.extras)
        for one, metadata in described
    )
    options = [line.text for line in found.of(Kind.OPTION)]
    plain = [line.text for line in found.of(Kind.INDEX)]
    files, steps = dict(found.constraints), []
    groups = {BUILD: list(dict.fromkeys(builds)), LINES: [*plain, *needed]}
    if found.has_hashes:  # then pip wants one of each line of the file
        groups = {BUILD: groups[BUILD], LINES: plain, DEPENDENCIES: needed}
    unhashed = [text for text in options if not text.startswith("--require-hashes")]
    for name, texts in groups.items():
        if texts:
            head = options if name == LINES else unhashed
            files[name] = content_of([*head, *texts])
            steps.append(Step(("-r", name)))
    local_lines = [line.text for line in found.of(Kind.LOCAL)]
    project = Layer(
        (
            Step(
                ("-r", PROJECT),
                without_dependencies=is_complete,
                builds_project=True,
            ),
        ),
        {PROJECT: content_of([*unhashed, *local_lines])},
        needs_project=True,
    )
    return (*([Layer(tuple(steps), files)] if steps else []), project)


def _described(manifests: Manifests, local: LocalPackage) -> ProjectMetadata:
    return read_metadata(manifests, local.path) or ProjectMetadata(is_complete=False)


def _project_name(text: str) -> str | None:
    match = re.match(r"[A-Za-z0-9._-]+", text)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else None
