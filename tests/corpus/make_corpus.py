#!/usr/bin/env python3
"""Writes the corpus of tests/corpus/*.txt with NumPy 2 and mpmath: `python3 tests/corpus/make_corpus.py`.

The text files are committed; running the tests needs no Python.
"""
import importlib
import pathlib

import numpy

import caselib
import promotion

assert numpy.__version__.startswith("2."), "the corpus is made with NumPy 2"
GROUPS = {
    "cases_expr": ["arithmetic", "integers", "promotion", "comparisons", "elementwise"],
    "cases_array": ["broadcasting", "subscripts", "making"],
    "cases_reduce": ["results", "order"],
    "cases_rows": ["rows"],
    "cases_program": ["functions", "loops", "programs"],
    "cases_error": ["bad", "not_here"],
}

with numpy.errstate(all="ignore"):
    for module, functions in GROUPS.items():
        for f in functions:
            getattr(importlib.import_module(module), f)()
folder = pathlib.Path(__file__).parent
(folder / "promotion.txt").write_text("\n".join(promotion.lines()) + "\n")
print(caselib.write_all(folder), "cases")
