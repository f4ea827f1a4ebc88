"""Several methods, several seeds, one table: `dips-edge compare`. See train/README.md."""
