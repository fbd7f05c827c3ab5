"""The pytest plugin: a machine for each test, and what it did with each failure. docs/testing.md tells how to use it.

pytest loads this in every project: so before a test asks for a machine, only the options that there are are imported.
"""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from contextlib import ExitStack
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pytest

from armvcpu.errors import UsageError
from armvcpu.machine.config import MachineConfig
from armvcpu.machine.kinds import PathLike, parse_seconds
from armvcpu.machine.option import check_names
from armvcpu.testing.debugging import PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Unpack

    from armvcpu.machine.option_types import TargetOptions
    from armvcpu.testing.target.target import Target


class Boot(Protocol):
    """What the fixture `boot` is: a Target's constructor, with defaults from pytest's command line."""

    def __call__(
        self, image: PathLike | None = None, *, record: bool | PathLike = True, timeout: float = ...,
        **options: Unpack[TargetOptions],
    ) -> Target:  # fmt: skip
        """Make a machine."""


_T = TypeVar("_T")
_TARGETS: pytest.StashKey[list[Target]] = pytest.StashKey()
"""Of a test or module: its machines that are open."""
_SEEN: pytest.StashKey[dict[int, int]] = pytest.StashKey()
"""Of a test: how active each machine that was open before it had been, by the machine's id."""
_OURS = Path(__file__).parents[1]
_REPORT, _COVERAGE = "armvcpu-report", "armvcpu-coverage"
"""The plugins that make a page, and a file of what machines have executed, where there is to be one."""
_PROPERTIES = "console", "pc"
"""Of JUnit XML. The report is in the failure's text."""
_COMMAND_LINE = [option for option in MachineConfig.options.values() if option.is_in_pytest]


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options' defaults for every machine; a test's own go first."""
    group = parser.getgroup("armvcpu", "armvcpu: machines under test")
    for option in _COMMAND_LINE:
        flag = "--armvcpu-" + option.name.replace("_", "-")
        metavar = option.shown_metavar
        group.addoption(
            flag, metavar=metavar, type=_reader(option.read), help=f"where a test says nothing else: {option.sentence}"
        )
    group.addoption(
        "--armvcpu-timeout", type=_reader(parse_seconds), metavar="S", help="patience of expect and run_until [30]"
    )
    group.addoption("--armvcpu-log-dir", metavar="DIR", type=Path, help="write every test's console there")
    group.addoption(
        "--armvcpu-annotate", metavar="KIND", action="append", default=[],
        help="show failures on github, or in gitlab:F, a Code Quality report; repeatable",
    )  # fmt: skip
    group.addoption(
        "--armvcpu-report", metavar="F.html", type=Path,
        help="write a page about all tests and their machines, HTML that needs no network",
    )  # fmt: skip
    group.addoption(
        "--armvcpu-coverage", metavar="FILE", type=Path,
        help="write what all machines have executed: lines for lcov (FILE ends in .info), or blocks (.drcov)",
    )  # fmt: skip
    group.addoption(
        "--armvcpu-gdb", metavar="ADDRESS", nargs="?", const=PORT, type=_reader(_gdb_place),
        help=f"wait for gdb where a test has failed, at [HOST:]PORT or unix:PATH [{PORT}]",
    )  # fmt: skip
    group.addoption(
        "--armvcpu-keep", metavar="DIR", type=Path,
        help="keep of every failed test its console, report, an ELF core and, where the guest still runs, a snapshot",
    )  # fmt: skip


def _gdb_place(text: str) -> str:
    from armvcpu.debug.gdb.address import Address  # when somebody gives one

    Address.of(text)
    return text


def _reader(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """`read` with its errors as pytest tells them."""

    def reader(text: str) -> Any:
        try:
            return read(text)
        except UsageError as error:
            raise ArgumentTypeError(str(error)) from error

    return reader


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    if config.getoption("armvcpu_gdb") is not None and hasattr(config, "workerinput"):
        raise pytest.UsageError("--armvcpu-gdb: workers of pytest-xdist have no terminal; add -n 0")
    config.addinivalue_line("markers", "armvcpu(image, **options): the machine of this test; MachineConfig's fields")
    for flag in ("--armvcpu-log-dir", "--armvcpu-keep"):
        directory: Path | None = config.getoption(flag.removeprefix("--").replace("-", "_"))
        try:
            if directory is not None:
                directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise pytest.UsageError(f"{flag} {directory}: {error.strerror}; choose another place") from error
    try:
        _register(config)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error


def _register(config: pytest.Config) -> None:
    """Those who tell of all tests, where they are wanted."""
    if config.getoption("armvcpu_annotate"):
        from armvcpu.testing.annotating import Annotating

        annotating = Annotating(config.getoption("armvcpu_annotate"), _used_targets)
        config.pluginmanager.register(annotating, "armvcpu-annotate")
    if (path := config.getoption("armvcpu_coverage")) is not None:
        from armvcpu.testing.covering import CoveringTests

        config.pluginmanager.register(CoveringTests(path), _COVERAGE)
    if (page := config.getoption("armvcpu_report")) is not None:
        from armvcpu.testing.reporting import Reporting

        config.pluginmanager.register(Reporting(page, config, _used_targets), _REPORT)


def _check_marker(item: pytest.Item) -> None:
    """UsageError for what can't be an option of a machine, whether the test has one or not."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    if any(len(mark.args) > 1 for mark in item.iter_markers("armvcpu")):
        raise UsageError("the marker armvcpu has one image; what else there is has a name")
    for options in (*(mark.kwargs for mark in item.iter_markers("armvcpu")), parameters.get("machine")):
        if isinstance(options, dict):
            check_names(options, {*MachineConfig.options, "timeout"}, " of a machine")


def _in_one_line(call: Callable[[], _T]) -> _T:
    """What `call` returns; a mistake in a marker is told without the code that finds it."""
    try:
        return call()
    except UsageError as error:
        words = str(error)
    pytest.fail(words, pytrace=False)  # and not while that is handled, which would be told too


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
    made: list[Target] = request.node.stash.setdefault(_TARGETS, [])

    def make(image: Any = None, **options: Any) -> Target:
        from armvcpu.testing.target.target import Target  # when a test asks for one

        defaults = _defaults(request.config)
        if image is not None or "firmware" in options:
            defaults.pop("image", None)
            defaults.pop("firmware", None)
        target = Target(**{**defaults, **({} if image is None else {"image": image}), **options})
        made.append(target)
        if (reporting := request.config.pluginmanager.get_plugin(_REPORT)) is not None:
            reporting.look_at(target)
        if (covering := request.config.pluginmanager.get_plugin(_COVERAGE)) is not None:
            covering.cover(target)
        return target

    yield make
    while made:  # a rerun of the test has machines of its own
        made.pop().close()


@pytest.fixture
def machine(request: pytest.FixtureRequest, boot: Boot) -> Target:
    """The machine of the marker `armvcpu`, of an indirect parameter (a path, or a dict of options), or both."""
    return _in_one_line(lambda: boot(**_marked(request)))


def _marked(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What marker and parameter say; UsageError where that, and the command line, have no program."""
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
    image = options.get("image")
    if isinstance(image, str | os.PathLike):
        beside = request.path.parent / image
        options["image"] = beside if beside.exists() else image
    if not {"image", "firmware", "snapshot"} & {*options, *_defaults(request.config)}:
        raise UsageError("the fixture machine has no program: say @pytest.mark.armvcpu(IMAGE), or give --armvcpu-image")
    return options


def _defaults(config: pytest.Config) -> dict[str, Any]:
    """What the command line says of every machine."""
    given = {option.name: config.getoption(f"armvcpu_{option.name}") for option in _COMMAND_LINE}
    defaults = {name: value for name, value in given.items() if value is not None}
    if (timeout := config.getoption("armvcpu_timeout")) is not None:
        defaults["timeout"] = timeout
    return defaults


# --- reports --------------------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note what others have done with machines that this test may share; a marker that is wrong fails its test."""
    _in_one_line(lambda: _check_marker(item))
    item.stash[_SEEN] = {id(target): target.activity for target in _open_targets(item)}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Put the console's tail and the crash report with a failure, and keep what is asked for."""
    if call.excinfo is not None and call.excinfo.errisinstance(UsageError) and not item.config.getoption("fulltrace"):
        _leave_the_users_lines(call.excinfo)
    report: pytest.TestReport = yield
    if call.when == "teardown" or not (targets := _used_targets(item)):
        return report
    item.user_properties[:] = [each for each in item.user_properties if each[0].split(" ")[0] not in _PROPERTIES]
    for number, target in enumerate(targets):
        suffix = "" if len(targets) == 1 else f" {number}"
        if call.when == "call" and (directory := item.config.getoption("armvcpu_log_dir")) is not None:
            (directory / f"{_file_name(item, suffix)}.console").write_bytes(bytes(target.typed.output))
        if report.failed:
            _tell(report, item, target, suffix)
    report.user_properties = item.user_properties
    return report


def pytest_exception_interact(node: pytest.Item | pytest.Collector, report: pytest.TestReport) -> None:
    """A test has failed, and its machines are still there: gdb may look at them."""
    address = node.config.getoption("armvcpu_gdb")
    if address is None or not isinstance(node, pytest.Item) or report.when == "teardown":
        return
    from armvcpu.testing.debugging import hold_for_gdb

    capture = node.config.pluginmanager.getplugin("capturemanager")
    reporter = node.config.pluginmanager.getplugin("terminalreporter")
    for target in _used_targets(node):
        with ExitStack() as shown:
            if capture is not None:
                shown.enter_context(capture.global_and_fixture_disabled())
            reporter.ensure_newline()
            hold_for_gdb(target, address, node.nodeid, lambda line: reporter.write_line(line, flush=True))


def _leave_the_users_lines(error: pytest.ExceptionInfo[BaseException]) -> None:
    """Of a traceback: which code finds a user's mistake does not matter, but where the user made it."""
    theirs = None
    for frame, line in reversed(list(walk_tb(error.tb))):
        if not Path(frame.f_code.co_filename).is_relative_to(_OURS):
            theirs = TracebackType(theirs, frame, frame.f_lasti, line)
    if theirs is not None:
        error.traceback = type(error.traceback)(theirs)
        error.value.__cause__, error.value.__suppress_context__ = None, True


def _open_targets(item: pytest.Item) -> list[Target]:
    return [target for node in item.listchain() for target in node.stash.get(_TARGETS, [])]


def _used_targets(item: pytest.Item) -> list[Target]:
    """The test's machines: its own, those that its fixtures gave it, and those that did something in it."""
    targets = _open_targets(item)
    if not targets:
        return []
    own, seen = item.stash.get(_TARGETS, []), item.stash.get(_SEEN, {})
    given: list[object] = []
    for value in getattr(item, "funcargs", {}).values():
        given += [value, *(value if isinstance(value, tuple | list) else [])]
    return [
        target
        for target in targets
        if target in own or seen.get(id(target)) != target.activity or any(target is each for each in given)
    ]


def _file_name(item: pytest.Item, suffix: str) -> str:
    from armvcpu.testing.failure import file_name

    return file_name(item.nodeid) + suffix.replace(" ", "-")


def _tell(report: pytest.TestReport, item: pytest.Item, target: Target, suffix: str) -> None:
    """Put one machine into a failed test's text, which JUnit XML has too, and into its properties."""
    from armvcpu.testing.failure import keep, look_at

    failure = look_at(target)
    sections = [("console, its end", failure.console), (failure.title, failure.report)]
    if (directory := item.config.getoption("armvcpu_keep")) is not None:
        try:
            kept = keep(target, failure, directory / _file_name(item, suffix))
        except UsageError as error:
            kept = f"--armvcpu-keep: {error}"
        sections.append(("what is kept of it", kept))
    # What this adds to is in the text of JUnit XML; a report's own sections are not
    add = getattr(report.longrepr, "addsection", None)
    for title, text in sections:
        if add is not None:
            add(f"armvcpu{suffix}: {title}", text)
        else:
            report.sections.append((f"armvcpu{suffix}: {title}", text))
    values = failure.console, failure.place
    item.user_properties += [(name + suffix, value) for name, value in zip(_PROPERTIES, values, strict=True) if value]
