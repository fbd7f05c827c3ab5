"""A Firmware Image Package as TF-A's BL2 reads it ("Firmware Design", "Firmware Image Package layout")."""

from __future__ import annotations

import struct

from armvcpu.testing.firmware.fip import package


def test_each_image_is_where_its_entry_says():
    """A header, an entry of 40 bytes for each image, and one of zeroes, whose offset is the file's size."""
    images = {"bl2": b"\x02" * 5, "bl33": b"\x33" * 32}
    made = package(images)
    assert made[:16] == struct.pack("<IIQ", 0xAA640001, 0x12345678, 0)
    entries = [struct.unpack_from("<16sQQQ", made, 16 + 40 * each) for each in range(3)]
    assert entries[0][0].hex() == "5ff9ec0b4d223e4da544c39d81c73f0a"
    assert entries[1][0].hex() == "d6d0eea7fcead54b97829934f234b6e4"
    assert [made[offset : offset + size] for _, offset, size, _ in entries[:2]] == list(images.values())
    assert entries[0][1] == 16 + 3 * 40
    assert entries[2] == (bytes(16), len(made), 0, 0)
