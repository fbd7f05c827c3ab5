"""`run --profile`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import armvcpu

HELLO = Path(__file__).parents[2] / "guests" / "bin" / "hello.elf"


def test_a_run_writes_its_profile_and_says_where_the_time_went(tmp_path):
    """The guest's output and the status are what they are without."""
    path = tmp_path / "p.collapsed"
    plain = armvcpu("run", HELLO, "--clock", "instructions")
    done = armvcpu("run", HELLO, "--clock", "instructions", "--profile", path, "--profile-interval", 1)
    assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout)
    assert "cpu0;EL1;_start;main;" in path.read_text()
    assert done.stderr.startswith("armvcpu: profile: ")
    assert "HVC64 1" in done.stderr


def test_json_has_the_summary(tmp_path):
    """Numbers for machines."""
    done = armvcpu("run", HELLO, "--json", "--clock", "instructions", "--profile", tmp_path / "p.pb.gz")
    profile = json.loads(done.stdout.splitlines()[-1])["profile"]
    assert profile["exits"]["HVC64"]["count"] == 1
    assert profile["guest_ns"] == 4 * profile["instructions"]


def test_without_the_option_nothing_is_said():
    """Neither on stderr nor in JSON."""
    done = armvcpu("run", HELLO, "--json")
    assert done.stderr == ""
    assert "profile" not in json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--profile", "p.json"), "which says its format: p.json does not"),
        (("--profile", "nowhere/p.txt"), "--profile file nowhere/p.txt: No such file or directory; name another"),
        (("--profile", "p.txt", "--profile-interval", "0"), "--profile-interval"),
        (("--profile-interval", "x", "--profile", "p.txt"), "--profile-interval"),
        (("--profile-interval", "5"), "--profile-interval is for --profile or --report"),
        (("--script-errors", "continue"), "--script-errors is for --script, which names the file to execute"),
        (("--profile", "p.txt", "--trace", "exits:p.txt"), "that is the file of --profile; name another"),
    ],
)
def test_what_cannot_be(tmp_path, words, said):
    """Status 2 and a line, before the guest begins."""
    done = armvcpu("run", HELLO, *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_said_at_the_end(tmp_path):
    """The guest has run, and what it printed is there; the status is that of something unwritten."""
    path = tmp_path / "p.txt"
    path.symlink_to("/dev/full")
    done = armvcpu("run", HELLO, "--profile", path)
    assert done.returncode == 2
    assert "PASS hello" in done.stdout
    assert done.stderr.splitlines()[-1] == f"armvcpu: --profile file {path}: No space left on device; name another"


def test_a_crash_has_its_report_and_its_profile(tmp_path):
    """Status 3."""
    done = armvcpu("run", HELLO.with_name("crash.elf"), "--profile", tmp_path / "p.txt", "--profile-interval", 1)
    assert done.returncode == 3
    assert "armvcpu: profile: " in done.stderr
    assert (tmp_path / "p.txt").read_text()


def test_a_time_out_has_its_profile(tmp_path):
    """Status 4: it says what a guest that hangs is at."""
    path = tmp_path / "p.txt"
    done = armvcpu("run", HELLO.with_name("loops.elf"), "--timeout", 0.3, "--profile", path)
    assert done.returncode == 4
    assert "cpu0;EL1;" in path.read_text()
