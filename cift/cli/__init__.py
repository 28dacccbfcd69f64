"""The command line: argument parsing and printing; what is decided is decided further down.

Exit codes: 0 fine; 1 what was asked about is not so, or the strategy raised; 2 wrong use, or data that cannot be used.
"""

from cift.cli.main import main

__all__ = ["main"]
