"""The engine's native part: C sources, and the script that compiles them. The compiled library holds no Python."""
