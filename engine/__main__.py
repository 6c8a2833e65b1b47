"""`python -m engine`: the calculation engine's command line."""

import sys

try:
    from engine.command.commands import main
except ModuleNotFoundError as error:
    if error.name != "numpy":
        raise
    print(
        'engine: numpy is not installed. Install it with: pip install "ci-runner[engine]"',
        file=sys.stderr,
    )
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main())
