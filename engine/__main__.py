"""`python -m engine`: the calculation engine's command line."""

import argparse
import json
import sys
from collections.abc import Sequence

from engine.capabilities import capabilities


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and print its answer as JSON."""
    parser = argparse.ArgumentParser(prog="python -m engine", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("capabilities", help="what this machine gives numpy to work with")
    parser.parse_args(arguments)
    print(json.dumps(capabilities(), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
