"""`python -m umbel`: the command, where its program is not on the path."""

import sys

from umbel.cli import main

if __name__ == "__main__":
    sys.exit(main())
