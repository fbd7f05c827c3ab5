"""Machines under test, for the tests of what tests them."""

from __future__ import annotations

import pytest
import raw_guest as raw

from armvcpu.testing.target.target import Target


@pytest.fixture
def boot(tmp_path):
    """Makes targets: of a guest's name, or of instruction words."""
    made = []

    def make(*what, **options):
        image = f"guests/bin/{what[0]}.elf"
        if not isinstance(what[0], str):
            image = tmp_path / "image.bin"
            image.write_bytes(raw.image(*what))
        made.append(Target(image, **options))
        return made[-1]

    yield make
    for target in made:
        target.close()
