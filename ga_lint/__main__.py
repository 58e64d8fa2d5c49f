"""`python -m ga_lint`."""

import sys

from ga_lint.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
