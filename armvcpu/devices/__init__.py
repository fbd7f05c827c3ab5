"""Devices of the board: each one a class over its register map, that knows no CPU, engine or address."""
