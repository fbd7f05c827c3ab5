"""What a command leaves behind where it is killed, or its disk is full, and who may read what it wrote."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import armvcpu

from armvcpu.machine.files import locked, write_whole

HELLO = Path(__file__).parents[2] / "guests" / "bin" / "hello.elf"
SNAPSHOT = ("run", HELLO, "--max-instructions", "1000", "--snapshot-save")


def test_a_snapshot_is_its_owners_alone(tmp_path):
    """It has the guest's secrets, whatever the umask is."""
    done = armvcpu(*SNAPSHOT, tmp_path / "s", umask=0)
    assert done.returncode == 4
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


SAVE = """
import resource, sys
from armvcpu import Machine
from armvcpu.errors import UsageError
from armvcpu.machine.snapshots import snapshot_file
with Machine(sys.argv[1]) as machine:
    machine.run(max_instructions=1000)
    snapshot = machine.snapshot()
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        snapshot_file.save(snapshot, sys.argv[2])
    except UsageError as error:
        print(error)
"""


@pytest.mark.parametrize("before", [None, b"an old one"])
def test_a_file_that_may_not_grow_leaves_nothing_half_written(tmp_path, before):
    """As a full disk: one line, and what was there before is still there."""
    path = tmp_path / "s"
    if before is not None:
        path.write_bytes(before)
    done = subprocess.run([sys.executable, "-c", SAVE, HELLO, path], capture_output=True, text=True, check=True)
    assert f"{path}: cannot be written: File too large" in done.stdout
    assert [each.name for each in tmp_path.iterdir()] == ([] if before is None else ["s"])
    assert before is None or path.read_bytes() == before


@pytest.mark.parametrize("before", [None, b"an old one"])
def test_a_refused_recording_leaves_no_new_file(tmp_path, before):
    """An empty one would be no recording. One that was there stays, as a file."""
    path = tmp_path / "r"
    if before is not None:
        path.write_bytes(before)
    command = ["bash", "-c", 'ulimit -f 0; "$@"', "bash", sys.executable, "-m", "armvcpu"]
    done = subprocess.run([*command, "run", HELLO, "--record", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"armvcpu: {path}: cannot be written: File too large; choose another place\n"
    assert path.exists() == (before is not None)


FETCH = """
import sys, time
from pathlib import Path
from armvcpu.testing.firmware import store, debian

def download(*_):
    print("begun", flush=True)
    time.sleep(60)

debian.download = download
from armvcpu.cli import main
main(["firmware", "fetch", "u-boot"])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_fetch_that_is_killed_leaves_nothing(tmp_path, number):
    """After SIGKILL the next fetch clears away what is left."""
    environment = os.environ | {"ARMVCPU_CACHE": str(tmp_path)}
    for sent in (number, signal.SIGTERM):
        child = subprocess.Popen([sys.executable, "-c", FETCH], env=environment, stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"begun\n"
        child.send_signal(sent)
        assert child.wait(20) == (-sent if sent is signal.SIGKILL else 128 + sent)
        if sent is signal.SIGTERM:
            assert list((tmp_path / "firmware").iterdir()) == []
        child.stdout.close()


def test_a_lock_is_not_opened_through_a_link(tmp_path):
    """Whoever may write in the cache's directory would have another file of the user's emptied."""
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "mine")
    done = armvcpu("firmware", "fetch", "u-boot", env=os.environ | {"ARMVCPU_CACHE": str(tmp_path)})
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"{tmp_path}/lock: Too many levels of symbolic links" in done.stderr
    assert (tmp_path / "mine").read_text() == "precious"


def test_a_lock_keeps_others_out(tmp_path):
    program = "import sys; from pathlib import Path; from armvcpu.machine.files import locked\n"
    program += "print('asks', flush=True)\nwith locked(Path(sys.argv[1])): print('has it', flush=True)"
    with locked(tmp_path / "lock"):
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "asks\n"
        time.sleep(0.2)
        assert child.poll() is None
    assert child.communicate(timeout=20)[0] == "has it\n"


def test_a_whole_file_goes_through_a_link_and_to_a_pipe(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("file")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
    write_whole(Path("/dev/null"), b"nowhere")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "link"]


def test_a_file_behind_a_descriptor_is_written_to_as_it_is():
    """/dev/stdout and /dev/fd/N lead to a pipe by a link whose text is no name of a file (proc(5))."""
    reader, writer = os.pipe()
    try:
        write_whole(Path(f"/dev/fd/{writer}"), b"through")
        assert os.read(reader, 100) == b"through"
    finally:
        os.close(reader)
        os.close(writer)
