"""The states that a machine has been in, and the way back to each of them."""
