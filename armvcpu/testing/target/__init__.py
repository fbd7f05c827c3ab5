"""A machine under test."""
