"""Other ways to localize from image labels, judged like the method itself. See train/README.md."""
