#!/usr/bin/env python3
"""What is in a message: signed, repaired, refused. Each claim of PRODUCT.md 5 that is built, from the outside."""

import email.message
import io
import pathlib
import re
import smtplib
import subprocess
import sys
import tempfile
import time
import unittest
import zipfile

from gateway import CTL, Client, Gateway, OPEN, Sink, password_hash

PACKAGES = "/usr/lib/python3/dist-packages"  # Where a distribution's package keeps its modules.
DOMAIN = "acme.test"
HIDDEN = re.compile(rb"(?im)secret|^[a-z-]*bcc\s*:")  # The field: an id may have the letters.
REFUSED = ['550-5.7.1 The attachment named "{name}"', "550-5.7.1 violates Acme's email security policy.",
           "550-5.7.1 The delivery has been blocked.",
           "550 5.7.1 For more information, contact your IT Administrator."]


def dkimpy():
    if PACKAGES not in sys.path:
        sys.path.append(PACKAGES)
    try:
        import dkim
        import nacl  # noqa: F401 (Ed25519 in dkimpy)
    except ImportError:
        raise unittest.SkipTest("skipped: dkimpy or PyNaCl is not installed") from None
    return dkim


def keygen(folder, selector, *options):
    """Makes a key; returns its record's text."""
    done = subprocess.run([CTL, "dkim", "keygen", "--domain", DOMAIN, "--selector", selector, *options,
                           folder / f"{selector}.pem"], capture_output=True, text=True, check=True)
    (text,) = [line for line in done.stdout.splitlines() if line.startswith("v=DKIM1")]
    return text


def message(body="Hello.\r\n", **fields):
    head = {"From": f"Ceo <ceo@{DOMAIN}>", "To": "b@far.test", "Subject": "hello", **fields}
    return "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in head.items()) + "\r\n" + body


def with_attachment(name, content=b"text", **options):
    made = email.message.EmailMessage()
    made["From"], made["To"], made["Subject"] = f"ceo@{DOMAIN}", "b@far.test", "attached"
    made.set_content("see there\n")
    made.add_attachment(content, maintype="application", subtype="octet-stream", filename=name, **options)
    return made.as_bytes(policy=made.policy.clone(linesep="\r\n"))


class Content(unittest.TestCase):
    def start(self, keys=(), **tenant):
        self.maildir = pathlib.Path(tempfile.mkdtemp())
        sink = Sink("--maildir", self.maildir)
        self.addCleanup(lambda: sink.process.poll() is None and sink.process.kill())
        self.gate = Gateway(next_hop=sink.port)
        self.addCleanup(self.gate.close)
        self.records = {selector: keygen(self.gate.folder, selector, *options) for selector, options in keys}
        dkim = [{"domain": DOMAIN, "selector": selector, "key": f"{selector}.pem"} for selector, _ in keys]
        self.gate.policy["tenants"] = [{"name": "acme", "company": "Acme", **OPEN, "check_header_from": True,
                                        "relay_hosts": ["127.0.0.0/8"],
                                        "accounts": [{"login": "m@acme.test", "password": password_hash()}],
                                        **({"dkim": dkim} if dkim else {}), **tenant}]
        self.gate.start()

    def send(self, text, sender=f"ceo@{DOMAIN}"):
        """The message as it arrives, or the refusal."""
        before = set((self.maildir / "new").iterdir()) if (self.maildir / "new").exists() else set()
        with smtplib.SMTP("127.0.0.1", self.gate.ports["smtp"], local_hostname="c.test") as client:
            try:
                client.sendmail(sender, ["b@far.test"], text)
            except smtplib.SMTPDataError as refusal:
                return refusal
        end = time.monotonic() + 20
        while time.monotonic() < end:
            now = set((self.maildir / "new").iterdir()) - before
            if now:
                return now.pop().read_bytes()
            time.sleep(0.02)
        raise AssertionError("it did not arrive")

    def reply(self, text):
        """The lines that answer the final dot."""
        client = Client(self.gate.ports["smtp"])
        client.say("EHLO c.test")
        for line in (f"MAIL FROM:<ceo@{DOMAIN}>", "RCPT TO:<b@far.test>", "DATA"):
            client.say(line)
        return client.say((text if isinstance(text, str) else text.decode()) + ".").splitlines()

    def verify(self, arrived):
        """By selector: whether dkimpy takes the signature."""
        dkim = dkimpy()
        found = re.findall(rb"^DKIM-Signature:.*?\bs=([a-z0-9]+);", arrived, re.M | re.S)
        names = {f"{selector}._domainkey.{DOMAIN}.": text for selector, text in self.records.items()}
        verdicts = {}
        for index in range(len(re.findall(rb"^DKIM-Signature:", arrived, re.M))):
            judge = dkim.DKIM(arrived)
            one = judge.verify(idx=index, dnsfunc=lambda name, timeout=5: names.get(
                name.decode() if isinstance(name, bytes) else name, "").encode())
            verdicts[judge.selector.decode()] = one
        self.assertEqual(len(verdicts), len(found))
        return verdicts


class Signing(Content):
    KEYS = (("r1", ("--type", "rsa")), ("e1", ("--type", "ed25519")))

    def test_each_message_is_signed_with_both_kinds_of_key(self):
        self.start(self.KEYS)
        for body in ("", "Hello.\r\n", ".dot\r\n..dots\r\n \r\n\r\n\r\n", "x" * 990 + "\r\n", "line\r\n" * 300_000):
            arrived = self.send(message(body))
            self.assertEqual(self.verify(arrived), {"r1": True, "e1": True}, body[:20])
            self.assertEqual(arrived.count(b"DKIM-Signature:"), 2)
            self.assertLess(arrived.index(b"DKIM-Signature:"), arrived.index(b"Received:"))
        changed = arrived.replace(b"Subject: hello", b"Subject: hullo")
        self.assertEqual(self.verify(changed), {"r1": False, "e1": False})

    def test_many_at_once_are_all_signed(self):
        self.start(self.KEYS[:1])
        clients = []
        for number in range(40):
            client = Client(self.gate.ports["smtp"])
            client.say("EHLO c.test")
            for line in (f"MAIL FROM:<ceo@{DOMAIN}>", "RCPT TO:<b@far.test>", "DATA"):
                client.say(line)
            client.socket.sendall(message(f"number {number}\r\n").encode())
            clients.append(client)
        for client in clients:
            client.socket.sendall(b".\r\n")
        for client in clients:
            self.assertTrue(client.reply().startswith("250 "))
        self.gate.wait(lambda status: status["mail"]["done"] == 40)
        arrived = [path.read_bytes() for path in (self.maildir / "new").iterdir()]
        self.assertEqual(len(arrived), 40)
        self.assertTrue(all(self.verify(one) == {"r1": True} for one in arrived))

    def test_the_domain_is_that_of_the_header_from_or_its_parent(self):
        self.start(self.KEYS[:1], authorized_senders=["@acme.test", "@*.acme.test", "@source.test"])
        arrived = self.send(message(From="a@news.acme.test"))
        self.assertRegex(arrived, rb"(?s)^DKIM-Signature:.*?\bd=acme\.test;")
        self.assertEqual(self.verify(arrived), {"r1": True})
        refusal = self.send(message(From="a@source.test"), sender="a@source.test")
        self.assertEqual((refusal.smtp_code, refusal.smtp_error),
                         (550, b"5.7.20 Message rejected: there is no DKIM key for its From domain"))

    def test_mail_may_be_unsigned_where_the_policy_says_so(self):
        self.start(self.KEYS[:1], unsigned="allow")
        arrived = self.send(message(From="a@source.test"), sender="a@source.test")
        self.assertNotIn(b"DKIM-Signature", arrived)

    def test_a_new_key_file_is_in_force_within_a_second_and_a_bad_one_never(self):
        self.start(self.KEYS[:1])
        file = self.gate.folder / "r1.pem"
        good = file.read_text()
        file.unlink()
        self.records["r1"] = keygen(self.gate.folder, "r1", "--type", "rsa")
        reloads = 0
        end = time.monotonic() + 10
        while time.monotonic() < end and reloads < 1:
            reloads = self.gate.status()["policy"]["reloads"]
            time.sleep(0.05)
        self.assertEqual(self.verify(self.send(message())), {"r1": True})
        file.write_text("-----BEGIN RSA PRIVATE KEY-----\nnonsense\n")
        self.gate.wait(lambda status: status["policy"]["stale"], 10)
        self.assertEqual(self.verify(self.send(message())), {"r1": True})  # The old one stays.
        file.write_text(good)
        self.gate.wait(lambda status: not status["policy"]["stale"], 10)
        done = subprocess.run([CTL, "check", "--config", self.gate.folder / "ebbgate.json"], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Header(Content):
    def test_what_is_missing_is_added_and_bcc_is_removed(self):
        self.start()
        arrived = self.send(message(Bcc="secret@far.test", X_Last="1"))
        self.assertNotIn(b"secret", arrived)
        self.assertRegex(arrived, rb"\r\nDate: \w{3}, \d{2} \w{3} \d{4} \d\d:\d\d:\d\d \+0000\r\n")
        self.assertRegex(arrived, rb"\r\nMessage-ID: <[0-9A-Za-z.]+@gate\.test>\r\n")
        self.assertTrue(arrived.endswith(b"\r\n\r\nHello.\r\n"))

    def by_bdat(self, text):
        """Cut in two where it hurts most: in the header."""
        client = Client(self.gate.ports["smtp"])
        client.say("EHLO c.test")
        client.say(f"MAIL FROM:<ceo@{DOMAIN}>")
        client.say("RCPT TO:<b@far.test>")
        client.send(f"BDAT 9\r\n{text[:9]}")
        self.assertTrue(client.reply().startswith("250 "))
        client.send(f"BDAT {len(text) - 9} LAST\r\n{text[9:]}")
        return client.reply()

    def test_no_spelling_of_bcc_leaves_and_no_second_from(self):
        self.start()
        hidden = ["bcc: secret@far.test\r\n", "Bcc : secret@far.test\r\n", "BCC:\r\n secret@far.test,\r\n\tsecret2@far.test\r\n",
                  "Resent-Bcc: secret@far.test\r\n", "Bcc: secret@far.test\r\nBcc: secret2@far.test\r\n"]
        for field in hidden:
            arrived = self.send(field + message())
            self.assertNotRegex(arrived, HIDDEN, field)
            self.assertRegex(arrived, rb"(?s)^Received: from c\.test .*\r\nFrom: ")
            self.assertTrue(self.by_bdat(field + message()).startswith("250 "), field)
        self.gate.wait(lambda status: status["mail"]["done"] == 2 * len(hidden))
        arrived = [path.read_bytes() for path in (self.maildir / "new").iterdir()]
        self.assertEqual([one for one in arrived if HIDDEN.search(one)], [])
        clear = "553 5.7.1 From field rejected: it must name its authors once and clearly"
        for field in ("From: ceo@acme.test\r\n", "from : e@bank.test\r\n"):
            refusal = self.send(field + message())
            self.assertEqual(f"{refusal.smtp_code} {refusal.smtp_error.decode()}", clear)
            self.assertEqual(self.by_bdat(field + message()), clear)

    def test_repeated_fields_are_refused(self):
        self.start()
        refusal = self.send("Subject: other\r\n" + message())
        self.assertEqual(refusal.smtp_code, 550)
        self.assertTrue(refusal.smtp_error.startswith(b"5.6.0 "), refusal.smtp_error)


class Attachments(Content):
    ALLOW = {"attachments": {"allow": ["pdf", "txt", "gif", "jpg", "png"]}}

    def test_the_reply_is_that_of_the_policy(self):
        self.start(**self.ALLOW)
        self.assertEqual(self.reply(with_attachment("example.zip")), [line.format(name="example.zip") for line in REFUSED])
        end = time.monotonic() + 10
        while time.monotonic() < end and "/tenants/0/attachments" not in str(self.gate.events()):
            time.sleep(0.05)
        self.assertIn("/tenants/0/attachments", str(self.gate.events("Rejection")))

    def test_evasions_are_refused_and_what_is_allowed_arrives(self):
        self.start(**self.ALLOW)
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as made:
            made.writestr("a.exe", b"MZ")
        for name, content in (("a.exe", b"x"), ("a.pdf.exe", b"x"), ("a.exe. ", b"x"), ("A.EXE", b"x"), ("a.pdf\u202e", b"MZ" + b"\0" * 200),
                              ("a.pdf", b"MZ\x90\0" + b"\0" * 500), ("a.txt", b"#!/bin/sh\nrm -rf /\n"), ("a.txt", archive.getvalue()),
                              ("ä.exe", b"x"), ("noextension", b"x")):
            with self.subTest(name=name):
                self.assertEqual(getattr(self.send(with_attachment(name, content)), "smtp_code", "arrived"), 550)
        uuencoded = message("begin 644 a.exe\r\n#0V%T\r\n`\r\nend\r\n")
        self.assertEqual(self.send(uuencoded).smtp_code, 550)
        for name, content in (("a.pdf", b"%PDF-1.4\n%%EOF\n"), ("notes.txt", b"just text\n")):
            self.assertIn(name.encode(), self.send(with_attachment(name, content)))

    def test_members_of_an_archive_are_judged(self):
        self.start(attachments={"allow": ["zip", "txt"]})
        for member, refused in (("a.txt", False), ("a.exe", True)):
            archive = io.BytesIO()
            with zipfile.ZipFile(archive, "w") as made:
                made.writestr(member, b"some text\n" * 10)
            outcome = self.send(with_attachment("files.zip", archive.getvalue()))
            self.assertEqual(isinstance(outcome, smtplib.SMTPDataError), refused, member)

    def test_without_a_list_everything_is_allowed(self):
        self.start()
        self.assertIn(b"a.exe", self.send(with_attachment("a.exe", b"MZ")))


if __name__ == "__main__":
    unittest.main(warnings="ignore")  # Sockets and sinks end with their test, not before.
