"""The hook scripts for U-Boot's test/py do what it expects of them (test/py/u_boot_console_exec_attach.py)."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from armvcpu.testing.firmware import store

HOOKS = Path("examples/u-boot-test-py").absolute()
BOARD = ["qemu_arm64", "armvcpu"]


def environment(build: Path) -> dict[str, str]:
    armvcpu = Path(sys.executable).parent / "armvcpu"
    return {**os.environ, "U_BOOT_BUILD_DIR": str(build), "ARMVCPU": str(armvcpu)}


@pytest.mark.firmware
def test_a_console_is_a_board_that_has_just_been_reset():
    """The banner, the prompt, an answer; a second console begins anew."""
    store.fetch("u-boot")
    for _ in range(2):
        console = pexpect.spawn(
            str(HOOKS / "u-boot-test-console"), BOARD, env=environment(store.path("u-boot").parent), timeout=30
        )
        console.expect(rb"U-Boot 20\d\d")
        console.expect(b"Hit any key to stop autoboot")
        console.send(b"\x03")
        console.expect_exact(b"=> ")
        console.send(b"echo he''llo\n")
        console.expect(rb"\nhello\r*\n=> ")
        console.close(force=True)


@pytest.mark.parametrize("hook", ["u-boot-test-reset", "u-boot-test-flash"])
def test_the_other_hooks_succeed(hook):
    """test/py calls both before it talks."""
    assert subprocess.run([HOOKS / hook, *BOARD], check=False).returncode == 0


def test_a_missing_build_is_one_line(tmp_path):
    """With what to do."""
    done = subprocess.run(
        [HOOKS / "u-boot-test-console", *BOARD], check=False, capture_output=True, text=True, env=environment(tmp_path)
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "build U-Boot" in done.stderr


@pytest.mark.parametrize(
    ("options", "words", "network"),
    [(None, ["--net", "user"], True), ("", [], False), ("--cpus 2 --net user,udp=1", ["--cpus", "2", "--net"], True)],
)
def test_the_board_and_its_description_agree(tmp_path, monkeypatch, options, words, network):
    """Whether there is a network: on armvcpu's command line, and in what test/py is told."""
    (tmp_path / "u-boot.bin").touch()
    echo = {**environment(tmp_path), "ARMVCPU": "echo"}
    monkeypatch.delenv("U_BOOT_ARMVCPU_OPTIONS", raising=False)
    echo.pop("U_BOOT_ARMVCPU_OPTIONS", None)
    if options is not None:
        monkeypatch.setenv("U_BOOT_ARMVCPU_OPTIONS", options)
        echo["U_BOOT_ARMVCPU_OPTIONS"] = options
    said = subprocess.run([HOOKS / "u-boot-test-console", *BOARD], check=True, capture_output=True, text=True, env=echo)
    assert said.stdout.split()[: 3 + len(words)] == ["run", "--firmware", str(tmp_path / "u-boot.bin"), *words]
    described = runpy.run_path(str(HOOKS / "u_boot_boardenv_qemu_arm64_armvcpu.py"))
    assert ("env__net_dhcp_server" in described, "env__net_static_env_vars" in described) == (network, network)
