"""`python -m gateway` is the command `trunkline`."""

from gateway.cli import main

main()
