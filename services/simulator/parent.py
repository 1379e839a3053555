"""The tie to the parent process (Linux)."""

import ctypes
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def die_with_parent(how: signal.Signals) -> None:
    """Ask the kernel for a signal when the parent dies.

    A parent that died before this call is noticed elsewhere: the courier's socket is closed.
    """
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(how))
