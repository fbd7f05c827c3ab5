"""The run loop: CPUs, their turns, time, exits and how a run ends."""
