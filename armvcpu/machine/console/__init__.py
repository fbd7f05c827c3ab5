"""The host's side of the guest's consoles."""
