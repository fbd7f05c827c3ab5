"""`armvcpu firmware`: real firmware and kernels by name, fetched from Debian's packages."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from armvcpu.cli.signals import signals_interrupt
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from click._termui_impl import ProgressBar

LARGEST_SCRIPT = 1 << 20
LARGEST_FILE = 1 << 30


def _complete_name(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names that begin so, each with what it shows, but those given already."""
    from armvcpu.testing.firmware import store
    from armvcpu.testing.firmware.programs import PROGRAMS

    taken = ctx.params.get(param.name or "") or ()
    shown = {name: entry.shows for name, entry in store.manifest().items()}
    shown |= {name: package.shows for name, package in PROGRAMS.items()}
    return [
        CompletionItem(name, help=shows)
        for name, shows in shown.items()
        if name.startswith(incomplete) and name not in taken
    ]


def _complete_file(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The files of the firmware that is named already."""
    from armvcpu.testing.firmware import store

    entry = store.manifest().get(ctx.params.get("name") or "")
    return [CompletionItem(name) for name in (entry.files if entry else ()) if name.startswith(incomplete)]


@click.group()
def firmware() -> None:
    """Real firmware and kernels, fetched from Debian packages by name."""


@firmware.command("list")
def list_() -> None:
    """Show what there is, and which version is fetched."""
    from armvcpu.testing.firmware import programs, store

    for name, entry in store.manifest().items():
        record = store.fetched(name)
        state = f"{record['package']} {record['version']}" if record else f"{entry.package}, not fetched"
        click.echo(f"{name:<23}{state}\n{'':<23}{entry.shows}")
        click.echo(f"{'':<23}files: {', '.join(entry.files)}; licence: {entry.licence}")
    for name, package in programs.PROGRAMS.items():
        state = programs.of_host(name) or programs.version(name) or f"{name}, not fetched"
        click.echo(f"{name:<23}{state}\n{'':<23}{package.shows}: a program of the host's own architecture")


@firmware.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=_complete_name)
@click.option("--force", is_flag=True, help="Fetch again what is there already.")
def fetch(names: tuple[str, ...], force: bool) -> None:
    """Download, check and unpack each NAME into the cache; what is there and unchanged stays.

    Programs, as passt, are not fetched where the host has them.
    """
    from armvcpu.testing.firmware import programs, store

    for name in names:
        if name not in programs.PROGRAMS:
            store.entry(name)  # a wrong name is found before anything is downloaded
    lines: list[str] = []
    with signals_interrupt(), _bar(names) as bar:
        for name in names:
            line = _fetch_program(name, force=force) if name in programs.PROGRAMS else _fetch(name, force=force)
            if bar is not None:
                bar.update(1)
            else:
                click.echo(line)
            lines.append(line)
    if bar is not None:
        click.echo("\n".join(lines))


def _bar(names: tuple[str, ...]) -> AbstractContextManager[ProgressBar[int] | None]:
    """A progress bar on a terminal, a step for each name; nothing elsewhere."""
    if not sys.stderr.isatty():
        return nullcontext()
    return click.progressbar(length=len(names), label="fetching", file=sys.stderr, show_eta=False)


def _fetch(name: str, *, force: bool) -> str:
    from armvcpu.testing.firmware import store

    directory = store.fetch(name, force=force)
    record = store.fetched(name)
    version = f"{record['package']} {record['version']}" if record else "unknown version"
    return f"{name}: {version} in {directory}"


def _fetch_program(package: str, *, force: bool) -> str:
    from armvcpu.testing.firmware import programs

    if not force and (there := programs.of_host(package)) is not None:
        return f"{package}: the host's own, {there}"
    programs.fetch(package, force=force)
    return f"{package}: {programs.version(package)}, {programs.path(programs.PROGRAMS[package].programs[0])}"


@firmware.command()
@click.argument("name", shell_complete=_complete_name)
@click.argument("file", required=False, shell_complete=_complete_file)
def path(name: str, file: str | None) -> None:
    """Print where a fetched FILE of NAME is, by default its first one."""
    from armvcpu.machine.programs import find_program
    from armvcpu.testing.firmware import programs, store

    if file is None and name in programs.PROGRAMS:
        found = find_program(programs.PROGRAMS[name].programs[0])
        if found is None:
            raise UsageError(f"{name} is not fetched yet; run `armvcpu firmware fetch {name}`")
        click.echo(found)
        return
    click.echo(store.path(name, file))


@firmware.command()
@click.option("--script", metavar="F", type=click.Path(path_type=Path), help="Shell script to run before the prompt.")
@click.option("--virtio", is_flag=True, help="Add linux-cloud's drivers for virtio disks, networks and consoles.")
@click.option("--file", "files", metavar="PATH=F", multiple=True, help="Add a file, PATH in the RAM disk, executable.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), required=True, help="What to write.")
def initramfs(script: Path | None, virtio: bool, files: tuple[str, ...], output: Path) -> None:
    """Write an initial RAM disk for Linux: the fetched busybox, and a shell on the console."""
    from armvcpu.machine.boot.image_file import read_file
    from armvcpu.machine.files import write_whole
    from armvcpu.testing.firmware import store
    from armvcpu.testing.firmware.initramfs import ALL_VIRTIO_MODULES, busybox_initramfs

    commands = b"" if script is None else read_file(script, LARGEST_SCRIPT, "a script may be")
    modules = [store.path("linux-cloud", name) for name in ALL_VIRTIO_MODULES] if virtio else []
    more = dict(_file_to_add(each) for each in files)
    data = busybox_initramfs(store.path("busybox"), commands, modules=modules, files=more)
    try:
        with signals_interrupt():
            write_whole(output, data)
    except OSError as error:
        raise UsageError(f"{output}: {error.strerror}; choose another -o") from error


def _file_to_add(given: str) -> tuple[str, bytes]:
    """The path in the RAM disk and the contents; UsageError where it isn't PATH=F, or the path can't be."""
    from armvcpu.machine.boot.image_file import read_file
    from armvcpu.testing.firmware.initramfs import check_path

    path, equals, host = given.partition("=")
    problem = check_path(path) if equals and host else "give PATH=F, program=build/program say"
    if problem:
        raise UsageError(f"--file {given}: {problem}")
    return path, read_file(host, LARGEST_FILE, "a RAM disk's file may be", may_be_empty=True)
