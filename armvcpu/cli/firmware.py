"""`armvcpu firmware`: real firmware and kernels by name, fetched from Debian's packages."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from armvcpu.errors import UsageError

LARGEST_SCRIPT = 1 << 20


def _complete_name(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names that begin so, each with what it shows, but those given already."""
    from armvcpu.testing.firmware import store
    from armvcpu.testing.firmware.programs import SHOWS

    taken = ctx.params.get(param.name or "") or ()
    shown = {name: entry.shows for name, entry in store.manifest().items()} | SHOWS
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
        click.echo(f"{name:<18}{state}\n{'':<18}{entry.shows}")
        click.echo(f"{'':<18}files: {', '.join(entry.files)}; licence: {entry.licence}")
    for name, shows in programs.SHOWS.items():
        state = programs.of_host(name) or programs.version(name) or f"{name}, not fetched"
        click.echo(f"{name:<18}{state}\n{'':<18}{shows}: a program of the host's own architecture")


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
    for name in names:
        if name in programs.PROGRAMS:
            _fetch_program(name, force=force)
            continue
        directory = store.fetch(name, force=force)
        record = store.fetched(name)
        version = f"{record['package']} {record['version']}" if record else "unknown version"
        click.echo(f"{name}: {version} in {directory}")


def _fetch_program(package: str, *, force: bool) -> None:
    from armvcpu.testing.firmware import programs

    if not force and (there := programs.of_host(package)) is not None:
        click.echo(f"{package}: the host's own, {there}")
        return
    programs.fetch(package, force=force)
    click.echo(f"{package}: {programs.version(package)}, {programs.path(programs.PROGRAMS[package][0])}")


@firmware.command()
@click.argument("name", shell_complete=_complete_name)
@click.argument("file", required=False, shell_complete=_complete_file)
def path(name: str, file: str | None) -> None:
    """Print where a fetched FILE of NAME is, by default its first one."""
    from armvcpu.machine.programs import find_program
    from armvcpu.testing.firmware import programs, store

    if file is None and name in programs.PROGRAMS:
        found = find_program(programs.PROGRAMS[name][0])
        if found is None:
            raise UsageError(f"{name} is not fetched yet; run `armvcpu firmware fetch {name}`")
        click.echo(found)
        return
    click.echo(store.path(name, file))


@firmware.command()
@click.option("--script", metavar="F", type=click.Path(path_type=Path), help="Shell script to run before the prompt.")
@click.option("--virtio", is_flag=True, help="Add linux-cloud's drivers for virtio disks, networks and consoles.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), required=True, help="What to write.")
def initramfs(script: Path | None, virtio: bool, output: Path) -> None:
    """Write an initial RAM disk for Linux: the fetched busybox, and a shell on the console."""
    from armvcpu.machine.boot.image_file import read_file
    from armvcpu.testing.firmware import store
    from armvcpu.testing.firmware.initramfs import ALL_VIRTIO_MODULES, busybox_initramfs

    commands = b"" if script is None else read_file(script, LARGEST_SCRIPT, "a script may be")
    modules = [store.path("linux-cloud", name) for name in ALL_VIRTIO_MODULES] if virtio else []
    data = busybox_initramfs(store.path("busybox"), commands, modules=modules)
    try:
        output.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{output}: {error.strerror}; choose another -o") from error
