"""Block traces: every instruction of a run at some bytes for each block, in a file, and what looks at such files."""
