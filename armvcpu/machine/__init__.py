"""The `virt` machine: board, memory, loader, device tree, console, run loop."""
