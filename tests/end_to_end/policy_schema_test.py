#!/usr/bin/env python3
"""The published schema and the program judge the same documents alike.

Each document of the table is given to a JSON Schema validator (python3-jsonschema) with
docs/policy.schema.json, and to `ebbgated --check`.
"""

import copy
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

try:
    import jsonschema
except ImportError:
    jsonschema = None

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HASH = "$6$saltsalt$0123456789abcdefghijABCDEFGHIJ./"
BASE = {
    "routes": [{"match": "*", "relay": "hold"}],
    "delivery": {"retry": {}},
    "bans": {},
    "defaults": {"limits": {}},
    "tenants": [{
        "name": "acme", "hostname": "smtp.acme.example", "domains": ["acme.example"],
        "authorized_senders": ["@acme.example"], "limits": {"limit_reply": {}}, "attachments": {},
        "accounts": [{"login": "a", "password": HASH, "limits": {}}],
    }],
}
TENANT = ("tenants", 0)
ACCOUNT = (*TENANT, "accounts", 0)
LIMITS = (*TENANT, "limits")

FILELINK = {"larger_than": "10MB", "url": "https://files.acme.example/files/"}
KEY = {"domain": "acme.example", "selector": "s2026", "key": "s2026.pem"}
# Where, and the values that are good and bad there.
TABLE = [
    (("routes", 0, "match"), ["*", "a.example", "*.a.example", "_dmarc.a.example"],
     ["", "a.*.example", "**", "a..example", "-a.example", 1, None]),
    (("routes", 0, "relay"), ["mx", "hold", "discard", "h.example:25", "192.0.2.1:25", "[2001:db8::1]:25"],
     ["", "h.example", "h.example:", "drop", "MX", 25]),
    (("routes", 0, "tls"), [], ["required", "on"]),
    (("routes", 0, "source"), [], ["127.0.0.1"]),
    (("routes", 0), [{"match": "*", "relay": "mx", "source": "127.0.0.1", "tls": "off"}],
     [{"match": "*", "relay": "mx", "source": "localhost"}]),
    (("routes",), [], [[], {}, "x"]),
    (("delivery", "idle_timeout"), ["30s", "1 h", "1 minute"], ["30", "", "s", "-1s", "1w", 30]),
    (("delivery", "timeouts"), [{}, {"connect": "1s", "final": "1h"}], [{"connect": 1}, {"dot": "1s"}, "1s"]),
    (("delivery", "chunking"), [True, False], ["yes", 1]),
    (("delivery", "eight_bit"), ["send", "bounce"], ["convert", True]),
    (("delivery", "connections_per_destination"), [1, 10000], [0, 10001, 1.5, "1"]),
    (("delivery", "retry", "factor"), [1, 1.5, 100], [0.5, 101, "2"]),
    (("delivery", "retry", "max_age"), ["2 days", "1 month"], [5, "5 weeks"]),
    (("delivery", "retry", "delay_notice"), ["4h", "0s"], ["never", 4]),
    (("delivery", "bounce_rules"), [], ["", 1]),
    (("delivery", "mx_port"), [25, 65535], [0, 65536, "25"]),
    (("delivery", "max_connections"), [1, 1000000], [0, 1000001, "10"]),
    (("delivery", "max_message_rate"), ["100/min", "unlimited"], ["100", 100, "0/min"]),
    (("delivery", "max_connection_rate"), ["1/s"], ["fast"]),
    (("delivery", "shaping"),
     [[], [{"match": "a.example"}, {"mx": "*.b.example", "connection_limit": 5, "max_deliveries_per_connection": 10,
                                    "idle_timeout": "5s", "max_message_rate": "1/s", "max_connection_rate": "2/h"}]],
     [{}, [{}], [{"match": "a.example", "mx": "b.example"}], [{"match": "a.*"}], [{"mx": "*", "connection_limit": 0}],
      [{"match": "*", "connections": 1}]]),
    (("bans", "max_retry"), [1, 100], [0, 101, "3", True]),
    (("bans", "find_time"), ["10m"], ["10", 600]),
    (("bans", "ban_time"), ["1d"], ["", -1]),
    (("bans", "ban_time_max"), ["12 months"], ["for ever"]),
    (("bans", "ban_time_increment"), [True, False], ["on", 1, None]),
    (("bans", "ignore"), [[], ["127.0.0.1", "2001:db8::/32"]], [["localhost"], "127.0.0.1", [1]]),
    (("bans", "log"), ["ban.log", "sub/ban.log"], ["", "sub/", "a\nb", "x" * 1025, 1]),
    (("bans", "max_rety"), [], [3]),
    (("defaults", "check_header_from"), [True, False], ["yes"]),
    (("defaults", "limits", "messages_per_sender"), ["500/day"], [500]),
    (("defaults", "null_sender"), [], [True]),
    ((*TENANT, "name"), ["a", "A-b_c.d", "x" * 64], ["", "a b", "x" * 65, "\u00e4", 1]),
    ((*TENANT, "company"), ["M\u00fcller & S\u00f6hne"], ["", "a\nb", "x" * 257]),
    ((*TENANT, "hostname"), ["smtp.acme.example", "SMTP.acme.example"],
     ["", "a b", "-a", "a..b", "x" * 64 + ".example", "b\u00fccher.example"]),
    ((*TENANT, "tls"), [{"certificate": "c.pem", "key": "k.pem"}],
     [{}, {"certificate": "c.pem"}, {"certificate": "", "key": "k"}, "c.pem"]),
    ((*TENANT, "domains"), [["acme.example"], ["acme.example", "b\u00fccher.example", "xn--bcher-kva.test"]],
     [["acme.example", "*.a.example"], ["acme.example", "a@b"], ["acme.example", ""], ["acme.example", "a b"],
      ["acme.example", "b."], "acme.example"]),
    ((*TENANT, "authorized_senders"),
     [[], ["@acme.example"], ["ceo@acme.example", "@*.acme.example"], ["a+b@acme.example"], ["\"a b\"@acme.example"],
      ["j\u00fcrgen@acme.example"]],
     [["acme.example"], ["@"], ["a@"], ["@*"], ["@acme.example."], ["@a.*.acme.example"], [1], "@acme.example"]),
    ((*TENANT, "relay_hosts"), [["192.0.2.1", "192.0.2.0/24", "::1"]], [["host"], [""], ["1.2.3.4/"], "::1"]),
    ((*TENANT, "null_sender"), [True, False], [0, "true"]),
    ((*TENANT, "class"), ["bulk", "transactional"], ["urgent", 1]),
    ((*ACCOUNT, "class"), ["bulk", "transactional"], ["urgent", 1]),
    ((*TENANT, "suppression"), [False, {}, {"keep": "30 days"}], [True, {"keep": 30}, {"for": "1d"}]),
    ((*TENANT, "egress"),
     [{}, {"sources": []}, {"sources": ["127.0.0.1", {"address": "127.0.0.2", "ehlo": "m2.acme.example", "weight": 3,
                                                       "drain": True}], "ehlo": "m.acme.example"}],
     [{"sources": ["localhost"]}, {"sources": "127.0.0.1"}, {"sources": [{}]}, {"ehlo": "a b"},
      {"sources": [{"address": "127.0.0.1", "weight": 0}]}, {"source": "127.0.0.1"}]),
    ((*TENANT, "bcc"), [], [{}]),
    (("defaults", "attachments"), [{"allow": ["pdf"]}], [[], True]),
    (("defaults", "filelink"), [FILELINK, False], [True, {**FILELINK, "size": 1}]),
    (("defaults", "dkim"), [], [[]]),
    ((*TENANT, "attachments"), [{}, False], [True, None, [], {"deny": []}]),
    ((*TENANT, "attachments", "allow"), [[], ["pdf", "PDF", "7z", "x" * 32]],
     [[".pdf"], ["tar.gz"], [""], ["p df"], ["x" * 33], [1], "pdf"]),
    ((*TENANT, "attachments", "reply"), [["No."], ["{name} of {company}", "x" * 200]],
     [[], ["No.", ""], ["{names}"], ["{"], ["}"], ["x" * 201], ["\u00e9"], ["x"] * 17, "No."]),
    ((*TENANT, "attachments", "encrypted_archives"), ["refuse", "allow"], ["deny", True]),
    ((*TENANT, "attachments", "ambiguous"), ["refuse", "allow"], ["", None]),
    ((*TENANT, "attachments", "archives"), ["members", "name"], ["list"]),
    ((*TENANT, "attachments", "sniff"), [True, False], ["yes"]),
    ((*TENANT, "filelink"), [FILELINK, False, {**FILELINK, "total_larger_than": "50MB", "keep": "7d"}],
     [True, {**FILELINK, "larger_than": 1023}, {**FILELINK, "keep": "12"}, {**FILELINK, "size": 1}]),
    ((*TENANT, "filelink"), [{**FILELINK, "url": one} for one in
                             ("http://f.example/", "https://f.example:8443/a/b-c_d.e~/")],
     [{**FILELINK, "url": one} for one in
      ("https://f.example", "ftp://f.example/", "https:///", "https://f.example/a", "https://f.example//",
       "https://f.example/a b/", "https://f.example/%41/", "https://f.example/?a/", "https://u@f.example/",
       "https://f.example/../", "https://f.example:/", "HTTPS://f.example/")]),
    ((*TENANT, "filelink"), [{**FILELINK, "text": one} for one in (["{url}"], ["{name} {size} {keep} {company}", "\u00e9 {url}"])],
     [{**FILELINK, "text": one} for one in ([], ["{name}"], ["{link} {url}"], ["{url}", ""], "{url}")]),
    ((*TENANT, "filelink"), [{**FILELINK, "tls": {"certificate": "c.pem", "key": "k.pem"}}],
     [{**FILELINK, "tls": one} for one in ({}, {"certificate": "c.pem"}, {"certificate": "", "key": "k"}, "c.pem")]),
    ((*TENANT, "dkim"), [[], [KEY], [{**KEY, "selector": "20260101"}], [{**KEY, "domain": "mail.acme.example", "expire": "30d"}]],
     [{}, [{}], [{**KEY, "domain": "a b"}], [{**KEY, "selector": "a b"}], [{**KEY, "key": ""}], [{**KEY, "bits": 1}],
      [{**KEY, "expire": 5}]]),
    ((*TENANT, "dkim"), [[{**KEY, "canonicalization": "simple/relaxed"}]], [[{**KEY, "canonicalization": "relaxed"}]]),
    ((*TENANT, "unsigned"), ["refuse", "allow"], [True]),
    ((*TENANT, "sender"), [], [[]]),
    ((*ACCOUNT, "login"), ["a", "a@acme.example", "x" * 255], ["", "a\tb", "x" * 256]),
    ((*ACCOUNT, "password"), [HASH, "$y$j9T$saltsaltsalt$hash"], ["hunter2", "$1$saltsalt$0123456789abcdef", HASH + ":"]),
    ((*ACCOUNT, "null_sender"), [True], ["x"]),
    ((*ACCOUNT, "authorized_senders"), [[], ["ceo@acme.example"]], [["x"], {}]),
    ((*ACCOUNT, "limits", "messages_per_account"), ["5/day"], ["5"]),
    ((*ACCOUNT, "limits", "messages_per_tenant"), [], ["5/day"]),
    ((*ACCOUNT, "limits", "connections"), [], [5]),
    ((*LIMITS, "messages_per_sender"), ["500/day", "50/hour", "7/10m", "unlimited", "1/12 hours", "5/day"],
     ["0/day", "00/day", "/day", "5", "5/", "5 /day", "-5/day", "none", "5/DAY", None]),
    ((*LIMITS, "recipients_per_tenant"), ["9/minute"], [9]),
    ((*LIMITS, "recipients_per_message"), [1, 100000], [0, 100001, "1"]),
    ((*LIMITS, "message_size"), ["25MB", "2 GiB", 1024, "4096"], [1023, "25mb", "25 M", -1, 1.5]),
    ((*LIMITS, "connections"), [1, "unlimited"], [0, "many", -1]),
    ((*LIMITS, "limit_reply", "code"), [450, 550], [451, "450", 250]),
    ((*LIMITS, "limit_reply", "text"), ["Too much.", "{sender}: {count} {unit} per {period}, {company} <{recipient}>"],
     ["", "{", "}", "{}", "{senders}", "two\nlines", "\u00e9", "x" * 401]),
]


def with_value(path, value):
    document = copy.deepcopy(BASE)
    at = document
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return document


@unittest.skipIf(jsonschema is None, "skipped: python3-jsonschema is not installed")
class PolicySchema(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        schema = json.loads((ROOT / "docs" / "policy.schema.json").read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        cls.validator = jsonschema.Draft202012Validator(schema)
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = pathlib.Path(cls.folder.name)
        for key in re.findall(r"[a-z0-9./]+\.pem", json.dumps(TABLE) + (ROOT / "docs" / "policy.md").read_text()):
            file = cls.path / key
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", file], check=True,
                               capture_output=True)
        (cls.path / "ebbgate.json").write_text(json.dumps({
            "hostname": "gate.test", "data_dir": "data", "log_dir": "log", "policy": "policy.json",
            "listeners": [{"name": "smtp", "kind": "smtp", "listen": "127.0.0.1:0"},
                          {"name": "files", "kind": "http", "listen": "127.0.0.1:0"}],
            "admin": {"socket": "admin.sock"}}))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def program_says(self, document):
        (self.path / "policy.json").write_text(json.dumps(document))
        done = subprocess.run([os.environ["EBBGATE_DAEMON"], "--config", str(self.path / "ebbgate.json"), "--check"],
                              capture_output=True, text=True, timeout=60)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        said = done.stderr + done.stdout
        return done.returncode == 0, said

    def judge(self, document, good):
        faults = [error.message for error in self.validator.iter_errors(document)]
        self.assertEqual(not faults, good, f"the schema: {faults}")
        accepted, said = self.program_says(document)
        self.assertEqual(accepted, good, f"the program: {said}")

    def test_the_base_is_good(self):
        self.judge(BASE, True)

    def test_every_value_is_judged_alike(self):
        for path, good, bad in TABLE:
            for value, expected in [(one, True) for one in good] + [(one, False) for one in bad]:
                with self.subTest(path=path, value=value):
                    self.judge(with_value(path, value), expected)

    def test_what_is_required_is_required_by_both(self):
        for path in [("routes",), ("tenants",), ("routes", 0, "match"), ("routes", 0, "relay"), (*TENANT, "name"),
                     (*ACCOUNT, "login"), (*ACCOUNT, "password")]:
            with self.subTest(path=path):
                document = copy.deepcopy(BASE)
                at = document
                for step in path[:-1]:
                    at = at[step]
                del at[path[-1]]
                self.judge(document, False)

    def test_tls_needs_the_hostname(self):
        document = with_value((*TENANT, "tls"), {"certificate": "c", "key": "k"})
        del document["tenants"][0]["hostname"]
        self.judge(document, False)

    def test_the_example_of_the_manual_is_good(self):
        text = (ROOT / "docs" / "policy.md").read_text()
        blocks = [part.split("```")[0] for part in text.split("```json\n")[1:]]
        self.assertTrue(blocks)
        for block in blocks:
            self.judge(json.loads(block), True)


if __name__ == "__main__":
    unittest.main()
