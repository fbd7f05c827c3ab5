"""Devices of the board: each one a class over its register map, knowing nothing of CPUs, engines or addresses."""
