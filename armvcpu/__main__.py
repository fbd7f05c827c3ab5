"""`python -m armvcpu`: the command line, where no script is installed."""

from armvcpu.cli import main

main()
