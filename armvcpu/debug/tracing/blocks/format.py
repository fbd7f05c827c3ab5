"""The file of a block trace. All numbers are little-endian.

    armvcpu-blocks 1                                   16 bytes, and a newline
    chunk...

    chunk     kind u8, vcpu u8, unused u16, size u32, then `size` bytes
    H         JSON: `image` and `symbols`, the names of files; `clock`; `vcpus`
    B         blocks, each: number u32, PC u64, count of instructions u16, length of the name u16, then the
              instruction words, u32 each, and the name, UTF-8: the symbol at PC, as `main+0x10`; empty: none is known
    R         what a vCPU has executed: u64, how many instructions the machine had executed before, since power-on
              (all ones: they are not counted), then entries of u32: the number of a block that has begun; or bit 31
              and a number: the block before, of the last chunk it may be, was left behind so many instructions
    E         the end; a file without it has been cut off

A block is described before it is first named; its number is the file's own. The whole is compressed where the file's
name ends in `.zst` or `.gz`.
"""

from __future__ import annotations

from struct import Struct

MAGIC = b"armvcpu-blocks 1\n"
CHUNK = Struct("<cBxxI")
BLOCK = Struct("<IQHH")
COUNT = Struct("<Q")
NOT_COUNTED = (1 << 64) - 1
CUT = 1 << 31
HEADER, BLOCKS, RUN, END = b"H", b"B", b"R", b"E"
LONGEST_CHUNK = 1 << 26
"""Bytes; a longer one is a damaged file."""
