"""The terminal's keeper: `armvcpu run` on a terminal is two processes, so that the terminal always comes back.

The one that the user's shell has started waits, and its child runs the machine. However that ends, by a signal that
nobody handles (SIGQUIT, SIGUSR1, SIGXCPU), by SIGKILL or by a fault in the engine's native code, the keeper puts the
terminal back as it was and ends in the same way. Both are in the shell's job, so keys and the foreground are as with
one process: what the terminal sends goes to both, and what is sent to the keeper is handed on. So is the terminal's
hanging up: the leader of its session alone is told that, which the keeper is where no shell has started it.
"""

from __future__ import annotations

import os
import signal
import termios
from contextlib import suppress

from armvcpu.arch.static import NoReturn

_SI_KERNEL = 0x80
"""siginfo.si_code of what the terminal sends, to the whole job (Linux, asm-generic/siginfo.h)."""
_PR_SET_PDEATHSIG = 1


def keep_terminal() -> None:
    """Go on in a child process; the process that was there before keeps its terminal, standard input."""
    try:
        saved = termios.tcgetattr(0)
    except termios.error:  # it has hung up
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # whoever they are for, none is lost
    keeper = os.getpid()
    try:
        child = os.fork()
    except OSError:  # no more processes: a terminal in disorder is better than no run
        child = 0
        keeper = os.getppid()
    if child:
        _Keeper(child, saved).stay()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if keeper != os.getpid():
        _end_with(keeper)


def _end_with(keeper: int) -> None:
    """Have SIGTERM come when the keeper is killed, so that the child gives the terminal back."""
    import ctypes  # which the engine needs anyway

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != keeper:  # before that
        signal.raise_signal(signal.SIGTERM)


class _Keeper:
    """The waiting process, all of whose signals are blocked: it takes them one by one."""

    def __init__(self, child: int, saved: list[int | list[bytes | int]]) -> None:
        self._child, self._saved = child, saved

    def stay(self) -> NoReturn:
        """Hand on signals until the child has ended, and end as it did."""
        while True:
            info = signal.sigwaitinfo(signal.valid_signals())
            if info.si_signo == signal.SIGCHLD:
                self._look()
            elif info.si_code != _SI_KERNEL or info.si_signo == signal.SIGHUP:
                with suppress(ProcessLookupError):
                    os.kill(self._child, info.si_signo)

    def _look(self) -> None:
        pid, status = os.waitpid(self._child, os.WNOHANG | os.WUNTRACED)
        if not pid:
            return
        if os.WIFSTOPPED(status):
            self._stop(os.WSTOPSIG(status))
        elif os.WIFSIGNALED(status):
            self._restore()
            self._die_of(os.WTERMSIG(status))
        else:
            os._exit(os.waitstatus_to_exitcode(status))

    def _stop(self, number: int) -> None:
        """The child is suspended, and so is the job; what continues it comes here first, and is handed on."""
        if number != signal.SIGTSTP:  # at which the child has given the terminal back itself
            self._restore()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})

    def _restore(self) -> None:
        """The terminal is as it was before, unless it is another job's by now."""
        with suppress(OSError):  # not the terminal of this session: nobody else's then
            if os.tcgetpgrp(0) != os.getpgrp():
                return
        with suppress(termios.error):  # it has hung up
            termios.tcsetattr(0, termios.TCSANOW, self._saved)

    def _die_of(self, number: int) -> NoReturn:
        import resource

        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        with suppress(OSError, ValueError):  # SIGKILL has no handler to reset
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
        os._exit(128 + number)
