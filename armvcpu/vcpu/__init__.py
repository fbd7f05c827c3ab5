"""The virtual CPU: registers, life cycle, exception layer, exits, firmware services, address space."""
