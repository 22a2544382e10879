#!/usr/bin/env python3
"""Fails when a header does not compile alone: the fault would appear in someone else's change."""

import concurrent.futures
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLAGS = ["-std=c++2b", "-fsyntax-only", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wno-pragma-once-outside-header",
         "-Iinclude", "-Isrc", "-isystem", ".deps/prefix/include", "-xc++"]


def fault_of(path):
    compiler = os.environ.get("CXX", "clang++-19")
    done = subprocess.run([compiler, *FLAGS, str(path)], cwd=ROOT, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"{path}: {done.stderr.strip().splitlines()[0]}"


def main():
    headers = [path.relative_to(ROOT) for top in ("include", "src") for path in sorted((ROOT / top).rglob("*.h"))]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        faults = [fault for fault in pool.map(fault_of, headers) if fault]
    if not headers:
        faults.append("no header was found")
    print("\n".join(faults + [f"headers: {len(headers)} compiled alone, {len(faults)} faults"]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
