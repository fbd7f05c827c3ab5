"""Images, and where everything goes before the first instruction."""
