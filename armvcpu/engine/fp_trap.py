from __future__ import annotations


class FpTrap:
    def __init__(self, engine):
        self.pending = False

    def drain(self):
        pass

    def reloaded(self):
        pass
