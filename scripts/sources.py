#!/usr/bin/env python3
"""Prints the C++ sources below the given folders, one a line, for binding.gyp."""
import pathlib
import sys

for folder in sys.argv[1:]:
    for source in sorted(pathlib.Path(folder).rglob("*.cc")):
        print(source)
