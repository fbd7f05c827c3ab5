"""What U-Boot's test/py may know of the board `qemu_arm64`, identity `armvcpu`."""

import os

env__tpm_device_test_skip = True  # there is none

if "--net user" in os.environ.get("U_BOOT_ARMVCPU_OPTIONS", "--net user"):  # as in u-boot-test-console
    env__net_dhcp_server = True
    env__net_static_env_vars = [
        ("ipaddr", "10.0.2.15"),
        ("netmask", "255.255.255.0"),
        ("gatewayip", "10.0.2.2"),
        ("serverip", os.environ.get("U_BOOT_ARMVCPU_SERVER", "10.0.2.2")),
    ]
