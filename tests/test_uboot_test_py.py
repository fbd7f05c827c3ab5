"""U-Boot's own test suite, test/py, drives armvcpu as a board through the hooks of examples/u-boot-test-py."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from armvcpu.testing.firmware import store

HOOKS = Path("examples/u-boot-test-py").absolute()
ELSEWHERE = (
    "tests/test_efi_selftest.py::test_efi_selftest_tcg2",  # needs a TPM, and can't be told that there is none
    "tests/test_tpm2.py::test_tpm2_startup",  # the same
    "tests/test_net.py::test_net_ping",  # needs a host that lets passt send pings (net.ipv4.ping_group_range)
    "tests/test_ut.py::test_ut_dm_init_bootstd",  # makes a disk for sandbox on the host, with qemu-img
    "tests/test_fit_hashes.py",  # mkimage on the host
    "tests/test_fit_ecdsa.py",  # mkimage on the host
)
"""What this host or board has not; docs/testing.md says how they fare."""
PARTS = ("/test/py/", "/scripts/env2string.awk")
"""Of the source: the tests, and the one file outside that those which run here read."""
AREAS = {
    "the prompt": ["test_version", "test_help", "test_shell_run", "test_md_repeat", "test_unknown_command"],
    "the shell": ["test_hush_if_test[test aaa = bbb-False]", "test_env_set_non_existent", "test_env_import_whitelist"],
    "devices": ["test_qfw_cpus", "test_qfw_list", "test_dm_uclass", "test_part_types"],
    "a reset, and the time": ["test_efi_selftest_watchdog_reboot", "test_efi_selftest_text_input_ex"],
    "UEFI, with a network and a random number generator": ["test_efi_selftest", "test_efi_helloworld_builtin"],
    "a network": ["test_net_dhcp", "test_efi_setup_dhcp"],
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory) -> dict[str, str]:
    """`passed`, `skipped`, `failure` or `error` of each of its tests."""
    for name in ("u-boot", "u-boot-source"):
        store.fetch(name)
    source = tmp_path_factory.mktemp("u-boot")
    build = source / "build"
    (build / "include").mkdir(parents=True)
    (build / "include/autoconf.mk").touch()
    (build / "u-boot.bin").symlink_to(store.path("u-boot", "u-boot.bin"))
    (build / ".config").write_bytes(gzip.decompress(store.path("u-boot", "config.gz").read_bytes()))
    with tarfile.open(store.path("u-boot-source")) as archive:
        members = [member for member in archive if any(part in member.name for part in PARTS)]
        archive.extractall(source, members, filter="data")
    (test_py,) = source.glob("*/test/py")
    environment = {
        **os.environ,
        "ARMVCPU": str(Path(sys.executable).parent / "armvcpu"),
        "PATH": f"{HOOKS}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(HOOKS),
    }
    # What its test.py does, without pkg_resources, which newer setuptools lack.
    command = [sys.executable, "-m", "pytest", str(test_py / "tests"), "-c", str(test_py / "pytest.ini")]
    command += ["--bd", "qemu_arm64", "--id", "armvcpu"]
    command += ["--build-dir", str(build), "--junit-xml", str(build / "junit.xml"), "-p", "no:armvcpu"]
    command += [f"--ignore={test_py / test}" if test.endswith(".py") else f"--deselect={test}" for test in ELSEWHERE]
    done = subprocess.run(
        command, env=environment, cwd=source, check=False, capture_output=True, text=True, errors="replace", timeout=500
    )
    assert (build / "junit.xml").exists(), done.stdout[-4000:] + done.stderr[-4000:]
    if done.returncode:
        print(done.stdout[-20000:])
    return {
        case.get("name", ""): next((said.tag for said in case if said.tag in ("failure", "error", "skipped")), "passed")
        for case in ET.parse(build / "junit.xml").iter("testcase")
    }


@pytest.mark.slow
@pytest.mark.firmware
def test_none_fails(verdicts):
    """And the rest is not just skipped: 109 pass with U-Boot 2023.01."""
    assert [name for name, verdict in verdicts.items() if verdict not in ("passed", "skipped")] == []
    assert sum(verdict == "passed" for verdict in verdicts.values()) >= 100


@pytest.mark.slow
@pytest.mark.firmware
@pytest.mark.parametrize("area", AREAS)
def test_each_area_has_run(verdicts, area):
    """Tests whose passing shows that the board has it."""
    assert {name: verdicts.get(name) for name in AREAS[area]} == dict.fromkeys(AREAS[area], "passed")
