"""Suites of firmware regression tests."""
