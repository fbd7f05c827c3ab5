"""What EL2 does with a trap, by exception class."""
