"""QEMU's options on the command line of `run`: what each is here, and one line for what can't be had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command import armvcpu

from armvcpu.cli.run_options import read_plainly, with_ours
from armvcpu.errors import UsageError
from armvcpu.machine.config import MachineConfig

HELLO = str(Path(__file__).parents[2] / "guests" / "bin" / "hello.elf")
MIB = 1 << 20

TAKEN = {
    "-kernel Image": {"image": "Image"},
    "-m 512": {"memory": 512 * MIB},
    "-m 512M": {"memory": 512 * MIB},
    "-m 2g": {"memory": 2048 * MIB},
    "-m 2097152k": {"memory": 2048 * MIB},
    "-m size=64": {"memory": 64 * MIB},
    "-smp 2": {"cpus": 2},
    "-smp cpus=4": {"cpus": 4},
    "-cpu cortex-a53": {"cpu_model": "a53"},
    "-cpu max": {"cpu_model": "max"},
    "--cpu-model cortex-a57": {"cpu_model": "a57"},
    "-append quiet": {"append": "quiet"},
    "-initrd rd -dtb tree -bios code": {"initrd": "rd", "dtb": "tree", "firmware": "code"},
    "-M virt": {"gic": 2},
    "-M virt-7.2,gic-version=3": {"gic": 3},
    "-machine type=virt,gic-version=3,virtualization=off,accel=tcg": {"gic": 3},
    "-M virt,virtualization=on,secure=off": {"gic": 2, "el": 2},
    "-M virt,gic-version=3,secure=on,virtualization=on": {"gic": 3, "el": 3},
    "-M virt --gic 3": {"gic": 3},
    "-nographic -nodefaults -serial mon:stdio -monitor none -display none -net none -name x -accel tcg": {},
    "-M virt,secure=on,virtualization=on -serial mon:stdio -serial file:s.log": {
        "gic": 2,
        "el": 3,
        "secure_console": "s.log",
    },
    "--el 3 -serial stdio -serial null": {"el": 3, "secure_console": "/dev/null"},
    "-s -S": {"gdb": "1234", "gdb_wait": True},
    "-gdb tcp::4444": {"gdb": "4444"},
    "-gdb tcp:0.0.0.0:1,server,nowait": {"gdb": "0.0.0.0:1"},
    "-gdb unix:/tmp/s,server=on,wait=off": {"gdb": "unix:/tmp/s"},
    "-no-reboot -semihosting": {"reboot": False, "semihosting": True},
    "-semihosting-config enable=on,target=native": {"semihosting": True},
    "-semihosting-config enable=off": {},
    "-drive if=none,file=a.img,format=raw,id=d0 -device virtio-blk-device,drive=d0": {"disks": ("a.img",)},
    "-drive if=none,file=a,id=d -device virtio-blk-device,drive=d,bus=virtio-mmio-bus.7": {"disks": ("a,slot=7",)},
    "-device virtio-blk-device,drive=b -drive file=b.img,id=b,if=none,readonly=on": {"disks": ("b.img,ro",)},
    "-drive file=a,,b.img,if=virtio,format=raw": {"disks": ("a,b.img",)},
    "-drive if=pflash,format=raw,readonly=on,file=code.fd -drive if=pflash,format=raw,file=vars.fd": {
        "firmware": "code.fd",
        "vars": "vars.fd",
    },
    "-fw_cfg name=opt/x,string=a,b": {"fw_cfg": ("name=opt/x,string=a,b",)},
    "-device loader,file=F,addr=0x41000000,force-raw=on": {"loads": ("F@0x41000000",)},
    "-device guest-loader,addr=0x49000000,kernel=F,bootargs=a,,b=c": {
        "modules": ("F@0x49000000,kernel,bootargs=a,b=c",)
    },
    "-device guest-loader,addr=0x49000000,kernel=F": {"modules": ("F@0x49000000,kernel",)},
    "-device guest-loader,addr=0x4c000000,initrd=F": {"modules": ("F@0x4c000000,ramdisk",)},
    "-global virtio-mmio.force-legacy=false": {"virtio_version": 2},
    "--append -m --memory 64M": {"append": "-m", "memory": 64 * MIB},
}


@pytest.mark.parametrize(("words", "options"), TAKEN.items())
def test_qemus_options_are_ours(words, options):
    plain = read_plainly(with_ours(words.split()))
    if "--append -m" in words:  # a value that begins with a dash is left to click, and is no option of QEMU's
        assert plain is None
        assert with_ours(words.split()) == words.split()
    else:
        assert plain == options
        assert read_plainly(words.split()) == options


def test_what_stands_behind_two_dashes_is_no_option():
    assert with_ours(["-m", "64", "--", "-kernel"]) == ["--memory=64M", "--", "-kernel"]


REFUSED = {
    "-m 1G,slots=2": "nothing more can be plugged in",
    "-m": "a value belongs to it",
    "-smp 4,sockets=2": "the board's have no topology",
    "-M raspi3b": "-M raspi3b: the board is virt",
    "-M virt,secure=on": "-M secure=on: a CPU with EL3 has EL2 too here: add virtualization=on",
    "-M virt,mte=on": "-M mte=on: not to be had here; mte=off is",
    "-M virt,secure=maybe,virtualization=on": "-M secure=maybe: give on or off",
    "-M virt,gic-version=4": "give 2 or 3",
    "-cpu max,sve=off": "-cpu max",
    "-cpu cortex-a710": "a53, a57, a72, max",
    "-drive file=a.qcow2,format=qcow2": "qemu-img convert -O raw a.qcow2 NEW",
    "-drive file=a.img,if=ide": "--disk a.img",
    "-drive file=a.img,id=x,if=none": "no -device has it",
    "-drive if=none,file=a,id=d -device virtio-blk-device,drive=d,bus=pcie.0": "the buses are virtio-mmio-bus.0",
    "-device virtio-blk-device,drive=x": "no -drive has the id x",
    "-device e1000": "devices are --disk, --net and --virtio-console",
    "-device loader,file=F": "devices are --disk",
    "-device guest-loader,addr=0x49000000": "give addr=A with kernel=F and bootargs=STR, or with initrd=F",
    "-hda a.img": "a disk is --disk F",
    "-netdev user,id=n": "a network is --net user",
    "-serial pty": "the UART is on standard input and output",
    "-serial stdio -serial pty": "or its output in a file",
    "-serial file:f": "the UART is on standard input and output",
    "-serial stdio -serial file:": "or its output in a file",
    "-accel kvm": "everything is emulated here",
    "-enable-kvm": "everything is emulated here",
    "--kernel Image": "IMAGE is given by itself",
    "--bios code": "it is --firmware",
    "--smp 2": "it is --cpus",
    "--memroy 1G": "Did you mean '--memory'?",
    "-z": "No such option '-z'",
}


@pytest.mark.parametrize(("words", "problem"), REFUSED.items())
def test_what_cannot_be_had_is_one_line(words, problem):
    done = subprocess.run(
        [sys.executable, "-c", "from armvcpu.cli import main; main()", "run", *words.split()],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert problem in done.stderr


def test_a_command_line_of_qemus_boots():
    words = f"-M virt,gic-version=3 -cpu cortex-a57 -smp 2 -m 128 -nographic -no-reboot -kernel {HELLO}"
    done = armvcpu("run", *words.split())
    assert done.returncode == 0
    assert "Cortex-A57" in done.stdout
    assert "128 MiB" in done.stdout


def test_models_have_their_full_names_in_python_too():
    assert [MachineConfig.of("x", cpu_model=f"cortex-{name}").cpu_model for name in ("a53", "a72")] == ["a53", "a72"]
    with pytest.raises(UsageError, match="choose one of a53"):
        MachineConfig.of("x", cpu_model="cortex-max")
    with pytest.raises(UsageError, match="cpu_model = 72: give the name of a CPU model"):
        MachineConfig.of("x", cpu_model=72)


def test_memory_without_a_unit_is_bytes_and_the_line_says_what_is_meant():
    with pytest.raises(UsageError, match=r"memory of 512 bytes: .*; 512M\?"):
        MachineConfig.of("x", memory="512")


NOT_HERE = {
    "-m512": "no option -m512: write -m 512",
    "-smp2": "no option -smp2: write -smp 2",
    "-gdb stdio": "-gdb stdio: give tcp:HOST:PORT or unix:PATH",
    "-S": "--gdb-wait waits for a gdb that could not connect: give --gdb PORT, too",
    "--gdb nowhere": "--gdb 'nowhere' is no place for gdb to connect to",
    "--memroy 64M": "No such option '--memroy'. Did you mean '--memory'?",
    "--gbd 1": "No such option '--gbd'. Did you mean '--gdb'?",
}


@pytest.mark.parametrize(("words", "line"), NOT_HERE.items())
def test_what_is_not_here_is_one_line_that_says_so(words, line):
    done = armvcpu("run", HELLO, *words.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"armvcpu: {line}")
    assert done.stderr.count("\n") == 1


def test_an_image_without_its_command_is_told_the_command():
    done = armvcpu(HELLO)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"did you mean `armvcpu run {HELLO}`?" in done.stderr
