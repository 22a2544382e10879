#!/usr/bin/env python3
"""Judges the messages of OpenDKIM's tests of its library and compares with the status that its tests assert: of the
message, of single signatures, and of those that it does not even take. opendkim_cases.py reads them from the C files.

Where we mean to differ the table below says why; one that is missing fails, and so does one that no longer differs.
Exits with 77 where OpenDKIM's files are not there (tools/fetch_corpora)."""

import collections
import sys
import unittest

import corpus_verdicts
import opendkim_cases

FOLDER = corpus_verdicts.FETCHED / "opendkim"
CASES_MIN = 120
LEFT_OUT_MAX = 22

JUDGED = {"fail/signature", "fail/body_hash"}
# DKIM_STAT_X of a message: what our verdicts may be. None: there is no signature.
STATUS = {
    "OK": lambda ours: "pass/none" in ours,
    "BADSIG": lambda ours: "pass/none" not in ours and JUDGED & set(ours),
    "NOSIG": lambda ours: not ours,
    "NOKEY": lambda ours: set(ours) == {"permerror/key_missing"},
    "REVOKED": lambda ours: set(ours) == {"permerror/key_revoked"},
    "CANTVRFY": lambda ours: ours and not {"pass/none", *JUDGED} & set(ours),
    "SYNTAX": lambda ours: not {"pass/none", *JUDGED} & set(ours),
    "NORESOURCE": lambda ours: not {"pass/none", *JUDGED} & set(ours),
}
# DKIM_SIGERROR_X of a signature: our reasons that say the same.
ERRORS = {
    "OK": "none", "BADSIG": "signature body_hash", "EXPIRED": "expired", "TIMESTAMPS": "times",
    "INVALID_HC": "canonicalization", "INVALID_BC": "canonicalization", "VERSION": "version", "MISSING_V": "missing_tag",
    "DOMAIN": "foreign_identity", "MISSING_BH": "missing_tag", "MISSING_S": "missing_tag", "EMPTY_D": "syntax",
    "EMPTY_S": "syntax", "EMPTY_BH": "syntax", "EMPTY_B": "syntax", "EMPTY_H": "syntax", "CORRUPT_B": "syntax",
    "INVALID_L": "syntax", "INVALID_Q": "query", "INVALID_QO": "query", "INVALID_A": "algorithm",
    "INVALID_H": "from_not_signed", "TOOLARGE_L": "body_too_short", "KEYREVOKED": "key_revoked",
    "KEYVERSION": "key_version", "KEYHASHMISMATCH": "key_hash", "KEYUNKNOWNHASH": "key_hash",
    "KEYTYPEUNKNOWN": "key_type", "DNSSYNTAX": "key_syntax", "KEYDECODE": "key_malformed", "FUTURE": "future",
}

# Test, number of the message in it, and what of it: our verdict, and why it is not theirs.
FUTURE = "t= is in the future: a verifier may ignore that (RFC 6376 3.5), and ours does; the signature is not good either"
NO_FROM = "they refuse a message without a From as it should be; for us that is not of the signature, and the body lacks"
EXPLAINED = {
    "t-test104 1 message": ("fail/signature", FUTURE),
    "t-test104 1 signature 0": ("fail/signature", FUTURE),
    "t-test87 1 message": ("fail/signature", FUTURE),
    "t-test63 1 message": ("fail/body_hash", NO_FROM),
    "t-test66 1 message": ("fail/body_hash", NO_FROM),
    "t-test119 1 message": ("fail/body_hash", "told to they judge before there is a body; we judge the body first"),
    "t-test157 1 message": ("permerror/syntax fail/body_hash", "they know v=2, of a draft, and name what that lacks"),
}


class Corpus(unittest.TestCase):
    def test_comes_out_as_opendkim_asserts(self):
        if not FOLDER.is_dir():
            print("skipped: corpus not present: opendkim")
            self.skipTest("skipped: corpus not present: opendkim")
        self.keys, cases, left_out = opendkim_cases.read(FOLDER)
        self.compared, self.refused, self.used = 0, 0, set()
        for name, case in cases.items():
            self.compare(name, case)
        for reason, count in sorted(collections.Counter(left_out.values()).items()):
            print(f"left out: {count:2} {reason}")
        print(f"{self.compared} verdicts of {len(cases)} messages, {len(self.used)} explanations; "
              f"{self.refused} are good, but for us only with rsa-sha1 let through")
        self.assertGreaterEqual(self.compared, CASES_MIN)
        self.assertLessEqual(len(left_out), LEFT_OUT_MAX, left_out)
        self.assertEqual(sorted(set(EXPLAINED) - self.used), [], "explained, but there is no such case")

    def compare(self, name, case):
        ours = self.judge(case.message())
        if case.status:
            self.expect(name + " message", case.status, ours, STATUS[case.status](ours))
        for place, error in case.errors.items():
            verdict = ours[place] if place < len(ours) else "none"
            self.expect(f"{name} signature {place}", error, [verdict], verdict.split("/")[-1] in ERRORS[error].split())
        for number, field in enumerate(case.refused, 1):
            alone = self.judge(field + b"\r\n\r\n")
            self.expect(f"{name} refused {number}", "SYNTAX", alone, STATUS["SYNTAX"](alone))

    def judge(self, message):
        """As they do: with rsa-sha1, which RFC 8301 forbids and we refuse, but not with the versions of drafts."""
        ours = []
        for verdict in corpus_verdicts.judge(message, self.keys, opendkim_cases.NOW):
            weak = verdict.strict == "permerror/weak_algorithm"
            ours.append(verdict.lenient if weak else verdict.strict)
            self.refused += weak and verdict.lenient == "pass/none"
        return ours

    def expect(self, name, theirs, ours, same):
        self.compared += 1
        with self.subTest(case=name):
            if name in EXPLAINED:
                self.used.add(name)
                self.assertFalse(same, f"explained, but they do not differ: {theirs}, {ours}")
                self.assertEqual(" ".join(ours), EXPLAINED[name][0])
            else:
                self.assertTrue(same, f"unexplained: theirs is {theirs}, ours {ours}")


if __name__ == "__main__":
    outcome = unittest.main(exit=False).result
    sys.exit(1 if not outcome.wasSuccessful() else 77 if outcome.skipped else 0)  # 77: Meson shows what was skipped.
