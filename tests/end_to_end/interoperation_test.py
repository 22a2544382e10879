#!/usr/bin/env python3
"""Real clients submit to the gateway and real servers take mail from it: byte for byte, but for our Received."""

import json
import os
import pathlib
import re
import shutil
import smtplib
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

from gateway import PASSWORD, Gateway, Sink
from mail_servers import Exim, OpenSMTPD, Postfix
from ports import free_port

LOGIN = "mailer@acme.test"
SENDER, RECIPIENT = "a@acme.test", "b@far.test"
OURS = re.compile(rb"Received: from [^\r\n]+\r\n\tby gate\.test \(Ebbgate\) with (?:ESMTP|UTF8SMTP)S?A? id [0-9A-Z]{13};\r\n"
                  rb"\t\w{3}, \d{2} \w{3} \d{4} \d\d:\d\d:\d\d \+0000\r\n")
# What a server may put on top of what it was given.
THEIRS = re.compile(rb"(?:(?:Return-path|Delivered-To|X-Original-To|Envelope-to|Delivery-date|Received):"
                    rb"[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)+", re.IGNORECASE)


def message(name, lines=0):
    """One of every hazard: dots, blanks at the end, bytes above 127, a line as long as may be, "From ", empty lines."""
    text = (f"From: A <{SENDER}>\r\nTo: B <{RECIPIENT}>\r\nDate: Tue, 24 Nov 2026 08:00:00 +0000\r\n"
            f"Subject: a subject\r\n that goes on\r\nMessage-ID: <{name}@acme.test>\r\nMIME-Version: 1.0\r\n"
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
            "X-Blanks:  two before, one after \r\n\r\n"
            ".leading dot\r\n..two\r\n.\r\n\r\nblanks at the end  \t\r\nFrom here on\r\nGr\u00fc\u00dfe\r\n")
    text += "x" * 998 + "\r\n" + "".join(f"line {number} {'y' * 60}\r\n" for number in range(lines)) + "\r\nlast\r\n"
    return text.encode()


class Interoperation(unittest.TestCase):
    def gateway(self, **options):
        gateway = Gateway(**options)
        self.addCleanup(gateway.close)
        self.cert, self.key = gateway.folder / "cert.pem", gateway.folder / "key.pem"
        # Its certificate, with the names that clients check.
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "2", "-subj", "/CN=gate.test", "-addext", "subjectAltName=DNS:gate.test,IP:127.0.0.1",
                        "-keyout", self.key, "-out", self.cert], capture_output=True, check=True)
        return gateway

    def folder(self):
        made = tempfile.mkdtemp(prefix="ebbgate-interoperation-")
        self.addCleanup(shutil.rmtree, made, ignore_errors=True)
        return pathlib.Path(made)

    def ours_first(self, stored, sent):
        ours = OURS.match(stored)
        self.assertTrue(ours, stored[:400])
        self.assertTrue(stored[ours.end():] == sent, f"not what was sent: {stored[ours.end():][:3000]!r}")


class Clients(Interoperation):
    """Each logs in over TLS and checks the certificate, where it can."""

    def setUp(self):
        folder = self.folder()
        self.maildir = folder / "new"
        sink = Sink("--maildir", folder)
        self.addCleanup(sink.process.stdout.close)
        self.addCleanup(sink.process.wait)
        self.addCleanup(sink.process.kill)
        self.gate = self.gateway(next_hop=sink.port)
        self.gate.policy["tenants"][0]["relay_hosts"] = []  # Who does not log in may not send.
        self.gate.start()
        self.smtp, self.smtps = self.gate.ports["smtp"], self.gate.ports["smtps"]

    def stored(self, count):
        self.gate.wait(lambda status: status["mail"]["done"] == count, 40)
        got = [path.read_bytes() for path in self.maildir.iterdir()]
        self.assertEqual(len(got), count)
        return {re.search(rb"Message-ID: <([^@]+)@", one)[1].decode(): one for one in got}

    def arrived(self, *names):
        stored = self.stored(len(names))
        for name in names:
            self.ours_first(stored[name], message(name))
            self.assertRegex(stored[name], rb"with (ESMTP|UTF8SMTP)SA id")

    def program(self, *command, **options):
        if not shutil.which(command[0]):
            self.skipTest(f"{command[0]} is not installed: run tools/setup")
        done = subprocess.run(command, capture_output=True, timeout=30, check=False, **options)
        self.assertEqual(done.returncode, 0, (done.stdout + done.stderr).decode(errors="replace"))
        return done.stdout.decode(errors="replace")

    def test_swaks(self):
        common = ["swaks", "--from", SENDER, "--to", RECIPIENT, "--ehlo", "client.test", "--auth-user", LOGIN,
                  "--auth-password", PASSWORD, "--data", "-", "--tls-verify", "--tls-ca-path", self.cert]
        for name, *more in (("plain", "--tls", "--auth", "PLAIN", "--server", f"127.0.0.1:{self.smtp}"),
                            ("login", "--tls", "--auth", "LOGIN", "--server", f"127.0.0.1:{self.smtp}"),
                            ("pipelined", "--tls", "--auth", "PLAIN", "--pipeline",
                             "--server", f"127.0.0.1:{self.smtp}"),
                            ("implicit", "--tlsc", "--auth", "LOGIN", "--server", f"127.0.0.1:{self.smtps}")):
            # It puts a line end of its own before the final dot.
            out = self.program(*common, *more, input=message(name).replace(b"\r\n", b"\n")[:-1])
            self.assertIn("235 ", out)
        self.arrived("plain", "login", "pipelined", "implicit")

    def test_curl(self):
        for name, url, *more in (("starttls", f"smtp://gate.test:{self.smtp}/client.test", "--ssl-reqd"),
                                 ("login", f"smtp://gate.test:{self.smtp}/client.test", "--ssl-reqd",
                                  "--login-options", "AUTH=LOGIN"),
                                 ("implicit", f"smtps://gate.test:{self.smtps}/client.test")):
            self.program("curl", "-sS", "--url", url, *more, "--resolve", f"gate.test:{url.split(':')[2].split('/')[0]}:"
                         "127.0.0.1", "--cacert", self.cert, "--user", f"{LOGIN}:{PASSWORD}", "--mail-from", SENDER,
                         "--mail-rcpt", RECIPIENT, "--upload-file", "-", input=message(name))
        self.arrived("starttls", "login", "implicit")

    def test_msmtp(self):
        file = self.folder() / "msmtprc"
        for name, port, starttls, auth in (("starttls", self.smtp, "on", "plain"), ("login", self.smtp, "on", "login"),
                                           ("implicit", self.smtps, "off", "on")):
            file.write_text(f"account default\nhost 127.0.0.1\nport {port}\ntls on\ntls_starttls {starttls}\n"
                            f"tls_trust_file {self.cert}\ntls_host_override gate.test\nauth {auth}\nuser {LOGIN}\n"
                            f"password \"{PASSWORD}\"\nfrom {SENDER}\ndomain client.test\n")
            file.chmod(0o600)
            self.program("msmtp", "-C", file, RECIPIENT, input=message(name).replace(b"\r\n", b"\n"))
        self.arrived("starttls", "login", "implicit")

    def test_smtplib(self):
        context = ssl.create_default_context(cafile=self.cert)
        with smtplib.SMTP("127.0.0.1", self.smtp, local_hostname="client.test") as client:
            client.starttls(context=context)
            client.login(LOGIN, PASSWORD)
            for name in ("first", "second"):
                client.sendmail(SENDER, [RECIPIENT], message(name), ["BODY=8BITMIME"])
        with smtplib.SMTP_SSL("127.0.0.1", self.smtps, context=context, local_hostname="client.test") as client:
            client.login(LOGIN, PASSWORD)
            client.sendmail(SENDER, [RECIPIENT], message("implicit"), ["BODY=8BITMIME"])
        self.arrived("first", "second", "implicit")

    def test_nodemailer_with_a_pool(self):
        modules = pathlib.Path("/usr/share/nodejs")
        if not (modules / "nodemailer").is_dir():
            self.skipTest("node-nodemailer is not installed: run tools/setup")
        names = ["implicit", *(f"pool-{number}" for number in range(10))]
        script = """
            const mailer = require('nodemailer');
            const job = JSON.parse(require('fs').readFileSync(0));
            const make = (port, secure) => mailer.createTransport({host: '127.0.0.1', port, secure, requireTLS: true,
                pool: true, maxConnections: 2, auth: job.auth, name: 'client.test',
                tls: {ca: job.ca, servername: 'gate.test'}});
            const pools = [make(job.smtps, true), make(job.smtp, false)];
            Promise.all(job.messages.map((raw, at) => pools[at ? 1 : 0].sendMail(
                {envelope: job.envelope, raw: Buffer.from(raw, 'utf8')})))
                .then(() => pools.forEach(pool => pool.close()), error => { console.error(error); process.exit(1); });"""
        job = {"smtp": self.smtp, "smtps": self.smtps, "auth": {"user": LOGIN, "pass": PASSWORD},
               "ca": self.cert.read_text(), "envelope": {"from": SENDER, "to": [RECIPIENT]},
               "messages": [message(name).decode() for name in names]}
        self.program("node", "-e", script, input=json.dumps(job).encode(),
                     env=dict(os.environ, NODE_PATH=str(modules)))
        self.arrived(*names)
        self.assertLessEqual(self.gate.status()["sessions"]["total"], 3)

    def smarthost(self, kind, count):
        """A server with the gateway as its smarthost; what it is given arrives with its Received below ours."""
        server = kind(self.cert, self.key, smarthost=self.smtp, login=(LOGIN, PASSWORD))
        self.addCleanup(server.close)
        server.start()
        names = [f"{kind.package}-{number}" for number in range(count)]
        with smtplib.SMTP("127.0.0.1", server.port, local_hostname="client.test") as client:
            for name in names:
                client.sendmail(SENDER, [RECIPIENT], message(name, 3000 if name.endswith("-0") else 0),
                                ["BODY=8BITMIME"])
        return server, names

    def came_through(self, server, names):
        try:
            stored = self.stored(len(names))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{server.log()}") from error
        for name in names:
            ours = OURS.match(stored[name])
            self.assertTrue(ours, stored[name][:300])
            self.assertIn(b"with ESMTPSA id", ours[0])
            theirs = THEIRS.match(stored[name], ours.end())
            self.assertIn(b"by relay.test", theirs[0])
            self.assertTrue(stored[name][theirs.end():] == message(name, 3000 if name.endswith("-0") else 0), name)
        sessions = self.gate.status()["sessions"]
        self.assertEqual(sessions["logins_failed"], 0)
        return sessions

    def test_postfix_as_a_client_reuses_its_connections(self):
        server, names = self.smarthost(Postfix, 30)
        sessions = self.came_through(server, names)
        self.assertIn("Verified TLS connection established to 127.0.0.1", server.log())
        self.assertLess(sessions["logins"], 15)

    def test_exim_as_a_client_reuses_its_connections(self):
        server, names = self.smarthost(Exim, 20)
        done = server.run_queue()
        self.assertEqual(done.returncode, 0, done.stderr)
        sessions = self.came_through(server, names)
        self.assertRegex(server.log(), r"=> b@far\.test R=smarthost T=smarthost H=gate\.test .* CV=yes.* A=plain")
        self.assertLess(sessions["logins"], 10)


class Servers(Interoperation):
    """The next hop is a real server: in the clear for far.test, over TLS for secret.test."""

    def send(self, port, count=6):
        gate = self.gate
        gate.policy["routes"] = [
            {"match": "secret.test", "relay": f"127.0.0.1:{port}", "tls": "required"},
            {"match": "*", "relay": f"127.0.0.1:{port}", "tls": "off"}]
        gate.start()
        sent = {}
        with smtplib.SMTP("127.0.0.1", gate.ports["smtp"], local_hostname="client.test") as client:
            for domain in ("far.test", "secret.test"):
                for number in range(count):
                    name = f"{domain}-{number}"
                    sent[name] = message(name, 5000 if number == 0 else 0)
                    client.sendmail(SENDER, [f"b@{domain}"], sent[name], ["BODY=8BITMIME"])
        gate.wait(lambda status: status["mail"]["done"] == 2 * count, 40)
        events = [(event["type"], event.get("response")) for event in gate.events()]
        return sent, events

    def with_server(self, kind, commands=(".",)):
        """`commands`: that a message ended with. A small one goes by BDAT where CHUNKING is offered."""
        self.gate = self.gateway()
        server = kind(self.cert, self.key)
        self.addCleanup(server.close)
        server.start()
        sent, events = self.send(server.port)
        self.assertEqual(self.gate.status()["mail"]["delivered"], len(sent), (events, server.log()))
        self.assertEqual({answer["command"] for kind, answer in events if kind == "Delivery"}, set(commands))
        for _ in range(200):
            stored = server.mailbox()
            if len(stored) == len(sent):
                break
            time.sleep(0.05)
        self.assertEqual(len(stored), len(sent), server.log())
        for one in stored:
            name = re.search(rb"Message-ID: <([^@]+)@", one)[1].decode()
            ours = OURS.search(one)
            self.assertTrue(ours, one[:1000])
            self.assertTrue(THEIRS.fullmatch(one[:ours.start()]), one[:ours.start()])
            self.ours_first(one[ours.start():], sent[name])
            self.assertEqual(b"TLS" in one[:ours.start()], name.startswith("secret.test"), one[:ours.start()])

    def test_postfix_receives(self):
        self.with_server(Postfix, (".", "BDAT"))

    def test_exim_receives(self):
        self.with_server(Exim, (".", "BDAT"))

    def test_opensmtpd_receives(self):
        self.with_server(OpenSMTPD)

    def test_aiosmtpd_receives(self):
        sys.path.append("/usr/lib/python3/dist-packages")  # Where the distribution has it, whichever Python runs this.
        try:
            from aiosmtpd.controller import Controller
        except ImportError as error:
            self.skipTest(f"aiosmtpd does not load ({error}): run tools/setup")
        finally:
            sys.path.pop()
        self.gate = self.gateway()
        taken, over_tls = [], []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)

        class Handler:
            async def handle_DATA(self, _server, session, envelope):
                taken.append(envelope.original_content)
                over_tls.append(session.ssl is not None)
                return "250 2.0.0 taken"

        server = Controller(Handler(), hostname="127.0.0.1", port=free_port(), server_hostname="relay.test",
                            tls_context=context)
        server.start()
        self.addCleanup(server.stop)
        sent, events = self.send(server.port)
        self.assertEqual(self.gate.status()["mail"]["delivered"], len(sent), events)
        self.assertEqual(len(taken), len(sent))
        self.assertEqual(sum(over_tls), len(sent) // 2)
        for one in taken:
            self.ours_first(one, sent[re.search(rb"Message-ID: <([^@]+)@", one)[1].decode()])


if __name__ == "__main__":
    outcome = unittest.main(exit=False, warnings="ignore").result  # Streams of programs that were ended close with them.
    sys.exit(1 if not outcome.wasSuccessful() else 77 if outcome.skipped else 0)  # 77: Meson shows what was skipped.
