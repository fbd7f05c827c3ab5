"""Report pages of suites and of pytest: every test with its verdict and its machines, in one process and in several."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest
from c_guest import build
from command import armvcpu

from armvcpu.engine import unicorn_engine  # noqa: F401  pytester forgets what is imported within a run, and ctypes can't be twice
from armvcpu.testing.suite.run import run_suite
from armvcpu.testing.suite.suite import load_suite

pytest_plugins = ["pytester"]

GUESTS = Path("guests/bin").absolute()
SUITE = f"""
[suite]
name = "guests"
timeout = 20
[[test]]
name = "hello"
image = "{GUESTS}/hello.elf"
script = [{{ expect = "PASS hello" }}]
[[test]]
name = "crash"
image = "{GUESTS}/crash.elf"
[[test]]
name = "wanted crash"
image = "{GUESTS}/crash.elf"
end = "crashed"
[[test]]
name = "no disk"
image = "{GUESTS}/hello.elf"
disks = ["suite.toml"]
"""


@pytest.fixture
def suite(tmp_path):
    """A suite's file."""
    path = tmp_path / "suite.toml"
    path.write_text(SUITE)
    return path


def pages_tests(page: Path) -> dict[str, tuple[str, str]]:
    """Of each test on a page its verdict and all that is told of it, in the page's order."""
    text = page.read_text().partition('<script type="application/octet-stream"')[0]
    found = {}
    for part in text.split('<details class="test"')[1:]:
        (verdict,) = re.findall(r'<span class="badge (\w+)">', part)
        (name,) = re.findall(r'<span class="name">(.*?)</span>', part)
        found[unescape(name)] = verdict, unescape(part)
    return found


def test_a_suites_page_has_every_test(suite, tmp_path):
    """Failures first; a crash that was wanted is told of a test that passed; status and lines are as without."""
    page = tmp_path / "suite.html"
    done = armvcpu("test", suite, "--report", page)
    assert done.returncode == 1
    assert "guests: 2 passed, 2 failed" in done.stdout
    found = pages_tests(page)
    assert [(name, verdict) for name, (verdict, _) in sorted(found.items())] == [
        ("crash", "failed"), ("hello", "passed"), ("no disk", "failed"), ("wanted crash", "passed"),
    ]  # fmt: skip
    assert {name for name, _ in list(found.items())[:2]} == {"crash", "no disk"}
    assert "PASS hello" in found["hello"][1]
    for name in ("crash", "wanted crash"):
        assert "a call through a null pointer" in found[name][1]
        assert "call_probe+0x1c" in found[name][1]
    assert "No machine was made" in found["no disk"][1]
    assert [name for name, (_, told) in sorted(found.items()) if "-profile-figure" in told] == [
        "crash",
        "hello",
        "wanted crash",
    ]


def test_suites_are_one_page(suite, tmp_path):
    """Their tests with their names."""
    other, page = tmp_path / "other.toml", tmp_path / "both.html"
    other.write_text(f'[suite]\nname = "more"\n[[test]]\nname = "hello"\nimage = "{GUESTS}/hello.elf"\n')
    assert armvcpu("test", suite, other, "-k", "hello", "--report", page).returncode == 0
    assert sorted(pages_tests(page)) == ["guests: hello", "more: hello"]


def test_json_of_a_suite_is_as_without_a_page(suite, tmp_path):
    """What a page needs is nothing that others read."""
    with_page, without = (
        json.loads(armvcpu("test", suite, "--json", *words).stdout) for words in (("--report", tmp_path / "p.html"), ())
    )
    assert [test.keys() for test in with_page["tests"]] == [test.keys() for test in without["tests"]]


def test_nobody_hears_a_machine_without_a_page(suite):
    """Verdicts carry no facts then."""
    assert [verdict.machine for verdict in run_suite(load_suite(suite), 1)] == [None] * 4


@pytest.mark.parametrize("place", ["/nowhere/p.html", "."])
def test_a_suites_page_that_can_not_be_written_is_said_at_once(suite, place):
    """No test has been run."""
    done = armvcpu("test", suite, "--report", place)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"armvcpu: --report {place}: give a file in a directory that can be written\n"


def test_a_full_disk_loses_no_verdict(suite):
    """The lines are there, and then what could not be written."""
    done = armvcpu("test", suite, "-k", "hello", "--report", "/dev/full")
    assert (done.returncode, "guests: 1 passed" in done.stdout) == (2, True)
    assert "/dev/full: the report cannot be written: No space left on device" in done.stderr


SESSION = """
import pytest

@pytest.mark.armvcpu("hello.elf", timeout=10)
def test_hello(machine):
    machine.expect("PASS hello")

@pytest.mark.armvcpu("echo.elf", timeout=10)
def test_never(machine):
    machine.expect("<b>never</b>", timeout=0.2)

@pytest.mark.armvcpu("crash.elf", timeout=10)
def test_crash(machine):
    assert machine.finish().ok

@pytest.fixture(scope="module")
def shared(boot_module):
    machine = boot_module("echo.elf")
    machine.expect("echo")
    return machine

def test_first(shared):
    shared.sendline("first")
    shared.expect("echo: first")

def test_second(shared):
    shared.sendline("second")
    shared.expect("echo: second")

@pytest.mark.skip(reason="not today")
def test_skipped():
    pass

def test_without_machine():
    pass

def test_no_fixture(nothing):
    pass

@pytest.fixture
def breaks():
    yield
    raise RuntimeError("too late")

def test_teardown(breaks):
    pass

tries = []
@pytest.mark.flaky(reruns=1)
def test_flaky(boot):
    tries.append(1)
    boot("hello.elf").finish()
    assert len(tries) == 2
"""


@pytest.fixture
def session(pytester):
    """A project with tests of every kind."""
    for name in ("hello", "crash", "echo"):
        (pytester.path / f"{name}.elf").write_bytes((GUESTS / f"{name}.elf").read_bytes())
    pytester.makepyfile(test_it=SESSION)
    return pytester


@pytest.mark.parametrize("processes", [0, 2])
def test_a_sessions_page_has_every_test(session, processes):
    """With verdicts as pytest has them, whichever process ran a test."""
    result = session.runpytest_subprocess("-q", f"-n{processes}", "--armvcpu-report=p.html")
    result.assert_outcomes(
        passed=6, failed=2, skipped=1, errors=2
    )  # as pytest counts: one passed, and then its teardown
    result.stdout.fnmatch_lines([f"--armvcpu-report: {session.path}/p.html"])
    found = {
        name.removeprefix("test_it.py::test_"): told for name, told in pages_tests(session.path / "p.html").items()
    }
    assert {name: verdict for name, (verdict, _) in found.items()} == {
        "hello": "passed", "never": "failed", "crash": "failed", "first": "passed", "second": "passed",
        "skipped": "skipped", "without_machine": "passed", "no_fixture": "failed", "teardown": "failed",
        "flaky": "flaky",
    }  # fmt: skip
    assert "PASS hello" in found["hello"][1]
    assert "the guest did not print '<b>never</b>' within 0.2 s" in found["never"][1]
    assert "the guest still runs" in found["never"][1]
    assert "registers x0" not in found["never"][1]  # which the page has in a form of its own
    assert "call_probe+0x1c" in found["crash"][1]
    assert "not today" in found["skipped"][1]
    assert "too late" in found["teardown"][1]
    assert "fixture 'nothing' not found" in found["no_fixture"][1]
    assert "attempt 1: assert 1 == 2" in found["flaky"][1]


def test_a_shared_machine_tells_each_test_its_own(session):
    """What it printed for one is not on the page of another."""
    session.runpytest_subprocess("-q", "-k", "first or second", "--armvcpu-report=p.html")
    found = {name: told for name, (_, told) in pages_tests(session.path / "p.html").items()}
    first, second = found["test_it.py::test_first"], found["test_it.py::test_second"]
    assert "</span>echo: first" in first
    assert "</span>echo: second" in second
    assert "</span>echo: first" not in second


def test_a_sessions_page_that_can_not_be_written_is_said_at_once(session):
    """One line of usage."""
    result = session.runpytest_inprocess("-q", "--armvcpu-report=/nowhere/p.html")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--armvcpu-report /nowhere/p.html: give a file in a directory that can be written*"])


def test_a_full_disk_fails_a_session_that_passed(session):
    """In one line, beside its verdicts."""
    result = session.runpytest_subprocess("-q", "-k", "hello", "--armvcpu-report=/dev/full")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["--armvcpu-report: /dev/full: the report cannot be written: No space left on device*"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR


@pytest.fixture(scope="module")
def covered(tmp_path_factory):
    """A program with DWARF, with one function that is called and one that is not."""
    text = "int one(void) { return 1; }\nint other(void) { return 2; }\nint main(void) { return one(); }\n"
    return build(tmp_path_factory.mktemp("c"), text, "-g", "-O0")


def test_a_suites_page_has_its_coverage(covered, tmp_path):
    """That of --coverage, of all tests together."""
    suite, page = tmp_path / "s.toml", tmp_path / "p.html"
    tests = "".join(f'[[test]]\nname = "{name}"\nimage = "{covered}"\n' for name in ("a", "b"))
    suite.write_text(f'[suite]\nname = "covered"\n{tests}')
    done = armvcpu("test", suite, "--coverage", tmp_path / "c.info", "--report", page)
    assert done.returncode == 0, done.stderr
    assert_covered(page)


@pytest.mark.parametrize("processes", [0, 2])
def test_a_sessions_page_has_its_coverage(session, covered, processes):
    """That of --armvcpu-coverage, from whichever process."""
    session.makepyfile(
        test_it=f"""
        import pytest
        @pytest.mark.parametrize("number", [1, 2])
        @pytest.mark.armvcpu("{covered}")
        def test_runs(machine, number):
            assert machine.finish().ok
        """
    )
    options = "--armvcpu-coverage=c.info", "--armvcpu-report=p.html"
    session.runpytest_subprocess("-q", f"-n{processes}", *options).assert_outcomes(passed=2)
    assert_covered(session.path / "p.html")


def assert_covered(page: Path) -> None:
    """Two calls of one function, and none of another."""
    text = page.read_text()
    rows = re.findall(r"<tr( class=\"missed\")?>.*?<th scope=\"row\">(one|other|main)</th><td[^>]*>(\d+)", text)
    assert rows == [("", "one", "2"), (' class="missed"', "other", "0"), ("", "main", "2")]
