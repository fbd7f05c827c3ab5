"""Linux drives the virtio network interface and console: what a user of `--net` and `--virtio-console` sees."""

from __future__ import annotations

import hashlib
import http.server
import re
import threading
import time
from functools import partial

import pytest
from conversation import Conversation

from armvcpu import Machine, MemoryConsole
from armvcpu.testing.firmware import store
from armvcpu.testing.firmware.initramfs import busybox_initramfs

pytestmark = pytest.mark.firmware

MIB = 1 << 20
BUS = ("virtio_ring.ko", "virtio.ko", "virtio_mmio.ko")
NET = ("failover.ko", "net_failover.ko", "virtio_net.ko")


@pytest.fixture(scope="module")
def boot(tmp_path_factory):
    """What a machine with an initramfs of busybox, modules and a script takes: image and options."""
    for name in ("linux-cloud", "busybox"):
        store.fetch(name)

    def options(script: str, modules: tuple[str, ...]):
        initrd = tmp_path_factory.mktemp("initramfs") / "initramfs.cpio"
        paths = [store.path("linux-cloud", name) for name in modules]
        initrd.write_bytes(busybox_initramfs(store.path("busybox"), script.encode(), modules=paths))
        return {"image": store.path("linux-cloud"), "initrd": initrd, "memory": 512 * MIB}

    return options


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


@pytest.fixture
def server(tmp_path):
    """An HTTP server on the host's loopback with one file; its port and the file's MD5."""
    data = bytes(range(256)) * 4096
    (tmp_path / "file").write_bytes(data)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield httpd.server_port, hashlib.md5(data).hexdigest()
        httpd.shutdown()
        thread.join()


@pytest.mark.parametrize("version", [1, 2], ids=["legacy", "modern"])
def test_a_guest_has_an_address_and_reaches_the_host(boot, server, version):
    """DHCP from passt, and a megabyte by HTTP from the host's loopback, which is the gateway to the guest.

    The interface goes down first: Linux 6.1 may hang, on QEMU too, if it is shut down while frames arrive.
    """
    port, md5 = server
    script = f"""ip link set eth0 up
udhcpc -i eth0 -n -q && ip addr show dev eth0 | grep inet
ip route
wget -q -O - http://10.0.2.2:{port}/file | md5sum
ip link set eth0 down
poweroff -f
"""
    console = MemoryConsole()
    options = boot(script, BUS + NET)
    options |= {"append": "console=ttyAMA0 quiet", "networks": ("user",), "virtio_version": version}
    with Machine(console=console, **options) as machine:
        outcome = machine.run(timeout=60)
    said = console.output.decode()
    assert (outcome.status, md5 in said) == (0, True), said[-500:]
    assert "inet 10.0.2.15/24 " in said
    assert "default via 10.0.2.2 dev eth0" in said


def test_a_shell_on_the_virtio_console(boot):
    """Output and input by way of hvc0, while the UART is there; nothing is lost of what is typed, early or at once."""
    options = boot("exec </dev/hvc0 >/dev/hvc0 2>&1; stty -echo; exec sh", (*BUS, "virtio_console.ko"))
    text = "".join(f"line {number}\n" for number in range(300))
    with Conversation(append="console=hvc0 quiet", virtio_console=True, **options) as conversation:
        conversation.say("echo this was typed before there was a driver | tr a-z A-Z")
        conversation.expect("THIS WAS TYPED BEFORE THERE WAS A DRIVER")
        conversation.say("head -n 300 | md5sum")
        conversation.console.feed(text.encode())
        assert hashlib.md5(text.encode()).hexdigest() in conversation.expect("  -")


def test_disks_and_clock(boot, tmp_path):
    """A read-only disk stays as it is, a writable one is written to its last sector, and PL031 keeps the time."""
    disk, other = tmp_path / "read-only", tmp_path / "disk"
    contents = bytes(range(256)) * 4096
    disk.write_bytes(contents)
    other.write_bytes(contents)
    script = """echo ro $(cat /sys/block/vda/ro /sys/block/vdb/ro)
dd if=/dev/zero of=/dev/vda bs=512 count=1 2>/dev/null || echo refused
md5sum /dev/vda
dd if=/dev/zero of=/dev/vdb bs=4k seek=255 count=2 oflag=direct 2>/dev/null || echo full
echo now $(date +%s) $(cat /sys/class/rtc/rtc0/since_epoch)
date -s @1000000000 >/dev/null
hwclock -u -w
sleep 1
echo then $(cat /sys/class/rtc/rtc0/since_epoch)
hwclock -u -s
hwclock -u
poweroff -f
"""
    console = MemoryConsole()
    options = boot(script, (*BUS, "virtio_blk.ko"))
    options |= {"append": "console=ttyAMA0 quiet", "disks": (other, f"{disk},ro")}
    before = int(time.time())
    with Machine(console=console, **options) as machine:
        outcome = machine.run(timeout=60)
    said = console.output.decode().replace("\r", "")
    assert outcome.status == 0, said
    assert f"ro 1 0\nrefused\n{hashlib.md5(contents).hexdigest()}  /dev/vda\nfull\n" in said
    assert disk.read_bytes() == contents
    assert other.read_bytes() == contents[:-4096] + bytes(4096)
    system, rtc = map(int, re.search(r"now (\d+) (\d+)", said).groups())
    assert before <= rtc <= time.time()
    assert abs(system - rtc) <= 2
    assert 1_000_000_001 <= int(re.search(r"then (\d+)", said)[1]) <= 1_000_000_010
    assert "Sun Sep  9 01:46:4" in said
