"""The documentation's pictures, of real runs: `make pictures`, or `python docs/site/pictures.py [DIRECTORY]`.

Each is what a user gets with the same commands: gdb-multiarch goes backwards in the guest of `board.c` beside this
file, genhtml makes pages of its coverage, and Debian's kernel boots on two CPUs. Runs are by the instruction clock, so
that a picture changes where armvcpu does.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pexpect
from chromium import Chromium, Page
from PIL import Image
from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

from armvcpu.testing.firmware import programs, store
from armvcpu.testing.firmware.initramfs import busybox_initramfs

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "docs" / "pictures"
SOURCE = Path(__file__).with_name("board.c")
FLAGS = (
    "-target", "aarch64-freestanding-none", "-mcpu=generic+strict_align", "-mgeneral-regs-only", "-fno-sanitize=all",
    "-ffreestanding", "-fno-stack-protector", "-O0", "-g", "-c",
)  # fmt: skip
ARMVCPU = (sys.executable, "-m", "armvcpu")
SESSION = (
    "break probe_uart", "continue", "print driver->name", "watch -l driver->name", "reverse-continue", "print text",
    "backtrace",
)  # fmt: skip
PROMPT = r"\(gdb\) (?:\x1b\[\?2004h)?$"
BRACKETED_PASTE = re.compile(r"\x1b\[\?2004[hl]\r?")
COLUMNS = 96
COLOURS = 96
"""Of a picture's file: enough for text and a flame graph, at a third of the size."""
TERMINAL = """<!DOCTYPE html><meta charset="utf-8"><style>
body { margin: 0; background: #fff; } pre { margin: 0; display: inline-block; padding: 14px 20px; border-radius: 8px;
background: #292929; color: #c5c8c6; font: 13px/1.42 "DejaVu Sans Mono", monospace; }
</style><pre>%s</pre>"""
DRAWN = "[...document.querySelectorAll('[data-figure]')].every(each => each.dataset.drawn === 'done')"


def main() -> None:
    """Make all of them, in `docs/pictures` or elsewhere."""
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else PLACE
    place.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="armvcpu-pictures-") as made, Chromium() as browser:
        directory = Path(made)
        guest = build(directory)
        save(place / "gdb-backwards.png", terminal(browser, directory, session(guest)))
        save(place / "lcov.png", lcov(browser, directory, guest))
        save(place / "report-crash.png", crash(browser, directory, guest))
        linux = boot(browser, directory)
        save(place / "report.png", linux.screenshot())
        linux.evaluate("document.getElementById('run-profile').scrollIntoView()")
        save(place / "flame-graph.png", linux.screenshot("[data-figure=run-profile-figure]"))


def save(path: Path, png: bytes) -> None:
    """Write a picture as a small file."""
    with Image.open(io.BytesIO(png)) as picture:
        few = picture.convert("RGB").quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        few.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size:,} bytes")


def run(*words: str | Path, directory: Path, status: int = 0) -> None:
    """A program to its end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ZIG_GLOBAL_CACHE_DIR": str(directory / "zig")}
    done = subprocess.run(
        [str(word) for word in words], cwd=directory, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != status:
        sys.exit(f"pictures: {words} ended with status {done.returncode}: {done.stderr}")


def build(directory: Path) -> Path:
    """The guest, from a copy of its source: an ELF file with DWARF."""
    (directory / "board.c").write_bytes(SOURCE.read_bytes())
    run(sys.executable, "-m", "ziglang", "cc", *FLAGS, "board.c", "-o", "board.o", directory=directory)
    link = ("-Ttext=0x40080000", "-z", "max-page-size=4096", "-e", "_start", "-o", "board.elf", "board.o")
    run(sys.executable, "-m", "ziglang", "ld.lld", *link, directory=directory)
    return directory / "board.elf"


def session(guest: Path) -> str:
    """What gdb prints as it finds who has overwritten a pointer, with the colours that it has for a terminal."""
    socket = guest.with_name("gdb")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    words = ("run", guest, "--history", "64M", "--gdb", f"unix:{socket}", "--gdb-wait")
    with subprocess.Popen(
        [*ARMVCPU, *words], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as one:
        try:
            end = time.monotonic() + 20
            while not socket.exists() and time.monotonic() < end:
                time.sleep(0.05)
            return _talk(guest, socket, environment)
        finally:
            one.kill()


def _talk(guest: Path, socket: Path, environment: dict[str, str]) -> str:
    options = ["-q", "-nx", "-iex", "set pagination off", "-iex", "set debuginfod enabled off"]
    gdb = pexpect.spawn(
        programs.path("gdb-multiarch"), [*options, "-ex", f"target remote {socket}", str(guest)], env=environment,
        dimensions=(50, COLUMNS), timeout=60, encoding="utf-8", codec_errors="replace",
    )  # fmt: skip
    gdb.expect(PROMPT)  # what it says before is about temporary names
    said = "(gdb) "
    for command in SESSION:
        gdb.sendline(command)
        gdb.expect(PROMPT)
        said += f"{gdb.before}{gdb.after}"
    gdb.close(force=True)
    return BRACKETED_PASTE.sub("", said).replace("\r\n", "\n").rstrip().removesuffix("(gdb)").rstrip()


def terminal(browser: Chromium, directory: Path, said: str) -> bytes:
    """A terminal's text, as a picture."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(said))
    body = console.export_html(theme=SVG_EXPORT_THEME, inline_styles=True, code_format="{code}")
    page = directory / "terminal.html"
    page.write_text(TERMINAL % body.rstrip())
    return browser.open(page, width=1000).screenshot("pre")


def lcov(browser: Chromium, directory: Path, guest: Path) -> bytes:
    """The page that genhtml makes of the guest's source."""
    run(*ARMVCPU, "run", guest, "--clock", "instructions", "--coverage", "board.info", directory=directory, status=3)
    words = ("--branch-coverage", "--prefix", str(directory), "--title", "board", "--output-directory", "pages")
    run(programs.path("genhtml"), *words, "board.info", directory=directory)
    (source,) = directory.glob("pages/**/board.c.gcov.html")
    return browser.open(source, width=960, height=1180).screenshot()


def crash(browser: Chromium, directory: Path, guest: Path) -> bytes:
    """The top of a crash's page."""
    run(*ARMVCPU, "run", guest, "--clock", "instructions", "--report", "crash.html", directory=directory, status=3)
    return drawn(browser.open(directory / "crash.html", width=1040, height=1240)).screenshot()


def boot(browser: Chromium, directory: Path) -> Page:
    """The page of a Linux kernel's boot on two CPUs, with its profile."""
    for name in ("linux-cloud", "busybox"):
        store.fetch(name)
    initrd = directory / "initramfs.cpio"
    initrd.write_bytes(busybox_initramfs(store.path("busybox"), b"ls -l /proc/self; poweroff -f\n"))
    options = ("--cpus", "2", "--memory", "512M", "--append", "console=ttyAMA0", "--clock", "instructions")
    page = directory / "linux.html"
    kernel = store.path("linux-cloud")
    run(*ARMVCPU, "run", kernel, "--initrd", initrd, *options, "--report", page, directory=directory)
    return drawn(browser.open(page, width=1100, height=1240))


def drawn(page: Page) -> Page:
    """The page with a short console, once all of its figures are there."""
    page.evaluate("document.querySelectorAll('pre.console').forEach(each => each.style.maxHeight = '17rem')")
    size = page.evaluate("[innerWidth, innerHeight]")
    page.resize(size[0], 9000)
    page.wait_for(DRAWN)
    page.resize(*size)
    page.evaluate("scrollTo(0, 0)")
    time.sleep(1)  # figures follow the window's size a moment later
    return page


if __name__ == "__main__":
    main()
