"""From a run directory to typed, self-describing model files."""
