"""A machine's state: taken, returned to, and in files."""
