"""What U-Boot's test/py may know of the board `qemu_arm64`, identity `armvcpu`."""

env__net_uses_usb = False
env__net_uses_pci = False
env__net_dhcp_server = False
env__efi_loader_helloworld_file = None
