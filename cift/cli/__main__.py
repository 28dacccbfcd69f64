"""`python -m cift.cli` is `cift`."""

from cift.cli.main import main

main()
