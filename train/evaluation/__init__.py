"""How good the maps are: the protocol's figures, those of the deployed rule, and the report."""
