#!/usr/bin/env python3
"""Writes a file as a C++ constant: embed.py INPUT OUTPUT NAMESPACE NAME HEADER."""

import json
import pathlib
import sys

source, target, namespace, name, header = sys.argv[1:]
text = pathlib.Path(source).read_text(encoding="ascii")
json.loads(text)  # A broken file fails here, with its line.
assert ')embedded"' not in text
pathlib.Path(target).write_text(
    f'#include "{header}"\n\nnamespace {namespace} {{\n\nconst std::string_view {name} = R"embedded({text})embedded";\n\n'
    f'}} // namespace {namespace}\n', encoding="ascii")
