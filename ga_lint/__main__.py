"""`python -m ga_lint`."""

import sys

if __name__ == "__main__":
    # Python puts the working folder first, and a `libcst.py` that lies there would be run: the user's code, not ours.
    if not sys.flags.safe_path:
        del sys.path[0]
    from ga_lint.cli.main import start

    start()
