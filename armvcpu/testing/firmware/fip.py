"""A Firmware Image Package: the file in which Trusted Firmware-A's BL2 finds the images that it loads.

A table of contents, then the images: TF-A's "Firmware Design" ("Firmware Image Package layout") has the layout, and its
include/tools_share/firmware_image_package.h the UUIDs.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADER = Struct("<IIQ")  # name, serial number, flags
_ENTRY = Struct("<16sQQQ")  # UUID, offset from the file's start, size, flags
_NAME, _SERIAL_NUMBER = 0xAA64_0001, 0x1234_5678
MAGIC = _HEADER.pack(_NAME, _SERIAL_NUMBER, 0)[:8]
"""What a package begins with."""
_ALIGNMENT = 16
_END = UUID(int=0)

UUIDS = {
    "bl2": UUID("5ff9ec0b-4d22-3e4d-a544-c39d81c73f0a"),
    "bl31": UUID("47d4086d-4cfe-9846-9b95-2950cbbd5a00"),
    "bl32": UUID("05d0e189-53dc-1347-8d2b-500a4b7a3e38"),
    "bl32_extra1": UUID("0b70c29b-2a5a-7840-9f65-0a5682738288"),
    "bl32_extra2": UUID("8ea87bb1-cfa2-3f4d-85fd-e7bba50220d9"),
    "bl33": UUID("d6d0eea7-fcea-d54b-9782-9934f234b6e4"),
}
"""The images by their names in TF-A's Makefile: BL32 is the Secure world's system, BL33 the Non-secure one's first."""


def package(images: Mapping[str, bytes]) -> bytes:
    """The package of `images`, whose names are those of UUIDS, in their order."""
    offset = _HEADER.size + _ENTRY.size * (len(images) + 1)
    contents = _HEADER.pack(_NAME, _SERIAL_NUMBER, 0)
    body = bytearray()
    for name, image in images.items():
        contents += _ENTRY.pack(UUIDS[name].bytes, offset + len(body), len(image), 0)
        body += image + bytes(-len(image) % _ALIGNMENT)
    return contents + _ENTRY.pack(_END.bytes, offset + len(body), 0, 0) + bytes(body)
