"""The symbols that a Linux kernel has in itself, of an `Image` that is stripped otherwise: kallsyms.

scripts/kallsyms.c of Linux writes them, in one of these orders, each part at a multiple of 8 bytes:

    5.10 to 6.3   offsets, relative_base, num_syms, names, markers[, seqs_of_names], token_table, token_index
    6.4 up        num_syms, names, markers, token_table, token_index, offsets, relative_base, seqs_of_names

The parts have no header. The table of tokens is found by what is in every one, the digits as tokens of their own; from
there on each part says where the next one is, and is looked at before it is believed. Symbols are sorted by their
addresses, and a name is decoded when somebody asks for it: so nothing is read that nobody needs.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import pairwise
from struct import Struct, error, unpack_from
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIGITS = re.compile(re.escape(b"".join(b"%d\0" % digit for digit in range(10))))
_RELATIVE = re.compile(b"\x03\x04\0\0\0\0\0\0")
"""r_info of R_AARCH64_RELATIVE (IHI 0056 5.7.14), without a symbol."""
_MARKED = 256
"""Names between two markers."""
_LONGEST_TOKENS = 1 << 14
_NAME = 64
"""Bytes that a name takes, at most, on the average of 256."""
_LAST_SIZE = 1 << 16
"""Bytes that the last symbol covers at most."""
_WORD, _BASE = Struct("<I"), Struct("<Q")
_PAGE, _ALIGNMENT = 1 << 12, 1 << 21
_CODE = "tTwW"


class _Places(NamedTuple):
    """Where each part begins in an Image."""

    number: int
    names: int
    markers: int
    tokens: int
    token_index: int
    offsets: int
    image: int
    """The address of the Image's first byte, as it is linked."""
    base: int
    """The address to which the offsets are added."""


class Kallsyms:
    """Those of one Image; `find_kallsyms` makes it."""

    def __init__(self, data: bytes, places: _Places) -> None:
        self._data, self._places = data, places
        self.image = places.image
        """Where the Image's first byte is linked."""
        self._base = places.base
        self._offsets = memoryview(data)[places.offsets : places.offsets + 4 * places.number].cast("I")
        self._names: dict[int, str] = {}
        self._groups: dict[int, list[int]] = {}

    def find(self, address: int) -> tuple[str, int] | None:
        """The symbol that covers an address as it is linked, and the offset into it in bytes."""
        offset = address - self._base
        if not 0 <= offset < 1 << 32:
            return None
        at = bisect_right(self._offsets, offset) - 1
        if at < 0 or (offset - self._offsets[at] >= _LAST_SIZE and at == self._places.number - 1):
            return None
        return self._best(at), offset - self._offsets[at]

    def _best(self, last: int) -> str:
        """Of the symbols at one address, code before data, and the global one."""
        first = last
        while first and self._offsets[first - 1] == self._offsets[last]:
            first -= 1
        names = [self._name(number) for number in range(first, last + 1)]
        return max(names, key=lambda name: (name[:1] in _CODE, name[:1].isupper()))[1:]

    @cached_property
    def by_name(self) -> dict[str, int]:
        """Every symbol's address; of several of a name, the global one's."""
        found: dict[str, int] = {}
        kinds: dict[str, bool] = {}
        for number, name in enumerate(self._all_names()):
            is_global = name[:1].isupper()
            if is_global >= kinds.get(name[1:], False):
                kinds[name[1:]] = is_global
                found[name[1:]] = self._base + self._offsets[number]
        return found

    def symbols(self) -> Iterator[tuple[int, int, str]]:
        """(begin, end, name) of each, sorted; one ends where the next address with a symbol begins."""
        offsets = self._offsets
        ends = [*offsets[1:], offsets[-1] + _LAST_SIZE]
        for number in range(len(ends) - 2, -1, -1):  # several may begin at one address
            if ends[number] == offsets[number]:
                ends[number] = ends[number + 1]
        for offset, end, name in zip(offsets, ends, self._all_names(), strict=True):
            yield self._base + offset, self._base + end, name[1:]

    @cached_property
    def _tokens(self) -> list[bytes]:
        places = self._places
        starts = unpack_from(f"<{_MARKED}H", self._data, places.token_index)
        return [self._data[places.tokens + at : self._data.index(0, places.tokens + at)] for at in starts]

    def _name(self, number: int) -> str:
        """The letter of a symbol's kind, as nm has it, and its name."""
        found = self._names.get(number)
        if found is None:
            group, rest = divmod(number, _MARKED)
            found = self._names[number] = self._decode(self._starts(group)[rest])
        return found

    def _starts(self, group: int) -> list[int]:
        """Where the names behind a marker are."""
        found = self._groups.get(group)
        if found is None:
            at = self._places.names + unpack_from("<I", self._data, self._places.markers + 4 * group)[0]
            found = self._groups[group] = [at]
            for _ in range(_MARKED - 1):
                at = _behind(self._data, at)
                found.append(at)
        return found

    def _all_names(self) -> Iterator[str]:
        at = self._places.names
        for _ in range(self._places.number):
            yield self._decode(at)
            at = _behind(self._data, at)

    def _decode(self, at: int) -> str:
        start, size = _length(self._data, at)
        tokens = self._tokens
        return b"".join([tokens[byte] for byte in self._data[start : start + size]]).decode(errors="replace")


class KernelImage:
    """An Image as `Symbols` asks its files: looked through at the first question; `address` is where it is loaded."""

    is_elf = False

    def __init__(self, data: bytes, address: int) -> None:
        self.data, self._address = data, address

    @cached_property
    def _kallsyms(self) -> Kallsyms | None:
        return find_kallsyms(self.data)

    def linked(self, address: int) -> Iterator[int]:
        """What a virtual address may have been linked as, or a physical one."""
        yield address
        if self._kallsyms is not None and 0 <= address - self._address < len(self.data):
            yield address - self._address + self._kallsyms.image

    def find(self, address: int) -> tuple[str, int] | None:
        """The symbol and the offset into it, of a virtual address or else of a physical one."""
        if self._kallsyms is None:
            return None
        return next((found for each in self.linked(address) if (found := self._kallsyms.find(each))), None)

    @property
    def by_name(self) -> dict[str, int]:
        """Every name's address; of several symbols that share a name, the global one's."""
        return {} if self._kallsyms is None else self._kallsyms.by_name

    def size(self, name: str) -> int:
        """Not said."""
        del name
        return 0

    def ranges(self, pattern: str) -> Iterator[tuple[int, int]]:
        """(begin, end) of the symbols that match, as linked and as loaded."""
        kallsyms = self._kallsyms
        for begin, end, name in () if kallsyms is None else kallsyms.symbols():
            if end > begin and fnmatchcase(name, pattern):
                yield begin, end
                if kallsyms is not None and 0 <= begin - kallsyms.image < len(self.data):
                    moved = self._address - kallsyms.image
                    yield begin + moved, end + moved

    def starts(self, name: str) -> Iterator[int]:
        """Of all that have this very name."""
        symbols = () if self._kallsyms is None else self._kallsyms.symbols()
        return (begin for begin, _, each in symbols if each == name)


def find_kallsyms(data: bytes) -> Kallsyms | None:
    """Those of an Image, unpacked; None where it has none, or in an order that is not known."""
    for found in _DIGITS.finditer(data):
        try:
            places = _places(data, found.start())
        except (error, ValueError, IndexError):  # it leads out of the file
            continue
        if places is not None:
            return Kallsyms(data, places)
    return None


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Where a name's tokens begin, and how many there are: one byte, or two of seven bits each, the lower first.

    None behind the end, where a damaged file may lead.
    """
    if at + 1 >= len(data):
        return at, 0
    first = data[at]
    return (at + 2, first & 0x7F | data[at + 1] << 7) if first & 0x80 else (at + 1, first)


def _behind(data: bytes, at: int) -> int:
    start, size = _length(data, at)
    return start + size


def _aligned(at: int) -> int:
    return -(-at // 8) * 8


def _places(data: bytes, digits: int) -> _Places | None:
    """What belongs to a table of tokens that has the digits there."""
    found = _token_index(data, digits)
    if found is None:
        return None
    tokens, index = found
    names = _names_before(data, tokens)
    if names is None:
        return None
    count, start, markers = names
    head, size = start - 8, 4 * count
    behind = _aligned(index + 2 * _MARKED)
    for offsets, base_at in ((head - 8 - _aligned(size), head - 8), (behind, behind + _aligned(size))):
        if offsets >= 0 and _is_sorted(data, offsets, count):
            bases = _bases(data, base_at)
            return None if bases is None else _Places(count, start, markers, tokens, index, offsets, *bases)
    return None


def _token_index(data: bytes, digits: int) -> tuple[int, int] | None:
    """Where the table begins that has the digits' tokens, and where its index is: 256 offsets, the first of them 0."""
    for index in range(_aligned(digits + 20), digits + _LONGEST_TOKENS, 8):
        if data[index : index + 2] != b"\0\0" or data[index + 2 : index + 4] == b"\0\0":
            continue
        offsets = unpack_from(f"<{_MARKED}H", data, index)
        tokens = digits - offsets[ord("0")]
        if all(one < other for one, other in pairwise(offsets)) and tokens + offsets[-1] < index:
            return tokens, index
    return None


def _names_before(data: bytes, tokens: int) -> tuple[int, int, int] | None:
    """How many names there are before the tokens, where they begin, and their markers."""
    at = tokens
    while (at := data.rfind(b"\0\0\0\0", 0, at)) >= 0:
        for markers in range((at + 3) // 4 * 4, at - 4, -4):
            if markers % 8 == 0 and (offsets := list(_ascending(data, markers, tokens))):
                for known in (offsets, offsets[:-1]):  # what is behind them may look like another one
                    found = known and _count_before(data, markers, known)
                    if found:
                        return *found, markers
    return None


def _ascending(data: bytes, at: int, end: int) -> Iterator[int]:
    """The markers from `at` on: the first is 0, and each is behind 256 names."""
    last = -1
    while at < end:
        (word,) = _WORD.unpack_from(data, at)
        if (last < 0 and word) or (last >= 0 and not _MARKED * 2 <= word - last <= _MARKED * _NAME):
            return
        yield word
        last, at = word, at + 4


def _count_before(data: bytes, markers: int, offsets: list[int]) -> tuple[int, int] | None:
    """(num_syms, where the names begin): those are before the markers, and num_syms is 8 bytes before them."""
    last = markers - offsets[-1]
    for names in range(last // 8 * 8, max(8, last - _MARKED * _NAME), -8):
        (count,) = _WORD.unpack_from(data, names - 8)
        if _MARKED * (len(offsets) - 1) < count <= _MARKED * len(offsets) and _fits(
            data, names, markers, offsets, count
        ):
            return count, names
    return None


def _fits(data: bytes, names: int, markers: int, offsets: list[int], count: int) -> bool:
    """Do the names lead from the last marker to the markers, and from the first to the second?"""
    at = names + offsets[-1]
    for _ in range(count - _MARKED * (len(offsets) - 1)):
        at = _behind(data, at)
    if _aligned(at) != markers:
        return False
    at = names
    for _ in range(min(count, _MARKED)):
        at = _behind(data, at)
    return len(offsets) == 1 or at == names + offsets[1]


def _is_sorted(data: bytes, at: int, count: int) -> bool:
    if at + 4 * count > len(data):
        return False
    offsets = memoryview(data)[at : at + 4 * count].cast("I").tolist()
    return offsets == sorted(offsets) and offsets[-1] > 0


def _bases(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the Image is linked, and what is at `at` once it has relocated itself, which a file may have there only."""
    (value,) = _BASE.unpack_from(data, at)
    if value >> 48 == 0xFFFF:
        return int(value) & -_ALIGNMENT, int(value)
    for found in _RELATIVE.finditer(data):  # r_offset, r_info, r_addend
        place = found.start()
        if place % 8 == 0 and place >= 8:
            image, addend = _BASE.unpack_from(data, place - 8)[0] - at, _BASE.unpack_from(data, place + 8)[0]
            if image % _ALIGNMENT == addend % _PAGE == 0 and image >> 48 == 0xFFFF and 0 <= addend - image < len(data):
                return int(image), int(addend)
    return None
