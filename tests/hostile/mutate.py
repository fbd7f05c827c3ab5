"""Changes that make a good input a hostile one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

EDGES = (0, 1, 2, 3, 7, 8, 0x7F, 0x80, 0xFF, 0xFFF, 0x1000, 0xFFFF, 0x10000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF,
         0x4000_0000, 0x0900_0000, 0x1_0000_0000, 0xFF_FFFF_FFFF, 1 << 52, (1 << 63) - 1, 1 << 63,
         (1 << 64) - 1)  # fmt: skip
"""Numbers at which something ends."""


def number(rng: Random, bits: int = 64) -> int:
    """One at an edge, near one, or any."""
    value = rng.choice((*EDGES, rng.getrandbits(bits), rng.getrandbits(12)))
    return value + rng.choice((0, 0, 0, -1, 1)) & (1 << bits) - 1


def damaged(rng: Random, data: bytes, among: range | None = None) -> bytes:
    """The bytes with some of them changed, a piece gone, doubled or put elsewhere. `among`: where, mostly."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if not changed:
            break
        at = rng.choice(among) if among and rng.random() < 0.8 else rng.randrange(len(changed))
        at = min(at, len(changed) - 1)
        match rng.randrange(8):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                changed[at] = rng.getrandbits(8)
            case 2 | 3 | 4:
                width = rng.choice((1, 2, 4, 8))
                at &= -width
                order = rng.choice(("little", "little", "big"))
                changed[at : at + width] = number(rng, 8 * width).to_bytes(width, order)  # type: ignore[arg-type]
            case 5:
                del changed[at : at + rng.choice((1, 4, 64, 4096))]
            case 6:
                changed[at:at] = changed[at : at + rng.choice((1, 8, 64))]
            case 7:
                del changed[at:]
    return bytes(changed)


WORDS = (
    "",
    "0",
    "-1",
    "x",
    "é",
    "\0",
    "a" * 5000,
    "\n",
    "%s",
    "../..",
    "/dev/zero",
    "/dev/full",
    "/",
    "NaN",
    "@",
    "1e9",
)


def another(rng: Random, value: Any) -> Any:
    """A value in the place of one, of its own type or of any other."""
    kinds: tuple[Any, ...] = (
        number(rng), -number(rng), 1 << 200, rng.random(), float("inf"), float("nan"), True, False, rng.choice(WORDS),
        [], {}, [value], {"bytes": "AAAA"}, {"bytes": 1}, {"items": []}, {"items": 3},
    )  # fmt: skip
    if isinstance(value, bool):
        return rng.choice((not value, rng.choice(kinds)))
    if isinstance(value, int) and rng.random() < 0.7:
        return rng.choice((value + 1, value - 1, value ^ 1 << rng.randrange(64), -value, number(rng)))
    if isinstance(value, str) and rng.random() < 0.5:
        return rng.choice((value + "x", value[:-1], value.upper(), rng.choice(WORDS)))
    return rng.choice(kinds)


def rearranged(rng: Random, value: Any) -> Any:
    """Plain data (as JSON has it) with one place in it changed, gone or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.97:
        result = dict(value)
        key = rng.choice(list(result))
        match rng.randrange(12):
            case 0:
                del result[key]
            case 1:
                result[rng.choice(WORDS)] = result[key]
            case 2:
                result[key] = result[rng.choice(list(result))]
            case _:
                result[key] = rearranged(rng, result[key])
        return result
    if isinstance(value, list) and value and rng.random() < 0.97:
        items = list(value)
        at = rng.randrange(len(items))
        match rng.randrange(12):
            case 0:
                del items[at]
            case 1:
                items.insert(at, items[at])
            case 2:
                items = items * rng.choice((2, 30))
            case _:
                items[at] = rearranged(rng, items[at])
        return items
    return another(rng, value)
