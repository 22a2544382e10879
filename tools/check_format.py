#!/usr/bin/env python3
"""Fails when clang-format 19 would change a source file. The name is pinned: other versions differ."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FORMATTER = "clang-format-19"


def sources():
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.cc", "*.h"], cwd=ROOT,
                            capture_output=True, text=True, check=True).stdout.split()
    return [name for name in listed if (ROOT / name).exists()]


def faults_in(names):
    done = subprocess.run([FORMATTER, "--dry-run", "--Werror", *names], cwd=ROOT, capture_output=True, text=True,
                          check=False)
    return [line for line in done.stderr.splitlines() if ": error:" in line], done.returncode


def self_test():
    done = subprocess.run([FORMATTER, "--dry-run", "--Werror", "--assume-filename=src/a.cc"], cwd=ROOT,
                          input="int  main( ){}\n", capture_output=True, text=True, check=False)
    assert done.returncode != 0, "the formatter accepts anything"


def main():
    self_test()
    names = sources()
    faults, code = faults_in(names) if names else (["no source file was found"], 1)
    if code != 0 and not faults:
        faults = [f"{FORMATTER} failed with {code}"]
    print("\n".join(faults + [f"format: {len(names)} files, {len(faults)} faults"]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
