"""Traces: what a guest does, event by event, as lines, as JSON, for Perfetto, or block by block."""
