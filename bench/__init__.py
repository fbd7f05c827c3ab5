"""Benchmarks against qemu-system-aarch64, in pairs: `python -m bench`."""
