"""The site that `make docs` builds: no warnings, every public name with its types, and no link that leads nowhere."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

import armvcpu

pytestmark = pytest.mark.slow  # and a part of .ci/run

ROOT = Path(__file__).parents[1]
RECIPE = re.compile(r"^docs: .*\n((?:\t.*\n)+)", re.MULTILINE)
TYPED = {
    "machine": (
        "timeout: float | None = None, max_instructions: int = 0) → Outcome",
        "read(address: int, size: int) → bytes",
        "memory int | str 268435456 --memory",
    ),
    "testing": ("expect_exact(", "run_until(", "u32: int", "lose_interrupt(intid: int, count: int = 1, cpu: int = 0)"),
    "devices": ("read(offset: int, width: int) → int", "reset: int = 0, width: int = 4"),
    "vcpu": ("set_gpr(", "map_linear("),
    "exits": ("MmioRead(addr: int, width: int, reg: int",),
    "errors": ("UsageError", "Bases: ArmvcpuError"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the commands of the Makefile, elsewhere."""
    out = tmp_path_factory.mktemp("site")
    found = RECIPE.search((ROOT / "Makefile").read_text())
    assert found
    commands = found[1].replace("$(PYTHON)", sys.executable).replace("build/docs", str(out / "docs")).replace("\t@", "")
    done = subprocess.run(["bash", "-ec", commands], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return out / "docs"


def words(page: Path) -> str:
    """The text of a page, with single blanks."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", "", page.read_text().replace("<td", " <td"))))


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    """With an anchor of its own, and nothing of what makes it public left out."""
    anchors = {
        name for page in (site / "docs/api").glob("*.html") for name in re.findall(r'id="([^"]+)"', page.read_text())
    }
    public = {f"armvcpu.{name}" for name in armvcpu.__all__} - {"armvcpu.__version__"}
    assert public - anchors == set()
    assert {"armvcpu.Machine.on_sysreg", "armvcpu.devices.device.Register"} <= anchors


@pytest.mark.parametrize("page", TYPED)
def test_the_reference_has_types(site: Path, page: str) -> None:
    """In signatures and fields."""
    text = words(site / "docs/api" / f"{page}.html")
    assert [typed for typed in TYPED[page] if typed not in text] == []


def test_links_lead_somewhere(site: Path) -> None:
    """Each one inside the site, to a file and an anchor that are there."""
    pages = {path.resolve(): path.read_text() for path in site.rglob("*.html")}
    anchors = {path: set(re.findall(r'id="([^"]+)"', text)) for path, text in pages.items()}
    dead = []
    for path, text in pages.items():
        for link in re.findall(r'<a [^>]*href="(?!https?:|mailto:)([^"]*)"', text):
            name, _, anchor = unquote(unescape(link)).partition("#")
            target = (path.parent / name).resolve() if name else path
            if not target.is_file() or (anchor and anchor not in anchors.get(target, {anchor})):
                dead.append(f"{path.name}: {link}")
    assert len(pages) > 20
    assert dead == []


def test_a_link_to_no_file_ends_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named with its page, before anything is built."""
    spec = importlib.util.spec_from_file_location("sources", ROOT / "docs/site/sources.py")
    assert spec is not None
    assert spec.loader is not None
    sources = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sources)
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("[there](docs/there.md)")
    (tmp_path / "docs/there.md").write_text("```c\ntable[x](y)\n```\n[gone](../gone.py)")
    with pytest.raises(FileNotFoundError, match=r"docs/there\.md links to [^,]*/gone\.py$"):
        sources.gather(tmp_path / "out")
