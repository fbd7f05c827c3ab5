"""Scripts that look at a guest and answer it: `run --script F`, and `armvcpu.script.attach` in Python.

A script is a Python file whose functions are registered by decorators (`armvcpu/script.py`). `script.py` executes one,
`declared.py` is what its decorators leave behind, `binding.py` gives a function the arguments that it names. What a
decorator is about stands in `on_*.py`: each puts a function where the guest's doing calls it, and gives what takes it
away again. `scripts.py` is all of a run's scripts, loaded, reloaded and ended.

It stands above the machine, which it gets whole, since that is what a script gets.
"""
