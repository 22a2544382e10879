#!/usr/bin/env python3
"""Fails when a source file includes a folder that its layer may not see (tools/layers.txt).

With --self-test, plants one fault of each kind in a scratch tree and expects each to be found.
"""

import pathlib
import re
import sys
import tempfile

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


class Layers:
    def __init__(self, text):
        self.sees, self.public, self.wrapped = {}, {}, {}
        for number, raw in enumerate(text.splitlines(), 1):
            line = raw.split("#")[0].strip()
            if not line:
                continue
            head, _, tail = line.partition(":")
            words, names = head.split(), set(tail.split())
            if words[0] == "extern":
                self.wrapped[words[1]] = names
                continue
            unknown = names - set(self.sees)
            if unknown:
                raise ValueError(f"layers.txt:{number}: {words[0]} names {sorted(unknown)}, not above it")
            self.sees[words[0]] = names | {words[0]}
            if "pub" in words:
                self.public[words[words.index("pub") + 1]] = words[0]

    def owner(self, inner):
        """The folder of a path below src, the longest that fits."""
        fits = [folder for folder in self.sees if inner.startswith(folder + "/")]
        return max(fits, key=len, default=None)


def faults_of(root, layers):
    count = 0
    for top in ("include/ebbgate", "src"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix not in (".h", ".cc", ".inc"):
                continue
            count += 1
            inner = path.relative_to(root / top).as_posix()
            public = top != "src"
            owner = layers.public.get(inner.split("/")[0]) if public else layers.owner(inner)
            name = path.relative_to(root).as_posix()
            if owner is None:
                yield f"{name}:1: the folder is not in tools/layers.txt"
                continue
            text = path.read_text()
            for found in INCLUDE.finditer(text):
                quote, target = found.groups()
                where = f"{name}:{text.count(chr(10), 0, found.start()) + 1}"
                if quote == "<":
                    for prefix, users in layers.wrapped.items():
                        if target.startswith(prefix) and owner not in users:
                            yield f"{where}: <{target}> belongs to {', '.join(sorted(users))}"
                    continue
                is_public = target.startswith("ebbgate/")
                seen = layers.public.get(target.split("/")[1]) if is_public else layers.owner(target)
                if seen is None:
                    yield f'{where}: "{target}" is in no known folder'
                elif public and not is_public:
                    yield f'{where}: a public header may not include "{target}"'
                elif seen not in layers.sees[owner]:
                    yield f"{where}: {owner} may not include {seen}"
    if count == 0:
        yield "no source file was found"


def self_test():
    layers = Layers("base pub base :\nstage/a : base\nstage/b : base\nextern ring.h : base\n")
    planted = {
        "src/stage/a/up.cc": '#include "stage/b/b.h"\n',
        "src/stage/b/foreign.cc": "#include <ring.h>\n",
        "src/lost/x.cc": "\n",
        "include/ebbgate/base/leak.h": '#include "base/private.h"\n',
        "src/stage/a/nowhere.cc": '#include "no/where.h"\n',
        "src/stage/a/good.cc": '#include "ebbgate/base/x.h"\n#include <vector>\n',
    }
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        for name, text in planted.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        found = {fault.split(":")[0] for fault in faults_of(root, layers)}
    assert found == set(planted) - {"src/stage/a/good.cc"}, found
    try:
        Layers("low : high\nhigh :\n")
    except ValueError:
        return
    raise AssertionError("an upward edge was accepted")


def main():
    self_test()
    root = pathlib.Path(__file__).resolve().parent.parent
    faults = list(faults_of(root, Layers((root / "tools/layers.txt").read_text())))
    print("\n".join(faults + [f"layers: {len(faults)} faults"]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
