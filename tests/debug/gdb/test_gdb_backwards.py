"""gdb-multiarch runs a guest backwards."""

from __future__ import annotations

import re

from gdb_program import debug

CORRUPT = "guests/bin/corrupt.elf"
BALANCE = "*((unsigned long *) &books + 16)"


def test_who_wrote_a_variable_is_found_backwards(tmp_path):
    """A balance is wrong at the end: the last stores to it are `pay`'s, but for one, which counts an order."""
    shown, printed, status = debug(
        tmp_path, CORRUPT,
        [
            "break audit", "continue", f"print {BALANCE}", "delete", f"watch {BALANCE} if {BALANCE} % 5 == 0 && "
            "$pc >= (unsigned long) &count_order && $pc < (unsigned long) &pay", "reverse-continue",
            "x/i $pc", "backtrace 2", "print $x1", "delete", "continue",
        ],
        CORRUPT, "--history", "64M",
    )  # fmt: skip
    assert "$1 = 1001" in shown
    assert re.search(r"x/i|=> 0x\w+ <count_order\+\d+>:\s+str\s", shown), shown
    assert re.search(r"#0 .* count_order \(\)\n#1 .* take_order \(\)", shown), shown
    assert "$2 = 16" in shown
    assert printed.count("the balance is 1001, and 1000 have been paid") == 1
    assert status == 0


def test_every_way_back(tmp_path):
    """reverse-stepi undoes stepi, reverse-next a line's call, reverse-finish a function, and there is a beginning."""
    shown, _, _ = debug(
        tmp_path, CORRUPT,
        [
            "break pay", "continue", "print/x $pc", "stepi", "stepi", "reverse-stepi", "reverse-stepi",
            "print/x $pc", "reverse-finish", "x/i $pc", "delete", "reverse-continue", "info line *$pc", "print/x $pc",
            "break pay", "continue", "print/x $pc", "ignore 2 10", "continue", "reverse-continue", "print/x $pc",
        ],
        CORRUPT, "--history", "64M",
    )  # fmt: skip
    places = re.findall(r"^\$\d+ = (0x\w+)$", shown, re.MULTILINE)
    assert len(places) == 5, shown
    pay, same, begin, again, last = places
    assert pay == same == again == last
    assert begin == "0x40080000"
    assert "No more reverse-execution history." in shown
    assert re.search(r"=> 0x\w+ <take_order\+\d+>:\s+bl\s+0x\w+ <pay>", shown), shown


def test_without_a_history_there_is_no_way_back(tmp_path):
    """gdb says so itself, and goes on."""
    shown, printed, _ = debug(tmp_path, CORRUPT, ["break audit", "continue", "reverse-continue", "continue"], CORRUPT)
    assert "does not support" in shown
    assert "the balance is 1001" in printed
