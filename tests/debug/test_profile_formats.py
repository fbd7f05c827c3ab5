"""A profile's files: pprof's are read by its own definition, speedscope's by what its documentation says."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import jsonschema
import pytest
from c_guest import build
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message_factory import GetMessages
from grpc_tools import protoc

from armvcpu import Machine, UsageError
from armvcpu.testing.firmware import store

GUESTS = Path(__file__).parents[2] / "guests" / "bin"
PROFILE = {
    "type": "object",
    "required": ["type", "name", "unit", "startValue", "endValue", "samples", "weights"],
    "additionalProperties": False,
    "properties": {
        "type": {"const": "sampled"},
        "name": {"type": "string"},
        "unit": {"enum": ["bytes", "microseconds", "milliseconds", "nanoseconds", "none", "seconds"]},
        "startValue": {"type": "number"},
        "endValue": {"type": "number"},
        "samples": {"type": "array", "items": {"type": "array", "items": {"type": "integer", "minimum": 0}}},
        "weights": {"type": "array", "items": {"type": "number"}},
    },
}
SPEEDSCOPE = {
    "type": "object",
    "required": ["$schema", "profiles", "shared"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"const": "https://www.speedscope.app/file-format-schema.json"},
        "activeProfileIndex": {"type": "number"},
        "exporter": {"type": "string"},
        "name": {"type": "string"},
        "profiles": {"type": "array", "minItems": 1, "items": PROFILE},
        "shared": {
            "type": "object",
            "required": ["frames"],
            "properties": {
                "frames": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "additionalProperties": False,
                        "properties": {
                            "name": {"type": "string"},
                            "file": {"type": "string"},
                            "line": {"type": "number"},
                            "col": {"type": "number"},
                        },
                    },
                }
            },
        },
    },
}
"""What speedscope's documentation of its format says of profiles of samples ("Importing from custom sources")."""


@pytest.fixture(scope="module")
def profile():
    with Machine(GUESTS / "smp.elf", clock="instructions", cpus=2) as machine:
        with machine.profile(1) as found:
            assert machine.run(timeout=60).ok
        return found


def written(profile, path) -> bytes:
    profile.write(path)
    return path.read_bytes()


@pytest.fixture(scope="session")
def read_pprof(tmp_path_factory):
    """The message of a file, as pprof's own profile.proto defines it."""
    store.fetch("pprof")
    definition, compiled = store.path("pprof"), tmp_path_factory.mktemp("pprof") / "compiled"
    assert not protoc.main(["protoc", f"-I{definition.parent}", f"--descriptor_set_out={compiled}", str(definition)])
    messages = GetMessages(FileDescriptorSet.FromString(compiled.read_bytes()).file)

    def read(data: bytes):
        return messages["perftools.profiles.Profile"].FromString(gzip.decompress(data))

    return read


def summed(samples) -> dict[tuple[str, ...], int]:
    """The time of each stack that has any."""
    found: dict[tuple[str, ...], int] = {}
    for stack, ns in samples:
        found[stack] = found.get(stack, 0) + ns
    return {stack: ns for stack, ns in found.items() if ns}


def test_pprof_files_have_every_stack_with_its_time(profile, read_pprof, tmp_path):
    """In nanoseconds; the innermost function is the first of a sample."""
    message = read_pprof(written(profile, tmp_path / "p.pb.gz"))
    functions = {each.id: message.string_table[each.name] for each in message.function}
    names = {each.id: functions[each.line[0].function_id] for each in message.location}
    samples = ((tuple(names[each] for each in reversed(one.location_id)), one.value[1]) for one in message.sample)
    assert summed(samples) == summed(profile.stacks().items())


def test_speedscope_files_have_every_stack_with_its_time(profile, tmp_path):
    """In nanoseconds; the outermost function is the first of a sample."""
    document = json.loads(written(profile, tmp_path / "p.speedscope.json"))
    names = [frame["name"] for frame in document["shared"]["frames"]]
    one = document["profiles"][0]
    assert one["unit"] == "nanoseconds"
    samples = (tuple(names[number] for number in stack) for stack in one["samples"])
    assert summed(zip(samples, one["weights"], strict=True)) == summed(profile.stacks().items())


@pytest.mark.parametrize("name", ["p.collapsed", "p.txt"])
def test_collapsed_stacks_are_in_microseconds(profile, tmp_path, name):
    """One at least."""
    lines = (line.rsplit(" ", 1) for line in written(profile, tmp_path / name).decode().splitlines())
    found = {tuple(stack.split(";")): int(time) for stack, time in lines}
    assert found == {stack: max(1, round(ns / 1000)) for stack, ns in profile.stacks().items() if ns}


def test_speedscope_files_are_as_their_documentation_has_them(profile, tmp_path):
    """With a profile for all, and one for each CPU; every number of a frame leads to one."""
    document = json.loads(written(profile, tmp_path / "p.speedscope.json"))
    jsonschema.validate(document, SPEEDSCOPE)
    assert [each["name"] for each in document["profiles"]] == ["all CPUs", "cpu0", "cpu1"]
    frames = document["shared"]["frames"]
    for each in document["profiles"]:
        assert len(each["samples"]) == len(each["weights"])
        assert sum(each["weights"]) == each["endValue"]
        assert all(number < len(frames) for stack in each["samples"] for number in stack)
    assert len({json.dumps(frame) for frame in frames}) > 5


def test_pprof_files_have_counts_and_units(profile, read_pprof, tmp_path):
    """Each sample's locations are there, and its times are together the guest's."""
    message = read_pprof(written(profile, tmp_path / "p.pb.gz"))
    strings = message.string_table
    assert [(strings[each.type], strings[each.unit]) for each in message.sample_type] == [
        ("samples", "count"), ("time", "nanoseconds"),
    ]  # fmt: skip
    assert strings[0] == ""
    assert message.period == 1000
    assert message.duration_nanos == profile.summary().guest_ns
    identifiers = {location.id for location in message.location}
    assert {number for sample in message.sample for number in sample.location_id} <= identifiers


WORK = """
static volatile int sink;
__attribute__((noinline)) static int work(int n) { int sum = 0; for (int i = 0; i < n; i++) sum += sink; return sum; }
int main(void) { return work(200000) + work(3); }
"""


@pytest.mark.parametrize("version", [4, 5])
def test_frames_have_their_file_and_line(read_pprof, tmp_path, version):
    """Of the source, where the image has DWARF; a caller that of its call."""
    image = build(tmp_path, WORK, "-O1", "-g", f"-gdwarf-{version}", "-fno-omit-frame-pointer")
    with Machine(image, clock="instructions") as machine, machine.profile(100) as found:
        assert machine.run(timeout=60).ok
    message = read_pprof(written(found, tmp_path / "p.pb.gz"))
    names = {
        each.id: (message.string_table[each.name], message.string_table[each.filename]) for each in message.function
    }
    places = {(*names[line.function_id], line.line) for location in message.location for line in location.line}
    assert {("work", "main.c", 3), ("main", "main.c", 4)} <= places
    frames = json.loads(written(found, tmp_path / "p.speedscope.json"))["shared"]["frames"]
    assert {"name": "work", "file": "main.c"} in frames


def test_the_same_profile_is_the_same_file(profile, tmp_path):
    """Compressed without a date."""
    for name in ("p.collapsed", "p.speedscope.json", "p.pb.gz"):
        assert written(profile, tmp_path / name) == written(profile, tmp_path / f"other-{name}")
    assert gzip.decompress((tmp_path / "p.pb.gz").read_bytes())


@pytest.mark.parametrize("name", ["profile", "profile.json", "profile.pb", "collapsed", ".speedscope"])
def test_a_name_that_says_no_format(profile, tmp_path, name):
    """One line with those that there are, and nothing is written."""
    with pytest.raises(UsageError, match=r"\.speedscope\.json"):
        profile.write(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_file_that_cannot_be_written(profile, tmp_path):
    """One line."""
    with pytest.raises(UsageError, match="No such file or directory; name another file"):
        profile.write(tmp_path / "nowhere" / "p.txt")
