"""Profiles: where the guest's time goes, by its call stacks, and what armvcpu itself has to do for it."""
