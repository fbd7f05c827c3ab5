"""Suites of firmware tests: what they may say, how they go, and what is told of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from contextlib import nullcontext
from pathlib import Path

import pytest
from command import armvcpu

from armvcpu import Machine
from armvcpu.errors import UsageError
from armvcpu.machine.snapshots import snapshot_file
from armvcpu.testing.firmware import programs, store
from armvcpu.testing.suite import annotations
from armvcpu.testing.suite import case as suite_case
from armvcpu.testing.suite import run as suite_run
from armvcpu.testing.suite.case import Verdict, run_case, with_retries
from armvcpu.testing.suite.files import check_files, real_files
from armvcpu.testing.suite.reports import junit_xml, line, summary
from armvcpu.testing.suite.run import run_suite
from armvcpu.testing.suite.script import Step
from armvcpu.testing.suite.suite import Case, Suite, load_suite

GUESTS = Path("guests/bin").absolute()
HELLO = {"image": str(GUESTS / "hello.elf"), "cpus": 1}

GOOD = f"""
[suite]
name = "guests"
timeout = 20
[[test]]
name = "hello"
image = "{GUESTS}/hello.elf"
memory = "64M"
script = [{{ expect = "memory .* 64 MiB" }}, {{ expect_exact = "PASS hello" }}]
[[test]]
name = "smp"
image = "{GUESTS}/smp.elf"
cpus = [1, 2]
[[test]]
name = "echo"
image = "{GUESTS}/echo.elf"
end = "running"
script = [{{ expect_exact = "echo" }}, {{ sendline = "hi there" }}, {{ expect_exact = "hi there", timeout = 5 }}]
"""


@pytest.fixture
def write(tmp_path):
    def written(text: str) -> Path:
        path = tmp_path / "suite.toml"
        path.write_text(text)
        return path

    return written


def test_a_suite_is_read(write):
    """Options, scripts, a test for each number of CPUs."""
    suite = load_suite(write(GOOD))
    assert suite.name == "guests"
    assert [case.name for case in suite.cases] == ["hello", "smp[1]", "smp[2]", "echo"]
    assert suite.cases[0].options["memory"] == 64 << 20
    assert suite.cases[3].script[2] == Step("expect_exact", "hi there", 5.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = ", "no TOML"),
        ("[tests]", "no such table: tests"),
        ("[suite]", r"no \[\[test\]\]"),
        ("[suite]\ncolour = 1\n[[test]]", "has no colour"),
        ("[[test]]\nimage = 'a'", "test 1: it needs a name"),
        ("[[test]]\nname = 'a'", "test a: it needs an image or firmware"),
        ("[[test]]\nname = 'a'\nimage = 'a'\ncpu = 2", "test a: no option 'cpu'; there are .*cpus"),
        ("[[test]]\nname = 'a'\nimage = 'a'\nscript = [{ say = 'x' }]", "test a: step 1 is none of expect"),
        ("[[test]]\nname = 'a'\nimage = 'a'\nscript = [{ expect = 3 }]", "test a: step 1: 3 is no text"),
        ("[[test]]\nname = 'a'\nimage = 'a'\ntimeout = -1", "test a: -1 is no time"),
        ("[[test]]\nname = 'a'\nimage = 'a'\nend = 'well'", "test a: end is one of off, running, crashed"),
        ("[suite]\nretries = -1\n[[test]]\nname = 'a'\nimage = 'a'", r"\[suite\]: retries is a number from 0 to 100"),
        ("[[test]]\nname = 'a'\nimage = 'a'\ndisks = ['@disk/d']", r"test a: no \[disk.d\] .*; there are none"),
        ("[disk.d]\n[disk.e]\n[[test]]\nname = 'a'\nimage = 'a'\ndisks = '@disk/f'", "there are d, e"),
        ("[disk]\na = 'b'\n[[test]]\nname = 'a'\nimage = 'a'", r"each \[disk.NAME\] is a table"),
        ("[disk.d]\ngrub.cfg = 'a'\n[[test]]\nname = 'a'\nimage = 'a'", "disk d: grub: .* is no file name"),
        ("[[test]]\nname = 'a'\nimage = 'a'\n[[test]]\nname = 'a'\nimage = 'a'", "two tests are called 'a'"),
        ("[suite]\nname = 3\n[[test]]\nname = 'a'\nimage = 'a'", "name = 3: it is text"),
        *(
            (f"[[test]]\nname = 'a'\nimage = 'a'\n{line}", f"test a: {words}")
            for line, words in [
                ("append = 3", "append = 3: give text"),
                ("networks = 3", "networks = .*: give a tuple, each of it text"),
                ("cpu_model = ['a72']", "cpu_model = .* give the name of a CPU model"),
                ("load_address = '0x40080000'", "load_address = .* give a number"),
                ("reboot = 'no'", "reboot = 'no': give true or false"),
                ("memory = [1]", "memory = .* give a number"),
                ("memory = '12Q'", "memory: '12Q' is no size"),
                ("memory = 1000", "memory of 1000 bytes: a multiple of 1 MiB"),
                ("virtio_version = 3", "virtio_version = 3: give 1 or 2"),
                ("cpus = true", "cpus is a number"),
                ("cpus = []", "cpus is a number"),
                ("cpus = [1, 99]", "cpus 99: 1 to 32"),
                ("clock = 'fast'", "clock = 'fast': give 'host' or 'instructions'"),
                ("status = true", "status is a number"),
                ("retries = true", "retries is a number"),
                ("report = 'x'", 'report is that of a crash: write end = "crashed" too'),
                ("end = 'crashed'\nreport = '('", r"report: '\(' is no regular expression"),
                ("machine = 1", "no option 'machine'"),
                ("record = 'f'", "no option 'record'"),
                ("script = [{ expect = '(' }]", r"step 1: '\(' is no regular expression"),
            ]
        ),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(write, text, words):
    """Before anything runs."""
    with pytest.raises(UsageError, match=words) as error:
        load_suite(write(text))
    assert "suite.toml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("image = 'x'", "test a: image: .*/x: no such file"),
        ("firmware = '@nothing/x'", "test a: firmware: no firmware called 'nothing'"),
        ("firmware = '@u-boot/x'", "test a: firmware: u-boot has no file 'x'"),
        ("firmware = 'suite.toml'\ndisks = 'y,ro'", "test a: disks: .*/y: no such file"),
        ("firmware = 'suite.toml'\ndisks = 'suite.toml,rw'", "test a: disks: .*'rw' is no word for a disk"),
        ("firmware = 'suite.toml'\ndisks = '@disk/d'\n[disk.d]\nf = 'z'", "test a: f: .*/z: no such file"),
        ("firmware = 'suite.toml'\nvars = 'made'\ninitrd = '@initramfs'", None),
        ("image = 'suite.toml'\nfw_cfg = 'opt/a=nowhere'", "test a: fw_cfg: .*/nowhere: no such file"),
        ("image = 'suite.toml'\nloads = 'nowhere@0x48000000'", "test a: loads: .*/nowhere: no such file"),
        ("image = '.'", "test a: image: .*: is a directory"),
        ("firmware = 'suite.toml'\nvars = 'suite.toml'", "test a: vars: .*/suite.toml: has .* bytes, not the 67108864"),
        (
            "firmware = 'suite.toml'\ndisks = '@disk/d'\n[disk.d]\n'a:b' = 'suite.toml'",
            "disks: 'a:b' is no name on a FAT",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_found_before_anything_runs(write, option, words):
    """One line with the test and the option."""
    path = write(f"[[test]]\nname = 'a'\n{option}")
    (case,) = load_suite(path).cases
    with nullcontext() if words is None else pytest.raises(UsageError, match=words):
        check_files(case, str(path))


def test_a_test_goes_on_from_a_snapshot(write, tmp_path):
    """A machine that was booted once; a snapshot of another one fails with a line."""
    with Machine(GUESTS / "echo.elf") as machine:
        machine.run(timeout=0.2)
        snapshot_file.save(machine.snapshot(), tmp_path / "echo.snap")
    test = f"[[test]]\nname='NAME'\nimage='{GUESTS}/echo.elf'\nsnapshot='echo.snap'\n"
    test += "script=[{sendline='on'},{expect='echo: on'},{sendline='quit'}]\n"
    path = write(test.replace("NAME", "a") + test.replace("NAME", "b") + "gic=2\n")
    done = armvcpu("test", path)
    assert done.returncode == 1
    assert "1 passed, 1 failed" in done.stdout
    assert "echo.snap: the snapshot is one of another machine: its gic is 3, here it is 2" in done.stdout


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_and_leaves_nothing(write, tmp_path, number, jobs):
    """No process, no temporary file, half a report; the status says which it was."""
    made = tmp_path / "made"
    made.mkdir()
    tests = (f"[[test]]\nname='{name}'\nimage='{GUESTS}/echo.elf'\n" for name in "abc")
    command = [sys.executable, "-m", "armvcpu", "test", write("".join(tests)), "-j", str(jobs)]
    with subprocess.Popen(
        [*map(str, command), "--junit-xml", str(tmp_path / "report.xml")],
        env={**os.environ, "TMPDIR": str(made)}, stdout=subprocess.PIPE, process_group=0,
    ) as child:  # fmt: skip
        deadline = time.monotonic() + 30
        while len(list(made.glob("armvcpu-*/armvcpu-*"))) < jobs and time.monotonic() < deadline:
            time.sleep(0.02)
        child.send_signal(number)
        output, _ = child.communicate(timeout=20)
        assert (child.returncode, output) == (128 + number, b"")  # nobody holds the pipe
    assert list(made.iterdir()) == []
    assert not (tmp_path / "report.xml").exists()


def test_the_pool_ends_with_the_command(write, tmp_path):
    """Also where nothing can be done any more."""
    path = write(f"[[test]]\nname='a'\nimage='{GUESTS}/echo.elf'\n")
    command = [sys.executable, "-m", "armvcpu", "test", str(path)]
    with subprocess.Popen(command, env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE) as child:
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob("armvcpu-*/armvcpu-*")) and time.monotonic() < deadline:
            time.sleep(0.02)
        child.kill()
        child.communicate(timeout=20)
    assert not list(tmp_path.glob("armvcpu-*"))


def test_a_report_goes_where_it_can_or_is_one_line(write, tmp_path):
    """A device stays a device."""
    path = write(f"[[test]]\nname='a'\nimage='{GUESTS}/hello.elf'\n")
    done = armvcpu("test", path, "--junit-xml", "/dev/stdout")
    assert "<testsuites>" in done.stdout
    done = armvcpu("test", path, "--junit-xml", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_a_missing_suite_is_one_line():
    """With its name."""
    with pytest.raises(UsageError, match="/nowhere: cannot be read"):
        load_suite("/nowhere")


def test_disks_of_the_suite_are_made_of_files_beside_it(write, tmp_path):
    """Each use is a disk of its own."""
    (tmp_path / "some.cfg").write_text("configuration")
    suite = load_suite(
        write("[disk.d]\n'etc/a.cfg' = 'some.cfg'\n[[test]]\nname='t'\nimage='i'\ndisks=['@disk/d', 'b', '@disk/d']")
    )
    assert suite.cases[0].options["disks"] == (made := {"etc/a.cfg": f"{tmp_path}/some.cfg"}, f"{tmp_path}/b", made)
    one, other, two = real_files(suite.cases[0].options, tmp_path)["disks"]
    assert (one != two, other) == (True, f"{tmp_path}/b")
    for disk in (one, two):
        shown = subprocess.run([programs.path("mtype"), "-i", disk, "::etc/a.cfg"], check=True, capture_output=True)
        assert shown.stdout == b"configuration"


def test_every_file_of_a_test_is_beside_its_suite(write, tmp_path, monkeypatch):
    """With other words beside its name too; what is no file stays as it is."""
    monkeypatch.chdir("/")
    (tmp_path / "data").write_bytes(b"beside")
    (tmp_path / "map").write_text("0000000040080000 T begin\n")
    path = write(
        f"[[test]]\nname='a'\nimage='{GUESTS}/hello.elf'\nsymbols='map'\nloads=['data@0x48000000']\n"
        "fw_cfg=['opt/a=data', 'name=opt/b,file=data', 'opt/c,string=data', 'opt/d=@some/data']\n"
    )
    (case,) = load_suite(path).cases
    data = tmp_path / "data"
    wanted = (f"opt/a={data}", f"name=opt/b,file={data}", "opt/c,string=data", "opt/d=@some/data")
    assert case.options["fw_cfg"] == wanted
    assert case.options["loads"] == (f"{data}@0x48000000",)
    monkeypatch.setattr(store, "fetch", lambda name: tmp_path)
    monkeypatch.setattr(store, "path", lambda name, file: tmp_path / file)
    options = real_files(case.options, tmp_path)
    assert options["fw_cfg"] == (*wanted[:3], f"opt/d={data}")
    with Machine(**options) as machine:
        assert machine.read(0x4800_0000, 6) == b"beside"
        assert list(machine.board.fw_cfg.items.values()).count(b"beside") == 3
        assert machine.symbols.address("begin") == 0x4008_0000


@pytest.mark.parametrize("key", ["vars", "disks"])
def test_what_the_guest_may_write_is_no_file_of_the_cache(tmp_path, monkeypatch, key):
    """A copy; what it only reads is the file itself."""
    monkeypatch.setattr(store, "fetch", lambda name: tmp_path)
    monkeypatch.setattr(store, "path", lambda name, file: tmp_path / file)
    (tmp_path / "f").write_text("contents")
    options = real_files({key: "@some/f", "firmware": "@some/f", "append": "x", "cpus": 1}, tmp_path)
    copied = Path(str(options.pop(key)))
    assert options == {"firmware": tmp_path / "f", "append": "x", "cpus": 1}
    assert (copied != tmp_path / "f", copied.read_text()) == (True, "contents")


def test_what_is_wrong_with_a_disk_is_the_verdict(tmp_path):
    """As with any other file."""
    verdict = run_case(Case("a", {**HELLO, "disks": ({"a": "/nowhere"},)}))
    assert verdict.problem == "/nowhere: No such file or directory"


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        (Case("a", HELLO), ""),
        (Case("a", HELLO, (Step("expect", "Good bye"),)), "step 1, expect 'Good bye': the guest has ended"),
        (Case("a", HELLO, status=3), "it ended with status 0, not 3"),
        (Case("a", {"image": str(GUESTS / "crash.elf")}, status=3), ""),
        (Case("a", {"image": str(GUESTS / "crash.elf")}, end="crashed", status=None, report="call_probe"), ""),
        (
            Case("a", {"image": str(GUESTS / "crash.elf")}, end="crashed", status=None, report="zz+"),
            "report has no 'zz+'",
        ),
        (Case("a", {"image": str(GUESTS / "crash.elf")}, end="crashed", status=4), "it ended with status 3, not 4"),
        (Case("a", HELLO, end="crashed", status=None), "it ended with status 0, not by a crash: the guest powered off"),
        (Case("a", {"image": "/nowhere"}), "/nowhere"),
        (Case("a", {"image": str(GUESTS / "echo.elf")}, timeout=0.2), "the guest did not end"),
    ],
)
def test_a_verdict_says_what_was_wrong(case, problem):
    """And nothing where all was well."""
    verdict = run_case(case)
    assert problem in verdict.problem
    assert verdict.passed == (not problem)


def test_a_crash_is_reported_with_its_verdict():
    """Exception, registers, backtrace."""
    verdict = run_case(Case("a", {"image": str(GUESTS / "crash.elf")}))
    assert "backtrace" in verdict.report
    assert "crash: going wild" in verdict.console


def test_a_guest_that_hangs_is_reported_where_it_is():
    """PC with its symbol, registers, backtrace, though it has not crashed."""
    verdict = run_case(Case("a", {"image": str(GUESTS / "echo.elf")}, (Step("expect", "never", 0.2),)))
    assert verdict.problem == "step 1, expect 'never': the guest has not printed it in 0.2 s"
    assert re.fullmatch(r"PC 0x40[0-9a-f]{6} \w+(\+0x[0-9a-f]+)?", verdict.place)
    assert "x29 0x" in verdict.report
    assert re.search(r"backtrace #0 .*\n.* main", verdict.report)


def test_what_went_wrong_each_time_is_told_once():
    """In full of the last attempt."""
    verdict = Verdict("a", "the end of it", 1.0, earlier=("too slow", "the end of it"))
    assert verdict.attempts == ["attempt 1: too slow", "attempt 2: the same"]
    assert line(verdict).count("the end of it") == 1


def failing(times: int):
    """What fails so often, and then passes."""
    problems = iter(["too slow", "too slow again", "still too slow"][:times])
    return lambda case: Verdict(case.name, next(problems, ""), 1.0, "words")


def test_retries_give_a_test_more_attempts():
    """As many as it may have, and no more; what went wrong before is kept, and time is all of it."""
    flaky = with_retries(Case("a", HELLO, retries=2), failing(2))
    assert (flaky.passed, flaky.flaky, flaky.earlier) == (True, True, ("too slow", "too slow again"))
    assert flaky.seconds == 3.0
    failed = with_retries(Case("a", HELLO, retries=1), failing(3))
    assert (failed.problem, failed.flaky, failed.earlier) == ("too slow again", False, ("too slow",))
    passed = with_retries(Case("a", HELLO, retries=2), failing(0))
    assert (passed.flaky, passed.earlier) == (False, ())


def test_each_attempt_has_a_fresh_disk(write, tmp_path):
    """Made anew: what the first attempt wrote is gone. So is what it had made."""
    path = write(
        f"[suite]\nretries = 1\n[disk.d]\na = '{GUESTS}/hello.elf'\n"
        f"[[test]]\nname = 'a'\nimage = '{GUESTS}/hello.elf'\nstatus = 7\ndisks = '@disk/d'\n"
    )
    (case,) = load_suite(path).cases
    seen = []
    real = suite_case.TemporaryDirectory

    def noted(**options):
        made = real(**options)
        seen.append(made.name)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suite_case, "TemporaryDirectory", noted)
        verdict = run_case(case)
    assert verdict.earlier == (verdict.problem,)
    assert len(set(seen)) == 2
    assert not any(Path(each).exists() for each in seen)


def test_a_flaky_pass_is_marked_everywhere():
    """In the lines, the summary, JUnit XML and on GitHub; JSON has a field."""
    suite = Suite("s", (Case("a", HELLO, line=3), Case("b", HELLO)))
    verdicts = [Verdict("a", "", 1.0, earlier=("too slow",)), Verdict("b", "", 1.0)]
    assert line(verdicts[0]) == "FLAKY a (1.00 s)\n    attempt 1: too slow"
    assert summary(suite, verdicts) == "s: 2 passed, 0 failed, 1 of the passed flaky"
    root = ET.fromstring(junit_xml(suite, Path("s.toml"), verdicts))
    assert [each.get("message") for each in root.iter("flakyFailure")] == ["too slow"]
    assert root.find("testsuite").get("failures") == "0"
    assert [annotations.github(each) for each in annotations.of_suite(suite, Path("s.toml"), verdicts)] == [
        "::warning file=s.toml,line=3,title=s%3A a is flaky::attempt 1: too slow"
    ]


def test_github_is_told_in_one_line_with_its_escapes():
    """% and ends of lines in what is said, colons and commas in what it is called besides."""
    suite = Suite("a: b, c", (Case("50%", HELLO, line=7),))
    verdict = Verdict("50%", "100% wrong", 1.0, "one\r\ntwo: 2\r\n", "registers", "PC 0x0 main")
    assert [annotations.github(each) for each in annotations.of_suite(suite, Path("s,1.toml"), [verdict])] == [
        "::error file=s%2C1.toml,line=7,title=a%3A b%2C c%3A 50%25 failed"
        "::100%25 wrong%0APC 0x0 main%0Aconsole:%0Aone%0Atwo: 2"
    ]


def test_gitlab_has_a_code_quality_report():
    """With all that it asks for: description, check_name, fingerprint, severity, path and line."""
    suite = Suite("s", (Case("a", HELLO, line=7), Case("b", HELLO)))
    told = annotations.of_suite(suite, Path("s.toml"), [Verdict("a", "wrong", 1.0), Verdict("b", "", 1.0)])
    (issue,) = json.loads(annotations.gitlab(list(told)))
    assert issue["location"] == {"path": "s.toml", "lines": {"begin": 7}}
    assert (issue["severity"], issue["check_name"]) == ("major", "armvcpu-test")
    assert issue["description"] == "s: a failed: wrong"
    assert len(issue["fingerprint"]) == 64


def test_names_of_files_begin_at_the_repositorys_root(monkeypatch, tmp_path):
    """As a runner says where that is."""
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    suite = Suite("s", (Case("a", HELLO),))
    (told,) = annotations.of_suite(suite, tmp_path / "tests" / "s.toml", [Verdict("a", "wrong", 1.0)])
    assert "file=tests/s.toml,line=1," in annotations.github(told)


def die_once(case: Case) -> Verdict:
    """Ends its process the first time."""
    mark = Path(case.options["mark"])
    if case.name == "dies" and not mark.exists():
        mark.touch()
        os._exit(9)
    return Verdict(case.name, "", 0.0)


def die_always(case: Case) -> Verdict:
    """Ends its process each time."""
    if case.name == "dies":
        os._exit(9)
    return Verdict(case.name, "", 0.0)


def test_a_lost_process_loses_no_verdict(tmp_path, monkeypatch):
    """Its tests run again."""
    monkeypatch.setattr(suite_run, "run_case", die_once)
    options = {"mark": str(tmp_path / "mark")}
    suite = Suite("s", tuple(Case(name, options) for name in ("a", "b", "dies", "c")))
    verdicts = list(run_suite(suite, 2))
    assert sorted(verdict.name for verdict in verdicts) == ["a", "b", "c", "dies"]
    assert all(verdict.passed for verdict in verdicts)


def test_a_test_that_always_loses_its_process_fails(monkeypatch):
    """And the others pass."""
    monkeypatch.setattr(suite_run, "run_case", die_always)
    suite = Suite("s", tuple(Case(name, {}) for name in ("a", "dies", "b")))
    verdicts = {verdict.name: verdict for verdict in run_suite(suite, 2)}
    assert {name: verdict.passed for name, verdict in verdicts.items()} == {"a": True, "b": True, "dies": False}
    assert "lost" in verdicts["dies"].problem


def test_the_command_runs_it_and_writes_junit_xml(write, tmp_path):
    """Plain lines where there is no terminal; status 0."""
    report = tmp_path / "out.xml"
    done = armvcpu("test", write(GOOD), "--junit-xml", report, "-j", 2)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "guests: 4 passed, 0 failed"
    cases = ET.parse(report).getroot().findall(".//testcase")
    assert {case.get("name") for case in cases} == {"hello", "smp[1]", "smp[2]", "echo"}


def test_a_failure_is_status_1_with_the_consoles_end(write):
    """As text and as JSON."""
    suite = write(f"[[test]]\nname='a'\nimage='{GUESTS}/hello.elf'\nscript=[{{expect='Good bye'}}]")
    done = armvcpu("test", suite)
    assert done.returncode == 1
    assert "FAIL a" in done.stdout
    assert "| PASS hello" in done.stdout
    facts = json.loads(armvcpu("test", suite, "--json").stdout)
    assert facts["tests"][0]["problem"].startswith("step 1, expect 'Good bye'")


def test_a_failure_is_annotated_at_its_line_and_kept(write, tmp_path):
    """With --json the annotations go to the other stream; a suite's second test begins at its own line."""
    suite = write(f"[[test]]\nname='a'\nimage='{GUESTS}/hello.elf'\n[[test]]\nname='b'\nimage='{GUESTS}/crash.elf'")
    done = armvcpu("test", suite, "--annotate", "github", "--json", "--keep", tmp_path / "kept")
    assert done.returncode == 1
    place_and_title = r"::error file=.*suite.toml,line=4,title=suite%3A b failed::"
    what, hint, pc = re.fullmatch(place_and_title + "(.*)", done.stderr.splitlines()[0])[1].split("%0A")[:3]
    assert what.startswith("it ended with status 3, not 0: undefined instruction or unknown reason at 0x0, called from")
    assert "in call_probe+0x1c" in what
    assert hint.startswith("a call through a null pointer")
    assert pc == "PC 0x0"
    verdicts = {each["name"]: each for each in json.loads(done.stdout)["tests"]}
    assert verdicts["b"]["place"] == "PC 0x0"
    assert verdicts["a"]["kept"] == ""
    place = tmp_path / "kept" / "suite-b"
    assert {each.name for each in place.iterdir()} == {"console.txt", "report.txt", "core"}
    assert "going wild" in (place / "console.txt").read_text()
    assert "backtrace" in (place / "report.txt").read_text()
    for others in ([], ["--annotate", "github"]):  # in either order, and both are done
        done = armvcpu("test", suite, "--annotate", f"gitlab:{tmp_path}/quality.json", *others)
        (told,) = json.loads((tmp_path / "quality.json").read_text())
        assert told["location"]["lines"]["begin"] == 4
        assert ("::error" in done.stdout) == bool(others)
        (tmp_path / "quality.json").unlink()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-k", "zzz"), "no test has 'zzz'"),
        (("-j", "0"), "-j"),
        (("--annotate", "jenkins"), "--annotate jenkins: give github or gitlab:F"),
        (("--annotate", "gitlab"), "--annotate gitlab: give github or gitlab:F"),
        (("--annotate", "gitlab:/nowhere/f"), "give a file in a directory that can be written"),
        (("--keep", "/dev/null"), "--keep /dev/null: File exists"),
    ],
)
def test_wrong_usage_is_status_2(write, options, words):
    """One line."""
    done = armvcpu("test", write(GOOD), *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


@pytest.mark.slow
@pytest.mark.firmware
def test_the_projects_own_suite_passes():
    """U-Boot, EDK2 and Linux from Debian's packages."""
    done = armvcpu("test", "firmware/boot.toml", "-j", 2, timeout=300)
    assert done.returncode == 0, done.stdout
