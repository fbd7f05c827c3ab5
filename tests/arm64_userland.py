"""A Debian userland for AArch64 with Python, run by qemu-user: enough of a host to test the wheel for that machine.

Everything lies in one directory; the machine's own packages are not touched, and no root is needed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

EMULATOR = "qemu-aarch64-static"
APT = """\
APT::Architecture "arm64";
APT::Architectures { "arm64"; "HOST"; };
APT::Sandbox::User "root";
Dir::State "DIRECTORY/state";
Dir::State::status "DIRECTORY/state/status";
Dir::Cache "DIRECTORY/cache";
"""


@dataclass(frozen=True)
class Arm64Userland:
    """The userland in `root`, and the Python packages of `install` in `site`."""

    emulator: Path
    root: Path
    interpreter: Path
    site: Path

    def install(self, requirement: str) -> None:
        """Install a requirement and what it needs from wheels for AArch64."""
        version = self.interpreter.name.removeprefix("python")
        platforms = ["--platform", "manylinux_2_17_aarch64", "--platform", "manylinux2014_aarch64"]
        run(
            *(sys.executable, "-m", "pip", "install", "--quiet", "--target", self.site, "--only-binary=:all:"),
            *("--implementation", "cp", "--python-version", version, *platforms, requirement),
        )

    def python(self, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run Python with the installed packages, in the directory `cwd`."""
        environment = os.environ | {
            "PYTHONHOME": str(self.root / "usr"),
            "PYTHONPATH": str(self.site),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = (self.emulator, "-L", self.root, self.interpreter, *arguments)
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def make(directory: Path) -> Arm64Userland:
    """Fetch Debian's packages into `directory` and unpack them."""
    configuration = directory / "apt.conf"
    architecture = run("dpkg", "--print-architecture").strip()
    configuration.write_text(APT.replace("DIRECTORY", str(directory)).replace("HOST", architecture))
    for each in ("state/lists/partial", "cache/archives/partial", "root/usr/lib"):
        (directory / each).mkdir(parents=True)
    (directory / "state/status").touch()
    foreign = {"APT_CONFIG": str(configuration)}
    run("apt-get", "--quiet", "update", **foreign)
    python = ("python3-minimal", "libpython3-stdlib")
    run("apt-get", "--quiet", "install", "--yes", "--no-install-recommends", "--download-only", *python, **foreign)
    root = directory / "root"
    (root / "lib").symlink_to("usr/lib")
    for package in (directory / "cache/archives").glob("*.deb"):
        run("dpkg-deb", "--extract", package, root)
    interpreter = next((root / "usr/bin").glob("python3.*"))
    emulator = shutil.which(EMULATOR)
    if emulator is None:  # Debian's is one static program
        (directory / "host").mkdir()
        run("apt-get", "--quiet", "download", f"qemu-user-static:{architecture}", cwd=directory / "host", **foreign)
        run("dpkg-deb", "--extract", next((directory / "host").glob("*.deb")), directory / "host")
        emulator = str(directory / "host/usr/bin" / EMULATOR)
    return Arm64Userland(Path(emulator), root, interpreter, directory / "site")


def run(*command: str | Path, cwd: Path | None = None, **variables: str) -> str:
    """What a command prints; a failure shows all of it."""
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | variables, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: {done.stdout}"
    return done.stdout
