"""Memory-mapped devices. They know neither engine nor vCPU."""
