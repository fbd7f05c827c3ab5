"""Numbers of semihosting: "Semihosting for AArch32 and AArch64", Arm 100863."""

from __future__ import annotations

from enum import IntEnum


class SemihostingOperation(IntEnum):
    """Operation numbers, in W0 at the HLT 0xF000."""

    SYS_OPEN = 0x01
    SYS_CLOSE = 0x02
    SYS_WRITEC = 0x03
    SYS_WRITE0 = 0x04
    SYS_WRITE = 0x05
    SYS_READ = 0x06
    SYS_READC = 0x07
    SYS_ISERROR = 0x08
    SYS_ISTTY = 0x09
    SYS_SEEK = 0x0A
    SYS_FLEN = 0x0C
    SYS_TMPNAM = 0x0D
    SYS_REMOVE = 0x0E
    SYS_RENAME = 0x0F
    SYS_CLOCK = 0x10
    SYS_TIME = 0x11
    SYS_SYSTEM = 0x12
    SYS_ERRNO = 0x13
    SYS_GET_CMDLINE = 0x15
    SYS_HEAPINFO = 0x16
    SYS_EXIT = 0x18
    SYS_EXIT_EXTENDED = 0x20
    SYS_ELAPSED = 0x30
    SYS_TICKFREQ = 0x31


class StopReason(IntEnum):
    """Reason codes of SYS_EXIT and SYS_EXIT_EXTENDED."""

    ADP_Stopped_BranchThroughZero = 0x20000
    ADP_Stopped_UndefinedInstr = 0x20001
    ADP_Stopped_SoftwareInterrupt = 0x20002
    ADP_Stopped_PrefetchAbort = 0x20003
    ADP_Stopped_DataAbort = 0x20004
    ADP_Stopped_AddressException = 0x20005
    ADP_Stopped_IRQ = 0x20006
    ADP_Stopped_FIQ = 0x20007
    ADP_Stopped_BreakPoint = 0x20020
    ADP_Stopped_WatchPoint = 0x20021
    ADP_Stopped_StepComplete = 0x20022
    ADP_Stopped_RunTimeErrorUnknown = 0x20023
    ADP_Stopped_InternalError = 0x20024
    ADP_Stopped_UserInterruption = 0x20025
    ADP_Stopped_ApplicationExit = 0x20026
    ADP_Stopped_StackOverflow = 0x20027
    ADP_Stopped_DivisionByZero = 0x20028
    ADP_Stopped_OSSpecific = 0x20029


STOP_REASON_NAMES: dict[int, str] = {reason.value: reason.name for reason in StopReason}
