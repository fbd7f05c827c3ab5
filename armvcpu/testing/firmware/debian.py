"""Gets a Debian package with the host's own apt, and members out of it; never changes the host's system.

A package for the host's architecture comes through the host's package lists. Where those are missing or out
of date, and for any other architecture, apt works in a private directory: with lists, status and cache of its
own, but the host's sources and keys (apt.conf(5): Dir::State, Dir::Cache, APT::Architecture). Source packages
come through such a directory too, from where the host's binary packages come from, and so does what is of another
suite than the host's: a directory for each suite (`sources`).
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tarfile
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from shutil import copyfile, copyfileobj, which
from typing import TYPE_CHECKING

from armvcpu.errors import UsageError
from armvcpu.testing.firmware import sources

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_CONFIGURATION = """\
#clear APT::Architectures;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
Dir::State "{root}/";
Dir::State::Lists "{root}/lists/";
Dir::State::Status "{root}/status";
Dir::Cache "{root}/cache/";
"""
_SOURCES_CONFIGURATION = """\
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "{root}/sources/";
"""
_SUITE_CONFIGURATION = (
    _SOURCES_CONFIGURATION
    + """\
#clear APT::Default-Release;
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "{root}/preferences/";
"""
)
"""No wish of the host's for its own release (apt_preferences(5)) holds for another one."""


def run(*command: str, cwd: Path | None = None) -> str:
    """The standard output of a command.

    Raises:
        UsageError: there is no such program, or it failed; says why in its own words.
    """
    if which(command[0]) is None:
        raise UsageError(f"{command[0]}: no such program; fetching firmware needs a Debian-like system with apt")
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"status {done.returncode}"]
        errors = [line for line in lines if line.startswith("E:")] or lines
        raise UsageError(f"{command[0]}: {errors[0]}; check the network and the host's package sources")
    return done.stdout


def download(package: str, architecture: str, private_root: Path, into: Path, suite: str = "") -> Path:
    """Download the .deb file of `package` into the empty directory `into`: that of the host's suite, or of `suite`.

    Raises:
        UsageError: apt is missing, or cannot get it.
    """
    if suite:
        return _download_of_suite(package, architecture, private_root, into, suite)
    if architecture in ("all", run("dpkg", "--print-architecture").strip()):
        try:
            return _apt_download((), package, into)
        except UsageError:  # no package lists (as in container images), or older than the mirror
            architecture = run("dpkg", "--print-architecture").strip()
    root = private_root / architecture
    configuration = _prepare(root, architecture)
    if not any((root / "lists").glob("*_Packages*")):
        run("apt-get", *configuration, "update")
    try:
        return _apt_download(configuration, package, into)
    except UsageError:
        run("apt-get", *configuration, "update")
        return _apt_download(configuration, package, into)


def _download_of_suite(package: str, architecture: str, private_root: Path, into: Path, suite: str) -> Path:
    if architecture == "all":
        architecture = "arm64"  # whose lists have it as any other's, and are there for other packages
    root = private_root / f"{suite}-{architecture}"
    configuration = _prepare(root, architecture, _SUITE_CONFIGURATION)
    _write_sources(root / "sources", "deb", suite)
    if any((root / "lists").glob("*_Packages*")):
        with suppress(UsageError):  # older than the mirror
            return _apt_download(configuration, package, into)
    with _updated(configuration, suite):
        return _apt_download(configuration, package, into)


@contextmanager
def _updated(configuration: tuple[str, ...], suite: str) -> Iterator[None]:
    """Fetch lists, and download by them; where that fails, what was wrong with the lists says why.

    By itself it is no error: a third party's repository may have no sources, or nothing for a suite.
    """
    failure = None
    try:
        run("apt-get", *configuration, "update")
    except UsageError as error:
        failure = error
    try:
        yield
    except UsageError as error:
        raise UsageError(f"suite {suite}: {failure or error}" if suite else str(error)) from error


def download_program(package: str, private_root: Path, into: Path) -> list[Path]:
    """Download `package` into the empty directory `into`, and of what it depends on all that the host has not.

    apt decides by the host's own status what that is; nothing is installed.

    Raises:
        UsageError: apt is missing, or cannot get it.
    """
    (into / "archives/partial").mkdir(parents=True)
    command = (
        "-o", f"Dir::Cache={into}/", "-o", "Debug::NoLocking=true", *_unsandboxed(),
        "--yes", "--no-install-recommends", "--download-only", "--reinstall", "install", package,
    )  # fmt: skip
    try:
        run("apt-get", *command)
    except UsageError:  # no package lists (as in container images), or older than the mirror
        root = private_root / "programs"
        configuration = _prepare(root, run("dpkg", "--print-architecture").strip(), _host_status())
        run("apt-get", *configuration, "update")
        run("apt-get", *configuration, *command)
    return sorted((into / "archives").glob("*.deb"))


def _host_status() -> str:
    """The configuration by which apt knows what the host has (apt.conf(5): Dir::State::Status)."""
    words = run("apt-config", "shell", "STATUS", "Dir::State::Status/f")
    return f'Dir::State::Status "{dict(word.split("=", 1) for word in shlex.split(words))["STATUS"]}";\n'


def download_source(package: str, private_root: Path, into: Path, suite: str = "") -> Path:
    """Download the files of the source package `package` into the empty directory `into`; its .dsc file.

    Raises:
        UsageError: apt is missing, or cannot get it.
    """
    root = private_root / (f"{suite}-source" if suite else "source")
    more = _SUITE_CONFIGURATION if suite else _SOURCES_CONFIGURATION
    configuration = _prepare(root, run("dpkg", "--print-architecture").strip(), more)
    _write_sources(root / "sources", "deb-src", suite)
    command = ("apt-get", *configuration, *_unsandboxed(), "source", "--download-only", "--only-source", package)
    try:
        run(*command, cwd=into)
    except UsageError:  # no lists yet, or older than the mirror
        with _updated(configuration, suite):
            run(*command, cwd=into)
    (description,) = into.glob("*.dsc")
    return description


def _write_sources(directory: Path, kind: str, suite: str) -> None:
    words = run("apt-config", "shell", "FILE", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d")
    places = dict(word.split("=", 1) for word in shlex.split(words))
    sources.write((Path(places["FILE"]), *sorted(Path(places["PARTS"]).glob("*"))), directory, kind, suite)


def _prepare(root: Path, architecture: str, more: str = "") -> tuple[str, ...]:
    """Make the private apt directory, with `more` in its configuration; the options that make apt use it."""
    for directory in ("lists/partial", "cache/archives/partial"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    (root / "status").touch()
    file = root / "apt.conf"
    file.write_text((_CONFIGURATION + more).format(root=root, architecture=architecture))
    return ("-c", str(file))


def _apt_download(configuration: tuple[str, ...], package: str, into: Path) -> Path:
    run("apt-get", *configuration, *_unsandboxed(), "download", package, cwd=into)
    (deb,) = into.glob("*.deb")
    return deb


def _unsandboxed() -> tuple[str, ...]:
    # As root, apt would drop to a user that cannot write into the caller's directory.
    return ("-o", "APT::Sandbox::User=root") if os.geteuid() == 0 else ()


def control_field(package: Path, name: str) -> str:
    """A field of the package's control file (deb-control(5), for a source package dsc(5)), empty if it has none."""
    if package.suffix == ".dsc":
        found = re.search(rf"(?m)^{name}:[ \t]*(.*)$", package.read_text())
        return found[1].strip() if found else ""
    return run("dpkg-deb", "--field", str(package), name).strip()


def dependency(deb: Path, prefix: str) -> str:
    """The first package named in Depends that starts with `prefix`.

    Raises:
        UsageError: there is none.
    """
    for name in re.split(r"[,|]", control_field(deb, "Depends")):
        if name.strip().startswith(prefix):
            return name.split()[0]
    raise UsageError(f"{deb.name}: depends on no package {prefix}...; the manifest's `follow` needs a change")


def extract(deb: Path, wanted: Mapping[str, str], into: Path) -> dict[str, str]:
    """Write the `wanted` files (new name -> path pattern inside) to `into`; the paths found, by new name.

    Only contents are taken, and whether they can be executed: no links, owners or other modes, and no name from the
    package is used on the host.

    Raises:
        UsageError: the package lacks one, or cannot be read.
    """
    found: dict[str, str] = {}
    command = ("dpkg-deb", "--fsys-tarfile", str(deb))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as unpacker:
        try:
            with tarfile.open(fileobj=unpacker.stdout, mode="r|") as archive:
                for member in archive:
                    path = member.name.removeprefix("./")
                    name = next((name for name, pattern in wanted.items() if fnmatchcase(path, pattern)), None)
                    contents = archive.extractfile(member) if name is not None and member.isreg() else None
                    if name is not None and contents is not None:
                        with (into / name).open("wb") as file:
                            copyfileobj(contents, file)
                        if member.mode & 0o100:  # executable, for whom it can be read
                            mode = (into / name).stat().st_mode
                            (into / name).chmod(mode | (mode & 0o444) >> 2)
                        found[name] = path
        except tarfile.TarError as error:
            raise UsageError(f"{deb.name}: cannot be unpacked ({error}); fetch it again") from None
    if missing := sorted(wanted.keys() - found.keys()):
        raise UsageError(f"{deb.name}: has no {wanted[missing[0]]}; the manifest's `files` need a change")
    return found


def unpack(debs: Iterable[Path], root: Path) -> None:
    """Unpack all of some packages below `root`, with their links; no file is setuid or setgid there.

    Raises:
        UsageError: one cannot be read.
    """
    for deb in debs:
        run("dpkg-deb", "--extract", str(deb), str(root))
    for file in root.rglob("*"):
        if not file.is_symlink() and (mode := file.stat().st_mode) & 0o6000:
            file.chmod(mode & 0o777)


def pick(description: Path, wanted: Mapping[str, str], into: Path) -> dict[str, str]:
    """Copy the `wanted` files (new name -> pattern) of a source package to `into`; the names found, by new name.

    Raises:
        UsageError: the package lacks one.
    """
    found: dict[str, str] = {}
    for name, pattern in wanted.items():
        file = next(description.parent.glob(pattern), None)
        if file is None:
            raise UsageError(f"{description.name}: has no {pattern}; the manifest's `files` need a change")
        copyfile(file, into / name)
        found[name] = file.name
    return found
