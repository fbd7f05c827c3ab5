"""What a flash chip of the board tells of itself: the Common Flash Interface table (JEDEC JESD68, JEP137) and its IDs.

Each bank is two 16-bit chips side by side on a 32-bit bus, so every answer stands in both halves of a word, and one
step of the table is four bytes of the bank's addresses.
"""

from __future__ import annotations

MIB = 1 << 20
BUS_WIDTH, CHIP_WIDTH = 4, 2
"""Bytes."""
CHIPS = BUS_WIDTH // CHIP_WIDTH
BLOCK = 256 << 10
"""Bytes of a bank that are erased together: a block of each chip."""
BUFFER = 2048
"""Bytes of a bank's write buffer."""
IDENTIFIERS = (0x89, 0x18)
"""What the board's chips answer in the identifier space: Intel, and the device code of a 28F128J3."""


def query_table(bank_size: int) -> bytes:
    """The table's bytes from 0x00 on, for chips that make a bank of `bank_size` bytes together."""
    chip, blocks, chip_block = bank_size // CHIPS, bank_size // BLOCK, BLOCK // CHIPS
    table = bytearray(0x52)
    table[0x10:0x13] = b"QRY"
    table[0x13:0x17] = (0x0001).to_bytes(2, "little") + (0x0031).to_bytes(2, "little")  # Intel command set; its table
    table[0x1B:0x1D] = b"\x45\x55"  # Vcc 4.5 to 5.5 V
    table[0x1F:0x23] = bytes((7, 7, 10, 0))  # typical times: a word and a buffer 2^7 us, a block 2^10 ms
    table[0x23:0x27] = bytes((4, 4, 4, 0))  # at most 2^4 times as long
    table[0x27] = chip.bit_length() - 1
    table[0x28:0x2A] = b"\x02\x00"  # x8 and x16 interface
    table[0x2A:0x2C] = (BUFFER.bit_length() - 1).to_bytes(2, "little")
    table[0x2C] = 1  # one region of equal blocks
    table[0x2D:0x31] = (blocks - 1).to_bytes(2, "little") + (chip_block >> 8).to_bytes(2, "little")
    table[0x31:0x36] = b"PRI10"  # the Intel table, version 1.0: no optional feature
    table[0x3F] = 1  # one protection register
    return bytes(table)


def on_both_chips(value: int, width: int) -> int:
    """A chip's 16-bit answer as `width` bytes of the bus have it."""
    answer = 0
    for lane in range(0, max(width, CHIP_WIDTH), CHIP_WIDTH):
        answer |= (value & 0xFFFF) << 8 * lane
    return answer & (1 << 8 * width) - 1
