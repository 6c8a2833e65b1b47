"""`python -m engine`: the calculation engine's command line."""

import sys

from engine.command.commands import main

if __name__ == "__main__":
    sys.exit(main())
