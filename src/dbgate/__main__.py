"""`python -m dbgate`."""

from dbgate.cli import main

main()
