"""Suites on a Dask cluster: a scheduler and workers in processes of their own, and what becomes of those."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from armvcpu import cli
from armvcpu.errors import UsageError
from armvcpu.testing.firmware import programs
from armvcpu.testing.suite import cluster as suite_cluster
from armvcpu.testing.suite import worker as suite_worker
from armvcpu.testing.suite import worker_files
from armvcpu.testing.suite.cluster import cluster
from armvcpu.testing.suite.host_files import HostFiles
from armvcpu.testing.suite.run import run_suite
from armvcpu.testing.suite.suite import Case, Step, Suite, load_suite
from armvcpu.testing.suite.worker_files import FileCache, SentFile

pytestmark = pytest.mark.slow  # and a part of .ci/run

GUESTS = Path("guests/bin").absolute()
HELLO, ECHO = ({"image": str(GUESTS / f"{name}.elf"), "cpus": 1} for name in ("hello", "echo"))
CLI = [sys.executable, "-m", "armvcpu", "test"]

MIXED = f"""
[suite]
name = "mixed"
timeout = 20
[[test]]
name = "smp"
image = "{GUESTS}/smp.elf"
cpus = [1, 2]
[[test]]
name = "echo"
image = "{GUESTS}/echo.elf"
end = "running"
script = [{{ sendline = "hi there" }}, {{ expect_exact = "hi there", timeout = 5 }}]
[[test]]
name = "crash"
image = "{GUESTS}/crash.elf"
[[test]]
name = "never ends"
image = "{GUESTS}/echo.elf"
timeout = 0.5
[[test]]
name = "says something else"
image = "{GUESTS}/hello.elf"
script = [{{ expect = "Good bye" }}]
[[test]]
name = "no snapshot"
image = "{GUESTS}/hello.elf"
snapshot = "suite.toml"
[[test]]
name = "no device tree"
image = "{GUESTS}/hello.elf"
dtb = "suite.toml"
[[test]]
name = "no disk"
image = "{GUESTS}/hello.elf"
disks = ["suite.toml"]
"""


def until(what, seconds=15.0):
    end = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)
    return answer


class Processes:
    """A scheduler and workers."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.directory, self._environment = directory, {**os.environ, **environment}
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", "there")
        self.address = json.loads(until(lambda: self._text("there")))["address"]

    def _text(self, name: str) -> str:
        path = self.directory / name
        return path.read_text() if path.exists() else ""

    def _start(self, kind: str, *options: str) -> subprocess.Popen[bytes]:
        with (self.directory / f"{kind}{len(self.workers)}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--no-dashboard", *options],
                cwd=self.directory, env=self._environment, stdout=log, stderr=log,
            )  # fmt: skip

    def add_workers(self, count: int) -> None:
        first = len(self.workers)
        for _ in range(count):
            options = ("--no-nanny", "--nthreads", "1", "--local-directory", "workers")
            self.workers.append(self._start("worker", self.address, *options))
        until(lambda: all("Registered to" in self._text(f"worker{first + each}.log") for each in range(count)))

    def guests(self, worker: subprocess.Popen[bytes]) -> list[psutil.Process]:
        return psutil.Process(worker.pid).children()

    def places(self) -> list[Path]:
        return list(self.directory.glob("workers/dask-scratch-space/*/armvcpu/case-*"))

    def kept(self) -> dict[Path, int]:
        found = self.directory.glob("workers/dask-scratch-space/*/armvcpu/" + "?" * 64)
        return {path: path.stat().st_ino for path in found}

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@contextmanager
def processes(directory: Path, workers: int, **environment: str):
    started = Processes(directory, **environment)
    try:
        started.add_workers(workers)
        yield started
    finally:
        started.end()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A cluster of two workers with a thread each."""
    with processes(tmp_path_factory.mktemp("cluster"), 2) as started:
        yield started


def kill_with_guest(worker: subprocess.Popen[bytes], number: int) -> None:
    """SIGKILL for a worker that has its `number`th guest, which has to go with it."""
    process, seen = psutil.Process(worker.pid), set()
    until(lambda: seen.update(process.children()) or len(seen) >= number)
    time.sleep(0.3)
    guests = process.children()
    assert guests
    worker.kill()
    assert worker.wait(5) == -signal.SIGKILL
    assert not psutil.wait_procs(guests, 5)[1]


def waits(name: str, seconds: float) -> Case:
    return Case(name, ECHO, (Step("expect_exact", "echo"), Step("wait", str(seconds))), end="running")


def test_the_verdicts_are_those_of_a_local_run(two, tmp_path):
    """With the paths that the suite knows, consoles and reports; status 1 for the failed ones."""
    path, report = tmp_path / "suite.toml", tmp_path / "out.xml"
    path.write_text(MIXED)
    command = [*CLI, path, "--json", "--junit-xml", report, "--report", tmp_path / "p.html", "--scheduler", two.address]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")
    there = {test["name"]: test for test in json.loads(done.stdout)["tests"]}
    here = {verdict.name: verdict for verdict in run_suite(load_suite(path), 1)}
    assert len(there) == 9
    assert {name: test["problem"] for name, test in there.items()} == {
        name: verdict.problem for name, verdict in here.items()
    }
    assert there["echo"]["console"] == here["echo"].console
    assert "backtrace" in there["crash"]["report"]
    assert {case.get("name") for case in ET.parse(report).getroot().findall(".//testcase")} == set(here)
    page = (tmp_path / "p.html").read_text()
    assert page.count('<details class="test"') == 9
    assert page.count("call_probe+0x1c") > 1
    assert until(lambda: not two.places())


def test_no_file_travels_to_a_worker_twice(two, caplog):
    """Not for another test, and not in another run."""
    caplog.set_level(logging.INFO, "armvcpu.suite")
    suite = Suite("s", tuple(Case(f"{number}", {"image": str(GUESTS / "sysreg.elf")}) for number in range(4)))
    kept = []
    for _ in range(2):
        with cluster(two.address) as run:
            assert all(verdict.passed for verdict in run(suite))
        kept.append(two.kept())
    sent = [record.getMessage() for record in caplog.records if "sending" in record.getMessage()]
    assert len(sent) in {1, 2}  # all may have gone to one worker
    assert len(sent) == len(set(sent))
    assert kept[0].items() <= kept[1].items()


def test_a_lost_worker_loses_no_verdict(two):
    """The test that it had runs elsewhere."""
    two.add_workers(1)
    third = two.workers[-1]
    suite = Suite("s", tuple(waits(name, 1.5) for name in "abc") + tuple(Case(name, HELLO) for name in "de"))
    with ThreadPoolExecutor() as pool, cluster(two.address) as run:
        killing = pool.submit(kill_with_guest, third, 1)
        verdicts = list(run(suite))
        killing.result()
    assert sorted((verdict.name, verdict.problem) for verdict in verdicts) == [(name, "") for name in "abcde"]


@pytest.mark.parametrize(("times", "problem"), [(1, ""), (2, "its process was lost, twice")])
def test_a_lost_process_is_no_lost_worker(two, times, problem):
    """The test runs once more there."""
    workers = [psutil.Process(worker.pid) for worker in two.workers[:2]]

    def kill() -> None:
        for _ in range(times):
            guests = until(lambda: [guest for worker in workers for guest in worker.children()])
            guests[0].kill()
            psutil.wait_procs(guests, 5)

    with ThreadPoolExecutor() as pool, cluster(two.address) as run:
        killing = pool.submit(kill)
        (verdict,) = run(Suite("s", (waits("a", 0.5),)))
        killing.result()
    assert verdict.problem == problem


def test_a_test_has_its_retries_and_leaves_its_words(two, tmp_path):
    """On its worker, each attempt in a process of its own; --keep has console and report here."""
    path = tmp_path / "suite.toml"
    path.write_text(f"[[test]]\nname='a'\nimage='{HELLO['image']}'\nstatus=7\nretries=2\n")
    command = [*CLI, path, "--json", "--keep", tmp_path / "kept", "--scheduler", two.address]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    (verdict,) = json.loads(done.stdout)["tests"]
    assert verdict["earlier"] == [verdict["problem"]] * 2
    assert (verdict["flaky"], verdict["kept"]) == (False, f"kept in {tmp_path}/kept/suite-a")
    assert {each.name for each in (tmp_path / "kept" / "suite-a").iterdir()} == {"console.txt", "report.txt"}
    assert "PASS hello" in (tmp_path / "kept" / "suite-a" / "console.txt").read_text()


def test_a_new_worker_takes_over_from_the_last_one(tmp_path):
    """As one that its nanny has started again; the files of the test follow."""
    with processes(tmp_path, 1) as one, ThreadPoolExecutor() as pool, cluster(one.address) as run:
        killing = pool.submit(kill_with_guest, one.workers[0], 1)
        killing.add_done_callback(lambda _: one.add_workers(1))
        (verdict,) = run(Suite("s", (waits("a", 1.5),)))
        killing.result()
    assert verdict.problem == ""


def test_ctrl_c_leaves_nothing_behind(two, tmp_path):
    """No guest, no copies of files, and workers that are free; status 130."""
    path = tmp_path / "suite.toml"
    waiting = 'image = "{}"\nend = "running"\nscript = [{{ wait = 50 }}]\n'.format(ECHO["image"])
    path.write_text("".join(f'[[test]]\nname = "{name}"\n{waiting}' for name in "abcd"))
    left = set(two.places())  # by workers that were killed
    with subprocess.Popen([*CLI, path, "--scheduler", two.address], stdout=-1, stderr=-1, text=True) as command:
        until(lambda: all(two.guests(worker) for worker in two.workers[:2]))
        command.send_signal(signal.SIGINT)
        assert command.wait(10) == 130
        assert command.stderr.read().strip() == ""
    until(lambda: not any(two.guests(worker) for worker in two.workers[:2]) and set(two.places()) <= left, 5)
    with cluster(two.address) as run:
        start = time.monotonic()
        assert all(verdict.passed for verdict in run(Suite("s", (Case("a", HELLO),))))
        assert time.monotonic() - start < 5


def test_without_workers_what_is_finished_is_reported(tmp_path, monkeypatch):
    """A test that loses its workers fails, the others are named, and the status is 2."""
    monkeypatch.setattr(suite_cluster, "PATIENCE", 1.0)
    path, report = tmp_path / "suite.toml", tmp_path / "out.xml"
    test = f'[[test]]\nname = "{{}}"\nimage = "{ECHO["image"]}"\nend = "running"\nscript = [{{{{ wait = {{}} }}}}]\n'
    path.write_text(test.format("short", 0.1) + test.format("long", 50) + test.format("later", 0.1))
    never = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with processes(tmp_path, 1, **never) as one, ThreadPoolExecutor() as pool:
        killing = pool.submit(kill_with_guest, one.workers[0], 2)
        arguments = ["test", str(path), "--scheduler", one.address, "--junit-xml", str(report)]
        result = CliRunner().invoke(cli.cli, arguments)
        killing.result()
    assert isinstance(result.exception, UsageError)
    assert "is lost: it has had no worker for 1 s; without a verdict: later" in str(result.exception)
    cases = ET.parse(report).getroot().findall(".//testcase")
    assert [case.get("name") for case in cases] == ["short", "long"]
    assert cases[0].find("failure") is None
    assert cases[1].find("failure").get("message") == "its worker was lost; attempts: 1"


def test_a_guest_that_outlives_its_time_out_is_killed(tmp_path, monkeypatch):
    """Its process only."""
    monkeypatch.setattr(suite_worker, "GRACE", -59.0)
    verdict = suite_worker._in_child(Case("a", ECHO), tmp_path, lambda: False)
    assert "after its time-out" in verdict.problem
    left = [
        process.as_dict(["cmdline"], ad_value=[])["cmdline"] for process in psutil.Process().children()
    ]  # [] of a zombie
    assert not [words for words in left if str(tmp_path) in words]


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1", "foo://127.0.0.1:1", "tcp://127.0.0.1:1"])
def test_a_scheduler_that_is_none_is_one_line(address, monkeypatch):
    """Soon."""
    monkeypatch.setattr(suite_cluster, "CONNECT", 0.5)
    with (
        pytest.raises(UsageError, match=f"--scheduler {address}: no Dask scheduler there: ") as error,
        cluster(address),
    ):
        pass
    assert "\n" not in str(error.value)


def test_a_silent_scheduler_is_one_line(monkeypatch, tmp_path):
    """Soon, and with status 2."""
    monkeypatch.setattr(suite_cluster, "CONNECT", 0.5)
    path = tmp_path / "suite.toml"
    path.write_text(MIXED)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(SystemExit) as end:
        cli.main(["test", str(path), "--scheduler", f"tcp://127.0.0.1:{silent.getsockname()[1]}"])
    assert end.value.code == 2


def test_without_dask_it_says_what_to_install(tmp_path):
    """And imports it only when it is asked for."""
    path = tmp_path / "suite.toml"
    path.write_text(f'[[test]]\nname = "a"\nimage = "{HELLO["image"]}"')
    for options, status in ((["--scheduler", "tcp://127.0.0.1:1"], 2), ([], 0)):
        block = "import sys; sys.modules['distributed'] = None; from armvcpu.cli import main"
        program = f"{block}; main({['test', str(path), *options]})"
        done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=30)
        said = "armvcpu: --scheduler needs Dask, which is not installed: pip install 'armvcpu[dask]'\n"
        assert (done.returncode, done.stderr) == (status, said if status else "")


def test_a_disk_that_the_suite_describes_travels_as_an_image(tmp_path):
    """Made once; with `,ro` a file is no copy."""
    (tmp_path / "some.cfg").write_text("configuration")
    (tmp_path / "disk").write_bytes(bytes(512))
    files = HostFiles(tmp_path)
    disks = ({"etc/a.cfg": f"{tmp_path}/some.cfg"}, f"{tmp_path}/disk,ro", f"{tmp_path}/none")
    one, other = (files.sent(Case(name, {**HELLO, "disks": disks})).options for name in "ab")
    assert one == other
    made, read, missing = one["disks"]
    shown = subprocess.run(
        [programs.path("mtype"), "-i", files.path(made), "::etc/a.cfg"], check=True, capture_output=True
    )
    assert shown.stdout == b"configuration"
    assert (made.writable, made.behind) == (True, "")
    assert (read.path, read.writable, read.behind) == (f"{tmp_path}/disk", False, ",ro")
    assert (missing.path, missing.sum) == (f"{tmp_path}/none", "")


def test_a_file_travels_with_the_words_beside_its_name(tmp_path):
    """An item of fw_cfg, bytes at an address, symbols; a text stays."""
    data = tmp_path / "data"
    data.write_bytes(b"some")
    given = {"fw_cfg": (f"opt/a={data}", "opt/b,string=text"), "loads": (f"{data}@0x48000000",), "symbols": str(data)}
    sent = HostFiles(tmp_path).sent(Case("a", given)).options
    cache = FileCache(tmp_path / "cache")
    (cache.directory / sent["symbols"].sum).write_bytes(b"some")
    item, text = sent["fw_cfg"]
    here = [cache.place(file, tmp_path / str(n)) for n, file in enumerate((item, *sent["loads"], sent["symbols"]))]
    assert here == [f"opt/a={tmp_path}/0", f"{tmp_path}/1@0x48000000", f"{tmp_path}/2"]
    assert [(tmp_path / str(n)).read_bytes() for n in range(3)] == [b"some"] * 3
    assert text == "opt/b,string=text"


def test_a_workers_machine_has_an_item_of_a_file(two, tmp_path):
    """From the suite's file to the worker's guest, whose test passes only with it."""
    (tmp_path / "data").write_bytes(b"item")
    suite = tmp_path / "suite.toml"
    suite.write_text(f"[[test]]\nname='a'\nimage='{GUESTS}/hello.elf'\nfw_cfg=['opt/a=data', 'opt/b,string=text']\n")
    with cluster(two.address) as run:
        (verdict,) = run(load_suite(suite))
    assert verdict.problem == ""
    (tmp_path / "data").unlink()
    with cluster(two.address) as run:
        (verdict,) = run(load_suite(suite))
    assert f"{tmp_path}/data" in verdict.problem


class TestFileCache:
    """What a worker keeps."""

    @staticmethod
    def keep(cache: FileCache, data: bytes) -> SentFile:
        found = hashlib.sha256(data).hexdigest()
        assert cache.keep(found, "me", 0, zlib.compress(data)) == ""
        return SentFile("f", found)

    def test_pieces_become_a_file_with_holes(self, tmp_path, monkeypatch):
        monkeypatch.setattr(worker_files, "PIECE", 1 << 20)
        cache, data = FileCache(tmp_path / "cache"), b"a" * (1 << 20) + bytes(2 << 20)
        found = hashlib.sha256(data).hexdigest()
        for offset in range(0, (3 << 20) + 1, 1 << 20):
            assert cache.lacks(SentFile("f", found))
            assert cache.keep(found, "me", offset, zlib.compress(data[offset : offset + (1 << 20)])) == ""
        assert not cache.lacks(SentFile("f", found))
        cache.place(SentFile("f", found, writable=True), tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == data
        assert (tmp_path / "copy").stat().st_blocks * 512 < 2 << 20

    def test_what_has_another_sum_is_not_kept(self, tmp_path):
        cache = FileCache(tmp_path)
        assert "changed" in cache.keep("0" * 64, "me", 0, zlib.compress(b"x"))
        assert list(tmp_path.iterdir()) == []

    def test_a_test_writes_to_its_own_copy(self, tmp_path):
        cache = FileCache(tmp_path / "cache")
        kept = self.keep(cache, b"x" * 512)
        for name in "ab":
            place = cache.place(SentFile("f", kept.sum, writable=True), tmp_path / name)
            assert Path(place).read_bytes() == b"x" * 512
            Path(place).write_bytes(b"y")
        place = cache.place(SentFile("f", kept.sum, behind=",ro"), tmp_path / "c")
        assert place == f"{tmp_path}/c,ro"
        assert (tmp_path / "c").read_bytes() == b"x" * 512

    def test_what_was_not_used_for_longest_goes(self, tmp_path):
        cache = FileCache(tmp_path, capacity=25)
        first, second = self.keep(cache, b"1" * 10), self.keep(cache, b"2" * 10)
        for age, file in ((9, first), (5, second)):
            os.utime(tmp_path / file.sum, (time.time() - age,) * 2)
        third = self.keep(cache, b"3" * 10)
        assert [cache.lacks(file) for file in (first, second, third)] == [True, False, False]


@pytest.mark.firmware
def test_a_disk_is_each_tests_own(two, tmp_path):
    """What a guest writes is gone with it; the suite's file stays as it is."""
    disk = tmp_path / "disk.img"
    disk.write_bytes(b"\x11" * (1 << 20))
    look = ["virtio read 0x48000000 0 1", "md.b 0x48000000 4"]
    script = [Step("expect_exact", "Hit any key"), Step("send", "x")]
    for line in ("virtio scan", *look, "11 11", "mw.b 0x48000000 0x5a 0x200", "virtio write 0x48000000 0 1",
                 "mw.b 0x48000000 0 4", *look, "5a 5a", "poweroff"):  # fmt: skip
        is_shown = line in {"11 11", "5a 5a"}
        script += (
            [Step("expect_exact", f"0: {line}")] if is_shown else [Step("expect_exact", "=> "), Step("sendline", line)]
        )
    options = {"firmware": "@u-boot/u-boot.bin", "disks": (str(disk),)}
    with cluster(two.address) as run:
        verdicts = list(run(Suite("s", tuple(Case(name, options, tuple(script)) for name in "abc"))))
    assert [verdict.problem for verdict in verdicts] == [""] * 3
    assert disk.read_bytes() == b"\x11" * (1 << 20)
