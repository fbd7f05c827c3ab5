"""The Secure Monitor interface: which firmware service answers an SMC or HVC, by the SMC Calling Convention.

Pure: no engine, no vCPU. A vCPU's exception layer hands x0 and the arguments to `SmcServices.call` and gets
either result registers or an exit; what no service claims is NOT_SUPPORTED. Follows Arm DEN 0028 (SMCCC).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from armvcpu.arch.psci import psci_by_id
from armvcpu.arch.rows import Row
from armvcpu.arch.smccc import (
    CALL_COUNT,
    CALL_REVISION,
    CALL_UID,
    SMCCC_ARCH_FEATURES,
    SMCCC_VERSION,
    SMCCC_VERSION_1_2,
    FunctionId,
    Owner,
    SmcccStatus,
    fast_call,
    owner_name,
)
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import UsageError, callable_in, described, kind_in, number_in
from armvcpu.vcpu.exits import Exit
from armvcpu.vcpu.smc_filter import CallAction, CallFilter, check_identifiers

if TYPE_CHECKING:
    from uuid import UUID

SmcResult = int | tuple[int, ...] | Exit
"""What a handler gives: x0, or x0 up to x17, or an exit.

A negative number is a status code. With an exit x0 becomes 0 (SUCCESS) before the exit is delivered.
"""

Handler = Callable[[int, tuple[int, ...]], SmcResult]
"""Called with the function identifier (32 bits, without the SVE hint) and at least x1 to x6.

A vCPU passes x1 to x17 of an SMC64 call, and W1 to W7 of an SMC32 call (DEN 0028 2.6).
"""

_ARGUMENTS, _SMC32_ARGUMENTS, _RESULTS = 6, 7, 18
_OWNER_BITS = 6
_REMEMBERED = 4096
PV_TIME_FEATURES = fast_call(Owner.STANDARD_HYPERVISOR, 0x20, smc64=True)
SMCCC_VERSION_1_0 = 0x1_0000


class Uid(Row):
    """The 16 bytes of a UUID as `uuid.UUID` has them, which takes 3 ms to import."""

    bytes: bytes


class OwnerInfo(Row):
    """What an owner's general queries answer: DEN 0028 6.2."""

    uid: UUID | Uid
    major: int
    minor: int


class SmcServices:
    """The registered firmware services; the Arm Architecture Calls are there from the start."""

    def __init__(self, version: int = SMCCC_VERSION_1_2) -> None:
        self._functions: dict[int, Handler] = {}
        self._ranges: list[tuple[range, Handler]] = []
        self._owners: dict[int, Handler] = {}
        self._infos: dict[int, OwnerInfo] = {}
        self._features: dict[int, int] = {}
        self._filter = CallFilter()
        self._actions: dict[int, CallAction | None] = {}
        if version > SMCCC_VERSION_1_0:  # which had neither of them
            self.register(SMCCC_VERSION, lambda _id, _args: version)
            self.register(SMCCC_ARCH_FEATURES, self._arch_features)

    def register(self, function_id: int, handler: Handler, *, feature: int = SmcccStatus.SUCCESS) -> None:
        """Answer one function; UsageError where the identifier is malformed or already claimed.

        `feature` is what SMCCC_ARCH_FEATURES answers of it, where it can be asked.
        """
        number_in("an SMC function", function_id, 32)
        callable_in(f"the service of {function_id:#x}", handler)
        if problem := malformed(function_id):
            raise UsageError(f"SMC function {function_id:#x} cannot be registered: {problem}")
        if function_id in self._functions:
            raise UsageError(f"SMC function {function_id:#x} is registered already; unregister it first")
        self._functions[function_id] = handler
        self._features[function_id] = feature
        self._actions.clear()

    def unregister(self, function_id: int) -> None:
        """Withdraw what `register` added; UsageError where there is nothing."""
        number_in("an SMC function", function_id, 32)
        if self._functions.pop(function_id, None) is None:
            raise UsageError(f"SMC function {function_id:#x} is not registered")
        del self._features[function_id]
        self._actions.clear()

    def register_range(self, function_ids: range, handler: Handler) -> None:
        """Answer those functions of a range of identifiers that no one registered singly.

        UsageError for a range that is empty, has steps or no identifiers in it, or that overlaps one before.
        """
        callable_in("the service of a range", handler)
        check_identifiers(function_ids, (known for known, _ in self._ranges), "registered")
        self._ranges.append((function_ids, handler))
        self._actions.clear()

    def register_owner(self, owner: int, handler: Handler) -> None:
        """Answer those functions of an owning entity (0 to 63) that nothing narrower claims; UsageError if taken."""
        number_in("an SMC owner", owner, _OWNER_BITS)
        callable_in(f"the service of SMC owner {owner}", handler)
        if owner in self._owners:
            raise UsageError(f"SMC owner {owner} is registered already")
        self._owners[owner] = handler
        self._actions.clear()

    def identify_owner(self, owner: int, info: OwnerInfo) -> None:
        """Answer the owner's general queries: Call Count, Call UID and Revision; another `info` replaces the first."""
        number_in("an SMC owner", owner, _OWNER_BITS)
        kind_in("what an owner answers", info, OwnerInfo)
        self._infos[owner] = info
        self._actions.clear()

    def filter(self, function_ids: range, action: CallAction) -> None:
        """Say what becomes of the calls of a range of identifiers, claimed or not, by HVC and SMC alike.

        ANSWER: of those that no service claims, what it is without a filter. UsageError for a range that is empty,
        has steps or no identifiers in it, or that overlaps one that was given before.
        """
        self._filter.add(function_ids, action)
        self._actions.clear()

    def action(self, function_id: int) -> CallAction | None:
        """What becomes of a call, None where no service claims it; remembered, since every HVC asks."""
        if function_id not in self._actions:
            if len(self._actions) > _REMEMBERED:
                self._actions.clear()
            self._actions[function_id] = self._decide(function_id)
        return self._actions[function_id]

    def _decide(self, function_id: int) -> CallAction | None:
        action = self._filter.action(function_id)
        if action is CallAction.ANSWER and not self.supports(function_id):
            return None
        return action

    def call(self, function_id: int, args: Sequence[int]) -> tuple[int, ...] | Exit:
        """Make the call with x0 and x1 up: the values of x0 up to x17 (64 bits each), or an exit.

        UsageError where a service gives something else.
        """
        function = FunctionId(FunctionId(function_id & 0xFFFF_FFFF).identity)
        handler = None if malformed(function) else self._handler(function)
        if handler is None:
            return _registers(function, SmcccStatus.NOT_SUPPORTED)
        passed = tuple(args)
        if not function.smc64:  # 3.1: these have W registers
            passed = tuple(value & 0xFFFF_FFFF for value in passed[:_SMC32_ARGUMENTS])
        result = handler(int(function), passed + (0,) * (_ARGUMENTS - len(passed)))
        if isinstance(result, int | tuple):
            try:
                return _registers(function, result)
            except TypeError:  # one of them is no number
                pass
        elif isinstance(result, Exit):
            return result
        raise UsageError(
            f"the service of {describe_call(function)}, {described(handler)}, gave {result!r}: "
            "return a number, a tuple of them, or an exit"
        )

    def supports(self, function_id: int) -> bool:
        """Does a service claim this function?"""
        if not function_id >> 31 and not self._ranges:  # a yielding call, or a guest's own number: the usual case
            return function_id in self._functions
        return not malformed(function_id) and self._handler(FunctionId(function_id)) is not None

    def _handler(self, function: FunctionId) -> Handler | None:
        if function in self._functions:
            return self._functions[function]
        for function_ids, handler in self._ranges:
            if function in function_ids:
                return handler
        if not function.fast:  # an owner's are its fast calls
            return None
        if function.owner in self._infos and function.number in _GENERAL_QUERIES and not function.smc64:
            return self._general_query
        return self._owners.get(function.owner)

    def _arch_features(self, _id: int, args: tuple[int, ...]) -> int:
        """SMCCC_ARCH_FEATURES, DEN 0028 7.3: Arm Architecture Calls can be asked about, and PV time (DEN 0057)."""
        asked = FunctionId(args[0])
        if (asked.owner != Owner.ARCH and asked != PV_TIME_FEATURES) or not self.supports(asked):
            return SmcccStatus.NOT_SUPPORTED
        return self._features.get(asked, SmcccStatus.SUCCESS)

    def _general_query(self, function_id: int, _args: tuple[int, ...]) -> SmcResult:
        function = FunctionId(function_id)
        info = self._infos[function.owner]
        match function.number:
            case n if n == CALL_COUNT:
                return sum(FunctionId(known).owner == function.owner for known in self._functions)
            case n if n == CALL_REVISION:
                return (info.major, info.minor)
            case _:
                return tuple(int.from_bytes(info.uid.bytes[i : i + 4], "little") for i in range(0, 16, 4))


_GENERAL_QUERIES = frozenset((CALL_COUNT, CALL_UID, CALL_REVISION))


def malformed(function_id: int) -> str | None:
    """Why no service here can own this identifier, or None (DEN 0028 2.5, Table 2-1)."""
    if not 0 <= function_id <= 0xFFFF_FFFF:
        return "a function identifier has 32 bits"
    function = FunctionId(function_id)
    if function.fast and function.reserved:
        return "bits 23:17 of a fast call must be zero"
    return None


def _registers(function: FunctionId, result: int | tuple[int, ...]) -> tuple[int, ...]:
    """Results as X registers: status codes are sign-extended (5.1), the others of SMC32 have 32 bits."""
    mask = 0xFFFF_FFFF_FFFF_FFFF if function.smc64 else 0xFFFF_FFFF
    values = (result,) if isinstance(result, int) else result[:_RESULTS]
    return tuple(value & (0xFFFF_FFFF_FFFF_FFFF if value < 0 else mask) for value in values)


_UNSAFE = {
    "CPU_SUSPEND": "it would suspend the calling CPU",
    "CPU_OFF": "it would power the calling CPU off",
    "CPU_ON": "it would start another CPU",
    "CPU_FREEZE": "it would take the calling CPU away",
    "CPU_DEFAULT_SUSPEND": "it would suspend the calling CPU",
    "SYSTEM_OFF": "it would power the machine off",
    "SYSTEM_RESET": "it would reset the machine",
    "SYSTEM_RESET2": "it would reset the machine",
    "SYSTEM_SUSPEND": "it would suspend the machine",
}


def smc_call(services: SmcServices, x0: int, x1: int = 0, x2: int = 0, x3: int = 0) -> tuple[int, int, int, int]:
    """Call the Secure Monitor from the host's side: x0 to x3 as the services leave them.

    A call that would take control away from the caller, or that no service could own, is refused: UsageError
    with the reason.
    """
    for index, value in enumerate((x0, x1, x2, x3)):
        number_in(f"x{index}", value, 64)
    if reason := _refusal(x0):
        raise UsageError(f"SMC {x0:#x} refused: {reason}")
    result = services.call(x0, (x1, x2, x3))
    if not isinstance(result, tuple):
        raise UsageError(f"SMC {x0:#x} refused: it would end the run with {result}")
    a0, a1, a2, a3 = (*result, *(x1, x2, x3)[len(result) - 1 :])
    return a0, a1, a2, a3


def _refusal(function_id: int) -> str | None:
    if problem := malformed(function_id):
        return problem
    if not FunctionId(function_id).fast:
        return "a yielding call (bit 31 clear) may come back before it is done"
    function = psci_by_id.get(FunctionId(function_id).identity)
    if function and function.name in _UNSAFE:
        return f"{function.name}, {_UNSAFE[function.name]}"
    return None


def describe_call(function_id: int) -> str:
    """A function identifier in words, as `PSCI_VERSION` or `SMC64 fast call 0xc6000001, ... Service`."""
    function = FunctionId(function_id & 0xFFFF_FFFF)
    row = psci_by_id.get(function.identity)
    if row:
        return row.name
    width, kind = "SMC64" if function.smc64 else "SMC32", "fast" if function.fast else "yielding"
    return f"{width} {kind} call {int(function):#x}, {owner_name(function.owner)}"
