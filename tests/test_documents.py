"""What the pages say runs: pasted code, the tables, and the examples of adding a part."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from filterlearn.protocol import AbstractAlgorithm
from filterlearn.smoothers.base import AbstractSmoother
from tests import tables
from tests.test_architecture import finished

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLACE = re.compile(r"# (\S+\.py)(?:, in (\w+))?\n")  # the first line of a block that belongs in a file


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


PASTED = {page.name: code for page in PAGES if (code := "\n".join(b for b in blocks(page) if not PLACE.match(b)))}


def python(*arguments, cwd, path):
    """A fresh interpreter, as a reader has it: single precision, no type checks."""
    environment = os.environ | {"PYTHONPATH": str(path)}
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


@pytest.mark.parametrize("name", PASTED)
def test_code_runs_when_pasted(name, tmp_path):
    python("-c", PASTED[name], cwd=tmp_path, path=ROOT)


def test_the_readme_and_the_start_have_code():
    assert {"README.md", "start.md"} <= set(PASTED)


def test_links_lead_somewhere():
    for page in PAGES:
        targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
        assert not [target for target in targets if not (page.parent / target).exists()]


def test_the_tables_are_those_of_the_registries():
    page = tables.PAGE.read_text()
    assert page == tables.page(), "run python -m tests.tables"
    every = [c for c in finished(("filters", "smoothers")) if issubclass(c, AbstractAlgorithm | AbstractSmoother)]
    assert len(every) > 15
    assert [c.__name__ for c in every if f"| `{c.__name__}`" not in page] == []


def add(block, tree):
    """Does what a block says: a new file, or lines at the head of a dictionary."""
    path, dictionary = PLACE.match(block).groups()
    file, body = tree / path, block.partition("\n")[2]
    if dictionary is None:
        assert not file.exists(), f"{path} is there already: the page needs another example"
        file.write_text(body)
        return
    head = re.compile(rf"^{dictionary} = {{.*\n", re.MULTILINE)
    text = file.read_text()
    assert head.search(text), f"{path} has no {dictionary}"
    file.write_text(head.sub(lambda m: m.group() + body, text, count=1))


def test_examples_of_adding_a_part_pass_the_laws(tmp_path):
    """One file, one export, one row for each, in a copy of the tree; then the laws of their kinds, and the house's own."""
    for name in ("filterlearn", "tests", "docs", "pyproject.toml", "README.md", "CONTRIBUTING.md"):
        source = ROOT / name
        shutil.copytree(source, tmp_path / name) if source.is_dir() else shutil.copy(source, tmp_path)
    parts = [block for page in PAGES for block in blocks(page) if PLACE.match(block)]
    for block in parts:
        add(block, tmp_path)
    rows = [
        name
        for block in parts
        if PLACE.match(block).group(2) not in (None, "_HOME")
        for name in re.findall(r'"(\w+)":', block)
    ]
    assert sorted(rows) == ["brownian_motion", "killing", "serial_kalman"]
    chosen = " or ".join([*rows, "architecture"])
    laws = ["tests/laws", "tests/oracles", "tests/test_architecture.py"]
    python("-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", "-x", "-k", chosen, *laws, cwd=tmp_path, path=tmp_path)
