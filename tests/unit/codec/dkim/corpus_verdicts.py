"""Runs the verifier over a message of another project's corpus, and keeps account of what was compared."""

import dataclasses
import os
import pathlib
import re
import subprocess

PROGRAM = os.environ["EBBGATE_DKIM_VERDICTS"]
FETCHED = pathlib.Path(os.environ.get("EBBGATE_FETCHED_CORPORA", ".deps/corpora")).absolute()


@dataclasses.dataclass
class Verdict:
    lenient: str  # "OUTCOME/REASON" with rsa-sha1 and the versions of drafts let through.
    strict: str  # Without.
    key_name: bytes


def with_line_ends(raw):
    return re.sub(rb"(?<!\r)\n", b"\r\n", raw)


def judge(message, records, now, rsa_bits_min=1024):
    """`records`: name to text. A verdict for each signature, from the top."""
    arguments = [part for name, text in records.items() for part in (name, text)]
    out = subprocess.run([PROGRAM, str(now), str(rsa_bits_min), *arguments], input=message, capture_output=True,
                         check=True, timeout=20).stdout
    found = []
    for line in out.splitlines():
        *words, name = line.split(b" ", 4)
        outcome, reason, strict_outcome, strict_reason = (word.decode() for word in words)
        found.append(Verdict(f"{outcome}/{reason}", f"{strict_outcome}/{strict_reason}", name))
    return found
