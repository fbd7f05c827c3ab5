"""Real firmware, fetched and built."""
