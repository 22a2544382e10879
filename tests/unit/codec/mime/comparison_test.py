#!/usr/bin/env python3
"""Compares the MIME scan with two parsers that others wrote, over the corpus of mime4j: Python's email package, and
what mime4j itself expects (X_decoded.xml and the decoded parts beside it). Each difference must be in a table below,
with its reason; one that is not there fails, and so does an entry that no longer differs."""

import email
import email.policy
import json
import os
import pathlib
import subprocess
import unittest
import xml.etree.ElementTree

PROGRAM = os.environ["EBBGATE_MIME_STRUCTURE"]
CORPUS = pathlib.Path(os.environ.get("EBBGATE_CORPORA", "corpora")) / "mime" / "mime4j"

LONG_BOUNDARY = "boundary over our limit of 256 bytes: reported as no_boundary, and the body is opaque"
FOLDED_BOUNDARY = "Python keeps the fold in a quoted boundary and then finds no such line; unfolded it is there"
DECODED_MESSAGE = "Python does not decode an encoded message, and reads its digits as the message; we decode it"
NO_PARTS = "without a part Python has a leaf of type multipart; we have an empty multipart, and report no_parts"
ENDS_HEADER = "mime4j leaves a line that is no field out and reads on; for us and for Python the body begins there"
HALF_GROUP = "text in a base64 body leaves half a group at its end: mime4j drops it; we and Python decode what is there"
EMPTY_HEADER = "Python takes two boundary lines in a row for one; we and mime4j see an empty part between them"
LAST_LINE_END = "no closing boundary: Python takes away the last line end of the body, which belongs to no boundary"
NEAR_BOUNDARY = "text behind the boundary on its line: for mime4j still a boundary, not for us; reported as near_boundary"

# Message: why Python's email package reads it differently.
PYTHON_DIFFERS = {
    "2002_06_12_doublebound.msg": EMPTY_HEADER,
    "double-bound.msg": EMPTY_HEADER,
    "multipartemptypart.msg": "a boundary at once behind a boundary: Python takes both for one, and the epilogue for a part",
    "badbound.msg": FOLDED_BOUNDARY,
    "multi-badnames.msg": FOLDED_BOUNDARY,
    "multi-clen.msg": FOLDED_BOUNDARY,
    "multi-digest.msg": FOLDED_BOUNDARY,
    "multi-simple.msg": FOLDED_BOUNDARY,
    "jt-0498.msg": LAST_LINE_END,
    "multi-bad.msg": LAST_LINE_END,
    "twopart.msg": "Python does not know 'base64 ' with a blank behind it, and leaves it encoded",
    "multi-2gifs-base64.msg": DECODED_MESSAGE,
    "bad-newlines-multiple-parts-base64.msg": DECODED_MESSAGE,
    "base64encoded-rfc822message-nested.msg": DECODED_MESSAGE,
    "base64encoded-rfc822message.msg": DECODED_MESSAGE,
    "ending-boundaries.msg": NO_PARTS,
    "missing-boundary.msg": NO_PARTS,
    "missing-inner-boundary.msg": NO_PARTS,
    "missing-inner-start-boundary.msg": NO_PARTS,
    "multipartnopart.msg": NO_PARTS,
    "obsolete.msg": "for Python 'Subject :' is no field and ends the header; for us the line with 8 bits in its name does",
    "very-long-boundary.msg": LONG_BOUNDARY,
    "very-very-long-boundary.msg": LONG_BOUNDARY,
    "weird-boundary.msg": "Python takes away blanks at the end of a boundary (RFC 2046 forbids them); reported as odd_boundary",
}

# Message: why mime4j reads it differently.
MIME4J_DIFFERS = {
    "frag.msg": HALF_GROUP,
    "multi-frag.msg": HALF_GROUP,
    "hdr-fakeout.msg": ENDS_HEADER,
    "basic-plain-with-bad-header-separator.msg": ENDS_HEADER,
    "ending-boundaries.msg": NEAR_BOUNDARY,
    "malformedHeader-nocrlfcrlf.msg": ENDS_HEADER,
    "malformedHeader-noheader.msg": ENDS_HEADER,
    "malformedHeaderStartsBody-nocrlfcrlf.msg": ENDS_HEADER,
    "malformedHeaderStartsBody-noheader.msg": ENDS_HEADER,
    "obsolete.msg": ENDS_HEADER,
    "very-long-boundary.msg": LONG_BOUNDARY,
    "very-very-long-boundary.msg": LONG_BOUNDARY,
}


def with_line_ends(raw):
    return raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def ours(raw):
    done = subprocess.run([PROGRAM], input=raw, capture_output=True, check=True)
    parts = json.loads(done.stdout)
    return [(part["depth"], part["kind"], part["type"], bytes.fromhex(part["body"]), part) for part in parts]


def python_parts(raw):
    def walk(part, depth):
        kind = "leaf"
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            kind = "multipart"
        elif part.is_multipart() and part.get_content_type() in ("message/rfc822", "message/news", "message/global"):
            kind = "message"
        elif part.get_content_type() in ("message/partial", "message/external-body"):
            kind = part.get_content_subtype().split("-")[0]
        body = b""
        children = part.get_payload() if kind in ("multipart", "message") else []
        if kind == "leaf" and not part.is_multipart():
            body = part.get_payload(decode=True) or b""
        found.append((depth, kind, part.get_content_type(), body))
        for child in children:
            walk(child, depth + 1)

    found = []
    walk(email.message_from_bytes(with_line_ends(raw), policy=email.policy.compat32), 0)
    return found


def mime4j_parts(path):
    def body_of(element):
        named = element.get("name")
        return (path.parent / named).read_bytes() if named else (element.text or "").encode()

    def walk(element, depth):
        for child in element:
            if child.tag == "multipart":
                found.append((depth, "multipart", b""))
                for part in child.findall("body-part"):
                    walk(part, depth + 1)
            elif child.tag == "message":
                found.append((depth, "message", b""))
                walk(child, depth + 1)
            elif child.tag in ("text-body", "binary-body", "body"):
                found.append((depth, "leaf", body_of(child)))

    found = []
    walk(xml.etree.ElementTree.parse(path).getroot(), 0)
    return found


def without_line_ends(body):
    return body.replace(b"\r\n", b"\n")


class Comparison(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.messages = sorted(CORPUS.rglob("*.msg"))
        if not self.messages:
            print("skipped: corpus not present")
            self.skipTest("skipped: corpus not present")
        self.assertGreaterEqual(len(self.messages), 80)

    def judge(self, differences, explained):
        for name, difference in differences.items():
            with self.subTest(message=name):
                self.assertIn(name, explained, f"unexplained: {difference}")
        self.assertEqual(sorted(set(explained) - set(differences)), [], "explained, but they do not differ")

    def test_python(self):
        differences = {}
        for path in self.messages:
            raw = path.read_bytes()
            mine = [(depth, kind, kind_of_type, without_line_ends(body)) for depth, kind, kind_of_type, body, _ in ours(raw)]
            theirs = [(depth, kind, kind_of_type, without_line_ends(body)) for depth, kind, kind_of_type, body in python_parts(raw)]
            if mine != theirs:
                differences[path.name] = first_difference(mine, theirs)
        self.judge(differences, PYTHON_DIFFERS)

    def test_mime4j(self):
        differences = {}
        for path in self.messages:
            expected = path.with_name(path.stem + "_decoded.xml")
            mine = [(depth, "leaf" if kind in ("partial", "external") else kind, without_line_ends(body))
                    for depth, kind, _, body, _ in ours(path.read_bytes())]
            theirs = [(depth, kind, without_line_ends(body)) for depth, kind, body in mime4j_parts(expected)]
            if mine != theirs:
                differences[path.name] = first_difference(mine, theirs)
        self.judge(differences, MIME4J_DIFFERS)


def first_difference(mine, theirs):
    for index, (one, other) in enumerate(zip(mine, theirs)):
        if one != other:
            return f"part {index}: {shown(one)} and {shown(other)}"
    return f"{len(mine)} parts and {len(theirs)}: {[shown(part)[:60] for part in mine]} {[shown(part)[:60] for part in theirs]}"


def shown(part):
    return " ".join(str(field)[-100:] for field in part[:-1]) + f" {len(part[-1])} {part[-1][-60:]!r}"


if __name__ == "__main__":
    unittest.main()
