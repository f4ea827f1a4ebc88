"""What flies: frames in, one trustworthy record per frame out. Needs no torch."""

__version__ = "0.1.0"
