"""Everything fitted on held-out frames after training: thresholds, later activation ranges."""
