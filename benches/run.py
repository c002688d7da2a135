"""What `make bench` runs: the code of `epicycle bench` with every row, more repeats and more loops.

README.md beside this file says how to read the figures.
"""

import sys

from epicycle.bench import command, options
from epicycle.cli.usage import UsageError


def main() -> int:
    """Measure as the arguments say; 2 if they are wrong."""
    try:
        return command.run(sys.argv[1:], options.DEVELOPERS)
    except UsageError as error:
        print(f"{error}\nTry '{error.try_}' for more.", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
