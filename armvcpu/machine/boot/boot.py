"""A machine's boot: its options and its board made into a plan, anew where the board has changed."""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import named
from armvcpu.machine.boot.loader import BootPlan, BootRequest, plan_boot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.machine.board.devicetree import DeviceTree
    from armvcpu.machine.board.memory_map import MemoryMap
    from armvcpu.machine.board.virt import Board
    from armvcpu.machine.boot.symbols import Symbols
    from armvcpu.machine.config import MachineConfig
    from armvcpu.machine.layout import Load, Module


class Boot:
    """What `config` boots on `board`; `seed` is /chosen/rng-seed, `secure_seed` what /secure-chosen has of the kind.

    Raises:
        ImageError, UsageError: as `plan_boot`.
    """

    def __init__(self, config: MachineConfig, board: Board, seed: bytes, secure_seed: bytes = b"") -> None:
        self._config, self._board, self._seed, self._secure_seed = config, board, seed, secure_seed
        self._named: Symbols | None = None
        """Those of the file that the options name."""
        if config.symbols is not None:
            from armvcpu.machine.boot.symbols import Symbols  # most runs have none
            from armvcpu.machine.layout import parse_symbols

            self._named = Symbols.from_file(*parse_symbols(str(config.symbols)))
        self.plan = self._new_plan()

    def symbols(self) -> Symbols:
        """Those of the file that the options name, then the image's own; empty where there are none."""
        from armvcpu.machine.boot.symbols import Symbols  # most runs never look at one

        image, named = self.plan.image, self._named or Symbols()
        if image is not None and image.linux is not None:
            return named.and_of_kernel(image.segments[0].data, image.segments[0].addr)
        return named.and_of(None if image is None else image.elf)

    def _new_plan(self) -> BootPlan:
        config = self._config
        request = BootRequest(
            self._memory_map(), self._tree(), image=config.image, firmware=config.firmware,
            initrd=config.initrd, dtb=config.dtb, append=config.append, load_address=config.load_address,
            entry=config.entry, loads=self.loads(), modules=self._modules(),
            chosen={"rng-seed": self._seed}, symbols=self._named,
        )  # fmt: skip
        plan = plan_boot(request)
        return plan.replace(description=(*plan.description, *self._surroundings()))

    def _tree(self) -> DeviceTree:
        tree = self._board.device_tree()
        if not self._secure_seed:
            return tree
        from armvcpu.machine.board.secure import with_seed  # most boards have no Secure world

        return with_seed(tree, self._secure_seed)

    def _surroundings(self) -> Iterator[str]:
        """What is not as on every board, for people."""
        for ram in self._board.more:
            yield f"RAM at {ram.base:#x} to {ram.end - 1:#x}, beside the board's own"
        for slot in self._board.covered:
            yield f"not on this board, since RAM is there: {slot.name} at {slot.base:#x}"
        for slot in self._board.added:
            yield f"{slot.name} at {slot.base:#x}, beside the board's own devices"

    def _memory_map(self) -> MemoryMap:
        """What an image may be loaded into: not the flash bank that is a file of the user's."""
        memory = self._board.memory_map()
        if self._config.vars is None:
            return memory
        kept = memory.flash[-1]
        taken = kept.replace(name=f"{kept.name} of {named('vars')}")
        return memory.replace(flash=memory.flash[:-1], devices=(*memory.devices, taken))

    def loads(self) -> tuple[Load, ...]:
        """The further files that the options name."""
        if not self._config.loads:
            return ()
        from armvcpu.machine.layout import parse_load  # most machines load no further file

        return tuple(parse_load(str(each)) for each in self._config.loads)

    def _modules(self) -> tuple[Module, ...]:
        if not self._config.modules:
            return ()
        from armvcpu.machine.layout import parse_module  # few machines have any

        return tuple(parse_module(str(each)) for each in self._config.modules)

    def board_changed(self) -> None:
        """The board has another device: its tree, and what has to make room for it, are another's."""
        self.plan = self._new_plan()
