#!/usr/bin/env python3
"""Runs dkimpy's own tests with our verifier in place of its own: each message that they let it verify, signed by it or
kept by it, is judged by ours with the keys of their table, and what they assert must hold.

Where we mean to differ the table below says why, and the test is given the other answer: so an entry that no longer
differs fails as one that is missing does. Exits with 77 where dkimpy's files are not there (tools/fetch_corpora)."""

import base64
import hashlib
import importlib
import sys
import time
import types
import unittest

import corpus_verdicts

FOLDER = corpus_verdicts.FETCHED / "dkimpy"
MODULES = ["test_dkim", "test_dkim_ed25519", "test_dkim_rsavariants", "test_dkim_tlsrpt"]
CASES_MIN = 160

# Test, or test and number of its call: our verdict, and why it is not theirs.
EXPLAINED = {
    "test_dkim_tlsrpt.test_tlsrpt_with_tlsrptsvc": ("permerror/key_service", "the key is for TLS reports, we verify mail"),
    "test_dkim_tlsrpt.test_tlsrpt_with_strict_tlsrptsvc":
        ("permerror/key_service", "the key is for TLS reports, we verify mail"),
    "test_dkim_tlsrpt.test_tlsrpt_with_strict_no_tlsrptsvc":
        ("pass/none", "told that it is a TLS report they want a key for that; the key is for any service"),
    "test_dkim_tlsrpt.test_tlsrpt_ignore_l_verify 1":
        ("pass/none", "told that it is a TLS report they ignore l=; we report how much is unsigned"),
}


class Ed25519Key:
    """What dkimpy takes of PyNaCl, which is not everywhere: signing by RFC 8032, section 5.1.6. Not for real keys."""

    P = 2**255 - 19
    ORDER = 2**252 + 27742317777372353535851937790883648493
    D = -121665 * pow(121666, -1, P) % P
    BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
    BASE_Y = 4 * pow(5, -1, P) % P

    def __init__(self, text, encoder=None):
        digest = hashlib.sha512(base64.b64decode(text)).digest()
        self.scalar = int.from_bytes(digest[:32], "little") & (2**254 - 8) | 2**254
        self.prefix = digest[32:]
        self.public = self.encoded(self.scalar)

    def sign(self, message):
        def number(*parts):
            return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % self.ORDER

        once = number(self.prefix, message)
        point = self.encoded(once)
        answer = (once + number(point, self.public, message) * self.scalar) % self.ORDER
        return types.SimpleNamespace(signature=point + answer.to_bytes(32, "little"))

    def encoded(self, scalar):
        """The base point so many times, in projective coordinates (section 5.1.4)."""
        total = (0, 1, 1, 0)
        step = (self.BASE_X, self.BASE_Y, 1, self.BASE_X * self.BASE_Y % self.P)
        while scalar:
            if scalar & 1:
                total = self.add(total, step)
            step = self.add(step, step)
            scalar >>= 1
        x, y = (part * pow(total[2], -1, self.P) % self.P for part in total[:2])
        return (y | (x & 1) << 255).to_bytes(32, "little")

    def add(self, one, other):
        a = (one[1] - one[0]) * (other[1] - other[0])
        b = (one[1] + one[0]) * (other[1] + other[0])
        c = 2 * self.D * one[3] * other[3]
        d = 2 * one[2] * other[2]
        e, f, g, h = b - a, d - c, d + c, b + a
        return e * f % self.P, g * h % self.P, f * g % self.P, e * h % self.P


def stand_in_for_nacl():
    signing = types.ModuleType("nacl.signing")
    signing.SigningKey = Ed25519Key
    encoding = types.ModuleType("nacl.encoding")
    encoding.Base64Encoder = None
    exceptions = types.ModuleType("nacl.exceptions")
    exceptions.ValueError = ValueError
    nacl = types.ModuleType("nacl")
    nacl.signing, nacl.encoding, nacl.exceptions = signing, encoding, exceptions
    return {"nacl": nacl, "nacl.signing": signing, "nacl.encoding": encoding, "nacl.exceptions": exceptions}


def load():
    """dkimpy of the corpus, not what may be installed."""
    sys.modules.update(stand_in_for_nacl())
    sys.path.insert(0, str(FOLDER))
    return importlib.import_module("dkim")


def record_of(name, dnsfunc):
    text = dnsfunc(name + b".") if name else None
    if text is None:
        return {}
    return {name: (text.encode() if isinstance(text, str) else text).rstrip(b"\n")}


class Corpus(unittest.TestCase):
    def test_holds_what_dkimpy_asserts(self):
        if not FOLDER.is_dir():
            print("skipped: corpus not present: dkimpy")
            self.skipTest("skipped: corpus not present: dkimpy")
        dkim = load()
        self.assertTrue(dkim.__file__.startswith(str(FOLDER)), dkim.__file__)
        self.put_ours_in_place(dkim)
        self.cases = {}  # To our verdict.
        self.used = set()
        without = []
        for name in MODULES:
            module = importlib.import_module("dkim.tests." + name)
            for test in unittest.defaultTestLoader.loadTestsFromTestCase(module.TestSignAndVerify):
                self.test = f"{name}.{test._testMethodName}"
                self.calls = 0
                outcome = unittest.TestResult()
                test.run(outcome)
                if self.calls == 0:
                    without.append(self.test)
                for _, text in outcome.failures + outcome.errors:
                    with self.subTest(test=self.test):
                        self.fail(f"unexplained or stale, call {self.calls}: {self.cases.get(self.case())}\n{text}")
        print(f"{len(self.cases)} verdicts, {len(self.used)} explanations; tests that verify nothing: {len(without)}")
        self.assertGreaterEqual(len(self.cases), CASES_MIN)
        self.assertEqual(sorted(set(EXPLAINED) - self.used), [], "explained, but there is no such case")

    def case(self):
        return f"{self.test} {self.calls}"

    def put_ours_in_place(self, dkim):
        set_message = dkim.DKIM.set_message

        def keep_message(domain_signer, message):
            domain_signer.raw = message
            set_message(domain_signer, message)

        def verify(signer, idx=0, dnsfunc=None):
            likely = None
            try:
                if signer.verify_headerprep(idx):  # One test looks at what it leaves behind.
                    likely = signer.selector + b"._domainkey." + signer.domain
            except dkim.DKIMException:
                pass
            ours = self.judge(signer.raw, idx, dnsfunc, signer.minkey, likely)
            return self.answer(ours)

        dkim.DomainSigner.set_message = keep_message
        dkim.DKIM.verify = verify

    def judge(self, raw, index, dnsfunc, rsa_bits_min, likely):
        """`likely`: the name of the key that dkimpy would ask for; if ours is another, that one counts."""
        message = corpus_verdicts.with_line_ends(raw)
        now = int(time.time())  # dkimpy signs with it.
        for name in (likely, None):
            found = corpus_verdicts.judge(message, record_of(name, dnsfunc), now, rsa_bits_min)[index:index + 1]
            if not found:
                return "no signature"
            if found[0].key_name in (name, b""):
                return found[0].strict
        records = record_of(found[0].key_name, dnsfunc)
        return corpus_verdicts.judge(message, records, now, rsa_bits_min)[index].strict

    def answer(self, ours):
        self.calls += 1
        self.cases[self.case()] = ours
        passes = ours == "pass/none"
        for name in {self.test, self.case()} & set(EXPLAINED):
            self.used.add(name)
            self.assertEqual(ours, EXPLAINED[name][0], self.case())
            return not passes
        return passes


if __name__ == "__main__":
    outcome = unittest.main(exit=False).result
    sys.exit(1 if not outcome.wasSuccessful() else 77 if outcome.skipped else 0)  # 77: Meson shows what was skipped.
