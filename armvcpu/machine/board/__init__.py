"""The board: slots, bus, memory, device tree, and what is plugged in."""
