"""Facts of the architecture, as rows and pure functions; imports nothing of armvcpu but its errors."""
