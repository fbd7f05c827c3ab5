"""Coverage of all machines of a pytest run, and of a suite's tests, in one file."""

from __future__ import annotations

import json
import re

import pytest
from command import armvcpu
from coverage_guest import LINES, covered_guest

pytest_plugins = ["pytester"]
TESTS = """
    import pytest
    @pytest.mark.parametrize("number", range(4))
    @pytest.mark.armvcpu("guest.elf")
    def test_it(machine, number):
        assert machine.finish().ok
    @pytest.fixture(scope="module")
    def shared(boot_module):
        machine = boot_module("guest.elf")
        machine.run(max_instructions=3)
        return machine, machine.snapshot()
    @pytest.mark.parametrize("number", range(2))
    def test_shared(shared, number):
        machine, snapshot = shared
        machine.restore(snapshot)
        assert machine.finish().ok
    @pytest.mark.armvcpu("guest.elf")
    def test_that_fails(machine):
        machine.run()
        machine.close()
        assert False
"""
SUITE = """
[suite]
name = "guests"
[[test]]
name = "one"
image = "guest.elf"
[[test]]
name = "two"
image = "guest.elf"
cpus = [1, 2]
[[test]]
name = "fails twice"
image = "guest.elf"
status = 7
retries = 1
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A guest with lines."""
    return covered_guest(tmp_path_factory.mktemp("guest"), "-O0", "-g")


@pytest.fixture
def project(pytester, image):
    """A project with the guest beside its tests."""
    (pytester.path / "guest.elf").write_bytes(image.read_bytes())
    pytester.makepyfile(TESTS)
    return pytester


def lines(path) -> dict[int, int]:
    """Those of the guest's main.c."""
    text = re.search(r"SF:[^\n]*/main\.c\n(.*?)end_of_record", path.read_text(), re.DOTALL)[1]
    counts = {int(line): int(count) for line, count in re.findall(r"^DA:(\d+),(\d+)$", text, re.MULTILINE)}
    return {line: counts[line] for line in LINES}


def times(number: int) -> dict[int, int]:
    return {line: number * count for line, count in LINES.items()}


@pytest.mark.parametrize("processes", [(), ("-n", "2")])
def test_every_machine_of_a_pytest_run_is_counted(project, processes):
    """Shared ones, those of tests that fail, and those that a test closes; with pytest-xdist too."""
    result = project.runpytest_subprocess("-q", "--armvcpu-coverage", "all.info", *processes)
    result.assert_outcomes(passed=6, failed=1)
    assert "armvcpu-coverage" not in result.stdout.str()
    assert lines(project.path / "all.info") == times(7)


def test_what_cannot_be_written_is_told_at_the_end(project):
    """And a run that passes has another status then."""
    (project.path / "full.info").symlink_to("/dev/full")
    result = project.runpytest_subprocess("-q", "--armvcpu-coverage", "full.info", "-k", "test_it")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["--armvcpu-coverage: coverage file */full.info: No space left on device*"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("all.txt", "--armvcpu-coverage: coverage file all.txt: its name ends in .info*"),
        ("nowhere/all.info", "--armvcpu-coverage nowhere/all.info: give a file in a directory that can be written"),
    ],
)
def test_what_cannot_be_a_file_is_told_before_the_first_test(project, file, said):
    """Nobody loses an hour of tests for it."""
    wrong = project.runpytest_inprocess("-q", "--armvcpu-coverage", file)
    assert wrong.ret == pytest.ExitCode.USAGE_ERROR
    wrong.stderr.fnmatch_lines([f"*{said}"])


def test_tests_that_are_only_collected_replace_no_file(project):
    """The page and the coverage of an earlier run stay."""
    page = project.path / "page.html"
    page.write_text("of yesterday")
    result = project.runpytest_inprocess(
        "-q", "--collect-only", "--armvcpu-report", page, "--armvcpu-coverage", project.path / "all.info"
    )
    assert result.ret == 0
    assert "--armvcpu" not in result.stdout.str()
    assert page.read_text() == "of yesterday"


def test_a_run_without_machines_writes_nothing(project):
    """And says so."""
    project.makepyfile("def test_nothing(): pass")
    result = project.runpytest_subprocess("-q", "--armvcpu-coverage", "all.info")
    result.stdout.fnmatch_lines(["--armvcpu-coverage: no test had a machine: all.info is not written"])
    assert result.ret == 0
    assert not (project.path / "all.info").exists()


def test_every_test_of_a_suite_is_counted(image, tmp_path):
    """In each process of the pool, and at each attempt; the status stays the tests' own."""
    (tmp_path / "guest.elf").write_bytes(image.read_bytes())
    (tmp_path / "suite.toml").write_text(SUITE)
    done = armvcpu("test", "suite.toml", "--coverage", "all.info", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert lines(tmp_path / "all.info") == times(5)
    done = armvcpu("test", "suite.toml", "-k", "one", "--coverage", "one.info", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert [test["name"] for test in json.loads(done.stdout)["tests"]] == ["one"]


def test_a_suites_file_that_cannot_be_is_a_line(image, tmp_path):
    """Before any test, where that is plain."""
    (tmp_path / "guest.elf").write_bytes(image.read_bytes())
    (tmp_path / "suite.toml").write_text(SUITE)
    done = armvcpu("test", "suite.toml", "--coverage", "all.txt", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("all.txt: its name ends in .info (for lcov) or .drcov\n")
    done = armvcpu("test", "suite.toml", "-k", "one", "--coverage", "nowhere/all.info", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "armvcpu: --coverage nowhere/all.info: give a file in a directory that can be written\n"
    (tmp_path / "full.info").symlink_to("/dev/full")
    done = armvcpu("test", "suite.toml", "-k", "one", "--coverage", "full.info", cwd=tmp_path)
    assert done.returncode == 2
    assert "No space left on device; name another" in done.stderr
