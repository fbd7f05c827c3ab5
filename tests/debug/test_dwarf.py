"""Functions, their arguments and their results, of guests that Clang and GCC have made."""

from __future__ import annotations

from random import Random

import pytest
from c_guest import build
from elftools.elf.elffile import ELFFile

from armvcpu import Machine
from armvcpu.debug.dwarf.calls import in_general
from armvcpu.debug.dwarf.dwarf import Dwarf
from armvcpu.debug.dwarf.function import reader
from armvcpu.debug.dwarf.kinds import Base, Encoding
from armvcpu.debug.dwarf.place import Unreadable
from armvcpu.errors import UsageError
from armvcpu.machine.boot.symbols import Symbols

TEXT = r"""
typedef unsigned long size_t;
typedef _Bool bool;
enum color { RED, GREEN = 5, BLUE };
enum flags { READ = 1, WRITE = 2, EXECUTE = 4 };
struct point { int x, y; };
struct three { double a, b, c; };
struct large { long first; char name[24]; struct point *at; unsigned low : 3; int high : 5; };
struct mixed { float f; int i; };
union either { struct { short anonymous; } ; unsigned whole; };
struct node { struct node *next; const char *text; int (*call)(int); union either u; signed char bytes[4]; };
typedef struct node node_t;
#define NOINLINE __attribute__((noinline, used))
volatile long sink;

NOINLINE long integers(char c, signed char s, short h, unsigned u, long l, bool b, unsigned char z, int seven,
                       int stacked, long long last) {
    return sink = c + s + h + u + l + b + z + seven + stacked + last; }
NOINLINE double floats(float f, double d, int between, struct three three) { return f + d + between + three.c + sink; }
NOINLINE int structs(struct point small, struct large large, struct mixed mixed, enum color color) {
    return small.x + large.first + mixed.i + color + (int)sink; }
NOINLINE unsigned texts(const char *text, char *none, const void *wild, enum flags flags,
                        node_t *list) {
    return sink = text[0] + (none != 0) + (wild != 0) + flags + list->bytes[0]; }
NOINLINE struct large returns_large(int n) { struct large l = { n, "large", 0, 5, -3 }; sink = n; return l; }
NOINLINE struct point returns_point(int x) { struct point p = { x, -x }; sink = x; return p; }
NOINLINE __int128 wide(int odd, __int128 value) { sink = odd; return value + 1; }
NOINLINE int variadic(const char *format, ...) { return format[0] + (int)sink; }
NOINLINE enum color color(void) { sink = 1; return BLUE; }
NOINLINE int call(int n) { return n + (int)sink; }

int main(void) {
    struct point here = { 3, -4 };
    struct large large = { 77, "seventy", &here, 5, -3 };
    struct mixed mixed = { 1.5f, 9 };
    struct three three = { 0.25, 0.5, -8 };
    node_t second = { 0, "second", call, { .whole = 0x10002 }, { -1, 2, 3, 4 } };
    node_t first = { &second, "fir\"st\n", call, { .whole = 7 }, { 1, 0, 0, 0 } };
    sink = (long)&first;  // what it points to counts
    integers('A', -2, -300, 4000000000u, -1, 1, 255, 7, -8, 1ll << 40);
    floats(1.5f, 2.25, 3, three);
    structs(here, large, mixed, GREEN);
    texts("hello", 0, (void *)0x123456789000, READ | EXECUTE, &first);
    returns_large(5); returns_point(6);
    wide(1, ((__int128)5 << 64) + 6);
    variadic("%d", 1); color();
    return 0;
}
"""


@pytest.fixture(
    scope="module",
    params=[("clang", "-gdwarf-4", "-O0"), ("clang", "-gdwarf-5", "-O2"), ("gcc", "-gdwarf-5", "-O1")],
    ids=" ".join,
)
def image(request, tmp_path_factory):
    """One ELF file of each compiler, with DWARF 4 and 5, plain and optimised."""
    compiler, *flags = request.param
    return build(tmp_path_factory.mktemp("dwarf"), TEXT, *flags, compiler=compiler)


@pytest.fixture
def calls(image):
    """Run it: for each function the line that describes its call, and its result."""
    with Machine(image) as machine:
        dwarf = Dwarf(machine.symbols)
        entered, returned = {}, {}

        def hook(name: str) -> None:
            function = dwarf.function(name)

            def enter(vcpu) -> None:
                entered[name] = function.call(vcpu, machine.read_virtual)
                back, x8 = vcpu.gpr(30), vcpu.gpr(8)

                def leave(vcpu) -> None:
                    returned.setdefault(name, repr(function.read_result(vcpu, machine.read_virtual, x8)))

                machine.on_address(back)(leave)

            machine.on_symbol(name)(enter)

        for name in ("integers", "floats", "structs", "texts", "returns_large", "returns_point", "wide", "variadic",
                     "color"):  # fmt: skip
            hook(name)
        assert machine.run(timeout=20).status == 0
        return entered, returned


def test_arguments_are_what_the_caller_passed(calls):
    """By the AAPCS64 (IHI 0055, 6.8.2): extended or not, in V registers, by reference, on the stack."""
    entered, _ = calls
    assert entered["integers"] == (
        "integers(c=65, s=-2, h=-300, u=4000000000, l=-1, b=True, z=255, seven=7, stacked=-8, last=1099511627776)"
    )
    assert entered["floats"] == "floats(f=1.5, d=2.25, between=3, three={a = 0.25, b = 0.5, c = -8.0})"
    small, large, rest = entered["structs"].partition("large={")[0], entered["structs"], "mixed={f = 1.5, i = 9}"
    assert small == "structs(small={x = 3, y = -4}, "
    assert 'large={first = 77, name = "seventy", at = 0x' in large
    assert large.endswith(f"low = 5, high = -3}}, {rest}, color=GREEN)")
    assert entered["wide"] == f"wide(odd=1, value={(5 << 64) + 6})"
    assert entered["color"] == "color()"
    assert entered["variadic"].endswith('"%d")')


def test_pointers_print_what_they_point_to(calls):
    """Text, and nothing where there is none; an enumeration of bits as its names."""
    entered, _ = calls
    text = entered["texts"]
    assert '"hello", none=0x0, wild=0x123456789000, flags=READ | EXECUTE, list=0x' in text


def test_results_are_what_the_function_returned(calls):
    """In X0, in X0 and X1, in V0, at the address that X8 had (IHI 0055, 6.9)."""
    _, returned = calls
    assert returned["integers"] == str(65 - 2 - 300 + 4000000000 - 1 + 1 + 255 + 7 - 8 + (1 << 40))
    assert returned["floats"] == str(1.5 + 2.25 + 3 - 8 + 65 - 2 - 300 + 4000000000 - 1 + 256 + 7 - 8 + (1 << 40))
    assert returned["returns_point"] == "{x = 6, y = -6}"
    assert returned["returns_large"] == '{first = 5, name = "large", at = 0x0, low = 5, high = -3}'
    assert returned["wide"] == str((5 << 64) + 7)
    assert returned["color"] == "BLUE"


def test_structures_are_read_as_far_as_somebody_asks(image):
    """Through pointers, into anonymous unions, by index; what is not there says so."""
    seen = []
    with Machine(image) as machine:
        texts = Dwarf(machine.symbols).function("texts")

        def look(vcpu) -> None:
            values = texts.arguments(vcpu, machine.read_virtual)
            first = values["list"]
            second = first.next.deref()
            seen.append(
                (first.text.string(), second.text.string(), second.u.whole, second.u.anonymous, first.u["whole"])
            )
            seen.append((list(second.bytes), second.bytes[-1], second.next == 0, values["text"][1], f"{first:#x}"[:4]))
            seen.append((values["flags"] == 5, values["flags"].name, repr(first.next.u)))
            with pytest.raises(Unreadable, match="0x123456789000 can't be read"):
                values["wild"].raw(4)
            with pytest.raises(UsageError, match=r"struct node has no member 'txt'; did you mean text\?"):
                first.txt  # noqa: B018
            with pytest.raises(UsageError, match=r"has no value"):
                values["wild"].deref()
            with pytest.raises(IndexError, match="has no element 4"):
                second.bytes[4]

        machine.on_symbol("texts")(look)
        machine.run(timeout=20)
    assert seen[0] == ('fir"st\n', "second", 0x10002, 2, 7)
    assert seen[1] == ([-1, 2, 3, 4], 4, True, ord("e"), "0x40")
    assert seen[2][:2] == (True, None)
    assert "whole = 65538" in seen[2][2]


def test_prototypes_are_written_as_in_c(image):
    """With the names of typedefs, qualifiers and parameters."""
    dwarf = Dwarf(Symbols.from_elf(image.read_bytes()))
    assert dwarf.function("texts").prototype == (
        "unsigned int texts(const char *text, char *none, const void *wild, enum flags flags, node_t *list)"
    )
    assert dwarf.function("variadic").prototype == "int variadic(const char *format, ...)"
    assert dwarf.function("color").prototype == "enum color color(void)"


def test_functions_are_found_by_any_address_in_them(image):
    """And nowhere else."""
    symbols = Symbols.from_elf(image.read_bytes())
    dwarf = Dwarf(symbols)
    start, size = symbols.address("texts"), symbols.size("texts")
    assert dwarf.function_at(start + size - 4).name == "texts"
    assert dwarf.function_at(0x4100_0000) is None
    assert dwarf.function("_start") is None  # assembly
    assert dwarf.has_functions


def test_files_without_dwarf_have_no_functions():
    """They say nothing about it."""
    with open("guests/bin/hello.elf", "rb") as file:
        dwarf = Dwarf(Symbols.from_elf(file.read()))
    assert dwarf.function("main") is None
    assert not dwarf.has_functions


@pytest.mark.parametrize("section", [".debug_info", ".debug_abbrev"])
def test_damaged_dwarf_is_one_warning(image, caplog, section):
    """Whichever part is damaged, the caller goes on without."""
    data = bytearray(image.read_bytes())
    with image.open("rb") as file:
        header = ELFFile(file).get_section_by_name(section)
        begin, end = header["sh_offset"], header["sh_offset"] + header["sh_size"]
    data[begin + 12 : end] = bytes(byte ^ 0xFF for byte in data[begin + 12 : end])
    dwarf = Dwarf(Symbols.from_elf(bytes(data)))
    assert dwarf.function("texts") is None
    assert dwarf.function_at(0x4008_0040) is None
    (warning,) = (record.getMessage() for record in caplog.records)
    assert warning.startswith("the DWARF of an ELF file cannot be used, its functions have no types: ")
    assert "\n" not in warning


def test_bytes_that_flip_raise_nothing(image, caplog):
    """What is read may be wrong; it is never a traceback, and each file is told of once."""
    data = image.read_bytes()
    addresses = range(0x4008_0000, 0x4008_0600, 64)
    described = warned = 0
    for seed in range(40):
        random = Random(seed)
        spoiled = bytearray(data)
        for _ in range(20):
            spoiled[random.randrange(0x1000, len(data) - 0x1000)] ^= 1 << random.randrange(8)
        caplog.clear()
        dwarf = Dwarf(Symbols.from_elf(bytes(spoiled)))
        described += len([address for address in addresses if dwarf.function_at(address)])
        warned += len(caplog.records)
        assert len(caplog.records) <= 1
    assert described
    assert warned


class Registers:
    """Of a CPU: each has its number."""

    def gpr(self, index):
        return index + 7


@pytest.mark.parametrize("encoding", [Encoding.SIGNED, Encoding.UNSIGNED, Encoding.FLOAT, Encoding.OTHER])
def test_a_number_without_bytes_is_zero(encoding):
    """As damaged DWARF has it: it is read in a trap, where that is no error."""
    assert reader(Base("none", 0, encoding), in_general(0, 0))(Registers(), lambda _at, _size: None) == 0
