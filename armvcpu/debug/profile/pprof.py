"""pprof's format: `profile.proto` of github.com/google/pprof, compressed by gzip.

The messages are made from the table below, which has what is written of them: their fields' names, numbers and types.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

if TYPE_CHECKING:
    from armvcpu.debug.profile.names import Frame
    from armvcpu.debug.profile.profile import Profile

_I, _U, _S, _B = "int64", "uint64", "string", "bool"
MESSAGES: dict[str, dict[str, tuple[int, str, bool]]] = {
    "ValueType": {"type": (1, _I, False), "unit": (2, _I, False)},
    "Sample": {"location_id": (1, _U, True), "value": (2, _I, True)},
    "Mapping": {"id": (1, _U, False), "memory_start": (2, _U, False), "memory_limit": (3, _U, False),
                "filename": (5, _I, False), "has_functions": (7, _B, False)},
    "Line": {"function_id": (1, _U, False), "line": (2, _I, False)},
    "Location": {"id": (1, _U, False), "mapping_id": (2, _U, False), "address": (3, _U, False),
                 "line": (4, "Line", True)},
    "Function": {"id": (1, _U, False), "name": (2, _I, False), "system_name": (3, _I, False),
                 "filename": (4, _I, False), "start_line": (5, _I, False)},
    "Profile": {"sample_type": (1, "ValueType", True), "sample": (2, "Sample", True), "mapping": (3, "Mapping", True),
                "location": (4, "Location", True), "function": (5, "Function", True), "string_table": (6, _S, True),
                "duration_nanos": (10, _I, False), "period_type": (11, "ValueType", False), "period": (12, _I, False)},
}  # fmt: skip
"""By message and field: its number, its type, and whether there may be many."""


def encode(profile: Profile) -> bytes:
    """The file; the same for the same profile."""
    return gzip.compress(_Encoder(profile).encode(), mtime=0)


def message_class(name: str) -> Any:
    """The class of a message of MESSAGES."""
    file = FileDescriptorProto(name="profile.proto", package="perftools.profiles", syntax="proto3")
    for message, fields in MESSAGES.items():
        described = file.message_type.add(name=message)
        for field, (number, kind, is_repeated) in fields.items():
            added = described.field.add(name=field, number=number)
            added.label = FieldDescriptorProto.LABEL_REPEATED if is_repeated else FieldDescriptorProto.LABEL_OPTIONAL
            if kind in MESSAGES:
                added.type, added.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".perftools.profiles.{kind}"
            else:
                added.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(f"perftools.profiles.{name}"))


class _Encoder:
    """One profile on its way into the message."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._message = message_class("Profile")()
        self._strings: dict[str, int] = {}
        self._locations: dict[Frame, int] = {}
        self._functions: dict[tuple[str, int], int] = {}

    def encode(self) -> bytes:
        message = self._message
        self._string("")  # which the format wants to be the first
        for what, unit in (("samples", "count"), ("time", "nanoseconds")):
            message.sample_type.add(type=self._string(what), unit=self._string(unit))
        message.period_type.type, message.period_type.unit = self._string("time"), self._string("nanoseconds")
        message.period = self._profile.interval * 1000
        message.mapping.add(id=1, memory_limit=(1 << 64) - 1, filename=self._string("guest"), has_functions=True)
        for sample in sorted(self._profile.samples(), key=lambda sample: sample.frames):
            locations = [self._location(frame) for frame in reversed(sample.frames)]
            message.sample.add(location_id=locations, value=[sample.seen, sample.ns])
            message.duration_nanos += sample.ns
        message.string_table.extend(self._strings)
        return bytes(message.SerializeToString(deterministic=True))

    def _string(self, text: str) -> int:
        return self._strings.setdefault(text, len(self._strings))

    def _location(self, frame: Frame) -> int:
        number = self._locations.get(frame)
        if number is None:
            number = self._locations[frame] = len(self._locations) + 1
            file, line = self._profile.place(frame)
            added = self._message.location.add(id=number, mapping_id=1, address=frame.address)
            added.line.add(function_id=self._function(frame, file), line=line)
        return number

    def _function(self, frame: Frame, file: str) -> int:
        key = frame.name, frame.start
        number = self._functions.get(key)
        if number is None:
            number = self._functions[key] = len(self._functions) + 1
            name = self._string(frame.name)
            self._message.function.add(id=number, name=name, system_name=name, filename=self._string(file))
        return number
