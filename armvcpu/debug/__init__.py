"""Looking at a run: trace, disassembly, backtrace, crash report."""
