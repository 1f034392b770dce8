"""README and docs: every block runs, every name is there, every link leads somewhere."""

import contextlib
import dataclasses
import doctest
import importlib
import pkgutil
import re
import runpy
from pathlib import Path

import keras
import pytest

import resnet_layers as rl
from resnet_layers.analysis.latency import machine
from tests.support.measured import MACHINE
from tests.support.uncompiled import uncompiled

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


NEEDS = {"clusters.md": "ray"}  # which the tests do not install
LONG = [
    ROOT / "docs" / f"{name}.md"
    for name in (
        "tuning",
        "serving",
        "resuming",
        "photographs",
        "fine_tuning",
        "weights",
        "devices",
    )
]
SHORT = [path for path in PAGES[1:] if path not in LONG]
TRAINS = [ROOT / "docs" / name for name in ("photographs.md", "fine_tuning.md")]


def test_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_page(PAGES[0], tmp_path, monkeypatch)


@pytest.mark.share(4)
@pytest.mark.parametrize("path", SHORT, ids=lambda path: path.name)
def test_code_blocks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_page(path, tmp_path, monkeypatch)


@pytest.mark.share(7)
@pytest.mark.parametrize("path", LONG, ids=lambda path: path.name)
def test_code_blocks_of_long_pages_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_page(path, tmp_path, monkeypatch)


def run_page(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of many short trainings operation by operation, which is over in half of the time."""
    if path.name in NEEDS:
        pytest.importorskip(NEEDS[path.name])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(machine.VARIABLE, str(tmp_path / "cache"))
    for threads in {2, machine.usable_cores()}:
        dataclasses.replace(MACHINE, threads=threads).write()  # as if by `measure`
    with uncompiled() if path in TRAINS else contextlib.nullcontext():
        run_blocks(path)


@pytest.mark.slow
@pytest.mark.parametrize("path", TRAINS, ids=lambda path: path.name)
def test_code_blocks_run_compiled(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_blocks(path)


def run_blocks(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    if not blocks:
        pytest.skip("no code on this page")
    namespace: dict[str, object] = {"__name__": path.stem}
    for block in blocks:
        line = text[: block.start()].count("\n") + 1
        code = "\n" * line + block[1]  # so that a traceback shows the line of the page
        exec(compile(code, str(path), "exec"), namespace)


@page
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))
    for link in links:
        assert link.startswith("https://") or (path.parent / link).exists(), link


@pytest.mark.parametrize(
    "path",
    [*PAGES, *(ROOT / folder / "README.md" for folder in ("benchmarks", "tests/support"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_files_that_are_named_exist(path: Path) -> None:
    """From the project, the package or the page's folder, as people write them."""
    named = re.findall(
        r"`([\w.-]+/[\w./*-]+\.(?:py|md|csv|json))`", path.read_text(encoding="utf-8")
    )
    for name in named:
        places = (ROOT, ROOT / "resnet_layers", path.parent)
        assert any(list(place.glob(name)) for place in places), name


def test_every_public_name_has_an_example_in_the_api_page() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    code = "\n".join(BLOCK.findall(text))
    for name in rl.__all__:
        assert re.search(rf"\brl\.{name}\b", code), name


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for path in PAGES[1:]:
        assert path.name == "index.md" or f"({path.name})" in index, path.name


@pytest.mark.share(6)
def test_generated_pages_are_current() -> None:
    pages = runpy.run_path(str(ROOT / "docs" / "generate.py"))["PAGES"]
    for name, make in pages.items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == make(), (
            f"{name} is not what its data says: run `python docs/generate.py`"
        )


MODULES = [module.name for module in pkgutil.walk_packages(rl.__path__, "resnet_layers.")]


@pytest.mark.share(4)
@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name: str, request: pytest.FixtureRequest) -> None:
    module = importlib.import_module(name)
    names = {public: getattr(rl, public) for public in rl.__all__}
    names |= {"keras": keras, "getfixture": request.getfixturevalue}
    result = doctest.testmod(module, extraglobs=names)
    assert result.failed == 0


@pytest.mark.parametrize("name", rl.__all__)
def test_docstring_has_the_sections_of_the_house(name: str) -> None:
    doc = getattr(rl, name).__doc__
    sections = ["Args:", "Example:"]
    if isinstance(getattr(rl, name), type) and issubclass(getattr(rl, name), Exception):
        sections = []  # one sentence says when it is raised
    if isinstance(getattr(rl, name), type) and issubclass(getattr(rl, name), keras.Layer):
        sections += ["Input shape:", "Output shape:", "Raises:", "Reference:"]
    assert [section for section in sections if section not in doc] == []
