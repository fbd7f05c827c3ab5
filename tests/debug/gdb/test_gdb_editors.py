"""The settings that docs/gdb.md has for editors, tried: by gdb's machine interface, which cppdbg and Emacs speak."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from gdb_peer import plain

from armvcpu import Machine
from armvcpu.debug.gdb.packets import Reader, framed
from armvcpu.testing.firmware import programs

HELLO = Path("guests/bin/hello.elf").absolute()
DOCS = Path("docs/gdb.md").read_text()


def settings(title):
    """A block of the page, with this host's file and port in it."""

    def of(port):
        text = re.search(rf'^```\w+ title="{title}"\n(.*?)^```', DOCS, re.DOTALL | re.MULTILINE)[1]
        text = text.replace("${workspaceFolder}/hello.elf", "hello.elf").replace("hello.elf", str(HELLO))
        text = text.replace("${workspaceFolder}", str(HELLO.parent)).replace("localhost:1234", f"localhost:{port}")
        return text.replace("gdb-multiarch", programs.path("gdb-multiarch"))

    return of


@pytest.fixture
def port():
    """That of a run that waits for gdb."""
    process = subprocess.Popen(
        [sys.executable, "-m", "armvcpu", "run", str(HELLO), "--gdb", "0", "--gdb-wait"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield int(process.stderr.readline().rpartition(":")[2])
    process.kill()
    process.communicate()


class Mi:
    """gdb by its machine interface, GDB manual chapter 27: commands, and records that come back."""

    def __init__(self, words):
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._token = 0

    def ask(self, command):
        """The result record of a command."""
        self._token += 1
        self._process.stdin.write(f"{self._token}{command}\n")
        self._process.stdin.flush()
        return self.wait(f"{self._token}^")

    def wait(self, beginning):
        """The next record that begins so."""
        seen = []
        for line in self._process.stdout:
            seen.append(line)
            if line.startswith(beginning):
                return line[len(beginning) :].strip()
        raise AssertionError("".join(seen))

    def close(self):
        """End it."""
        self._process.kill()
        self._process.communicate()


def look_around(mi):
    """What an editor does: a breakpoint, go on to it, threads, stack, registers, memory, a step, the end."""
    assert mi.ask('-break-insert -f "main"').startswith("done,bkpt=")
    assert mi.ask("-exec-continue").startswith("running")
    assert 'reason="breakpoint-hit"' in mi.wait("*stopped")
    assert 'name="cpu0"' in mi.ask("-thread-info")
    assert 'func="main"' in mi.ask("-stack-list-frames 0 1000")
    assert '"VBAR_EL1"' in mi.ask("-data-list-register-names")
    assert mi.ask("-data-list-register-values x").startswith("done")
    assert 'contents="' in mi.ask("-data-read-memory-bytes $sp 64")
    assert "asm_insns" in mi.ask("-data-disassemble -s $pc -e $pc+32 -- 0")
    assert mi.ask("-exec-next-instruction").startswith("running")
    assert 'reason="end-stepping-range"' in mi.wait("*stopped")
    assert mi.ask("-exec-continue").startswith("running")
    assert 'reason="exited-normally"' in mi.wait("*stopped")


def test_vs_codes_cppdbg(port):
    """As Microsoft's MIEngine begins a session with these settings."""
    (configuration,) = json.loads(settings("cppdbg")(port))["configurations"]
    assert (configuration["type"], configuration["MIMode"]) == ("cppdbg", "gdb")
    mi = Mi([configuration["miDebuggerPath"], "-nx", "--interpreter=mi"])
    for each in configuration["setupCommands"]:
        assert mi.ask(each["text"]).startswith("done")
    assert mi.ask("-gdb-set mi-async on").startswith("done")
    assert mi.ask(f'-file-exec-and-symbols "{configuration["program"]}"').startswith("done")
    assert mi.ask(f"-target-select remote {configuration['miDebuggerServerAddress']}").startswith("connected")
    look_around(mi)
    mi.close()


def test_emacs(port):
    """Its command line, as it is, with nothing of the user's own."""
    words = shlex.split(json.loads(re.search(r'^\(gdb (".*")\)$', settings("Emacs")(port), re.MULTILINE)[1]))
    mi = Mi([*words, "-nx"])
    mi.wait("*stopped")
    look_around(mi)
    mi.close()


def test_lldbs_own_packets():
    """What LLDB asks of a stub before it uses one: CodeLLDB's `gdb-remote`. It takes registers from the description."""
    (configuration,) = json.loads(settings("CodeLLDB")(1234))["configurations"]
    assert configuration["processCreateCommands"] == ["gdb-remote localhost:1234"]
    with Machine(HELLO) as machine:
        server = machine.serve_gdb(0)
        with socket.create_connection(("127.0.0.1", int(server.address[1:]))) as peer:
            peer.sendall(b"+" + framed(b"QStartNoAckMode"))
            runner = threading.Thread(target=machine.run, kwargs={"timeout": 20})
            runner.start()
            reader, replies = Reader(), []
            for packet in (b"qSupported:xmlRegisters=i386,arm,mips,arc;multiprocess+", b"QThreadSuffixSupported",
                           b"QListThreadsInStopReply", b"qHostInfo", b"vCont?", b"qVAttachOrWaitSupported",
                           b"qProcessInfo", b"qC", b"qfThreadInfo", b"qsThreadInfo", b"?", b"qMemoryRegionInfo:0",
                           b"k"):  # fmt: skip
                peer.sendall(framed(packet))
            while data := peer.recv(1 << 16):
                replies += [plain(each) for each in reader.feed(data) if isinstance(each, bytes)]
            runner.join()
    assert replies[0] == b"OK"
    assert b"qXfer:features:read+" in replies[1]
    assert b"triple:" in replies[4]
    assert replies[11].startswith(b"T05")
