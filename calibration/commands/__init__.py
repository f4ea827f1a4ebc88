"""Command-line front ends of this room; each imports what it needs only when it runs."""
