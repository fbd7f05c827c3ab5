"""The pytest plugin, as a project that uses it sees it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import armvcpu.engine.unicorn_engine  # noqa: F401  pytester forgets what is imported within a run, and ctypes can't be twice

pytest_plugins = ["pytester"]

GUESTS = Path("guests/bin").absolute()
README = Path("README.md").read_text()


@pytest.fixture
def project(pytester):
    """A project with two guests beside its tests."""
    for name in ("hello", "crash", "smccc", "echo"):
        (pytester.path / f"{name}.elf").write_bytes((GUESTS / f"{name}.elf").read_bytes())
    return pytester


def readme_test() -> str:
    """The README's test for an own ELF, at most twelve lines. tests/test_walkthroughs.py builds that, and runs it."""
    found = re.search(r"```python title=\"test_hello.py\"\n(import pytest\n.*?)```", README, re.DOTALL)
    assert found
    assert len(found[1].strip().splitlines()) <= 12
    return found[1]


def test_the_readmes_test_fails_usefully(project):
    """With another guest in its place: the console, how it ended, and where, without being asked."""
    project.makepyfile(readme_test().replace("hello.elf", "crash.elf"))
    result = project.runpytest_inprocess("-q")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*armvcpu: console, its end*", "*armvcpu: how the guest ended*", "*backtrace*#0*"])


def test_machines_by_indirect_parameters(project):
    """Paths, or options."""
    project.makepyfile(
        """
        import pytest
        @pytest.mark.parametrize("machine", ["hello.elf", {"image": "hello.elf", "cpu_model": "a53"}], indirect=True)
        def test_boots(machine):
            machine.expect_exact("PASS hello")
            assert machine.finish().ok
        """
    )
    project.runpytest_inprocess("-q").assert_outcomes(passed=2)


def test_options_on_the_command_line_are_defaults(project):
    """For tests that say nothing else."""
    project.makepyfile(
        """
        def test_default(boot):
            assert boot().config.memory == 64 << 20
        def test_own(boot):
            assert boot("hello.elf", memory=32 << 20).config.memory == 32 << 20
        """
    )
    arguments = ("--armvcpu-image", "hello.elf", "--armvcpu-memory", "64M", "--armvcpu-cpu-model", "a57")
    project.runpytest_inprocess("-q", *arguments).assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("decorator", "words"),
    [
        ('armvcpu("hello.elf", cpu=2)', "no option 'cpu' of a machine; there are *cpus*"),
        ('parametrize("machine", [{"image": "hello.elf", "cpu": 2}], indirect=True)', "no option 'cpu' of a machine*"),
        ("armvcpu('hello.elf', 'two')", "the marker armvcpu has one image; what else there is has a name"),
        ("armvcpu('hello.elf', memory='64Q')", "*'64Q' is no size*"),
        ("armvcpu('hullo.elf')", "hullo.elf: *"),
        ("armvcpu(cpus=2)", "the fixture machine has no program: say @pytest.mark.armvcpu(IMAGE)*"),
        ("slow", "the fixture machine has no program: say @pytest.mark.armvcpu(IMAGE)*"),
    ],
)
def test_a_wrong_marker_is_one_line_on_its_test(project, decorator, words):
    """And the other tests run."""
    project.makepyfile(
        f"""
        import pytest
        @pytest.mark.{decorator}
        def test_it(machine):
            pass
        @pytest.mark.armvcpu("hello.elf")
        def test_other(machine):
            machine.expect_exact("PASS hello")
        """
    )
    result = project.runpytest_inprocess("-q", "-W", "ignore")
    result.assert_outcomes(errors=1, passed=1)
    lines = result.stdout.lines
    at = next(number for number, each in enumerate(lines) if "ERROR at setup of test_it" in each)
    result.stdout.fnmatch_lines(["*ERROR at setup of test_it*", words], consecutive=True)
    assert lines[at + 2].startswith("=")


def test_a_mistake_in_a_test_is_shown_where_it_is(project):
    """The user's line and the words; `--full-trace` has all of it."""
    project.makepyfile(
        """
        def test_it(boot):
            boot("hello.elf", memory="64Q")
        """
    )
    result = project.runpytest_inprocess("-q")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(['>*boot("hello.elf", memory="64Q")', "E*UsageError: *'64Q' is no size*"])
    result.stdout.no_fnmatch_line("*option.py*")
    project.runpytest_inprocess("-q", "--full-trace").stdout.fnmatch_lines(["*option.py*"])


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--armvcpu-memory=12Q", "'12Q' is no size: write 256M or 1G"),
        ("--armvcpu-timeout=nan", "--armvcpu-timeout: 'nan' is no time in seconds"),
        ("--armvcpu-timeout=-1", "--armvcpu-timeout: '-1' is no time in seconds"),
        ("--armvcpu-gic=4", "--armvcpu-gic: gic 4: give 2 or 3"),
        ("--armvcpu-log-dir=hello.elf", "--armvcpu-log-dir hello.elf: File exists"),
    ],
)
def test_a_wrong_option_is_told_at_once(project, option, words):
    """Before anything is collected."""
    result = project.runpytest_inprocess("-q", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{words}*"])


def test_consoles_go_to_junit_xml_and_files(project):
    """For CI."""
    project.makepyfile(
        """
        import pytest
        @pytest.mark.armvcpu("echo.elf")
        def test_it(machine):
            machine.expect_exact("never said", timeout=0.1)
        """
    )
    project.runpytest_inprocess("-q", "--junit-xml=out.xml", "--armvcpu-log-dir=logs")
    assert 'name="console"' in (project.path / "out.xml").read_text()
    [log] = (project.path / "logs").iterdir()
    assert b"echo" in log.read_bytes()


def test_a_machine_leaves_no_thread_behind(project):
    """Nor a guest that ran into a time-out."""
    project.makepyfile(
        """
        import threading, pytest
        from pexpect import TIMEOUT
        BEFORE = set(threading.enumerate())
        @pytest.mark.armvcpu("echo.elf")
        def test_silent(machine):
            with pytest.raises(TIMEOUT):
                machine.expect_exact("never said", timeout=0.1)
        def test_after():
            assert [t.name for t in threading.enumerate() if t not in BEFORE] == []
        """
    )
    project.runpytest_inprocess("-q").assert_outcomes(passed=2)


def test_several_processes(project):
    """pytest-xdist: a machine belongs to one process."""
    project.makepyfile(
        """
        import pytest
        @pytest.mark.parametrize("number", range(4))
        @pytest.mark.armvcpu("hello.elf")
        def test_it(machine, number):
            machine.expect_exact("PASS hello")
        """
    )
    project.runpytest_subprocess("-q", "-n", "2").assert_outcomes(passed=4)


def test_a_booted_machine_is_shared_by_a_snapshot(project):
    """Each test begins where the module's machine was."""
    project.makepyfile(
        """
        import pytest
        @pytest.fixture(scope="module")
        def booted(boot_module):
            machine = boot_module("echo.elf")
            machine.expect_exact("echo")
            return machine, machine.snapshot()
        @pytest.mark.parametrize("number", range(3))
        def test_it(booted, number):
            machine, snapshot = booted
            machine.restore(snapshot)
            machine.sendline(f"number {number}")
            machine.expect_exact(f"number {number}")
        """
    )
    project.runpytest_inprocess("-q").assert_outcomes(passed=3)


def test_a_shared_machine_is_reported_too(project):
    """A failure of a test that borrows the module's machine shows its console."""
    project.makepyfile(
        """
        import pytest
        @pytest.fixture(scope="module")
        def booted(boot_module):
            return boot_module("echo.elf")
        def test_it(booted):
            booted.expect_exact("never said", timeout=0.1)
        """
    )
    result = project.runpytest_inprocess("-q")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*armvcpu: console, its end*", "*echo: type a line*"])


TWO_SHARED = """
    import pytest
    @pytest.fixture(scope="module")
    def first(boot_module):
        machine = boot_module("echo.elf")
        machine.expect_exact("echo")
        return machine, machine.snapshot()
    @pytest.fixture(scope="module")
    def second(boot_module):
        return boot_module("hello.elf")
    def test_boot(first, second):
        second.expect_exact("PASS hello")
    """


def test_only_the_failing_tests_machine_is_reported(project):
    """Not what others of the module have left open; nothing where a test has none."""
    project.makepyfile(
        TWO_SHARED
        + """
    def test_first(first):
        machine, snapshot = first
        assert machine.symbol("main").u32 == 0
    """
    )
    result = project.runpytest_inprocess("-q")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*armvcpu: console, its end*", "echo", "*armvcpu: where it is*"])
    result.stdout.no_fnmatch_line("*PASS hello*")


def test_a_test_without_a_machine_reports_none(project):
    """Though the module has two."""
    project.makepyfile(TWO_SHARED + "\n    def test_other():\n        assert 1 == 2\n")
    result = project.runpytest_inprocess("-q")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.no_fnmatch_line("*armvcpu:*")


def test_a_failure_says_what_was_expected_for_how_long(project):
    """In words about the guest, at the test's own line; every register is there once."""
    project.makepyfile(
        """
        import pytest
        @pytest.mark.armvcpu("echo.elf")
        def test_it(machine):
            machine.expect(["nev.r", "said"], timeout=0.1)
        """
    )
    result = project.runpytest_inprocess("-q")
    result.stdout.fnmatch_lines(
        [
            '>*machine.expect(*"nev.r", "said"*, timeout=0.1)',
            "E*the guest did not print 'nev.r' or 'said' within 0.1 s",
            "E*| echo: type a line; quit powers off",
            "*armvcpu: where it is*",
        ]
    )
    text = result.stdout.str()
    assert "pexpect" not in text
    assert "expect_list" not in text
    assert len(re.findall(r"x29 +0x", text)) == 1


def test_a_crash_is_in_junit_xml(project):
    """In the failure's text, which CI systems show."""
    project.makepyfile(readme_test().replace("hello.elf", "crash.elf"))
    project.runpytest_inprocess("-q", "--junit-xml=out.xml")
    (failure,) = ET.parse(project.path / "out.xml").getroot().iter("failure")
    assert "the guest has ended before it printed" in failure.text
    assert re.search(r"backtrace #0 .*\n +#1 .* call_probe", failure.text)
    assert len(re.findall(r"x29 +0x", failure.text)) == 1
    (pc,) = [
        each.get("value") for each in ET.parse(project.path / "out.xml").iter("property") if each.get("name") == "pc"
    ]
    assert pc == "PC 0x0"


def test_a_crash_that_nobody_waited_for_is_reported_as_one(project):
    """As by machine.run(), whose outcome the test has; a test without a traceback of its own has it too."""
    project.makepyfile(
        """
        import pytest
        @pytest.mark.armvcpu("crash.elf")
        def test_it(machine):
            machine.run(timeout=10)
            pytest.fail("in one line", pytrace=False)
        """
    )
    result = project.runpytest_inprocess("-q")
    result.stdout.fnmatch_lines(["in one line", "*armvcpu: how the guest ended*", "*backtrace*#0*"])
    result.stdout.no_fnmatch_line("*still runs*")


def test_a_fixture_that_fails_reports_its_machine(project):
    """As a test does."""
    project.makepyfile(
        """
        import pytest
        @pytest.fixture
        def booted(boot):
            boot("echo.elf").expect_exact("never said", timeout=0.1)
        def test_it(booted):
            pass
        """
    )
    result = project.runpytest_inprocess("-q")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ERROR at setup*", "*armvcpu: console, its end*", "*armvcpu: where it is*"])


def test_a_machine_that_the_test_has_closed_is_no_trouble(project):
    """There is only what it printed."""
    project.makepyfile(
        """
        import pytest
        @pytest.mark.armvcpu("hello.elf")
        def test_it(machine):
            machine.finish()
            machine.close()
            assert False
        """
    )
    result = project.runpytest_inprocess("-q", "--armvcpu-keep=kept")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*PASS hello*", "the test has closed its machine"])


RERUN = """
    import pytest
    attempts = []
    @pytest.mark.armvcpu("echo.elf")
    def test_it(machine):
        attempts.append(machine)
        machine.expect_exact("echo: type a line")  # which a guest prints once
        machine.sendline(f"attempt {len(attempts)}")
        machine.expect_exact(f"echo: attempt {FAILS + 1}", timeout=0.2)
    """


def test_a_rerun_has_a_fresh_machine(project):
    """pytest-rerunfailures: with nothing of the attempt before, in the report neither."""
    project.makepyfile(RERUN.replace("FAILS", "2"))
    result = project.runpytest_inprocess("-q", "--reruns", "2", "--junit-xml=out.xml")
    assert result.parseoutcomes() == {"passed": 1, "rerun": 2}
    assert "property" not in (project.path / "out.xml").read_text().split("<testcase")[-1]


def test_the_last_rerun_is_what_is_reported(project):
    """One machine, and its own console."""
    project.makepyfile(RERUN.replace("FAILS", "9"))
    result = project.runpytest_inprocess("-q", "--reruns", "1")
    assert result.parseoutcomes() == {"failed": 1, "rerun": 1}
    assert result.stdout.str().count("armvcpu: console, its end") == 1
    result.stdout.fnmatch_lines(["*armvcpu: console, its end*", "echo: attempt 2"])


def test_what_is_left_of_a_failed_test_is_kept(project):
    """Of a guest that still runs a snapshot, which the command that is shown goes on from; and nothing of a pass."""
    project.makepyfile(
        """
        import pytest
        @pytest.mark.armvcpu("echo.elf", memory="64M")
        def test_hangs(machine):
            machine.expect_exact("never said", timeout=0.2)
        @pytest.mark.armvcpu("crash.elf")
        def test_crashes(machine):
            assert machine.finish().ok
        @pytest.mark.armvcpu("hello.elf")
        def test_passes(machine):
            assert machine.finish().ok
        """
    )
    result = project.runpytest_inprocess("-q", "--armvcpu-keep=kept")
    result.assert_outcomes(failed=2, passed=1)
    kept = {
        each.name.rsplit("__test_", 1)[1]: sorted(file.name for file in each.iterdir())
        for each in (project.path / "kept").iterdir()
    }
    texts = ["console.txt", "core", "report.txt"]
    assert kept == {"hangs": [*texts, "snapshot"], "crashes": texts}
    (command,) = re.findall(r"^armvcpu (run .*--snapshot-load .*)$", result.stdout.str(), re.MULTILINE)
    assert " --memory 64M " in command
    done = subprocess.run(
        [sys.executable, "-m", "armvcpu", *shlex.split(command)],
        input="alive\rquit\r", capture_output=True, text=True, timeout=60, check=False, cwd=project.path,
    )  # fmt: skip
    assert (done.returncode, done.stdout.count("echo: type a line"), "echo: alive" in done.stdout) == (0, 0, True)


ANNOTATED = """
import os, pytest
@pytest.mark.armvcpu("crash.elf")
def test_crashes(machine):
    outcome = machine.finish()
    assert outcome.ok
@pytest.mark.armvcpu(memroy=1)
def test_wrong(machine):
    pass
@pytest.mark.flaky(reruns=1)
def test_flaky(tmp_path_factory):
    mark = tmp_path_factory.getbasetemp().parent / ("flaky-" + os.environ["MARK"])
    first = not mark.exists()
    mark.touch()
    assert not first
def test_passes():
    pass
@pytest.mark.xfail
def test_expected():
    assert False
"""


@pytest.mark.parametrize("processes", [0, 2])
def test_failures_are_annotated_at_their_lines(project, monkeypatch, processes):
    """On GitHub and in GitLab at once, with what the machine has to say, from whichever process; as suites' are."""
    monkeypatch.setenv("MARK", f"{project.path.name}-{processes}")
    project.makepyfile(test_it=ANNOTATED)
    kinds = "--armvcpu-annotate=github", "--armvcpu-annotate=gitlab:quality.json"
    result = project.runpytest_subprocess("-q", f"-n{processes}", *kinds)
    lines = sorted(each for each in result.stdout.lines if each.startswith("::"))
    assert len(lines) == 3
    crashed, wrong, flaky = lines
    assert crashed.startswith("::error file=test_it.py,line=5,title=test_crashes failed::")
    assert "%0Aa call through a null pointer" in crashed
    assert "%0APC 0x0%0Aconsole:%0A" in crashed
    assert wrong.startswith("::error file=test_it.py,line=6,title=test_wrong failed::")
    assert "no option 'memroy'" in wrong
    assert flaky.startswith("::warning file=test_it.py,line=14,title=test_flaky is flaky::attempt 1: ")
    issues = json.loads((project.path / "quality.json").read_text())
    assert sorted(each["location"]["lines"]["begin"] for each in issues) == [5, 6, 14]


@pytest.mark.parametrize("kind", ["jenkins", "gitlab", "gitlab:/nowhere/f"])
def test_a_wrong_kind_of_annotation_is_one_line(project, kind):
    result = project.runpytest_inprocess("-q", f"--armvcpu-annotate={kind}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--armvcpu-annotate {kind}: give *"])


def test_a_place_that_cannot_be_written_is_one_line(project):
    result = project.runpytest_inprocess("-q", "--armvcpu-keep=hello.elf")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--armvcpu-keep hello.elf: File exists*"])


def test_sizes_are_written_as_on_the_command_line(project):
    """In markers, parameters, and calls."""
    project.makepyfile(
        """
        import pytest
        @pytest.mark.armvcpu("hello.elf", memory="64M")
        def test_marker(machine):
            assert machine.config.memory == 64 << 20
            machine.expect_exact("64 MiB")
        @pytest.mark.parametrize("machine", [{"image": "hello.elf", "memory": "1G"}], indirect=True)
        def test_parameter(machine):
            assert machine.config.memory == 1 << 30
        def test_call(boot):
            assert boot("hello.elf", memory="32M").config.memory == 32 << 20
        """
    )
    project.runpytest_inprocess("-q").assert_outcomes(passed=3)
