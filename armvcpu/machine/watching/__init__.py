"""Hearing of accesses: guarded pages and the guest's own debug registers."""
