"""Benchmarks and long crash runs, by name; without a name, the list of them."""

import importlib
import signal
import sys
from collections.abc import Sequence

BENCHES = {
    "kills": "kill processes at random while mail goes out; nothing lost, nothing doubled",
    "broken": "build the product wrong in six ways; the tests find each of them",
    "power": "cut the power under a writer at work; what it acknowledged is there, whole",
    "soak": "a quarter of an hour of mail, kills and faults; nothing lost, nothing grows",
}
"""Name → what it does; `scripts/benches/NAME.py` has its `main(arguments)`."""


def main(arguments: Sequence[str]) -> int:
    """Run the bench that is named first; the rest of the arguments is its own."""
    if not arguments or arguments[0] in {"-h", "--help"}:
        print("usage: scripts/bench NAME [--help] ...\n")
        print(*(f"  {name:10} {what}" for name, what in BENCHES.items()), sep="\n")
        return 0
    name, *rest = arguments
    if name not in BENCHES:
        print(f"bench: there is no {name}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return int(importlib.import_module(f"scripts.benches.{name}").main(rest))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
