"""Linux drives the virtio network interface and console: what a user of `--net` and `--virtio-console` sees."""

from __future__ import annotations

import hashlib
import http.server
import threading
from functools import partial

import pytest
from conversation import Conversation

from armvcpu import Machine, MemoryConsole
from armvcpu.testing import firmware
from armvcpu.testing.initramfs import busybox_initramfs

pytestmark = pytest.mark.firmware

MIB = 1 << 20
BUS = ("virtio_ring.ko", "virtio.ko", "virtio_mmio.ko")
NET = ("failover.ko", "net_failover.ko", "virtio_net.ko")


@pytest.fixture(scope="module")
def boot(tmp_path_factory):
    """What a machine with an initramfs of busybox, modules and a script takes: image and options."""
    for name in ("linux-cloud", "busybox"):
        firmware.fetch(name)

    def options(script: str, modules: tuple[str, ...]):
        initrd = tmp_path_factory.mktemp("initramfs") / "initramfs.cpio"
        paths = [firmware.path("linux-cloud", name) for name in modules]
        initrd.write_bytes(busybox_initramfs(firmware.path("busybox"), script.encode(), modules=paths))
        return {"image": firmware.path("linux-cloud"), "initrd": initrd, "memory": 512 * MIB}

    return options


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):  # noqa: A002
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
udhcpc -i eth0 -n -q -s /bin/true && echo leased
ip addr add 10.0.2.15/24 dev eth0
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
    assert (outcome.status, "leased" in said, md5 in said) == (0, True, True), said[-500:]


def test_a_shell_on_the_virtio_console(boot):
    """Output and input by way of hvc0, while the UART is there; nothing that is typed is lost."""
    options = boot("exec </dev/hvc0 >/dev/hvc0 2>&1; stty -echo; exec sh", (*BUS, "virtio_console.ko"))
    text = "".join(f"line {number}\n" for number in range(300))
    with Conversation(append="console=ttyAMA0 quiet", virtio_console=True, **options) as conversation:
        conversation.expect("# ")
        conversation.say("head -n 300 | md5sum")
        conversation.console.feed(text.encode())
        assert hashlib.md5(text.encode()).hexdigest() in conversation.expect("  -")
