#!/usr/bin/env python3
"""Do parsers that others wrote find the recipients, actions and statuses in our reports?

Python's email package, flufl.bounce (as Mailman uses) and Perl's Mail::DeliveryStatus::BounceParser.
The latter two skip when they are not installed.
"""

import email
import email.policy
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

FLUFL = """
import email, json, sys
from flufl.bounce import all_failures
out = {}
for name in sys.argv[1:]:
    temporary, permanent = all_failures(email.message_from_binary_file(open(name, "rb")))
    out[name] = [sorted(x.decode() if isinstance(x, bytes) else x for x in found) for found in (temporary, permanent)]
print(json.dumps(out))
"""
PERL = """
use strict; use JSON::PP; use Mail::DeliveryStatus::BounceParser;
my %out;
for my $name (@ARGV) {
    open my $in, '<:raw', $name or die; local $/; my $text = <$in>; $text =~ s/\\r\\n/\\n/g;
    my $bounce = Mail::DeliveryStatus::BounceParser->new($text);
    $out{$name} = {is_bounce => $bounce->is_bounce ? 1 : 0, reports => [map {
        {address => $_->get('email'), action => $_->get('action'), status => $_->get('status'),
         reason => $_->get('std_reason')} } $bounce->reports]};
}
print JSON::PP->new->ascii->encode(\\%out);
"""


def clean(text):
    return text.strip() if text else ""


class Parsers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        subprocess.run([os.environ["EBBGATE_WRITE_REPORTS"], cls.folder.name], check=True)
        cls.cases = json.loads(pathlib.Path(cls.folder.name, "cases.json").read_text(encoding="utf-8"))
        assert len(cls.cases) >= 10

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def path(self, case):
        return os.path.join(self.folder.name, case["name"] + ".eml")

    def groups(self, part, name):
        """The status as (per message, per recipient...) fields."""
        if part.get_content_type() == "message/delivery-status":
            return part.get_payload()
        self.assertEqual(name, "global")  # The package does not know its type: by hand.
        text = part.as_bytes().decode().replace("\r\n", "\n").split("\n\n", 1)[1]
        return [email.message_from_string(block, policy=email.policy.SMTPUTF8)
                for block in text.strip().split("\n\n")]

    def test_python_email(self):
        for case in self.cases:
            with self.subTest(case["name"]), open(self.path(case), "rb") as file:
                message = email.message_from_binary_file(file, policy=email.policy.SMTPUTF8)
                self.assertEqual(message.get_content_type(), "multipart/report")
                self.assertEqual(message.get_param("report-type"), "delivery-status")
                self.assertEqual([], list(message.defects))
                self.assertIsNone(message["Bcc"])
                parts = message.get_payload()
                self.assertEqual(len(parts), 3)
                self.assertEqual(parts[0].get_content_type(), "text/plain")
                words = parts[0].get_content()
                self.assertTrue(words.startswith("This is the mail system at gate.example.net."), words)
                for one in case["found"]:
                    self.assertIn(one["address"], words)
                self.assertTrue(all(len(line) < 998 for line in words.split("\n")))
                self.assertEqual(parts[2].get_content_type(), case["last_type"])
                groups = self.groups(parts[1], case["name"])
                self.assertEqual(groups[0]["Reporting-MTA"], "dns; gate.example.net")
                self.assertEqual(len(groups) - 1, len(case["found"]), [str(g) for g in groups])
                for group, one in zip(groups[1:], case["found"]):
                    self.assertEqual(group["Final-Recipient"].split(";", 1)[1].strip(), one["address"])
                    self.assertEqual(group["Action"], one["action"])
                    self.assertEqual(group["Status"], one["status"])
                    self.assertEqual(clean(group["Original-Recipient"]), one["original"])

    def test_envelope_id(self):
        with open(os.path.join(self.folder.name, "failed_all_parameters.eml"), "rb") as file:
            message = email.message_from_binary_file(file)
        self.assertEqual(message.get_payload(1).get_payload(0)["Original-Envelope-Id"], "QQ314159+ x")

    def test_message_comes_back_whole(self):
        with open(os.path.join(self.folder.name, "failed_whole.eml"), "rb") as file:
            message = email.message_from_binary_file(file)
        inner = message.get_payload(2).get_payload(0)
        self.assertEqual(inner["Subject"], "hello")
        self.assertTrue(inner.get_payload().endswith("Ann\r\n") or inner.get_payload().endswith("Ann\n"))

    def run_foreign(self, command, missing):
        probe = subprocess.run(missing, capture_output=True, check=False)
        if probe.returncode != 0:
            self.skipTest("not installed: " + " ".join(missing))
        paths = [self.path(case) for case in self.cases]
        done = subprocess.run(command + paths, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_flufl_bounce(self):
        python = "/usr/bin/python3"  # A distribution's package is the distribution's Python's.
        found = self.run_foreign([python, "-c", FLUFL], [python, "-c", "import flufl.bounce"])
        for case in self.cases:
            with self.subTest(case["name"]):
                # The address as sent counts; it knows no report in UTF-8.
                expected = [sorted(one["original"].split("; ")[-1] or one["address"]
                                   for one in case["found"] if one["action"] == action)
                            for action in ("delayed", "failed")]
                if case["name"] == "global":
                    continue
                self.assertEqual(found[self.path(case)], expected)

    def test_perl_bounce_parser(self):
        module = "-MMail::DeliveryStatus::BounceParser"
        found = self.run_foreign(["perl", "-e", PERL], ["perl", module, "-MJSON::PP", "-e", "1"])
        for case in self.cases:
            with self.subTest(case["name"]):
                got = found[self.path(case)]
                failed = all(one["action"] == "failed" for one in case["found"])
                self.assertEqual(got["is_bounce"], int(failed))
                if not failed or case["name"] == "global":
                    continue  # It lists bounces only, and knows no report in UTF-8.
                self.assertEqual([(one["address"], one["action"], one["status"]) for one in got["reports"]],
                                 [(one["original"].split("; ")[-1] or one["address"], one["action"], one["status"])
                                  for one in case["found"]])


if __name__ == "__main__":
    sys.exit(unittest.main())
