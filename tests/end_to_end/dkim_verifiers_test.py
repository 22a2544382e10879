#!/usr/bin/env python3
"""Our DKIM signatures verify in dkimpy, OpenDKIM and Mail::DKIM, for messages of every odd shape.

A small tool of ours (dkim_sign) signs a folder of generated messages, each with RSA and Ed25519, in all
forms; then each verifier judges all of them, and some that were changed afterwards, with keys from a table.
Then the same for messages that the gateway took by DATA and BDAT, and delivered.
Debian 12's Mail::DKIM knows no Ed25519.
"""

import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from gateway import Client, Gateway, Sink

SIGN = os.environ["EBBGATE_DKIM_SIGN"]
CTL = os.environ["EBBGATE_CTL"]
PACKAGES = "/usr/lib/python3/dist-packages"  # Where a distribution's package keeps its modules.
DOMAIN = "acme.example"
COUNT = 1000
CHANGED = 40
SENT = 400

BODIES = [
    b"", b"\r\n", b"\r\n\r\n\r\n", b" ", b" \t \r\n \r\n", b"no final line end", b"trailing blanks \t ",
    b"a\r\n\r\n\r\n\r\n", b"\r\n\r\na\r\n", b"a \r\nb\t\r\n", b"two  blanks\tand \t tabs\r\n", b"\tindented\r\n  more\r\n",
    b".\r\n..\r\n.dot\r\n", b"From here\r\n>From there\r\n", b"x" * 998 + b"\r\n", b"y" * 20000 + b"\r\n", (b"z " * 3000) + b"\r\n",
    "Grüße aus Köln\r\n".encode(), b"\xff\xfe\x80 8bit\r\n", b"=20soft=\r\nbreak\r\n", b"a\r\n \r\n\t\r\n", b"a" + b"\r\n" * 3000 + b"b\r\n",
    b"QUJD\r\n" * 500, b"format=flowed \r\nnext line \r\n-- \r\nsignature\r\n", b"blank line with spaces\r\n    \r\nend",
]
FIELDS = [
    b"Subject:\r\n", b"Subject: plain\r\n", b"Subject:no blank\r\n", b"Subject: \t  many   blanks \t \r\n", b"SUBJECT: upper\r\n",
    b"Subject: folded\r\n\twith a tab\r\n   and blanks\r\n", b"Subject: one\r\nSubject: two\r\n", b"Subject:\r\n folded at once\r\n",
    b"Subject: " + b"long " * 190 + b"\r\n", "Subject: Übergrößen\r\n".encode(), b"Subject: raw \xe9 latin\r\n", b"",
]
MORE = [
    b"", b"Cc: one@customer.example,\r\n two@customer.example\r\n", b"Reply-To: <>\r\n", b"Message-ID: <1@acme.example>\r\n",
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n\tboundary=\"a;b=c\"\r\n", b"Content-Type: text/plain; charset=utf-8\r\n",
    b"List-Unsubscribe: <https://acme.example/u>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", b"List-Id: <a.b>\r\n",
    b"Received: from a\r\n\tby b; Tue, 24 Nov 2026 15:56:53 +0000\r\nReceived: from c by d\r\n", b"X-Empty:\r\nX-Odd;name: x\r\n",
    b"Resent-From: a@b.example\r\nResent-Date: x\r\nResent-From: c@d.example\r\n", b"Sender: s@acme.example\r\nFeedback-ID: 1:2:3:4\r\n",
    b"DKIM-Signature: v=1; a=rsa-sha256; d=old.example; s=x; h=from; bh=AAAA; b=AAAA\r\n", b"X-Long: " + b"x" * 900 + b"\r\n",
]
FROMS = [
    b"From: a@acme.example\r\n", b"From: \"Acme, Inc.\" <a@acme.example>\r\n", b"from:a@acme.example\r\n", b"From: a@acme.example (comment\r\n folded)\r\n",
    "From: Jörg <jörg@bücher.example>\r\n".encode(), b"From: =?utf-8?q?J=C3=B6rg?= <a@acme.example>\r\n",
]

PERL = r"""
use strict; use warnings;
use Mail::DKIM::Verifier; use Mail::DKIM::DNS; use Net::DNS;
{ package Table; sub new { bless {text => $_[1]}, $_[0] } sub errorstring { 'NOERROR' }
  sub send { my ($self, $name) = @_; my $packet = Net::DNS::Packet->new($name, 'TXT');
    $packet->header->rcode('NXDOMAIN');
    if ($name eq 'r._domainkey.%s') { $packet->header->rcode('NOERROR');
      $packet->push(answer => Net::DNS::RR->new(name => $name, type => 'TXT', txtdata => [unpack '(a255)*', $self->{text}])); }
    return $packet; } }
my $record = shift;
Mail::DKIM::DNS::resolver(Table->new($record));
while (my $path = <STDIN>) {
  chomp $path; open my $file, '<:raw', $path or die; local $/; my $text = <$file>;
  my $verifier = Mail::DKIM::Verifier->new; $verifier->PRINT($text); $verifier->CLOSE;
  my $found = 'none';
  for my $one ($verifier->signatures) { $found = $one->result_detail if ($one->selector // '') eq 'r'; }
  print "$path\t$found\n";
}
""" % DOMAIN


def message(number):
    """Every body above comes in; the rest is chance, the same each time."""
    chance = random.Random(number)
    parts = [FROMS[number % len(FROMS)], b"To: jane@customer.example\r\n", chance.choice(FIELDS),
             MORE[number % len(MORE)], chance.choice(MORE), b"Date: Tue, 24 Nov 2026 15:56:53 +0000\r\n"]
    chance.shuffle(parts)
    body = BODIES[number % len(BODIES)]
    if number >= 500:
        body += b"".join(chance.choice([b"word ", b"  ", b"\t", b"\r\n", b" \r\n", b"\r\n\r\n", b"w", b".", b"\xc3\xa4"])
                         for _ in range(chance.randrange(400)))
    return b"".join(parts) + b"\r\n" + body


def changed(text, number):
    """A signed message with its body or a signed field changed so that no form forgives it."""
    split = text.index(b"\r\n\r\n") + 4
    if number % 3 == 0:
        return text[:split] + b"more\r\n" + text[split:]
    if number % 3 == 1:
        return b"Subject: added\r\n" + text
    return text.replace(b"To: jane@customer.example", b"To: john@customer.example", 1)


class Verifiers:
    """What each verifier says of the messages in `good`, which sign() makes, and of those that were changed."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="ebbgate-dkim-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.records = {}
        for kind, selector in ("rsa", "r"), ("ed25519", "e"):
            made = subprocess.run([CTL, "dkim", "keygen", "--json", "--domain", DOMAIN, "--selector", selector, "--type", kind,
                                   cls.folder / f"{kind}.pem"], check=True, capture_output=True, timeout=60)
            cls.records[kind] = json.loads(made.stdout)["value"]
        cls.rsa, cls.ed25519 = cls.records["rsa"], cls.records["ed25519"]
        cls.sign()
        cls.good = sorted(cls.folder.glob("*.signed"))
        cls.bad = []
        for number, path in enumerate(cls.good[:CHANGED]):
            cls.bad.append(path.with_suffix(".changed"))
            cls.bad[-1].write_bytes(changed(path.read_bytes(), number))

    def test_dkimpy(self):
        sys.path.append(PACKAGES)
        try:
            import dkim
            import nacl.signing  # noqa: F401: for Ed25519
        except ImportError:
            self.skipTest("dkimpy is not installed: run tools/setup")
        finally:
            sys.path.remove(PACKAGES)
        table = {f"r._domainkey.{DOMAIN}.": self.rsa, f"e._domainkey.{DOMAIN}.": self.ed25519}

        def look_up(name, timeout=5):
            return table.get(name.decode() if isinstance(name, bytes) else name)

        def verdict(path, index):
            try:
                return dkim.DKIM(path.read_bytes()).verify(idx=index, dnsfunc=look_up)
            except (dkim.DKIMException, ValueError) as fault:
                return f"{type(fault).__name__}: {fault}"

        for index in 0, 1:
            wrong = {path.name: found for path in self.good if (found := verdict(path, index)) is not True}
            self.assertEqual(wrong, {}, f"signature {index}")
        for number, path in enumerate(self.bad):
            first = 0  # dkimpy numbers signatures from the top.
            self.assertIsNot(verdict(path, first), True, path)

    def test_mail_dkim(self):
        if not shutil.which("perl") or subprocess.run(["perl", "-MMail::DKIM", "-e", "1"], capture_output=True).returncode:
            self.skipTest("Mail::DKIM is not installed: run tools/setup")
        answer = subprocess.run(["perl", "-e", PERL, self.rsa], input="".join(f"{path}\n" for path in self.good + self.bad),
                                capture_output=True, text=True, timeout=300)
        found = dict(line.split("\t") for line in answer.stdout.splitlines())
        self.assertEqual(len(found), len(self.good) + CHANGED, answer.stderr[-2000:])
        self.assertEqual({str(path): found[str(path)] for path in self.good if found[str(path)] != "pass"}, {})
        self.assertEqual([path.name for path in self.bad if found[str(path)] == "pass"], [])

    def test_opendkim(self):
        program = shutil.which("opendkim", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if not program:
            self.skipTest("opendkim is not installed: run tools/setup")
        keys = self.folder / "keys"
        keys.write_text(f"r._domainkey.{DOMAIN} {self.rsa}\ne._domainkey.{DOMAIN} {self.ed25519}\n")
        settings = self.folder / "opendkim.conf"
        settings.write_text(f"Mode v\nTestPublicKeys {keys}\nOn-BadSignature accept\n")
        # It reads a header as a milter would, which takes the blanks behind the colon away: in simple form only
        # messages with exactly one of them can be judged.
        odd = re.compile(rb"^(subject|from|to|cc):(?! [^ \t\r])", re.I | re.M)
        good = [path for path in self.good if not (b"c=simple" in (text := path.read_bytes())[:100] and odd.search(text))]
        self.assertGreater(len(good), len(self.good) * 3 // 4)
        paths, found = good + self.bad, {}
        for first in range(0, len(paths), 50):
            some = paths[first:first + 50]
            answer = subprocess.run([program, "-x", settings, "-v", "-v", "-t", ",".join(map(str, some))], capture_output=True, text=True,
                                    errors="replace", timeout=120)
            results = answer.stdout.split("hname='Authentication-Results'")[1:]
            self.assertEqual(len(results), len(some), answer.stderr[-2000:])
            found.update((path, {selector: verdict for verdict, selector in re.findall(r"dkim=(\w+)[^;]*?header\.s=(\w+)", result)})
                         for path, result in zip(some, results))
        knows = [selector for selector in ("r", "e") if any(found[path].get(selector) == "pass" for path in good)]
        self.assertIn("r", knows)  # Not every build has Ed25519.
        for selector in knows:
            self.assertEqual({path.name: found[path] for path in good if found[path].get(selector) != "pass"}, {}, selector)
            self.assertEqual([path.name for path in self.bad if found[path].get(selector) == "pass"], [], selector)


class Signer(Verifiers, unittest.TestCase):
    @classmethod
    def sign(cls):
        for number in range(COUNT):
            (cls.folder / f"{number:04}.eml").write_bytes(message(number))
        signed = subprocess.run([SIGN, cls.folder, DOMAIN], check=True, capture_output=True, text=True, timeout=300)
        cls.rsa, cls.ed25519 = signed.stdout.splitlines()

    def test_every_message_was_signed_twice(self):
        self.assertEqual(len(self.good), COUNT)
        for path in self.good:
            text = path.read_bytes()
            self.assertTrue(text.startswith(b"DKIM-Signature: v=1; a=rsa-sha256;"), path)
            self.assertIn(b"\r\nDKIM-Signature: v=1; a=ed25519-sha256;", text)
            self.assertNotIn(b"; l=", text.split(b"\r\n\r\n")[0])

    def test_keygen_writes_a_private_file_once_and_prints_its_record(self):
        for kind, record in ("rsa", self.rsa), ("ed25519", self.ed25519):
            path = self.folder / f"{kind}.pem"
            before = path.read_bytes()
            self.assertEqual(path.stat().st_mode & 0o7777, 0o600)
            names = ["--domain", DOMAIN, "--selector", "s1"]
            again = subprocess.run([CTL, "dkim", "keygen", *names, "--type", kind, path], capture_output=True, text=True, timeout=60)
            self.assertEqual(again.returncode, 1)
            self.assertIn("exists", again.stderr)
            self.assertEqual(path.read_bytes(), before)
            shown = subprocess.run([CTL, "dkim", "record", *names, path], capture_output=True, text=True, timeout=60, check=True).stdout
            self.assertEqual(shown.splitlines()[-1], record)
            line = next(line for line in shown.splitlines() if line.startswith(f"s1._domainkey.{DOMAIN}. IN TXT ( "))
            self.assertEqual("".join(re.findall(r'"([^"]{1,255})"', line)), record)
            told = json.loads(subprocess.run([CTL, "dkim", "record", "--json", *names, path], capture_output=True, timeout=60).stdout)
            self.assertEqual((told["ok"], told["type"], told["value"], told["zone_line"]), (True, kind, record, line))
        bad = subprocess.run([CTL, "dkim", "keygen", "--domain", "a b", "--selector", "s", self.folder / "x"], capture_output=True, timeout=60)
        self.assertEqual((bad.returncode, (self.folder / "x").exists()), (2, False))


class Sent(Verifiers, unittest.TestCase):
    """Through the daemon: repaired, signed in batches as they come, delivered, with what SMTP does to a body."""

    @classmethod
    def sign(cls):
        maildir = pathlib.Path(tempfile.mkdtemp(prefix="ebbgate-maildir-"))
        cls.addClassCleanup(shutil.rmtree, maildir)
        sink = Sink("--maildir", maildir)
        cls.addClassCleanup(sink.stop)
        gate = Gateway(next_hop=sink.port)
        cls.addClassCleanup(gate.close)
        keys = [{"domain": DOMAIN, "selector": "r", "key": str(cls.folder / "rsa.pem")},
                {"domain": DOMAIN, "selector": "e", "key": str(cls.folder / "ed25519.pem"), "canonicalization": "relaxed/simple", "expire": "7d"}]
        gate.policy["tenants"] = [{"name": "acme", "domains": [DOMAIN], "authorized_senders": ["@" + DOMAIN], "relay_hosts": ["127.0.0.0/8"],
                                   "dkim": keys}]
        gate.start()
        cls.replies = []
        clients = [Client(gate.ports["smtp"]) for _ in range(4)]
        for client in clients:
            client.say("EHLO c.test")
        for number in range(SENT):
            text = message(number).replace("b\u00fccher.example".encode(), DOMAIN.encode())
            cls.replies.append(cls.send(clients[number % len(clients)], text, by_bdat=number % 2 == 1))
        cls.accepted = sum(reply.startswith("250 ") for reply in cls.replies)
        gate.wait(lambda status: status["mail"]["done"] == cls.accepted, 60)
        for number, path in enumerate(sorted((maildir / "new").iterdir())):
            (cls.folder / f"{number:04}.signed").write_bytes(path.read_bytes())

    @staticmethod
    def send(client, text, by_bdat):
        client.say(f"MAIL FROM:<a@{DOMAIN}> BODY=8BITMIME SMTPUTF8")
        client.say("RCPT TO:<jane@customer.example>")
        if by_bdat:
            client.send(f"BDAT {len(text) // 2}\r\n".encode() + text[:len(text) // 2])
            first = client.reply()
            if not first.startswith("250"):
                return first
            client.send(f"BDAT {len(text) - len(text) // 2} LAST\r\n".encode() + text[len(text) // 2:])
            return client.reply()
        client.say("DATA")
        text = text if text.endswith(b"\r\n") else text + b"\r\n"
        client.send((b"\r\n" + text).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n")
        return client.reply()

    def test_most_were_accepted_and_each_is_signed_twice(self):
        refusals = {reply for reply in self.replies if not reply.startswith("250 ")}
        self.assertEqual({reply for reply in refusals if not re.match(r"550 5\.6\.0 More than one (Content-Type|Sender|Subject) field", reply)}, set())
        self.assertGreater(self.accepted, SENT * 3 // 4)
        self.assertEqual(len(self.good), self.accepted)
        for path in self.good:
            found = re.findall(rb"^DKIM-Signature: v=1; a=(rsa|ed25519)-sha256;.*?\bs=([re]);", path.read_bytes(), re.M | re.S)
            self.assertEqual(sorted(found), [(b"ed25519", b"e"), (b"rsa", b"r")], path)


if __name__ == "__main__":
    unittest.main()
