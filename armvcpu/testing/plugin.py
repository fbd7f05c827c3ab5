"""The pytest plugin: a machine for each test, and what it did with each failure. docs/testing.md tells how to use it.

Nothing of armvcpu is imported before a test asks for a machine, since pytest loads this in every project.
"""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from armvcpu.testing.target.target import Target

    Boot = Callable[..., Target]

_TARGETS: pytest.StashKey[list[Target]] = pytest.StashKey()
_OWN_OPTIONS = frozenset({"record", "timeout"})
_COMMAND_LINE = ("image", "firmware", "cpu_model", "gic", "cpus", "memory")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options' defaults for every machine; a test's own go first."""
    group = parser.getgroup("armvcpu", "armvcpu: machines under test")
    group.addoption("--armvcpu-image", metavar="F", help="image of machines that name none")
    group.addoption("--armvcpu-firmware", metavar="F", help="firmware of machines that name none")
    group.addoption("--armvcpu-cpu-model", metavar="NAME", help="a53, a57, a72 or max")
    group.addoption("--armvcpu-gic", type=int, choices=(2, 3), help="version of the interrupt controller")
    group.addoption("--armvcpu-cpus", type=int, metavar="N", help="CPUs of machines that name no number")
    group.addoption("--armvcpu-memory", metavar="SIZE", type=_size, help="RAM, as 256M")
    group.addoption("--armvcpu-timeout", type=_seconds, metavar="S", help="patience of expect and run_until [30]")
    group.addoption("--armvcpu-log-dir", metavar="DIR", type=Path, help="write every test's console there")


def _seconds(text: str) -> float:
    """A time; ValueError, which pytest tells, for what is none."""
    seconds = float(text)
    if not 0 < seconds <= 1e9:
        raise ValueError(text)
    return seconds


def _size(text: str) -> int:
    from armvcpu.errors import UsageError  # noqa: PLC0415
    from armvcpu.machine.board.sizes import parse_size  # noqa: PLC0415

    try:
        return parse_size(text)
    except UsageError as error:
        raise ArgumentTypeError(str(error)) from error


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "armvcpu(image, **options): the machine of this test; MachineConfig's fields")
    directory: Path | None = config.getoption("armvcpu_log_dir")
    try:
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise pytest.UsageError(f"--armvcpu-log-dir {directory}: {error.strerror}; choose another place") from error


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What can't be an option of a machine is found before anything runs."""
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        machine = parameters.get("machine")
        if any(len(mark.args) > 1 for mark in item.iter_markers("armvcpu")):
            raise pytest.UsageError(f"{item.nodeid}: the marker armvcpu has one image; what else there is has a name")
        for options in (*(mark.kwargs for mark in item.iter_markers("armvcpu")), machine):
            if isinstance(options, dict):
                _check(options, item.nodeid)


def _check(options: dict[str, Any], where: str) -> None:
    from armvcpu.machine.config import MachineConfig  # noqa: PLC0415

    known = {*MachineConfig.__match_args__} | _OWN_OPTIONS
    for name in options:
        if name not in known:
            raise pytest.UsageError(f"{where}: no option {name!r} of a machine; there are {', '.join(sorted(known))}")


# --- fixtures -------------------------------------------------------------------------------------------------


@pytest.fixture
def boot(request: pytest.FixtureRequest) -> Iterator[Boot]:
    """Makes machines: `boot("image.elf", cpus=2)`. They end with the test, however it ends."""
    yield from _factory(request)


@pytest.fixture(scope="module")
def boot_module(request: pytest.FixtureRequest) -> Iterator[Boot]:
    """As `boot`, for a machine that the tests of a module share, say by a snapshot."""
    yield from _factory(request)


def _factory(request: pytest.FixtureRequest) -> Iterator[Boot]:
    made: list[Target] = []

    def make(image: Any = None, **options: Any) -> Target:
        from armvcpu.testing.target.target import Target  # noqa: PLC0415  when a test asks for one

        defaults = _defaults(request.config)
        if image is not None or "firmware" in options:
            defaults.pop("image", None)
            defaults.pop("firmware", None)
        target = Target(**{**defaults, **({} if image is None else {"image": image}), **options})
        made.append(target)
        request.node.stash.setdefault(_TARGETS, []).append(target)
        return target

    yield make
    for target in made:
        target.close()


@pytest.fixture
def machine(request: pytest.FixtureRequest, boot: Boot) -> Target:
    """The machine of the marker `armvcpu`, of an indirect parameter (a path, or a dict of options), or both."""
    options: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers("armvcpu"))):
        options.update(mark.kwargs)
        if mark.args:
            options["image"] = mark.args[0]
    parameter = getattr(request, "param", None)
    if isinstance(parameter, dict):
        options.update(parameter)
    elif parameter is not None:
        options["image"] = parameter
    image = options.pop("image", None)
    if isinstance(image, str | os.PathLike):
        beside = request.path.parent / image
        image = beside if beside.exists() else image
    return boot(image, **options)


def _defaults(config: pytest.Config) -> dict[str, Any]:
    """What the command line says of every machine."""
    given = {name: config.getoption(f"armvcpu_{name}") for name in _COMMAND_LINE}
    defaults = {name: value for name, value in given.items() if value is not None}
    if (timeout := config.getoption("armvcpu_timeout")) is not None:
        defaults["timeout"] = timeout
    return defaults


# --- reports --------------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Put the console's tail, the crash report and the last exits with a failure; all of the console in a file."""
    report: pytest.TestReport = yield
    targets = [target for node in item.listchain() for target in node.stash.get(_TARGETS, [])]
    if call.when != "call" or not targets:
        return report
    directory: Path | None = item.config.getoption("armvcpu_log_dir")
    for number, target in enumerate(targets):
        suffix = "" if len(targets) == 1 else f" {number}"
        if directory is not None:
            name = "".join(c if c.isalnum() or c in "-_." else "_" for c in item.nodeid) + suffix.replace(" ", "-")
            (directory / f"{name}.console").write_bytes(bytes(target.typed.output))
        if report.failed:
            for title, text in _sections(target):
                report.sections.append((f"armvcpu{suffix}: {title}", text))
            item.user_properties.append((f"console{suffix}", target.talk.tail()))
    report.user_properties = item.user_properties
    return report


def _sections(target: Target) -> Iterator[tuple[str, str]]:
    from armvcpu.debug.words import describe_exit  # noqa: PLC0415

    yield "console, its end", target.talk.tail()
    if target.talk.outcome is not None:
        yield "how the guest ended", target.describe_end(target.talk.outcome)
    if target.last_exits:
        yield "last exits", "\n".join(f"{pc:#x} {describe_exit(reason)}" for pc, reason in target.last_exits)
    pc = target.vcpu.state.pc
    yield "where it is", f"PC {pc:#x} {target.symbols.format(pc)}\n{target.vcpu.trap_frame}"
