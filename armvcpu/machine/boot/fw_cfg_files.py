"""The files that the firmware configuration device has: the board's own, and those of `--fw-cfg`."""

from __future__ import annotations

from armvcpu.arch.idregs import model
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.fw_cfg import BOOT_ORDER
from armvcpu.errors import UsageError, named
from armvcpu.machine.board.smbios import smbios_files
from armvcpu.machine.board.virt import RAM_BASE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from armvcpu.devices.fw_cfg import FwCfg
    from armvcpu.machine.config import MachineConfig

LARGEST = 1 << 30
"""Bytes of a file of the user's."""


def fill_fw_cfg(device: FwCfg, config: MachineConfig, boot: Mapping[str, bytes]) -> None:
    """Its files, and what firmware is to boot. ImageError: one can't be read. UsageError: it is the board's."""
    device.add_files(_files(config))
    device.add_boot(boot)


def _files(config: MachineConfig) -> dict[str, bytes]:
    midr = model(config.cpu_model).MIDR_EL1
    name = "Cortex-" + config.cpu_model.upper() if config.cpu_model != "max" else "max"
    files = {BOOT_ORDER: b"", **smbios_files(config.cpus, midr, name, RAM_BASE, config.memory)}
    return {**files, **_users(config, files)} if config.fw_cfg else files


def _users(config: MachineConfig, taken: dict[str, bytes]) -> dict[str, bytes]:
    from pathlib import Path

    from armvcpu.machine.boot.image_file import read_file
    from armvcpu.machine.fw_cfg_option import USERS, FwCfgOption

    files = {}
    for each in map(FwCfgOption.parse, config.fw_cfg):
        if each.name in taken:
            raise UsageError(f"{named('fw_cfg')} {each.name}: the board has that itself; take a name with {USERS}")
        if not each.name.startswith(USERS):
            import logging

            logging.getLogger(__name__).warning(
                "armvcpu: fw_cfg %s: names of your own begin with %s; firmware has the others", each.name, USERS
            )
        is_text = each.file is None
        files[each.name] = each.text.encode() if is_text else read_file(Path(str(each.file)), LARGEST, "fw_cfg")
    return files
