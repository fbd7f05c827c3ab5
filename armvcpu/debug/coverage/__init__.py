"""Coverage: which lines, functions and branches of a guest's programs have been executed, as lcov or drcov.

    engine records -> blocks.py -> placing.py (which program is it?) -> tally.py -> source.py (DWARF) -> lcov.py
                                                                    `-> drcov.py

`coverage.py` is where one asks.
"""
