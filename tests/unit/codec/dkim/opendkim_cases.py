"""Reads what OpenDKIM's tests of its library say in C: the header, the body, the keys, and the status that must come
out. It understands calls in a row whose texts are literals and macros, and leaves out, with a reason, what is not so."""

import ast
import dataclasses
import re

TOKEN = re.compile(r'\s+|/\*.*?\*/|(?P<text>"(?:[^"\\]|\\.)*")|(?P<word>\w+)|(?P<mark>.)', re.DOTALL)
GIVEN = {"DKIM_SIGNHEADER": ['"DKIM-Signature"'], "DKIM_DNSKEYNAME": ['"_domainkey"']}  # Of its headers.
OF_THE_MESSAGE = {"dkim_verify", "dkim_header", "dkim_body", "dkim_chunk", "dkim_eoh", "dkim_eom"}
OF_A_TEXT = {"snprintf", "strlcpy", "strlcat", "memset"}
LEAVES_OUT = {
    "dkim_sign": "signs the message itself",
    "dkim_set_key_lookup": "has its keys from a callback",
    "dkim_test_dns_put": "has its keys from a callback",
    "dkim_sig_ignore": "chooses signatures in a callback",
    "DKIM_LIBFLAGS_FIXCRLF": "has line ends repaired",
    "DKIM_OPTS_TMPDIR": "is of temporary files",
    "DKIM_OPTS_MUSTBESIGNED": "demands fields to be signed, which we leave to the caller",
}


NOW = 1_800_000_000  # For what is said of the time; the verifier is to be given the same.


class NotPlain(Exception):
    pass


@dataclasses.dataclass
class Case:
    fields: list = dataclasses.field(default_factory=list)
    refused: list = dataclasses.field(default_factory=list)  # Signatures that were not taken.
    body: bytes = b""
    chunks: bytes = b""
    status: str = ""
    errors: dict = dataclasses.field(default_factory=dict)  # Of a signature, by its place; from asserts.

    def message(self):
        return self.chunks or b"".join(field + b"\r\n" for field in self.fields) + b"\r\n" + self.body


def tokens(source):
    found = []
    for match in TOKEN.finditer(source):
        if match.lastgroup:
            found.append(match.group())
    return found


def preprocessed(source, macros):
    """The tokens, with nothing defined but what the file itself defines; and its macros, added to the given ones."""
    kept, shown = [], [True]
    for line in source.replace("\\\n", " ").split("\n"):
        directive = re.match(r"\s*#\s*(\w+)\s*(\w*)(.*)", line)
        if not directive:
            kept += [line] if all(shown) else []
        elif directive[1] in ("if", "ifdef", "ifndef"):
            shown.append(directive[1] == "ifndef")
        elif directive[1] == "else":
            shown[-1] = not shown[-1]
        elif directive[1] == "endif":
            shown.pop()
        elif directive[1] == "define" and all(shown):
            macros[directive[2]] = tokens(directive[3])
    return tokens("\n".join(kept))


def text_of(parts, macros):
    out = b""
    for part in parts:
        if part.startswith('"'):
            out += ast.literal_eval("b" + part)
        elif part in macros:
            out += text_of(macros[part], macros)
        else:
            raise NotPlain("computes a text")
    return out


def arguments(code, at):
    """Of the call whose "(" is at `at`, and where it ends."""
    found, depth = [[]], 0
    while True:
        if code[at] == ")":
            depth -= 1
            if depth == 0:
                return found, at
        if depth == 1 and code[at] == ",":
            found.append([])
        elif depth > 0:
            found[-1].append(code[at])
        if code[at] == "(":
            depth += 1
        at += 1


def reject_loops(code):
    for at, word in enumerate(code):
        if word not in ("for", "while"):
            continue
        _, end = arguments(code, at + 1)
        stop = end
        depth = 0
        while depth > 0 or code[stop] not in (";", "}"):
            depth += {"{": 1, "}": -1}.get(code[stop], 0)
            if depth == 0 and code[stop] == "}":
                break
            stop += 1
        if (OF_THE_MESSAGE | OF_A_TEXT) & set(code[end:stop]):
            raise NotPlain("makes the message in a loop")


class Reader:
    def __init__(self, code, macros):
        self.code, self.macros = code, macros
        self.cases = []
        self.buffers = {}
        self.last = None  # The call whose status is asserted next.

    def read(self):
        at = 0
        while at < len(self.code):
            name = self.code[at]
            if name in OF_THE_MESSAGE | OF_A_TEXT | {"assert"} and self.code[at + 1] == "(":
                given, at = arguments(self.code, at + 1)
                getattr(self, "on_" + name.removeprefix("dkim_"))(given)
            at += 1
        return self.cases

    def value(self, parts):
        if len(parts) == 1 and parts[0] in self.buffers:
            return self.buffers[parts[0]]
        return text_of(parts, self.macros)

    def whole(self, given):
        """The text of an argument that is followed by its whole length."""
        text = self.value(given[1])
        if given[2][0] not in ("strlen", "sizeof") and given[2] != [str(len(text))]:
            raise NotPlain("passes a part of a text")
        return text

    def formatted(self, given):
        time = re.fullmatch(r"\(long\)\(now\+(\d+)\)", "".join(given))
        return str(NOW + int(time[1])).encode() if time else self.value(given)

    def put(self, name, make):
        """A text that cannot be told matters only if it is used."""
        before = self.buffers.pop(name, None)
        try:
            self.buffers[name] = make(before)
        except NotPlain:
            pass

    def on_snprintf(self, given):
        def make(before):
            values = tuple(self.formatted(part) for part in given[3:])
            text = text_of(given[2], self.macros).replace(b"%ld", b"%s") % values
            return (before or b"") + text if given[0][1:] == ["+", "len"] else text

        self.put(given[0][0], make)

    def on_memset(self, given):
        self.put(given[0][0], lambda before: b"")

    def on_strlcpy(self, given):
        self.put(given[0][0], lambda before: self.value(given[1]))

    def on_strlcat(self, given):
        def make(before):
            if before is None:
                raise NotPlain("computes a text")
            return before + self.value(given[1])

        self.put(given[0][0], make)

    def on_verify(self, _):
        self.cases.append(Case())
        self.last = ("verify", None)

    def on_header(self, given):
        self.last = ("header", self.whole(given))
        self.cases[-1].fields.append(self.last[1])

    def on_body(self, given):
        self.last = ("body", self.whole(given))

    def on_chunk(self, given):
        self.last = ("chunk", b"" if given[1] == ["NULL"] else self.whole(given))

    def on_eoh(self, _):
        self.last = ("eoh", None)

    def on_eom(self, _):
        self.last = ("eom", None)

    def on_assert(self, given):
        said = "".join(given[0])
        status = re.fullmatch(r"status==DKIM_STAT_(\w+)", said)
        error = re.fullmatch(r"dkim_sig_geterror\(sigs?(?:\[(\d+)\])?\)==DKIM_SIGERROR_(\w+)", said)
        if error:
            self.cases[-1].errors.setdefault(int(error[1] or 0), error[2])  # The first is with all features.
        if status and self.last and self.cases:
            self.take(self.cases[-1], *self.last, status[1])
            self.last = None

    def take(self, case, call, text, status):
        if call == "header" and status != "OK":
            if "DKIM_LIBFLAGS_BADSIGHANDLES" not in self.code:  # With that it is kept.
                case.fields.remove(text)
            if not text.lower().startswith(b"dkim-signature"):
                raise NotPlain("gives fields that are none")
            case.refused.append(text)
        elif call == "body" and status == "OK":
            case.body += text
        elif call == "chunk":
            case.chunks += text
        # Invalid is what comes out of turn.
        if call in ("chunk", "eoh", "eom") and status != "INVALID" and case.status in ("", "OK"):
            case.status = status if status != "OK" or call == "eom" else case.status


def keys_of(setup, macros):
    """Name to record, of the test that writes the file of keys."""
    said = re.findall(r'"%s\.%s\.%s ", (\w+), DKIM_DNSKEYNAME, (\w+)\);\s*for \(p = (\w+);', setup)
    return {b"._domainkey.".join(text_of([part], macros) for part in (selector, domain)):
            text_of([record], macros) for selector, domain, record in said}


def read(folder):
    """Of all its tests: the keys; "TEST NUMBER" to Case; test to the reason it is left out with."""
    shared = dict(GIVEN)
    preprocessed((folder / "t-testdata.h").read_text(encoding="latin-1"), shared)
    keys = keys_of((folder / "t-setup.c").read_text(encoding="latin-1"), shared)
    cases, left_out = {}, {}
    for path in sorted(folder.glob("t-test*.c")):
        macros = dict(shared)
        code = preprocessed(path.read_text(encoding="latin-1"), macros)
        if "dkim_verify" not in code:
            continue
        try:
            for word in code:
                if word in LEAVES_OUT:
                    raise NotPlain(LEAVES_OUT[word])
            reject_loops(code)
            found = Reader(code, macros).read()
            kept = {f"{path.stem} {number}": case for number, case in enumerate(found, 1)
                    if case.status or case.refused or case.errors}
            if not kept:
                raise NotPlain("comes to no verdict")
            cases.update(kept)
        except NotPlain as reason:
            left_out[path.stem] = str(reason)
    return keys, cases, left_out
