"""What a guest's DWARF says of its functions and their types (DWARF 4 and 5), by pyelftools.

`dwarf.py` is where one asks: `Dwarf(machine.symbols).function_at(address)`. A `Function` has parameters, and each of
these reads its value from a vCPU that is at the function's first instruction. Units are read as far as they are needed.
"""
