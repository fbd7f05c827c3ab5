"""Gets a Debian package with the host's own apt, and members out of it; never changes the host's system.

A package for the host's architecture comes through the host's package lists. Where those are missing or out
of date, and for any other architecture, apt works in a private directory: with lists, status and cache of its
own, but the host's sources and keys (apt.conf(5): Dir::State, Dir::Cache, APT::Architecture).
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tarfile
from fnmatch import fnmatchcase
from shutil import copyfileobj, which
from typing import TYPE_CHECKING

from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

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


def run(*command: str, cwd: Path | None = None) -> str:
    """The standard output of a command.

    Raises:
        UsageError: there is no such program, or it failed; says why in its own words.
    """
    if which(command[0]) is None:
        raise UsageError(f"{command[0]}: no such program; fetching firmware needs a Debian-like system with apt")
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(  # noqa: S603  a fixed program, and names from the manifest
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


def download(package: str, architecture: str, private_root: Path, into: Path) -> Path:
    """Download the .deb file of `package` into the empty directory `into`.

    Raises:
        UsageError: apt is missing, or cannot get it.
    """
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


def _prepare(root: Path, architecture: str) -> tuple[str, ...]:
    """Make the private apt directory; the options that make apt use it."""
    for directory in ("lists/partial", "cache/archives/partial"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    (root / "status").touch()
    file = root / "apt.conf"
    file.write_text(_CONFIGURATION.format(root=root, architecture=architecture))
    return ("-c", str(file))


def _apt_download(configuration: tuple[str, ...], package: str, into: Path) -> Path:
    # As root, apt would drop to a user that cannot write into the caller's directory.
    sandbox = ("-o", "APT::Sandbox::User=root") if os.geteuid() == 0 else ()
    run("apt-get", *configuration, *sandbox, "download", package, cwd=into)
    (deb,) = into.glob("*.deb")
    return deb


def control_field(deb: Path, name: str) -> str:
    """A field of the package's control file (deb-control(5)), empty if it has none."""
    return run("dpkg-deb", "--field", str(deb), name).strip()


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

    Only contents are taken: no links, owners or modes, and no name from the package is used on the host.

    Raises:
        UsageError: the package lacks one, or cannot be read.
    """
    found: dict[str, str] = {}
    command = ("dpkg-deb", "--fsys-tarfile", str(deb))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as unpacker:  # noqa: S603
        try:
            with tarfile.open(fileobj=unpacker.stdout, mode="r|") as archive:
                for member in archive:
                    path = member.name.removeprefix("./")
                    name = next((name for name, pattern in wanted.items() if fnmatchcase(path, pattern)), None)
                    contents = archive.extractfile(member) if name is not None and member.isreg() else None
                    if name is not None and contents is not None:
                        with (into / name).open("wb") as file:
                            copyfileobj(contents, file)
                        found[name] = path
        except tarfile.TarError as error:
            raise UsageError(f"{deb.name}: cannot be unpacked ({error}); fetch it again") from None
    if missing := sorted(wanted.keys() - found.keys()):
        raise UsageError(f"{deb.name}: has no {wanted[missing[0]]}; the manifest's `files` need a change")
    return found


def sha256(path: Path) -> str:
    """The SHA-256 sum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
