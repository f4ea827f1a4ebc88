"""Photos, labels and boxes on disk: read, checked, listed, and put into batches."""
