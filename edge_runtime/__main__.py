"""`python -m edge_runtime` is `dips-edge`."""

from edge_runtime.cli import main

main()
