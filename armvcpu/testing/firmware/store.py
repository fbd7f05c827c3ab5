"""Real firmware by name: the manifest, the cache on the host's disk, and fetching into it.

    from armvcpu.testing.firmware import store
    store.fetch("u-boot")
    store.path("u-boot")          # .../u-boot.bin

An entry is complete or not there: it is built beside its place and renamed into it, under a lock, so that
test workers may fetch in parallel. `firmware/README.md` describes the cache. Only `debian` talks to apt.
"""

from __future__ import annotations

import json
import os
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from armvcpu.errors import InternalError, UsageError, did_you_mean
from armvcpu.machine.files import locked, sha256
from armvcpu.testing.firmware import debian

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RECORD = "fetched.json"
SOURCE = "source"
"""The architecture of an entry whose package is a source package."""
_HERE = Path(__file__).resolve()
_MANIFESTS = (_HERE.parents[3] / "firmware" / "manifest.toml", _HERE.with_name("manifest.toml"))
"""In the source tree, and where the installed package has it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One piece of firmware, as the manifest describes it."""

    name: str
    package: str
    architecture: str
    licence: str
    shows: str
    files: Mapping[str, str]
    """Name in the cache -> path pattern inside the package, for a source package pattern of one of its files; the
    first is the default of `path`."""
    follow: str = ""
    """For a meta package: what the name of the dependency with the files starts with."""
    suite: str = ""
    """Of the distribution; empty for the host's own."""
    build: Mapping[str, Any] | None = None
    """For a source package of Trusted Firmware-A: what `trusted_firmware` builds of it, in place of its files."""


def manifest() -> dict[str, Entry]:
    """Every entry by name, in the manifest's order."""
    for file in _MANIFESTS:
        if file.is_file():
            entries = tomllib.loads(file.read_text())
            return {name: Entry(name, **fields) for name, fields in entries.items()}
    raise InternalError(f"no firmware manifest at {_MANIFESTS[-1]}")


def entry(name: str) -> Entry:
    """The entry called `name`.

    Raises:
        UsageError: there is none.
    """
    entries = manifest()
    if name not in entries:
        raise UsageError(f"no firmware called {name!r}; there are {', '.join(entries)}{did_you_mean(name, entries)}")
    return entries[name]


def cache_directory() -> Path:
    """Where fetched files and apt's private directory are kept."""
    if chosen := os.environ.get("ARMVCPU_CACHE"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG Base Directory Specification: a relative path there is to be ignored.
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "armvcpu"


def directory(name: str) -> Path:
    """Where the files of `name` are, or will be."""
    return cache_directory() / "firmware" / name


def fetched(name: str) -> dict[str, Any] | None:
    """What `fetched.json` says about `name` (package, version, sums); None when it is not there."""
    try:
        record = json.loads((directory(name) / RECORD).read_text())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def path(name: str, file: str | None = None) -> Path:
    """A fetched file of `name`, by default its first.

    Raises:
        UsageError: no such entry or file, not fetched yet, or changed since; says how to.
    """
    files = entry(name).files
    file = file or next(iter(files))
    if file not in files:
        raise UsageError(f"{name} has no file {file!r}; it has {', '.join(files)}{did_you_mean(file, files)}")
    found = directory(name) / file
    if not found.is_file():
        raise UsageError(f"{name} is not fetched yet; run `armvcpu firmware fetch {name}`")
    record = fetched(name)
    try:
        is_intact = record is not None and _is_as_fetched(record.get("files"), found)
    except OSError as error:
        raise UsageError(f"{found}: {error.strerror}; check its permissions") from error
    if not is_intact:
        raise UsageError(f"{found}: is not what was fetched any more; run `armvcpu firmware fetch {name}`")
    return found


def fetch(name: str, *, force: bool = False) -> Path:
    """Make sure that `name` is in the cache, and return its directory; `force` fetches it in any case.

    Raises:
        UsageError: no such entry, no apt here, the package cannot be had, or the cache not be written.
    """
    wanted = entry(name)
    try:
        with _lock():
            if force or not _is_intact(wanted):
                _fetch(wanted)
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}; choose a cache with ARMVCPU_CACHE") from error
    return directory(name)


@contextmanager
def _lock() -> Iterator[None]:
    """Keep other processes from fetching; apt's private directory allows only one."""
    cache_directory().mkdir(parents=True, exist_ok=True)
    with locked(cache_directory() / "lock"):
        yield


def _is_intact(wanted: Entry) -> bool:
    """Whether every file of the manifest is there as it was when it was fetched."""
    record = fetched(wanted.name)
    files = record.get("files", {}) if record is not None else {}
    return all(_is_as_fetched(files, directory(wanted.name) / name) for name in wanted.files)


def _is_as_fetched(files: Any, file: Path) -> bool:
    """Has the file the sum that the record, `files` of it, has?"""
    known = files.get(file.name) if isinstance(files, dict) else None
    return isinstance(known, dict) and file.is_file() and known.get("sha256") == sha256(file)


def _fetch(wanted: Entry) -> None:
    final = directory(wanted.name)
    final.parent.mkdir(parents=True, exist_ok=True)
    for left in final.parent.glob(f".{wanted.name}-????????"):  # of one that was killed: nobody else fetches now
        rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix=f".{wanted.name}-", dir=final.parent) as temporary:
        downloads, unpacked = Path(temporary, "download"), Path(temporary, "unpacked")
        unpacked.mkdir()
        package = _download(wanted, downloads)
        if wanted.build is not None:
            found = _build(wanted, package, Path(temporary), unpacked)
        elif wanted.architecture == SOURCE:
            found = debian.pick(package, wanted.files, unpacked)
        else:
            found = debian.extract(package, {**wanted.files, "copyright": "usr/share/doc/*/copyright"}, unpacked)
        record = _record(wanted, package, found, unpacked)
        (unpacked / RECORD).write_text(json.dumps(record, indent=2) + "\n")
        if final.exists():
            final.rename(Path(temporary, "before"))
        unpacked.rename(final)


def _download(wanted: Entry, downloads: Path) -> Path:
    """The .deb file that has the files, or the .dsc file beside them."""
    apt = cache_directory() / "apt"
    downloads.mkdir()
    if wanted.architecture == SOURCE:
        return debian.download_source(wanted.package, apt, downloads, wanted.suite)
    deb = debian.download(wanted.package, wanted.architecture, apt, downloads, wanted.suite)
    if not wanted.follow:
        return deb
    followed = downloads / "followed"
    followed.mkdir()
    package = debian.dependency(deb, wanted.follow)
    return debian.download(package, wanted.architecture, apt, followed, wanted.suite)


def _build(wanted: Entry, description: Path, workplace: Path, into: Path) -> dict[str, str]:
    """Build the flash image of `wanted`, with images of other entries in it, which are fetched where they lack."""
    from armvcpu.testing.firmware import trusted_firmware  # most entries are fetched only

    assert wanted.build is not None
    images = {}
    for name, reference in wanted.build["images"].items():
        other, _, file = reference.removeprefix("@").partition("/")
        if not _is_intact(entry(other)):
            _fetch(entry(other))
        images[name] = path(other, file)
    return trusted_firmware.build(description, wanted.build["options"], images, workplace, into)


def _record(wanted: Entry, package: Path, found: Mapping[str, str], unpacked: Path) -> dict[str, Any]:
    return {
        "package": debian.control_field(package, "Source" if wanted.architecture == SOURCE else "Package"),
        "version": debian.control_field(package, "Version"),
        "architecture": debian.control_field(package, "Architecture"),
        "licence": wanted.licence,
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        "deb_sha256": sha256(package),
        "files": {
            name: {
                "path": inside,
                "size": (unpacked / name).stat().st_size,
                "sha256": sha256(unpacked / name),
            }
            for name, inside in found.items()
        },
    }
