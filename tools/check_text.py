#!/usr/bin/env python3
"""Text rules of the project: what a reader may rely on in every file. Tests itself first."""

import pathlib
import re
import subprocess
import sys

LINES = {".cc": 600, ".h": 300}
TEST_LINES = 1000
BANNED = {
    r"\bsprintf\b": "fmt::format",
    r"\bstrtok\b": "a view",
    r"std::regex\b": "a parser or a library made for it",
    r"std::endl\b": "\\n",
    r"(?<![\w:])s?rand\(": "std::mt19937 or getrandom",
    r"(?<![\w:.>])system\(": "nothing: no shell",
    r"\blocaltime\(": "localtime_r",
    r"\bgmtime\(": "gmtime_r",
    r"\bFIX" r"ME\b": "finished work",
    r"\bXX" r"X\b": "finished work",
    r"NOLINT(?!\w*\([^)]+\): )(?!\w*END)": "NOLINT(check): reason",
}
# g++ 12 does not run the body (PR 106188), see ENGINE.md 5.2 rule R1.
COROUTINE = re.compile(r"\b(if|while|switch)\s*\(\s*(?:!\s*)?co_await\b")


def faults_in(name, text):
    suffix = pathlib.PurePosixPath(name).suffix
    lines = text.split("\n")
    limit = TEST_LINES if name.startswith("tests/") else LINES.get(suffix)
    if limit and len(lines) - 1 > limit:
        yield f"{name}:{len(lines) - 1}: more than {limit} lines"
    if not text.endswith("\n") or text.endswith("\n\n"):
        yield f"{name}:{len(lines)}: must end with one line end"
    for number, line in enumerate(lines, 1):
        where = f"{name}:{number}"
        if not line.isascii():
            yield f"{where}: not ASCII"
        if len(line) > 120 or (len(line) > 100 and "NOLINT" not in line and '"' not in line):
            yield f"{where}: longer than 100 columns"
        if line != line.rstrip():
            yield f"{where}: trailing blanks"
        for pattern, instead in BANNED.items():
            if re.search(pattern, line):
                yield f"{where}: {pattern} is banned; use {instead}"
        if COROUTINE.search(line):
            yield f"{where}: co_await in a condition (rule R1)"


def self_test():
    good = "// A comment.\nint main() {}\n"
    assert not list(faults_in("src/a.cc", good))
    for bad in ("x", "a \n", "int a; // \u00e9\n", "std::endl;\n", "if (co_await f()) {\n", "x = rand();\n",
                "y; // NOLINT\n", "y" * 101 + "\n", "z\n" * 601):
        assert list(faults_in("src/a.cc", bad)), bad[:20]


def main():
    self_test()
    root = pathlib.Path(__file__).resolve().parent.parent
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard",
                             "src", "include", "tests", "fuzz", "bench"], cwd=root,
                            capture_output=True, text=True, check=True).stdout.split("\n")
    faults, count = [], 0
    built = "".join(path.read_text() for top in ("src", "tests", "fuzz", "bench")
                    for path in (root / top).rglob("meson.build"))
    for name in filter(None, listed):
        path = root / name
        if path.suffix not in (".cc", ".h") or not path.exists():
            continue
        count += 1
        faults += faults_in(name, path.read_text())
        if path.suffix == ".cc" and path.name not in built and path.stem not in built:
            faults.append(f"{name}:1: no meson.build names it")
    if count == 0:
        faults.append("no source file was found")
    print("\n".join(faults + [f"text: {count} files, {len(faults)} faults"]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
