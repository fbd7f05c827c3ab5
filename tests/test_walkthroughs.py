"""README.md, docs/first-program.md and docs/recipes.md: what a newcomer types works, and prints what they say."""

from __future__ import annotations

import re
import shutil
import sys
from typing import TYPE_CHECKING

import pytest
import yaml
from walkthrough import ROOT, Step, environment, pieces, steps, walk

from armvcpu.testing.firmware.store import cache_directory

if TYPE_CHECKING:
    from pathlib import Path

FIRST_PROGRAM, RECIPES = ((ROOT / "docs" / name).read_text() for name in ("first-program.md", "recipes.md"))
SECTIONS = dict(part.split("\n", 1) for part in re.split(r"^## ", RECIPES, flags=re.MULTILINE)[1:])
README = (ROOT / "README.md").read_text()


def test_readme(tmp_path: Path) -> None:
    """A program of one's own, its trap handler in Python, its test, and its trace."""
    own = README[README.index("## Your own program") : README.index("## Real firmware")]
    assert len(steps(own)) == 10
    walk(steps(own), tmp_path, environment(tmp_path))


def test_first_program(tmp_path: Path) -> None:
    """Every file and command of the page, in its order."""
    work = tmp_path / "work"
    work.mkdir()
    walk(steps(FIRST_PROGRAM), work, environment(tmp_path))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which somebody has followed the first page, without looking at what was printed."""
    home = tmp_path_factory.mktemp("home")
    work = home / "work"
    work.mkdir()
    files = [step for step in steps(FIRST_PROGRAM) if step.is_file]
    walk([*files, Step("make -s", "")], work, environment(home))
    return work


@pytest.fixture
def work(built: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(built, tmp_path / "work")


OF_FIRMWARE = {"KVM inside"}
"""Recipes that boot real firmware: it is fetched once, for all tests."""
MARKED = [pytest.param(name, marks=pytest.mark.firmware) if name in OF_FIRMWARE else name for name in SECTIONS]


@pytest.mark.parametrize("recipe", MARKED)
def test_recipe(recipe: str, work: Path) -> None:
    """Every file and command of a recipe; each has some."""
    todo = steps(SECTIONS[recipe])
    assert todo
    cache = {"ARMVCPU_CACHE": str(cache_directory())} if recipe in OF_FIRMWARE else {}
    walk(todo, work, environment(work.parent) | cache)


def test_what_ci_runs(work: Path) -> None:
    """Its commands pass in their order, and leave the reports that it keeps. The installation is another test's."""
    walk(steps(SECTIONS["Run in CI"]), work, environment(work.parent))
    job = yaml.safe_load((work / ".github/workflows/firmware.yml").read_text())["jobs"]["firmware"]
    install, *commands = [step["run"] for step in job["steps"] if "run" in step]
    assert yaml.safe_load((work / ".gitlab-ci.yml").read_text())["firmware"]["script"] == [install, *commands]
    assert install.startswith("python3 -m pip install ")
    walk([Step(f"{command} >/dev/null || echo failed", "") for command in commands], work, environment(work.parent))
    assert sorted(path.name for path in work.glob("*.xml")) == ["suite.xml", "tests.xml"]
    assert any((work / "consoles").iterdir())


@pytest.mark.slow
def test_first_program_from_nothing(tmp_path: Path) -> None:
    """With nothing but a Python: the page sets up its own environment; and CI's installation is one that works."""
    work = tmp_path / "work"
    work.mkdir()
    env = environment(tmp_path) | {"PATH": f"{sys.base_prefix}/bin:/usr/local/bin:/usr/bin:/bin"}
    del env["PYTHONPATH"]
    install = next(line for line in SECTIONS["Run in CI"].splitlines() if "pip install" in line).partition("run: ")[2]
    check = Step("python3 -c 'import armvcpu, sys; print(armvcpu.__file__.startswith(sys.prefix))'", "True")
    again = [Step(f"ARMVCPU=git+file://{ROOT}", ""), Step(install, None), check]
    walk([*steps(FIRST_PROGRAM, set_up=True), check, *again], work, env, timeout=900)


def test_a_page_that_says_something_else_is_found(tmp_path: Path) -> None:
    """The command, what it prints and what it should."""
    with pytest.raises(AssertionError, match=r"(?s)echo yes\nprints\nyes\n\nand not\nno"):
        walk(pieces("$ echo yes\nno\n"), tmp_path, environment(tmp_path))


def test_a_page_that_ends_its_shell_is_found(tmp_path: Path) -> None:
    """No step is passed over."""
    with pytest.raises(AssertionError, match="ended early, at: exit 3"):
        walk(pieces("$ exit 3\n$ echo never\n"), tmp_path, environment(tmp_path))
