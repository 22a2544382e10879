#!/usr/bin/env python3
"""Large attachments become links: what arrives, what is stored, and what survives. From the outside."""

import base64
import hashlib
import http.client
import json
import os
import pathlib
import re
import smtplib
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

from content_test import dkimpy, keygen
from gateway import DAEMON, Client, Gateway, OPEN, Sink

URL = "https://files.acme.test/files/"
MB = 1_000_000
FULL = bool(os.environ.get("EBBGATE_FULL"))
SANITIZED = bool(os.environ.get("EBBGATE_SANITIZED"))
TEXT = re.compile(r"\[large file (?P<name>[^\]]*)\] \((?P<size>[0-9.]+) MB\) moved to:\r\n"
                  + re.escape(URL) + r"(?P<token>[0-9a-f]{40})(?P<extension>\.[a-z0-9]+)?\r\n"
                  r"The file will be DELETED after twelve months\.\r\n")


def content(size, seed=0):
    """Bytes that no compression or pattern hides mistakes in."""
    block = hashlib.shake_256(str(seed).encode()).digest(MB)
    return (block * (size // MB + 1))[:size]


def part(name, data, kind="application/pdf", disposition="attachment"):
    head = (f"Content-Type: {kind}; name=\"{name}\"\r\nContent-Disposition: {disposition}; filename=\"{name}\"\r\n"
            "Content-Transfer-Encoding: base64\r\n\r\n").encode()
    return head + base64.encodebytes(data).replace(b"\n", b"\r\n")


def message(*parts, subject="files"):
    head = (f"From: ceo@acme.test\r\nTo: b@far.test\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
            "Content-Type: multipart/mixed; boundary=\"=b\"\r\n\r\n").encode()
    text = b"Content-Type: text/plain\r\n\r\nSee the files.\r\n.A dot begins this line.\r\n"
    return head + b"".join(b"--=b\r\n" + one for one in (text, *parts)) + b"--=b--\r\n"


class Filelink(unittest.TestCase):
    def start(self, keys=(), server=None, **tenant):
        self.maildir = pathlib.Path(tempfile.mkdtemp())
        self.sink = Sink("--maildir", self.maildir)
        self.addCleanup(lambda: self.sink.process.poll() is None and self.sink.process.kill())
        self.gate = Gateway(next_hop=self.sink.port, server=server)
        self.addCleanup(self.gate.close)
        self.gate.server["listeners"].append({"name": "files", "kind": "https", "listen": "127.0.0.1:0"})
        self.records = {selector: keygen(self.gate.folder, selector, *options) for selector, options in keys}
        self.gate.policy["tenants"] = [{
            "name": "acme", "company": "Acme", **OPEN, "relay_hosts": ["127.0.0.0/8"],
            "limits": {"message_size": "10MB", "upload_size": "3GB"},
            "filelink": {"larger_than": "1MB", "url": URL},
            **({"dkim": [{"domain": "acme.test", "selector": s, "key": f"{s}.pem"} for s, _ in keys]} if keys else {}),
            **tenant}]
        self.gate.start()

    def send(self, text):
        with smtplib.SMTP("127.0.0.1", self.gate.ports["smtp"], local_hostname="c.test", timeout=300) as client:
            client.sendmail("ceo@acme.test", ["b@far.test"], text)

    def arrived(self, count=1, seconds=60):
        """What is in the maildir, oldest first, once there is so much."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = list((self.maildir / "new").iterdir()) if (self.maildir / "new").exists() else []
            if len(found) >= count:
                return [one.read_bytes() for one in sorted(found, key=lambda one: one.stat().st_mtime_ns)]
            time.sleep(0.02)
        raise AssertionError(f"{len(found)} of {count} arrived")

    def stored(self, folder):
        return [one for one in (self.gate.folder / "data/files" / folder).rglob("*") if one.is_file()]

    def wait_stored(self, folder, count):
        end = time.monotonic() + 20
        while len(self.stored(folder)) != count and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(len(self.stored(folder)), count)

    def links(self, text):
        return [match.groupdict() for match in TEXT.finditer(text.decode())]

    def fetch(self, link):
        """The status and what is served for it."""
        client = http.client.HTTPSConnection("127.0.0.1", self.gate.ports["files"], timeout=20,
                                             context=ssl._create_unverified_context())
        client.request("GET", f"/files/{link['token']}{link['extension'] or ''}", headers={"Host": "files.acme.test"})
        answer = client.getresponse()
        body = answer.read()
        client.close()
        return answer.status, body

    def assert_stored(self, data):
        name = hashlib.sha256(data).hexdigest()
        self.assertIn(name, [one.name for one in self.stored("content")])
        (found,) = [one for one in self.stored("content") if one.name == name]
        self.assertEqual(found.read_bytes(), data)

    def test_a_large_attachment_becomes_a_link_and_the_rest_stays(self):
        self.start(keys=[("r", ("--type", "rsa")), ("e", ("--type", "ed25519"))])
        big, small = content(3 * MB), content(900_000, 1)
        self.send(message(part("example.pdf", big), part("small.pdf", small)))
        (text,) = self.arrived()
        (link,) = self.links(text)
        self.assertEqual((link["name"], link["size"], link["extension"]), ("example.pdf", "3.00", ".pdf"))
        self.assertNotIn(base64.encodebytes(big)[:60], text)
        self.assertTrue(text.endswith(message(part("small.pdf", small))[-1_000_000:]))
        self.assertIn(b"\r\n.A dot begins this line.\r\n", text)
        self.assert_stored(big)
        self.assertEqual(len(self.stored("content")), 1)
        self.assertIn(link["token"], [one.name for one in self.stored("links")])
        dkim = dkimpy()
        names = {f"{s}._domainkey.acme.test.": record for s, record in self.records.items()}
        for index in range(2):
            self.assertTrue(dkim.DKIM(text).verify(
                idx=index, dnsfunc=lambda name, timeout=5: names[
                    name.decode() if isinstance(name, bytes) else name].encode()))
        (event,) = self.gate.events("Filelink")
        self.assertEqual(event["meta"]["name"], "example.pdf")
        self.assertEqual(event["meta"]["url"], URL + link["token"] + ".pdf")
        self.assertEqual(event["size"], 3 * MB)
        self.assertEqual(self.fetch(link), (200, big))

    def test_a_link_is_listed_extended_and_revoked(self):
        self.start()
        self.send(message(part("a.pdf", content(2 * MB))))
        (link,) = self.links(self.arrived()[0])
        code, out, err = self.gate.ctl("filelink", "list", "--json")
        self.assertEqual(code, 0, err)
        self.assertIn(link["token"], out)
        self.assertIn("a.pdf", out)
        code, _, err = self.gate.ctl("filelink", "extend", URL + link["token"] + ".pdf", "--for", "36 months")
        self.assertEqual(code, 0, err)
        self.assertEqual(self.fetch(link)[0], 200)
        code, _, err = self.gate.ctl("filelink", "revoke", link["token"])
        self.assertEqual(code, 0, err)
        self.assertEqual(self.fetch(link)[0], 410)
        self.wait_stored("content", 0)
        code, out, err = self.gate.ctl("audit", "--json")
        self.assertIn("filelink revoke", out)
        self.assertNotIn(link["token"], out)

    def test_links_need_a_listener(self):
        self.start()
        self.gate.terminate()
        self.gate.server["listeners"].pop()
        (self.gate.folder / "ebbgate.json").write_text(json.dumps(self.gate.server))
        done = subprocess.run([DAEMON, "--config", self.gate.folder / "ebbgate.json", "--check"], capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/tenants/0/filelink: links would lead nowhere", done.stdout + done.stderr)

    def test_cuts_in_the_middle_of_a_body_file(self):
        # Bodies beyond inline_max are in a file while they come: what is cut was written to it.
        self.start(server={"spool": {"segment_size": "8MiB", "inline_max": "64KiB"}})
        parts = [part(f"{index}.pdf", content(size, index))
                 for index, size in enumerate((700_000, 2 * MB, 300_000, 5 * MB, 1 * MB, 1 * MB + 1, 10))]
        self.send(message(*parts))
        (text,) = self.arrived()
        self.assertEqual([link["name"] for link in self.links(text)], ["1.pdf", "3.pdf", "5.pdf"])
        for index, size in ((1, 2 * MB), (3, 5 * MB), (5, 1 * MB + 1)):
            self.assert_stored(content(size, index))
        kept = message(*(parts[index] for index in (0, 2, 4, 6)))
        without = re.sub(rb"--=b\r\nContent-Type: text/plain; charset=utf-8\r\n.*?months\.\r\n", b"", text,
                         flags=re.S)
        self.assertEqual(without[without.index(b"--=b\r\n"):], kept[kept.index(b"--=b\r\n"):])

    def test_a_name_and_a_type_of_any_length(self):
        self.start()
        self.send(message(part("n" * 900 + "\r\n " + "m" * 900 + ".pdf", content(2 * MB), "application/" + "t" * 700)))
        (text,) = self.arrived()
        (link,) = self.links(text)
        self.assertEqual(link["extension"], ".pdf")
        self.assertEqual(self.fetch(link)[0], 200)

    def test_the_same_file_is_stored_once(self):
        self.start()
        for index in range(3):
            self.send(message(part(f"{index}.pdf", content(2 * MB))))
        tokens = {link["token"] for text in self.arrived(3) for link in self.links(text)}
        self.assertEqual(len(tokens), 3)
        self.assertEqual(len(self.stored("links")), 3)
        self.assertEqual(len(self.stored("content")), 1)

    def test_all_together_may_be_too_large(self):
        self.start(filelink={"larger_than": "5MB", "total_larger_than": "3MB", "url": URL})
        self.send(message(*(part(f"{index}.pdf", content(2 * MB, index)) for index in range(3))))
        (text,) = self.arrived()
        self.assertEqual([link["name"] for link in self.links(text)], ["1.pdf", "2.pdf"])

    def test_what_is_left_is_judged_by_message_size(self):
        self.start()
        self.send(message(part("a.pdf", content(30 * MB))))  # Small when it leaves.
        with self.assertRaises(smtplib.SMTPDataError) as refused:
            self.send(message(*(part(f"{index}.pdf", content(900_000, index)) for index in range(9))))
        self.assertEqual(refused.exception.smtp_code, 552)
        self.assertIn(b"5.3.4", refused.exception.smtp_error)
        self.assertEqual(len(self.arrived()), 1)

    def test_a_refused_or_broken_message_leaves_no_file(self):
        self.start(attachments={"allow": ["pdf"]})
        with self.assertRaises(smtplib.SMTPDataError):
            self.send(message(part("a.pdf", b"%PDF-1.4\n" + content(3 * MB)), part("b.exe", b"MZ")))
        client = Client(self.gate.ports["smtp"])
        client.say("EHLO c.test")
        for line in ("MAIL FROM:<ceo@acme.test>", "RCPT TO:<b@far.test>", "DATA"):
            client.say(line)
        half = message(part("a.pdf", b"%PDF-1.4\n" + content(3 * MB)))
        client.send(half[:len(half) // 2])
        client.socket.shutdown(socket.SHUT_RDWR)
        client.socket.close()
        self.gate.wait(lambda status: status["sessions"]["open"] == 0)
        self.wait_stored("links", 0)
        self.wait_stored("content", 0)
        folder = f"/proc/{self.gate.process.pid}/fd"
        self.assertEqual([one for one in os.listdir(folder)
                          if "(deleted)" in os.readlink(f"{folder}/{one}")], [])

    def test_a_huge_attachment_flows_through_in_bounded_memory(self):
        size = 2000 * MB if FULL else 150 * MB
        if SANITIZED:
            self.skipTest("skipped: memory is not judged with a sanitizer")
        self.start()
        self.send(message(part("warm.pdf", content(20 * MB))))
        before = self.memory_kib()
        data = content(60 * 57 * 1000)  # Whole lines of base64, so that it can be sent in a loop.
        lines = base64.encodebytes(data).replace(b"\n", b"\r\n")
        head = message(part("huge.bin", b"", "application/octet-stream"))
        client = Client(self.gate.ports["smtp"])
        client.socket.settimeout(120)
        client.say("EHLO c.test")
        for line in ("MAIL FROM:<ceo@acme.test>", "RCPT TO:<b@far.test>", "DATA"):
            client.say(line)
        client.send(head[:head.rindex(b"--=b--")].replace(b"\r\n.A", b"\r\n..A"))
        digest, sent = hashlib.sha256(), 0
        while sent < size:
            client.send(lines)
            digest.update(data)
            sent += len(data)
        client.send(b"--=b--\r\n.\r\n")
        self.assertTrue(client.reply().startswith("250 2.0.0 "))
        client.socket.close()
        grown = self.memory_kib() - before
        self.assertLess(grown, 30_000, "KiB")
        found = {one.name: one.stat().st_size for one in self.stored("content")}
        self.assertEqual(found.get(digest.hexdigest()), sent)

    def test_many_links_hold_no_memory(self):
        if SANITIZED:
            self.skipTest("skipped: memory is not judged with a sanitizer")
        self.start(filelink={"larger_than": "300KB", "url": URL})
        self.send(message(part("warm.pdf", content(20 * MB))))
        before = self.memory_kib()
        self.send(message(*(part(f"{index}.pdf", content(400_000, index)) for index in range(90))))
        self.assertEqual(len(self.links(self.arrived(2)[1])), 90)
        self.assertLess(self.memory_kib() - before, 20_000, "KiB")

    def memory_kib(self):
        text = pathlib.Path(f"/proc/{self.gate.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", text)[1])

    def test_what_was_acknowledged_has_its_file_after_a_kill(self):
        self.start()
        acknowledged = 0
        for round_number in range(2 if SANITIZED else 5):
            clients = []
            for index in range(6):
                client = Client(self.gate.ports["smtp"])
                client.say("EHLO c.test")
                for line in ("MAIL FROM:<ceo@acme.test>", "RCPT TO:<b@far.test>", "DATA"):
                    client.say(line)
                clients.append((client, message(part("k.pdf", content(1_500_000, (round_number, index))))))
            for client, text in clients:
                client.send(text.replace(b"\r\n.A", b"\r\n..A") + b".\r\n")
            for client, _ in clients[:round_number + 1]:  # The others are somewhere on their way.
                self.assertTrue(client.reply().startswith("250 "))
                acknowledged += 1
            self.gate.kill()
            for client, _ in clients[round_number + 1:]:
                try:
                    acknowledged += client.reply().startswith("250 ")
                except OSError:
                    pass
                client.socket.close()
            self.gate.start()
        self.gate.wait(lambda status: sum(status["queue"][key] for key in ("ready", "deferred", "in_flight")) == 0, 60)
        names = {one.name for one in self.stored("links")}
        texts = self.arrived(acknowledged)
        self.assertGreaterEqual(len({self.links(text)[0]["token"] for text in texts}), acknowledged)
        for text in texts:
            self.assertIn(self.links(text)[0]["token"], names)


if __name__ == "__main__":
    unittest.main()
