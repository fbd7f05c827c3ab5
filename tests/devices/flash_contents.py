"""Flash contents for tests: bytes in memory."""

from __future__ import annotations


class MemoryContents:
    """A bank's bytes, erased at first."""

    def __init__(self, size: int) -> None:
        self.data = bytearray(b"\xff" * size)
        self.shown: list[bool] = []
        self.is_missed = False

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, where: slice) -> bytes:
        return bytes(self.data[where])

    def put(self, offset: int, data: bytes) -> None:
        self.data[offset : offset + len(data)] = data

    def show(self, shown: bool) -> None:
        self.shown.append(shown)

    def changes(self) -> dict[int, bytes]:
        return {0: bytes(self.data)}

    def load_changes(self, changes: dict[int, bytes]) -> None:
        self.data[:] = changes[0]
