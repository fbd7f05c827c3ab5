"""A machine that gdb connects to: stops, steps, ends, and whoever else connects; by the protocol itself."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import threading
import time

import pytest
from gdb_peer import Peer, Running
from raw_guest import FOREVER, NOP, image

from armvcpu import Machine
from armvcpu.debug.gdb.address import Address, listen
from armvcpu.debug.gdb.server import Server
from armvcpu.errors import UsageError
from armvcpu.machine.console.patience import Patience
from armvcpu.machine.outcome import Ending

ECHO, HELLO, SMP, CRASH = (f"guests/bin/{name}.elf" for name in ("echo", "hello", "smp", "crash"))
PC = 32


@pytest.fixture
def served(tmp_path):
    """Makes machines that run, and their gdb servers; ends them."""
    made = []

    def serve(image=ECHO, *, wait=True, run=True, **options):
        machine = Machine(image, **options)
        said = []
        server = machine.serve_gdb(0, wait=wait, say=said.append)
        running = Running(machine)
        made.append((machine, running, run))
        if run:
            running.__enter__()
        return machine, server, running, said

    yield serve
    for machine, running, run in made:
        if run:
            running.__exit__()
        machine.close()


def pc_of(reply):
    """That a stop reply has."""
    return int.from_bytes(bytes.fromhex(reply.split(b";20:")[1][:16].decode()), "little")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("1234", Address("127.0.0.1", 1234)), (":1234", Address("127.0.0.1", 1234)), ("[::1]:5", Address("::1", 5)),
        ("0.0.0.0:0", Address("0.0.0.0", 0)), ("unix:/tmp/s", Address("", 0, "/tmp/s")),
        ("localhost:65535", Address("localhost", 65535)),
    ],
)  # fmt: skip
def test_places_to_connect_to(text, address):
    """A port alone is one of the loopback interface."""
    assert Address.of(text) == address


@pytest.mark.parametrize("text", ["", "x", "unix:", "65536", "host:", "-1", "1 2", "a:b:c", "٣", "1" * 5000])
def test_what_is_no_place_is_refused(text):
    """With what to give."""
    with pytest.raises(UsageError, match=r"give \[HOST:\]PORT or unix:PATH"):
        Address.of(text)


def test_what_can_be_no_host_is_one_line():
    """Nor a path: neither gets as far as the host's own libraries."""
    for place in ("..:1234", "unix:/tmp/\0"):
        with pytest.raises(UsageError, match=r"gdb can't connect at .*; choose another place"):
            listen(Address.of(place))


def test_a_port_in_use_is_one_line(served):
    """And the machine that has it goes on."""
    machine, server, _, _ = served()
    with Machine(HELLO) as other, pytest.raises(UsageError, match="in use"):
        other.serve_gdb(server.address)
    assert machine.is_running is not None


def test_a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not(tmp_path):
    """As after SIGKILL; it is gone when the machine is closed, and a file is never replaced."""
    path = tmp_path / "gdb"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    with Machine(HELLO) as machine:
        assert machine.serve_gdb(f"unix:{path}").address == str(path)
        with Machine(HELLO) as other, pytest.raises(UsageError, match="in use"):
            other.serve_gdb(f"unix:{path}")
    assert not path.exists()
    path.write_text("mine")
    with Machine(HELLO) as machine, pytest.raises(UsageError, match="in use"):
        machine.serve_gdb(f"unix:{path}")
    assert path.read_text() == "mine"


def test_the_run_waits_for_gdb_at_its_first_instruction(served):
    """Where gdb detaches, it goes on."""
    machine, server, running, _ = served(HELLO)
    with Peer(server.address) as peer:
        assert pc_of(peer.ask(b"?")) == machine.plan.entry
        assert machine.console.output == b""
        assert peer.ask(b"D") == b"OK"
    running.join()
    assert running.outcome.ok


def test_breakpoints_steps_and_the_end(served):
    """A breakpoint at main, some steps, its removal, and the status of the end."""
    machine, server, running, _ = served(HELLO)
    main = machine.symbols.address("main")
    with Peer(server.address) as peer:
        assert peer.ask(b"Z1,%x,4" % main) == b"OK"
        stop = peer.ask(b"vCont;c")
        assert stop.startswith(b"T05hwbreak:;thread:1;")
        assert pc_of(stop) == main
        assert pc_of(peer.ask(b"vCont;s:1;c")) == main + 4
        assert pc_of(peer.ask(b"vCont;r%x,%x:1;c" % (main, main + 0x10))) not in range(main, main + 0x10)
        assert peer.ask(b"z1,%x,4" % main) == b"OK"
        assert peer.ask(b"vCont;c") == b"W00"
    running.join()
    assert running.outcome.ok


def test_an_interrupt_stops_a_guest_that_waits(served):
    """It waits for a character, so that the run loop sleeps."""
    _, server, _, _ = served(wait=False)
    with Peer(server.address) as peer:
        assert peer.ask(b"?").startswith(b"T0")
        peer.put(b"vCont;c")
        time.sleep(0.1)
        assert peer.interrupt().startswith(b"T02thread:1;")


def test_a_search_backwards_is_interrupted(tmp_path):
    """The guest is where it was; a monitor's client that looks meanwhile interrupts nothing, and is answered after."""
    (tmp_path / "guest.bin").write_bytes(image(NOP, FOREVER))
    with Machine(tmp_path / "guest.bin", clock="instructions") as machine:
        machine.keep_history()
        desk, answers = machine.monitor.desk, []
        server = machine.serve_gdb(0, wait=True)
        looks = threading.Thread(target=lambda: answers.append(desk.ask("info history").text))
        with Running(machine), Peer(server.address) as peer:
            peer.ask(b"?")
            peer.put(b"vCont;c")
            time.sleep(0.5)
            stop = peer.interrupt()
            assert stop.startswith(b"T02")
            count = machine.instructions
            peer.put(b"bc")
            looks.start()
            time.sleep(0.05)
            assert peer.interrupt() == stop
            assert machine.instructions == count
            peer.put(b"vCont;c")
            looks.join(20)
            assert answers
            machine.quit()


def test_a_watchpoint_stops_before_the_access(served):
    """gdb steps over it, and compares; the kind is the one that gdb asked for."""
    machine, server, _, _ = served(HELLO)
    main = machine.symbols.address("main")
    with Peer(server.address) as peer:
        peer.ask(b"Z0,%x,4" % main)
        peer.ask(b"vCont;c")
        stack = int.from_bytes(bytes.fromhex(peer.ask(b"p1f").decode()), "little")
        peer.ask(b"z0,%x,4" % main)
        assert peer.ask(b"Z2,%x,10" % (stack - 16)) == b"OK"
        stop = peer.ask(b"vCont;c")
        assert stop.startswith(b"T05watch:"), stop
        assert stack - 16 <= int(stop.split(b":")[1].split(b";")[0], 16) < stack


def test_a_condition_is_looked_at_here(served):
    """A breakpoint whose condition is false never stops; one that comes to grief does."""
    machine, server, _, _ = served(HELLO)
    main = machine.symbols.address("main")
    with Peer(server.address) as peer:
        assert peer.ask(b"Z0,%x,4;X3,220027" % main) == b"OK"
        assert peer.ask(b"Z0,%x,4;X6,220022000627" % (main + 4)) == b"OK"
        assert pc_of(peer.ask(b"vCont;c")) == main + 4


def test_a_crash_is_a_stop_and_then_an_end(served):
    """The registers are there to be looked at; going on ends the run with its status."""
    _, server, running, _ = served(CRASH)
    with Peer(server.address) as peer:
        assert peer.ask(b"vCont;c").startswith(b"T0bthread:1;")
        assert len(peer.ask(b"g")) > 500
        assert peer.ask(b"vCont;c") == b"W03"
    running.join()
    assert running.outcome.ending is Ending.CRASHED


def test_gdb_that_goes_away_leaves_nothing(served):
    """Without a word, while the guest stands still: its breakpoints are gone, and the guest goes on."""
    machine, server, running, _ = served(HELLO)
    with Peer(server.address) as peer:
        peer.ask(b"Z0,%x,4" % machine.symbols.address("main"))
    running.join()
    assert running.outcome.ok


def test_gdb_that_goes_away_while_the_guest_runs_leaves_nothing(served):
    """And the next one finds it running, its time undisturbed."""
    machine, server, _, _ = served()
    with Peer(server.address) as peer:
        peer.put(b"vCont;c")
        time.sleep(0.05)
    with Peer(server.address) as peer:
        assert peer.ask(b"qC") == b"QC1"
        assert not machine.debugger.breakpoints.all


def test_a_second_gdb_is_turned_away(served):
    """With one line; the first one's session goes on."""
    _, server, _, said = served()
    with Peer(server.address) as peer:
        with pytest.raises((EOFError, ConnectionError)):
            Peer(server.address)
        assert peer.ask(b"qC") == b"QC1"
    assert said == ["gdb: another one is connected; what has connected now was turned away"]


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"\0" * 4096])
def test_whoever_does_not_speak_the_protocol_stops_nothing(garbage):
    """A browser, TLS, zeroes: the connection is closed, and the guest never stands still; a gdb has it stand."""
    pauses, patience = [], Patience()
    server = Server(listen(Address()), lambda: pauses.append(1), str, patience)
    with socket.create_connection(("127.0.0.1", server.address.port)) as intruder:
        intruder.sendall(garbage)
        with contextlib.suppress(ConnectionResetError):
            assert intruder.recv(10) == b""
    with socket.create_connection(("127.0.0.1", server.address.port)) as silent:
        assert server.take() is None
        assert pauses == []
        silent.sendall(b"+$qSupported#37")
        assert server.wait()
        assert server.take().next() == b"qSupported"
    server.close()
    assert pauses == [1]


def test_a_host_without_descriptors_takes_gdb_later():
    """Without looking for one all the time."""
    server = Server(listen(Address("127.0.0.1", 0)), lambda: None, lambda _said: None, Patience())
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.closing(server), socket.socket() as client:
        lowest = os.dup(client.fileno())
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
        try:
            client.connect(server.address[:2])
            began = time.process_time()
            time.sleep(0.3)
            used = time.process_time() - began
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        client.sendall(b"+$?#3f")
        assert server.wait()
        connection = server.take()
        assert connection is not None
        connection.close()
    assert used < 0.15


def test_garbage_in_a_session_is_answered_by_nothing(served):
    """And what comes after it is."""
    _, server, _, _ = served()
    with Peer(server.address) as peer:
        peer.socket.sendall(b"nonsense\0\xff%%\x03+" + os.urandom(2000).translate(None, b"$-"))
        assert peer.ask(b"qC") == b"QC1"


def test_time_stands_still_with_the_guest(served):
    """By the host's clock: CNTVCT_EL0 is after a stop what it was before."""
    machine, server, _, _ = served()
    with Peer(server.address) as peer:
        peer.put(b"vCont;c")
        time.sleep(0.05)
        peer.interrupt()
        before = machine.cpus[0].time.count()
        time.sleep(0.5)
        peer.put(b"vCont;c")
        time.sleep(0.05)
        peer.interrupt()
        assert (machine.cpus[0].time.count() - before) * 16 < 450_000_000


def test_gdb_kills_the_run(served):
    """As QEMU's: with status 0."""
    _, server, running, _ = served()
    with Peer(server.address) as peer:
        assert peer.ask(b"vKill;1") == b"OK"
    running.join()
    assert (running.outcome.status, running.outcome.reason) == (0, "ended from gdb")


def test_a_guest_is_run_again(served):
    """With `target extended-remote`: after a kill, and after its end."""
    machine, server, running, _ = served(HELLO)
    with Peer(server.address) as peer:
        assert peer.ask(b"!") == b"OK"
        assert peer.ask(b"vKill;1") == b"OK"
        assert peer.ask(b"?") == b"X09"
        assert pc_of(peer.ask(b"vRun;")) == machine.plan.entry
        assert peer.ask(b"vCont;c") == b"W00"
        assert peer.ask(b"qfThreadInfo") == b"l"
        assert pc_of(peer.ask(b"vRun;")) == machine.plan.entry
        assert peer.ask(b"vCont;c") == b"W00"
    running.join()
    assert machine.console.output.count(b"PASS hello") == 2


def test_the_run_can_be_ended_while_the_guest_stands_still(served):
    """From another thread, as a signal handler and Ctrl-A X do; gdb is told when the machine is closed."""
    machine, server, running, _ = served()
    with Peer(server.address) as peer:
        peer.ask(b"?")
        machine.interrupt(15)
        running.join()
        assert running.outcome.status == 128 + 15
        machine.close()
        assert peer.get() == b"X0f"


def test_time_that_the_guest_stands_still_is_none_of_its_time_out():
    """--timeout limits what the guest runs."""
    with Machine(ECHO) as machine:
        server = machine.serve_gdb(0, wait=True)
        with Running(machine, timeout=0.3) as running, Peer(server.address) as peer:
            time.sleep(0.5)
            assert peer.ask(b"qC") == b"QC1"
            assert peer.ask(b"D") == b"OK"
            running.join()
    assert running.outcome.ending is Ending.LIMIT


def test_two_cpus_are_two_threads(served):
    """Each with its registers, and a step of the one that is asked for."""
    _, server, _, _ = served(SMP, cpus=2)
    with Peer(server.address) as peer:
        assert peer.ask(b"qfThreadInfo") == b"m1,2"
        peer.ask(b"Hg2")
        assert peer.ask(b"p20") == b"0" * 16
        assert b"switched off" in bytes.fromhex(peer.ask(b"qThreadExtraInfo,2").decode())
