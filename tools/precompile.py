#!/usr/bin/env python3
"""Compiles a header once for all, with the options of the project's own objects: those of the first
one in compile_commands.json.

usage: precompile.py COMPILE_COMMANDS HEADER OUTPUT DEPFILE
OUTPUT is a copy of the header; what is compiled lies beside it, where clang's -include OUTPUT finds it.
"""
import json
import shlex
import shutil
import subprocess
import sys

# What belongs to one object, and what belongs to the header that is made here.
VALUED = {"-o", "-c", "-MF", "-MQ", "-include"}
ALONE = {"-MD", "-fsanitize=fuzzer"}


def options_of(command):
    words = shlex.split(command)
    kept, at = [], 0
    while at < len(words):
        if words[at] in VALUED:
            at += 2
            continue
        if words[at] not in ALONE and not words[at].startswith("-I"):
            kept.append(words[at])
        at += 1
    return kept


def main():
    commands, header, output, depfile = sys.argv[1:]
    with open(commands) as file:
        entry = json.load(file)[0]
    shutil.copyfile(header, output)
    subprocess.run(
        [*options_of(entry["command"]), "-x", "c++-header", header, "-o", output + ".pch",
         "-MD", "-MF", depfile, "-MQ", output],
        cwd=entry["directory"], check=True)


main()
