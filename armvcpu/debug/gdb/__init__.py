"""The debugger's side door: GDB's remote serial protocol, and what it shows of a machine."""
