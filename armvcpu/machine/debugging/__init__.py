"""Stopping a guest between two of its instructions, and looking: what debuggers, monitors and tests share."""
