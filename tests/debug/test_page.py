"""Report pages: what a guest prints stays text, and a real browser draws them and asks nobody for anything."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from c_guest import build
from chromium import Chromium
from command import armvcpu
from guest_state import GUESTS
from raw_guest import SYSTEM_OFF, UART, image, mov, psci, store

from armvcpu import Machine
from armvcpu.debug.page.collector import RUN, Collector
from armvcpu.debug.page.covered import coverage_facts
from armvcpu.debug.page.facts import gather
from armvcpu.debug.page.flame import flame_facts
from armvcpu.debug.page.page import Entry, render

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow  # and a part of .ci/run

HOSTILE = (
    b"</pre></script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\n"
    b"{{ 7 * 7 }} {% raw %} <!-- \xff\xfe\x00\x1b[31m ]]> &lt; \xe2\x80\xae end\n"
)
VOID = {"meta", "link", "input", "br", "img"}
DRAWN = "[...document.querySelectorAll('[data-figure]')].every(f => f.dataset.drawn === 'done')"
OPEN_ALL = "document.querySelectorAll('details').forEach(each => each.open = true)"
LOWER = "document.querySelectorAll('pre').forEach(each => each.style.maxHeight = '5rem')"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    """One for all tests; each has pages of its own."""
    with Chromium() as one:
        yield one


def run_to(page: Path, *words: object, status: int = 0, **options: Any) -> str:
    """The page of a run; what the run has said on stderr."""
    done = armvcpu("run", *words, "--report", page, **options)
    assert done.returncode == status, done.stderr
    return done.stderr


class Checker(HTMLParser):
    """Every element is closed, in its order, and every id is there once."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"


def check(text: str) -> Checker:
    """What is wrong with a page without any browser."""
    checker = Checker()
    checker.feed(text)
    assert not checker.open
    assert len(checker.ids) == len(set(checker.ids))
    assert [link for link in checker.links if link.startswith("#") and link[1:] not in checker.ids] == []
    return checker


def entry(**facts: Any) -> Entry:
    """A test that passed, without machines."""
    return Entry(
        **{"name": "one", "verdict": "passed", "words": "", "seconds": 0.1, "text": "", "machines": [], **facts}
    )


def test_what_tests_say_stays_text() -> None:
    """Names, words and texts of failures are escaped wherever they stand."""
    hostile = HOSTILE.decode(errors="replace")
    text = render(
        hostile, [entry(name=hostile, verdict=each, words=hostile, text=hostile) for each in ("failed", "passed")]
    )
    check(text)
    assert "<script>document" not in text
    assert 'onerror="' not in text
    assert "{{ 7 * 7 }}" in text


def test_failures_come_first() -> None:
    """And the counts before them."""
    text = render(
        "suite", [entry(name="good"), entry(name="bad", verdict="failed"), entry(name="ugly", verdict="crashed")]
    )
    found = re.findall(r'class="name">(\w+)<', text)
    assert found == ["bad", "ugly", "good"]
    assert re.findall(r'badge \w+">(\d \w+)<', text) == ["1 failed", "1 crashed", "1 passed"]


def test_the_library_is_on_a_page_once() -> None:
    """A hundred tests are not a hundred times as long."""
    one, hundred = (len(render("suite", [entry(name=str(n)) for n in range(count)])) for count in (1, 100))
    assert hundred - one < 100_000
    assert one < 2_200_000


@pytest.mark.parametrize("name", ["jinja2", "plotly"])
def test_what_is_not_installed_is_said_before_the_guest_begins(tmp_path: Path, name: str) -> None:
    """In one line, with what to do; and nothing is written."""
    hidden = tmp_path / "sitecustomize.py"
    hidden.write_text(
        "import importlib.util as u\nreal = u.find_spec\n"
        f"u.find_spec = lambda name, *more: None if name == {name!r} else real(name, *more)\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    page = tmp_path / "r.html"
    done = armvcpu("run", GUESTS / "hello.elf", "--report", page, env={**os.environ, "PYTHONPATH": path})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"armvcpu: --report needs {name}: pip install 'armvcpu[report]'\n"
    assert not page.exists()


@pytest.mark.parametrize("place", ["missing/r.html", ".", ""])
def test_a_page_that_can_not_be_written_is_said_before_the_guest_begins(tmp_path: Path, place: str) -> None:
    """In one line."""
    name = f"{tmp_path}/{place}" if place else ""
    done = armvcpu("run", GUESTS / "hello.elf", "--report", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "--report" in done.stderr


def test_a_full_disk_loses_the_page_and_not_the_guests_end() -> None:
    """The report of its crash is there, and its status; and what could not be written is said."""
    done = armvcpu("run", GUESTS / "crash.elf", "--report", "/dev/full")
    assert done.returncode == 3
    assert "call_probe" in done.stderr
    assert done.stderr.splitlines()[-1] == (
        "armvcpu: /dev/full: the report cannot be written: No space left on device; choose another place"
    )
    done = armvcpu("run", GUESTS / "hello.elf", "--report", "/dev/full")
    assert (done.returncode, "hello: 1 passed" in done.stdout) == (2, True)


def test_a_report_over_the_image_is_refused(tmp_path: Path) -> None:
    """What a run reads it does not write."""
    copy = tmp_path / "hello.elf"
    copy.write_bytes((GUESTS / "hello.elf").read_bytes())
    done = armvcpu("run", copy, "--report", copy)
    assert done.returncode == 2
    assert "that is the file of IMAGE" in done.stderr
    assert copy.read_bytes() == (GUESTS / "hello.elf").read_bytes()


# --- in a browser


def looked_at(browser: Chromium, page: Path, **how: Any) -> Any:
    """The page with all that is on it drawn; nothing has gone wrong, and nothing was asked for but itself."""
    shown = browser.open(page, **how)
    shown.evaluate(f"{OPEN_ALL}; {LOWER}")
    shown.resize(how.get("width", 1200), 12_000)
    shown.wait_for(DRAWN)
    assert shown.problems == []
    assert [each for each in shown.requests if not each.startswith("data:")] == [page.as_uri()]
    return shown


def test_a_run_is_drawn(browser: Chromium, tmp_path: Path) -> None:
    """Verdict, console with times, timeline, exits and map of a guest on two CPUs."""
    page = tmp_path / "r.html"
    run_to(page, GUESTS / "smp.elf", "--cpus", 2)
    check(page.read_text())
    shown = looked_at(browser, page)
    assert shown.evaluate("document.querySelector('.verdict').textContent") == "Ended well the guest powered off"
    lines = shown.evaluate("[...document.querySelectorAll('.console .line')].map(each => each.textContent)")
    assert any("passed, 0 failed" in line for line in lines)
    times = [float(line[:8]) for line in lines]
    assert times == sorted(times)
    labels = shown.evaluate("[...document.querySelectorAll('.ytick text')].map(each => each.textContent)")
    assert {"cpu0 CPU_ON", "pl011"} <= set(labels)
    assert any(label.startswith("cpu1 ") for label in labels)
    assert shown.evaluate("document.querySelectorAll('.scatterlayer .point').length") > 0
    assert shown.evaluate("[...document.querySelectorAll('.map .loaded th')].map(each => each.textContent)") == [
        "device tree", "smp.elf", "smp.elf",
    ]  # fmt: skip


def test_a_crash_is_the_first_that_is_told(browser: Chromium, tmp_path: Path) -> None:
    """With backtrace, the instruction, and what to do about it."""
    page = tmp_path / "r.html"
    run_to(page, GUESTS / "crash.elf", status=3)
    shown = looked_at(browser, page)
    assert shown.evaluate("document.querySelector('main h2').textContent") == "Where it stopped"
    assert "null pointer" in shown.evaluate("document.querySelector('.end .why').textContent")
    frames = shown.evaluate("[...document.querySelectorAll('.backtrace li')].map(each => each.textContent)")
    assert [frame.split()[1].split("+")[0] for frame in frames[1:4]] == ["call_probe", "start_driver", "start_drivers"]
    assert "blr x8" in shown.evaluate("document.querySelector('.end .here').textContent")


CRASHING = """\
static int depth;
__attribute__((noinline)) int inner(volatile int *where) { /* a comment with <tags> */
    depth++;
    return *where;
}
int main(void) {
    return inner((volatile int *)0x7f00000000) + 1;
}
int unused(void) { return depth; }
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that crashes, beside its source."""
    return build(tmp_path_factory.mktemp("c"), CRASHING, "-g", "-O1", "-fno-omit-frame-pointer")


def test_a_crash_has_its_source(sources: Path, tmp_path: Path) -> None:
    """The lines around the instruction, and around the call; and none where the source has gone since."""
    page = tmp_path / "r.html"
    run_to(page, sources, status=3)
    text = page.read_text()
    here = re.findall(r'<span class="line here"><span class="t">(\d+)</span>(.*)', text)
    assert here[:2] == [("4", "    return *where;"), ("7", "    return inner((volatile int *)0x7f00000000) + 1;")]
    assert "a comment with &lt;tags&gt;" in text
    for file in sources.parent.glob("*.c"):
        file.rename(file.with_suffix(".txt"))
    run_to(page, sources, status=3)
    assert "return *where" not in page.read_text()
    for file in sources.parent.glob("*.txt"):
        file.rename(file.with_suffix(".c"))


def test_a_page_has_only_what_is_named_as_source_code(sources: Path, tmp_path: Path) -> None:
    """An image may name any file of the host as its source."""
    (name,) = sources.parent.glob("*.c")
    image = tmp_path / "guest.elf"
    image.write_bytes(sources.read_bytes().replace(name.name.encode(), name.stem.encode() + b".k"))
    (sources.parent / f"{name.stem}.k").write_text("a secret\n" * 20)
    page = tmp_path / "r.html"
    run_to(page, image, status=3)
    assert "a secret" not in page.read_text()


@pytest.mark.parametrize(("width", "dark"), [(390, True), (1200, False)])
def test_a_page_fits_and_has_contrast(browser: Chromium, tmp_path: Path, width: int, dark: bool) -> None:
    """On a telephone nothing is wider than the window; light text is on dark, or dark text on light."""
    page = tmp_path / "r.html"
    run_to(page, GUESTS / "exceptions.elf")
    shown = looked_at(browser, page, width=width, dark=dark)
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    colours = shown.evaluate(
        "(() => { const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]; })()"
    )
    text, back = (sum(map(int, re.findall(r"\d+", each)[:3])) for each in colours)
    assert (text > back) == dark
    assert abs(text - back) > 400
    ticks = shown.evaluate("getComputedStyle(document.querySelector('.ytick text')).fill")
    assert abs(sum(map(int, re.findall(r"\d+", ticks)[:3])) - back) > 250


def test_a_hostile_guest_stays_text(browser: Chromium, tmp_path: Path) -> None:
    """Tags, control characters, invalid UTF-8: shown, and not obeyed."""
    page, guest = tmp_path / "r.html", tmp_path / "guest.bin"
    guest.write_bytes(printing(HOSTILE))
    run_to(page, guest, encoding="utf-8", errors="replace")
    shown = looked_at(browser, page)
    assert shown.evaluate("document.title") == "guest.bin on armvcpu"
    assert shown.evaluate("document.querySelectorAll('.console img').length") == 0
    text = shown.evaluate("document.querySelector('.console').textContent")
    assert "</pre></script><script>document.title='owned'</script>" in text
    assert "{{ 7 * 7 }} {% raw %} <!-- \ufffd\ufffd\u2400 ]]> &lt; \ufffd end" in text


def test_ten_megabytes_are_a_page_that_opens(browser: Chromium, tmp_path: Path) -> None:
    """The beginning and the end are there, and what is missing is said."""
    collector = Collector(RUN)
    for n in range(150_000):
        for byte in b"<b>line</b> %06d %s\n" % (n, b"x" * 50):
            collector.hear(byte)
    facts = facts_of(collector)
    page = tmp_path / "r.html"
    page.write_text(render("long", [entry(machines=[facts])]))
    assert page.stat().st_size < 5_000_000
    shown = looked_at(browser, page)
    text = shown.evaluate("document.querySelector('.console').textContent")
    assert "<b>line</b> 000000 " in text
    assert "<b>line</b> 149999 " in text
    (missing,) = re.findall(r"([\d,]+) bytes left out", text)
    assert int(missing.replace(",", "")) + 70 * len(re.findall("<b>line", text)) == 70 * 150_000


def facts_of(collector: Collector) -> Any:
    """Of a machine that has done nothing but print."""
    with Machine(GUESTS / "hello.elf") as machine:
        collector.attach(machine.parts, machine.observe)
        return gather(collector, machine.parts, machine.symbols, None)


def printing(text: bytes) -> bytes:
    """A guest that prints a text and powers off."""
    words = [*mov(1, UART)]
    for byte in text:
        words += [0xD280_0000 | byte << 5, store(0, 1, 4)]
    return image(words, psci(SYSTEM_OFF))


# --- profile and coverage


@pytest.mark.parametrize("more", [(), ("--profile", "p.collapsed", "--coverage", "c.info")])
def test_a_run_has_its_profile_and_its_coverage(
    browser: Chromium, sources: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    """Also beside the files of --profile and --coverage."""
    page = tmp_path / "r.html"
    words = [tmp_path / each if "." in each else each for each in more]
    run_to(
        page, sources, "--clock", "instructions", "--profile-interval", 1, "--coverage-elf", sources, *words, status=3
    )
    shown = looked_at(browser, page)
    shown.wait_for("document.querySelectorAll('.slicetext').length >= 3")  # once the window has its size
    frames = shown.evaluate("[...document.querySelectorAll('.slicetext')].map(each => each.textContent)")
    assert {"cpu0", "EL1", "_start"} <= set(frames)
    files = shown.evaluate("[...document.querySelectorAll('.file summary')].map(each => each.textContent)")
    assert any("main.c" in file and "2 of 3 functions" in file for file in files)
    assert shown.evaluate("[...document.querySelectorAll('.missed th')].map(each => each.textContent)") == ["unused"]


def test_a_flame_graph_has_all_of_the_time_and_no_more_frames_than_can_be_seen() -> None:
    """A frame's time has that of what it called; what is too small for a page is part of its caller."""
    stacks = {
        ("cpu0", "EL1", "main", "work"): 700, ("cpu0", "EL1", "main"): 100, ("cpu1", "EL1", "main", "work"): 200,
        ("waits",): 5000,
    }  # fmt: skip
    stacks |= {("cpu0", "EL1", "main", f"small{n}"): 0 for n in range(5000)}
    facts = flame_facts(stacks, "waits")
    assert facts is not None
    paths = []
    for parent, name, ns in facts["frames"]:
        paths.append((*(paths[parent][:-1] if parent >= 0 else ()), name, ns))
    assert sorted(paths, key=str) == sorted(
        [
            ("cpu0", 800), ("cpu0", "EL1", 800), ("cpu0", "EL1", "main", 800), ("cpu0", "EL1", "main", "work", 700),
            ("cpu1", 200), ("cpu1", "EL1", 200), ("cpu1", "EL1", "main", 200), ("cpu1", "EL1", "main", "work", 200),
        ], key=str,
    )  # fmt: skip
    assert facts["idle_ns"] == 5000
    assert flame_facts({("waits",): 5}, "waits") is None


def test_coverage_is_told_by_file(sources: Path) -> None:
    """Lines, functions and branches; of a program without DWARF nothing."""
    with Machine(sources) as machine, machine.coverage() as coverage:
        machine.run(timeout=10)
        facts = coverage_facts(coverage)
    assert facts is not None
    (file,) = (each for each in facts["files"] if each["path"].endswith("main.c"))
    assert [(name, calls) for _, name, calls in file["by_function"]] == [("inner", 1), ("main", 1), ("unused", 0)]
    assert 0 < file["lines"][0] < file["lines"][1]
    assert facts["lines"][1] == sum(each["lines"][1] for each in facts["files"])
    with Machine(GUESTS / "hello.elf") as machine, machine.coverage() as coverage:
        machine.run(timeout=10)
        assert coverage_facts(coverage) is None
