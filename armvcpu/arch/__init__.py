"""Architecture facts as rows: registers, syndromes, PSTATE, vectors, ID registers, SMCCC and PSCI numbers."""
