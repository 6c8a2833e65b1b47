"""The dashboard's pages as they are sent, and the files that they load."""

import re
from pathlib import Path
from urllib.parse import urljoin

import pytest

import ci_server.dashboard
from ci_server.dashboard.assets import version_of
from ci_server.dashboard.modules import ModuleFormError, Modules
from ci_server.dashboard.pages import (
    MISSING,
    PAGES,
    UI_PATH,
    page_html,
    site,
)
from setup_steps.dashboard_assets import LICENSES, PACKAGES, VENDOR

STATIC = Path(ci_server.dashboard.__file__).parent / "static"
MODULE = re.compile(r"^// (\S+\.js)$", re.MULTILINE)


def files_of(page, address):
    """The paths of what a page names, at this address."""
    html = page_html(page, address.count("/") - 1)
    links = re.findall(r'(?:href|src)="([^"]+)"', html)
    found = [urljoin(UI_PATH + address, link) for link in links]
    own = f"{UI_PATH}/assets/{site().version}/"
    assert all(path.startswith(own) for path in found), found
    return [path.removeprefix(own) for path in found]


@pytest.mark.parametrize("page", [*PAGES, MISSING], ids=lambda page: page.script)
def test_a_page_names_few_files_which_have_all_its_modules_once(page):
    named = files_of(page, page.path)
    assert len(named) <= 5  # an icon, styles, what comes before all, data, modules
    assert set(named) <= site().assets.keys()
    scripts = [path for path in named if path.endswith(".js")]
    later = f"joined/{page.script}.later.js"
    sources = [
        site().assets[path].content.decode() for path in [*scripts, later] if path in site().assets
    ]
    modules = [name for source in sources for name in MODULE.findall(source)]
    assert len(modules) == len(set(modules))
    for module in modules:
        source = (STATIC / module).read_text()
        for path in re.findall(r'(?:\bfrom ?|\bimport\()"(\.[^"]+)"', source):
            needed = (STATIC / module).parent.joinpath(path).resolve().relative_to(STATIC)
            assert needed.as_posix() in modules, (module, path)
    for source in sources:
        for path in re.findall(r'(?:\bfrom |\bimport\()"(\.[^"]+)"', source):
            assert urljoin("joined/", path) in site().assets, path


@pytest.mark.parametrize("address", ["/nothing", "/models/", "/jobs/id/%2F/x"])
def test_the_page_for_other_addresses_names_what_is_there(address):
    assert set(files_of(MISSING, address)) <= site().assets.keys()


def test_modules_import_what_is_there():
    for module in STATIC.rglob("*.js"):
        for name in re.findall(r'(?:\bfrom ?|\bimport\()"(\.[^"]+)"', module.read_text()):
            assert (module.parent / name).is_file(), (module.name, name)


A = b"/*\nexport const old = 0;\n*/\nexport const a = 1;\n"
MAIN = b'import { a as b } from "./a.js";\nexport const main = () => import("./late.js");\n'


def joined(main=MAIN):
    files = {"a.js": A, "late.js": b"export class Late {}\n", "main.js": main}
    return Modules(files).joined({"out/main.js": ["main.js"]}, "out/later.js")


def test_a_module_is_joined_behind_what_it_needs():
    assert joined()["out/main.js"].decode() == (
        "// a.js\nconst $a = (() => {\n/*\nexport const old = 0;\n*/\nconst a = 1;\n\n"
        "return { a };\n})();\n"
        "// main.js\nconst $main = (() => {\nconst { a: b } = $a;\n"
        'const main = () => import("./later.js").then(({ $late }) => $late);\n\n'
        "return { main };\n})();\n"
        "export { $a, $main };\n"
    )
    assert (
        joined()["out/later.js"].decode().endswith("return { Late };\n})();\nexport { $late };\n")
    )


@pytest.mark.parametrize(
    "form",
    [
        'import * as all from "./a.js";',
        'import "./a.js";',
        'import a, { b } from "./a.js";',
        'import { a } from "./a.js"',
        'export * from "./a.js";',
        "export let changing = 1;",
        "export default 1;",
        "export const { c, d } = e;",
        "await ready;",
        'import { main } from "./main.js";',
    ],
)
def test_other_forms_of_modules_are_refused(form):
    with pytest.raises(ModuleFormError):
        joined(form.encode() + b"\n")


def test_the_version_tells_contents_apart():
    versions = {version_of(files) for files in ({}, {"a": b""}, {"a": b"b"}, {"ab": b""})}
    assert len(versions) == 4


def test_every_library_is_listed_with_its_licence():
    taken = [target for package in PACKAGES for target in package.files.values()]
    assert sorted(path.name for path in VENDOR.iterdir()) == sorted([*taken, LICENSES])
    licenses = (VENDOR / LICENSES).read_text()
    for package in PACKAGES:
        assert f"{package.name}@{package.version} ({package.license}): " in licenses
