#!/usr/bin/env python3
"""Compares the MIME scan with parsers that others wrote, over messages that others wrote: with Python's email package
and GMime over each corpus, and with what mime4j expects of its own (X_decoded.xml and the decoded parts beside it).
Compared are the parts (nesting, kind, type), the bytes of each leaf, decoded, and the names in each part. Each
difference must be in mime_differences.py with its reason; one that is not there fails, and so does an entry that no
longer differs.

Argument: the class of the corpus. Exits with 77 where a corpus or a parser is not there."""

import email
import email.header
import email.message
import email.policy
import email.utils
import functools
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import unittest
import xml.etree.ElementTree

import mime_differences as explained

PROGRAM = os.environ["EBBGATE_MIME_STRUCTURE"]
SHARED = pathlib.Path(os.environ.get("EBBGATE_CORPORA", "corpora")) / "mime"
FETCHED = pathlib.Path(os.environ.get("EBBGATE_FETCHED_CORPORA", ".deps/corpora"))
GMIME_PROGRAM = pathlib.Path(__file__).with_name("gmime_parts.py")


def with_line_ends(raw):
    return raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


@functools.cache
def scan(raw):
    return json.loads(subprocess.run([PROGRAM], input=raw, capture_output=True, check=True).stdout)


# A part, of each parser: (depth, kind, type, names, body).


def our_parts(raw):
    return [(part["depth"], part["kind"], part["type"], sorted(part["names"]), bytes.fromhex(part["body"]))
            for part in scan(raw)]


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
        found.append((depth, kind, part.get_content_type(), python_names(part), body))
        for child in children:
            walk(child, depth + 1)

    found = []
    walk(email.message_from_bytes(with_line_ends(raw), policy=email.policy.compat32), 0)
    return found


def python_names(part):
    names = set()
    raw = {name.lower(): value for name, value in reversed(list(part.raw_items()))}
    for field in ("content-disposition", "content-type"):
        if field not in raw:
            continue
        alone = email.message.Message()  # With 8 bits as UTF-8: Python's own way is to show none of them.
        alone[field] = raw[field].encode("ascii", "surrogateescape").decode("utf-8", "replace")
        for parameter in ("filename", "name"):
            try:
                name = alone.get_param(parameter, header=field)
            except TypeError:  # It cannot sort the sections of a value that comes whole, too.
                name = None
            if isinstance(name, tuple):
                names.add(email.utils.collapse_rfc2231_value(name))
            elif name is not None:
                names.add(without_encoded_words(name))
    return sorted(names)


def without_encoded_words(name):
    try:
        return str(email.header.make_header(email.header.decode_header(name)))
    except LookupError:  # No such character set.
        return name


@functools.cache
def gmime_parts(messages):
    raw = json.dumps([with_line_ends(message).hex() for message in messages]).encode()
    # One that is not the distribution's does not see its packages.
    for python in filter(os.path.exists, (sys.executable, "/usr/bin/python3")):
        done = subprocess.run([python, GMIME_PROGRAM], input=raw, capture_output=True, check=False)
        if done.returncode == 0:
            return [[(*part, bytes.fromhex(body)) for *part, body in parts] for parts in json.loads(done.stdout)]
        if done.returncode != 77:
            raise RuntimeError(f"{python} {GMIME_PROGRAM} ended with {done.returncode}: {done.stderr[-2000:]}")
    return None


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


def structure(parts):
    return [(depth, kind, media_type, without_line_ends(body)) for depth, kind, media_type, _, body in parts]


def opaque(parts):
    """GMime has no kind of its own for message/partial and message/external-body."""
    return [(depth, "leaf" if kind in ("partial", "external") else kind, *rest) for depth, kind, *rest in parts]


def names(parts):
    return [part_names for *_, part_names, _ in parts if part_names]


class Comparison:
    maxDiff = None
    corpus = ""
    folder = pathlib.Path()
    messages_min = 0

    def messages(self):
        """Of the corpus: name to raw message."""
        raise NotImplementedError

    def setUp(self):
        if not self.folder.is_dir():
            self.skip(f"corpus not present: {self.corpus}")
        self.found = self.messages()
        self.assertGreaterEqual(len(self.found), self.messages_min, self.folder)

    def skip(self, why):
        print(f"skipped: {why}")
        self.skipTest(f"skipped: {why}")

    def judge(self, subject, pairs):
        """`pairs`: message to what we see of it, and what they do."""
        reasons = explained.TABLES.get(f"{subject} of {self.corpus}", {})
        differ = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
        for name, (ours, theirs) in differ.items():
            with self.subTest(message=name):
                if name not in reasons:
                    self.fail(f"unexplained, {subject} of {name}: {first_difference(ours, theirs)}")
                self.assert_holds(reasons[name], name, ours, theirs)
        self.assertEqual(sorted(set(reasons) - set(differ)), [], "explained, but they do not differ")

    def assert_holds(self, reason, name, ours, theirs):
        """What can be checked of a reason."""
        reported = {kind for part in scan(self.found[name]) for kind in part["unclear"]}
        for kind in re.findall(r"reported as (\w+)", reason):
            self.assertIn(kind, reported, reason)
        if reason.startswith(explained.ALL_READINGS):
            self.assertLessEqual(set(itertools.chain(*theirs)), set(itertools.chain(*ours)), reason)
        if reason == explained.QUOTES_STAY:
            self.assertLessEqual({one.replace('"', "") for one in itertools.chain(*theirs)},
                                 set(itertools.chain(*ours)), reason)

    def test_python(self):
        theirs = {name: python_parts(raw) for name, raw in self.found.items()}
        self.judge_both("Python", theirs)

    def test_gmime(self):
        found = gmime_parts(tuple(self.found.values()))
        if found is None:
            self.skip("GMime for Python (python3-gi, gir1.2-gmime-3.0) is not installed")
        self.assertEqual(len(found), len(self.found))
        self.judge_both("GMime", dict(zip(self.found, found)))

    def judge_both(self, parser, theirs):
        ours = {name: our_parts(raw) for name, raw in self.found.items()}
        self.judge(f"{parser}: parts", {name: (structure(opaque(ours[name])), structure(opaque(theirs[name])))
                                        for name in ours})
        self.judge(f"{parser}: names", {name: (names(ours[name]), names(theirs[name])) for name in ours})


class Mime4j(Comparison, unittest.TestCase):
    corpus = "mime4j"
    folder = SHARED / "mime4j"
    messages_min = 80

    def messages(self):
        self.paths = {path.name: path for path in sorted(self.folder.rglob("*.msg"))}
        return {name: path.read_bytes() for name, path in self.paths.items()}

    def test_mime4j(self):
        pairs = {}
        for name, path in self.paths.items():
            expected = mime4j_parts(path.with_name(path.stem + "_decoded.xml"))
            pairs[name] = ([(depth, kind, without_line_ends(body)) for depth, kind, _, _, body in
                            opaque(our_parts(self.found[name]))],
                           [(depth, kind, without_line_ends(body)) for depth, kind, body in expected])
        self.judge("mime4j: parts", pairs)


class Python(Comparison, unittest.TestCase):
    corpus = "python"
    folder = FETCHED / "python"
    messages_min = 45

    def messages(self):
        return {path.name: path.read_bytes() for path in sorted(self.folder.glob("msg_*.txt"))}


class Gmime(Comparison, unittest.TestCase):
    corpus = "gmime"
    folder = FETCHED / "gmime"
    messages_min = 11

    def messages(self):
        found = {}
        for path in sorted(self.folder.glob("*.*")):
            if path.suffix == ".mbox":
                one_by_one = re.split(rb"^From .*\n", path.read_bytes(), flags=re.MULTILINE)[1:]
                found.update({f"{path.name} {number}": raw for number, raw in enumerate(one_by_one, 1)})
            elif not path.name.startswith("."):
                found[path.name] = path.read_bytes()
        return found


class Go(Comparison, unittest.TestCase):
    """Its nested message, which has no header of its own, and each field of its table of parameters."""

    corpus = "go"
    folder = FETCHED / "go"
    messages_min = 95

    def messages(self):
        nested = (self.folder / "nested-mime").read_bytes()
        boundary = nested.split(b"\n", 1)[0].removeprefix(b"--")
        found = {"nested-mime": b"Content-Type: multipart/mixed; boundary=" + boundary + b"\n\n" + nested}
        table = (self.folder / "mediatype_test.go").read_text(encoding="utf-8")
        for entry in re.findall(r"\{(`[^`]*`(?:\s*\+\s*`[^`]*`)*),", table):
            value = "".join(re.findall("`([^`]*)`", entry))
            field = "Content-Type" if "/" in value.split(";")[0] else "Content-Disposition"
            found[value] = f"{field}: {value}\n\ntext\n".encode()
        return found


def first_difference(mine, theirs):
    for index, (one, other) in enumerate(zip(mine, theirs)):
        if one != other:
            return f"part {index}: {shown(one)} and {shown(other)}"
    return f"{len(mine)} parts and {len(theirs)}: {[shown(part)[:60] for part in mine]} " + \
           f"{[shown(part)[:60] for part in theirs]}"


def shown(part):
    if not isinstance(part[-1], bytes):
        return ascii(part)
    return " ".join(str(field)[-100:] for field in part[:-1]) + f" {len(part[-1])} {part[-1][-60:]!r}"


if __name__ == "__main__":
    outcome = unittest.main(exit=False).result
    sys.exit(1 if not outcome.wasSuccessful() else 77 if outcome.skipped else 0)  # 77: Meson shows what was skipped.
