"""The engine: a physical CPU on Unicorn. The only package that knows Unicorn."""
