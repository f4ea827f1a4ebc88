"""How old a box is when guidance gets it, where the time goes, will it hold: `dips-edge profile`."""
