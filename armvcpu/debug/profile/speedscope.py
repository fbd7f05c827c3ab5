"""speedscope's own format: a profile of all, then one for each CPU where there are several; weights in nanoseconds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from armvcpu.debug.profile.profile import Profile, Sample

SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def encode(profile: Profile) -> bytes:
    """The file."""
    frames = _Frames(profile)
    samples = sorted(profile.samples(), key=lambda sample: sample.frames)
    cpus = sorted({sample.frames[0].name for sample in samples if len(sample.frames) > 1})
    profiles = [_sampled("all CPUs", samples, frames)]
    if len(cpus) > 1:
        profiles += [_sampled(cpu, (each for each in samples if each.frames[0].name == cpu), frames) for cpu in cpus]
    return json.dumps(
        {
            "$schema": SCHEMA,
            "exporter": "armvcpu",
            "name": "guest time",
            "activeProfileIndex": 0,
            "shared": {"frames": frames.rows},
            "profiles": profiles,
        },
        separators=(",", ":"),
    ).encode()


class _Frames:
    """The shared list of frames: functions, each once."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._numbers: dict[tuple[str, int], int] = {}
        self.rows: list[dict[str, Any]] = []

    def numbers(self, sample: Sample) -> list[int]:
        """Those of a stack, outermost first."""
        found = []
        for frame in sample.frames:
            key = frame.name, frame.start
            if key not in self._numbers:
                self._numbers[key] = len(self.rows)
                file, _line = self._profile.place(frame)
                self.rows.append({"name": frame.name, **({"file": file} if file else {})})
            found.append(self._numbers[key])
        return found


def _sampled(name: str, samples: Iterable[Sample], frames: _Frames) -> dict[str, Any]:
    """A profile of the type `sampled`, in which a sample is a stack with all that it has had."""
    rows, weights = [], []
    for sample in samples:
        rows.append(frames.numbers(sample))
        weights.append(sample.ns)
    total = sum(weights)
    return {
        "type": "sampled", "name": name, "unit": "nanoseconds", "startValue": 0, "endValue": total,
        "samples": rows, "weights": weights,
    }  # fmt: skip
