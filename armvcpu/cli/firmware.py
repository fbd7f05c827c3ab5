"""`armvcpu firmware`: real firmware and kernels by name, fetched from Debian's packages."""

from __future__ import annotations

import click


@click.group()
def firmware() -> None:
    """Real firmware and kernels, fetched from Debian packages by name."""


@firmware.command("list")
def list_() -> None:
    """Show what there is, and which version is fetched."""
    from armvcpu.testing import firmware as store  # noqa: PLC0415  imported only when used, as in every command

    for name, entry in store.manifest().items():
        record = store.fetched(name)
        state = f"{record['package']} {record['version']}" if record else f"{entry.package}, not fetched"
        click.echo(f"{name:<18}{state}\n{'':<18}{entry.shows}")
        click.echo(f"{'':<18}files: {', '.join(entry.files)}; licence: {entry.licence}")


@firmware.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Fetch again what is there already.")
def fetch(names: tuple[str, ...], force: bool) -> None:
    """Download, check and unpack each NAME into the cache; what is there and unchanged stays."""
    from armvcpu.testing import firmware as store  # noqa: PLC0415

    for name in names:
        store.entry(name)  # a wrong name is found before anything is downloaded
    for name in names:
        directory = store.fetch(name, force=force)
        record = store.fetched(name)
        version = f"{record['package']} {record['version']}" if record else "unknown version"
        click.echo(f"{name}: {version} in {directory}")


@firmware.command()
@click.argument("name")
@click.argument("file", required=False)
def path(name: str, file: str | None) -> None:
    """Print where a fetched FILE of NAME is, by default its first one."""
    from armvcpu.testing import firmware as store  # noqa: PLC0415

    click.echo(store.path(name, file))
