"""The pytest plugin, as a project that uses it sees it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
    """The README's test for an own ELF."""
    found = re.search(r"```python\n(import pytest\n.*?)```", README, re.DOTALL)
    assert found
    return found[1]


def test_the_readmes_test_passes(project):
    """Ten lines, verbatim."""
    code = readme_test()
    assert len(code.strip().splitlines()) <= 12
    project.makepyfile(code)
    project.runpytest_inprocess("-q").assert_outcomes(passed=1)


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
    "decorator",
    ['armvcpu("hello.elf", cpu=2)', 'parametrize("machine", [{"image": "hello.elf", "cpu": 2}], indirect=True)'],
)
def test_an_unknown_option_fails_at_collection(project, decorator):
    """One line with the options that there are; nothing runs."""
    project.makepyfile(f"import pytest\n@pytest.mark.{decorator}\ndef test_it(machine):\n    pass\n")
    result = project.runpytest_inprocess("-q")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no option 'cpu' of a machine; there are *cpus*"])


def test_a_second_image_fails_at_collection(project):
    project.makepyfile("import pytest\n@pytest.mark.armvcpu('hello.elf', 'two')\ndef test_it(machine):\n    pass\n")
    result = project.runpytest_inprocess("-q")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*the marker armvcpu has one image*"])


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
        @pytest.mark.armvcpu("echo.elf")
        def test_silent(machine):
            with pytest.raises(TIMEOUT):
                machine.expect_exact("never said", timeout=0.1)
        def test_after():
            assert [t.name for t in threading.enumerate() if "armvcpu" in t.name] == []
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
