"""A guest's bytes as text that a page may show: nothing in it moves a cursor, hides or reorders other text."""

from __future__ import annotations

import re

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"  # CSI: colours, the cursor (ECMA-48 5.4)
    r"|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC and other strings, to their end
    r"|[ -/]*[0-~])"
)
_PICTURES = {code: 0x2400 + code for code in range(0x20) if code not in {0x09, 0x0A}} | {0x7F: 0x2421}
_NOT_SHOWN = dict.fromkeys(
    (*range(0x80, 0xA0), 0x2028, 0x2029, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)), 0xFFFD
)
"""C1 controls, line separators, and what changes the direction of the text around it (Unicode TR 9)."""
_TABLE = _PICTURES | _NOT_SHOWN


def shown(data: bytes) -> str:
    """A line of a console: escape sequences left out, other control characters as their pictures (U+2400 up).

    What has been printed over, after a backspace or a carriage return, is not there any more, as on a terminal.
    """
    text = _ESCAPES.sub("", data.decode(errors="replace").rstrip("\r\n"))
    return plain(_printed_over(text) if "\b" in text or "\r" in text else text)


def _printed_over(text: str) -> str:
    line: list[str] = []
    at = 0
    for character in text:
        if character == "\b":
            at = max(at - 1, 0)
        elif character == "\r":
            at = 0
        else:
            line[at : at + 1] = character
            at += 1
    return "".join(line).rstrip()


def plain(text: str) -> str:
    """Text from somewhere else, a symbol's name say, without characters that would do something."""
    return text.encode(errors="replace").decode().translate(_TABLE)
