"""Command-line front end of this room; it imports what it needs only when it runs."""
