"""``python -m fsmflow.cli``."""

import sys

from fsmflow.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
