"""The monitor: commands that look into a machine and change it, one table for everybody who asks (docs/monitor.md)."""
