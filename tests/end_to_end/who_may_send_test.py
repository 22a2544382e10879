#!/usr/bin/env python3
"""Who may send and how much: authorised senders and limits, as PRODUCT.md 2 and 4 and docs/policy.md have them."""

import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

from attacked import SANITIZED
from gateway import Client, Gateway, Sink, password_hash

HASH = password_hash()
FORBIDDEN = "553 5.7.1 <{}>: Sender address rejected: not authorized to send"
USED_UP = "450 4.7.1 <{}>... {} has exceeded {} messages per 1 day."
QUEUED = r"^250 2\.0\.0 Ok: queued as [0-9A-Z]+$"
STRANGER = "127.0.0.9"  # No relay host, and never banned.
RELAY = ["127.0.0.1/32"]


def account(login, **keys):
    return {"login": login, "password": HASH, **keys}


def tenant(name="acme", **keys):
    return {"name": name, "domains": [f"{name}.test"], "authorized_senders": [f"@{name}.test"],
            "accounts": [account(f"mailer@{name}.test")], **keys}


class Session(Client):
    """A client that has said EHLO; from another address, with a server name, or with a login when told so."""

    def __init__(self, port, source="127.0.0.1", tls=False, name=None, user=None):
        self.socket = socket.create_connection(("127.0.0.1", port), 10, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(20)
        self.buffer = b""
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket, server_hostname=name)
        self.greeting = self.reply()
        self.ehlo = self.say("EHLO client.test")
        self.answer = ""
        if user:
            self.answer = self.login(user)
            self.ehlo = self.say("EHLO client.test")

    def open(self, sender, *recipients, options=""):
        """MAIL, RCPT and DATA: the first reply that refuses, else that of DATA."""
        for line in (f"MAIL FROM:<{sender}>{options}", *(f"RCPT TO:<{one}>" for one in recipients), "DATA"):
            reply = self.say(line)
            if reply[:1] not in ("2", "3"):
                break
        return reply

    def look(self):
        """What a recipient is answered: a refusal when a limit is used up, and nothing is taken."""
        self.say("MAIL FROM:<a@acme.test>")
        reply = self.say("RCPT TO:<b@void.test>")
        self.say("RSET")
        return reply

    def finish(self, body):
        self.send(body + ".\r\n")
        return self.reply()

    def submit(self, sender="a@acme.test", *recipients, body=None, options=""):
        """One message: the first reply that refuses it, else that of the final dot."""
        reply = self.open(sender, *(recipients or ["b@void.test"]), options=options)
        if not reply.startswith("354 "):
            self.say("RSET")
            return reply
        return self.finish(body or f"From: {sender or 'a@acme.test'}\r\n\r\nx\r\n")


class Gate(Gateway):
    """A gateway with these tenants; a folder of tenants' files instead of a file when told so."""

    def __init__(self, *tenants, next_hop=None, listeners=(), folder=False, **policy):
        super().__init__(next_hop=next_hop, policy={"tenants": list(tenants), **policy})
        self.server["listeners"] += listeners
        self.server["limits"] = {"max_errors_per_connection": 100000}
        self.directory = self.folder / "rules"
        if folder:
            self.server["policy"] = "rules"
            self.directory.mkdir()
        self.rename = False

    def start(self, **options):
        if self.server["policy"] == "rules":
            self.write()
        return super().start(**options)

    def write(self):
        if self.server["policy"] == "rules":
            self.put(self.directory / "policy.json", {k: v for k, v in self.policy.items() if k != "tenants"})
            for one in self.policy["tenants"]:
                self.put(self.directory / f"{one['name']}.json", one)
        else:
            self.put(self.folder / "policy.json", self.policy)

    def put(self, path, value):
        text = json.dumps(value, ensure_ascii=False)
        if self.rename:
            path.with_suffix(".new").write_text(text)
            os.replace(path.with_suffix(".new"), path)
        else:
            path.write_text(text)

    def stderr(self):
        return (self.folder / "stderr.txt").read_text()


class Case(unittest.TestCase):
    def gate(self, *tenants, **options):
        gate = Gate(*tenants, **options)
        self.addCleanup(gate.close)
        return gate.start()

    def relaying(self, *tenants, **options):
        folder = tempfile.mkdtemp()
        self.sink = Sink("--maildir", folder)
        self.maildir = pathlib.Path(folder, "new")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.addCleanup(lambda: self.sink.process.poll() is None and self.sink.process.kill())
        return self.gate(*tenants, next_hop=self.sink.port, **options)

    def arrived(self, gate, count):
        """Everything that reached the next hop: exactly so many messages."""
        gate.wait(lambda status: status["mail"]["received"] == status["mail"]["done"])
        time.sleep(0.2)
        stored = [path.read_bytes() for path in self.maildir.iterdir()]
        self.assertEqual((self.sink.stop()["messages"], len(stored)), (count, count))
        return b"".join(stored)

    def session(self, gate, **options):
        """On smtps when there is a login, else in the clear."""
        session = Session(gate.ports["smtps" if options.get("user") or options.get("tls") else "smtp"],
                          **{**options, "tls": bool(options.get("user") or options.get("tls"))})
        self.addCleanup(session.socket.close)
        if "user" in options:
            self.assertRegex(session.answer, "^235 2\\.7\\.0 ")
        return session

    def once(self, gate, *arguments, body=None, options="", **session):
        session = self.session(gate, **session)
        reply = session.submit(*arguments, body=body, options=options)
        session.socket.close()
        return reply

    def command(self, gate, *command, code=0, text=None):
        done = subprocess.run([os.environ["EBBGATE_CTL"], "--socket", gate.folder / "admin.sock", *command, "--json"],
                              capture_output=True, text=True, timeout=30, check=False, input=text)
        self.assertEqual(done.returncode, code, (command, done.stdout, done.stderr))
        return json.loads(done.stdout)

    def within_a_second(self, claim, seconds=1.0):
        """A look that begins later finds it; with a sanitizer, whose time says nothing, one of a long while."""
        end = time.monotonic() + (20 if SANITIZED else seconds)
        began = time.monotonic()
        while not (last := claim()):
            self.assertLess(began, end, f"not within {seconds} s: {last!r}")
            time.sleep(0.03)
            began = time.monotonic()


class Envelope(Case):
    def test_entries_authorise_what_they_say_and_nothing_else(self):
        acme = tenant(domains=["acme.test", "list.test", "sub.test", "Bücher.test", "straße.test"], relay_hosts=RELAY,
                      authorized_senders=["ceo@acme.test", "rené@acme.test", '"q q"@acme.test', "@list.test",
                                          "@*.sub.test", "@Bücher.test", "@xn--strae-oqa.test"],
                      check_header_from=False)
        gate = self.relaying(acme, tenant("other"))
        good = ["ceo@acme.test", "ceo@ACME.Test", "any+one@list.test", "Any@LIST.test", "a@x.sub.test",
                "a@y.x.SUB.test", "a@xn--bcher-kva.test", "A@XN--BCHER-KVA.TEST", "a@xn--strae-oqa.test",
                '"q q"@acme.test']
        bad = ["Ceo@acme.test", "ceo+news@acme.test", '"ceo"@acme.test', "boss@acme.test", "ceo@x.acme.test",
               "ceo@acme.test.evil.test", "a@x.list.test", "a@xlist.test", "a@sub.test", "a@xsub.test",
               "a@strasse.test", "a@other.test", "a@bucher.test", "", "ceo@acme.testx"]
        for number, sender in enumerate(good):
            with self.subTest(good=sender):
                self.assertRegex(self.once(gate, sender, "b@far.test", body=f"X: {number}\r\n\r\nx\r\n"), QUEUED)
        for sender in bad:
            with self.subTest(bad=sender):
                self.assertEqual(self.once(gate, sender, "b@far.test", body="X: bad\r\n\r\nx\r\n"),
                                 FORBIDDEN.format(sender))
        for sender in ("a@bücher.test", "a@BÜCHER.test", "a@Straße.test", "ren\u00e9@acme.test", "é@list.test",
                       "é@xn--bcher-kva.test"):
            with self.subTest(good=sender):
                self.assertRegex(self.once(gate, sender, options=" SMTPUTF8", body="X: utf8\r\n\r\nx\r\n"), QUEUED)
        for sender in ("rene\u0301@acme.test", "Ren\u00e9@acme.test", "a@x.bücher.test", "a@bücher.test.evil.test"):
            with self.subTest(bad=sender):
                self.assertEqual(self.once(gate, sender, options=" SMTPUTF8"), FORBIDDEN.format(sender))
        self.assertRegex(self.once(gate, "a@bücher.test"), "^5")  # Not without SMTPUTF8.
        self.assertNotIn(b"X: bad", self.arrived(gate, len(good)))

    def test_an_account_is_narrowed_and_null_senders_are_marked(self):
        gate = self.relaying(tenant(relay_hosts=RELAY, null_sender=True, authorized_senders=["@acme.test"], accounts=[
            account("mailer"), account("nobody", authorized_senders=[]), account("dsn", null_sender=True),
            account("shop", authorized_senders=["shop@acme.test", "@*.acme.test"])]), tenant("bolt", relay_hosts=[
                "127.0.0.2/32"]))
        cases = [("mailer", "shop@acme.test", True), ("mailer", "", False), ("mailer", "a@bolt.test", False),
                 ("shop", "shop@acme.test", True), ("shop", "ceo@acme.test", False), ("shop", "a@x.acme.test", False),
                 ("nobody", "shop@acme.test", False), ("nobody", "", False), ("dsn", "", True),
                 ("dsn", "a@acme.test", True)]
        for user, sender, good in cases:
            with self.subTest(user=user, sender=sender):
                reply = self.once(gate, sender, "b@far.test", user=user)
                self.assertRegex(reply, QUEUED if good else f"^{re.escape(FORBIDDEN.format(sender))}$")
        self.assertRegex(self.once(gate, "", "b@far.test"), QUEUED)  # The tenant's own key is for its relay hosts.
        self.assertEqual(self.once(gate, "", source="127.0.0.2"), FORBIDDEN.format(""))
        self.assertEqual(self.once(gate, "a@acme.test", source="127.0.0.2"), FORBIDDEN.format("a@acme.test"))
        self.assertRegex(self.once(gate, "a@bolt.test", "b@far.test", source="127.0.0.2"), QUEUED)
        self.assertRegex(self.once(gate, "a@acme.test", source=STRANGER), r"^530 5\.7\.0 ")
        # The login decides, not the address.
        self.assertEqual(self.once(gate, "a@bolt.test", user="mailer@bolt.test")[:4], "250 ")
        self.assertEqual(self.once(gate, "a@acme.test", user="mailer@bolt.test"), FORBIDDEN.format("a@acme.test"))
        self.arrived(gate, 6)


class Logins(Case):
    def seconds(self, gate, user):
        session = Session(gate.ports["smtps"], tls=True)
        begin = time.monotonic()
        self.assertEqual(session.login(user, "wrong")[:9], "535 5.7.8")
        taken = time.monotonic() - begin
        session.socket.close()
        return taken

    def test_an_unknown_login_takes_as_long_as_a_wrong_password(self):
        for rounds in (1000, 300000):  # Quicker and slower than any default.
            setting = f"$6$rounds={rounds}$ebbgatesalt$"
            gate = self.gate(tenant(accounts=[account("known", password=setting + "x" * 86)]))
            # The quickest of each, by turns: what else runs here only makes them slower.
            known = unknown = float("inf")
            for pairs in range(50):
                if pairs >= 5 and max(known, unknown) < 4 * min(known, unknown):
                    break
                known = min(known, self.seconds(gate, "known"))
                unknown = min(unknown, self.seconds(gate, "unknown"))
            self.assertLess(max(known, unknown), 4 * min(known, unknown), (rounds, known, unknown))


class HeaderFrom(Case):
    GOOD = ["From: a@acme.test\r\n", "From: \"Boss,\r\n of all\"\r\n <a@acme.test>\r\n", "fRoM:<A@ACME.TEST>\r\n",
            "From: a@acme.test, B <b@acme.test>\r\n", "From: =?utf-8?Q?B=C3=BCro?= <a@acme.test>\r\n",
            "From: Büro <a@acme.test>\r\n", "From: a@acme.test (the boss)\r\n",
            "From: \"a@acme.test\" <a@acme.test>\r\n", "Resent-From: e@bank.test\r\nFrom: a@acme.test\r\n",
            "X-From: e@bank.test\r\nFrom:\r\n a@acme.test\r\n",
            "From: a@acme.test\r\nReply-To: e@bank.test\r\n", "From: \"Sales @ Acme\" <a@acme.test>\r\n",
            "From: A <a@xn--bcher-kva.test>\r\n", "From: J. Doe <a@acme.test>\r\n\r\nFrom: e@bank.test\r\n"]
    FORGED = ["From: e@bank.test\r\n", "From: A <a@acme.test>, E <e@bank.test>\r\n", "FROM:\r\n\te@bank.test\r\n",
              "From: e@bank.test, a@acme.test\r\n", "From: \"a\" <e@bank.test>\r\n",
              "From: =?utf-8?Q?a?= <e@bank.test>\r\n", "X: y\r\n" * 500 + "From: e@bank.test\r\n",
              f"X: {'y' * 900}\r\n" * 30 + "From: e@bank.test\r\n"]
    HIDDEN = ["From: a@acme.test\r\nFrom: e@bank.test\r\n", "From: a@acme.test\r\nFrom : e@bank.test\r\n",
              "From: a@acme.test\r\nFrom: a@acme.test\r\n", "From: e@bank.test\r\nX: y\r\nFrom: a@acme.test\r\n",
              "From: =?utf-8?B?ZUBiYW5rLnRlc3Q=?= <a@acme.test>\r\n", "From: \"a@acme.test\" <e@bank.test>\r\n",
              "From: <e@bank.test> <a@acme.test>\r\n", "From: e@bank.test <a@acme.test>\r\n", "From: none:;\r\n",
              "From: a@acme.test@bank.test\r\n", "From: =?utf-8?Q?a=40acme.test?= <e@bank.test>\r\n", "From:\r\n",
              "From: Team: a@acme.test, e@bank.test;\r\n", "From : e@bank.test\r\n",
              "From: =?utf-8?Q?e=40bank=2Etest?=\r\n =?utf-8?Q?x?= <a@acme.test>\r\n", "", "Subject: none\r\n",
              "From: \"e@bank.test\" <a@acme.test>\r\n", "From: a@acme.test (e@bank.test)\r\n",
              "From: =?utf-8?Q?a=40acme.test?=\r\n", "From: a@acme.test, =?utf-8?Q?e=40bank.test?=\r\n"]

    def test_a_header_that_names_another_is_refused_at_the_dot_with_one_strike(self):
        gate = self.relaying(tenant(relay_hosts=RELAY, null_sender=True, domains=["acme.test", "bücher.test"],
                                    authorized_senders=["@acme.test", "@bücher.test"]))
        body = "From: <a@Bücher.test>\r\n\r\nx\r\n"
        self.assertRegex(self.once(gate, "a@acme.test", body=body, options=" SMTPUTF8"), QUEUED)
        for fields in self.GOOD:
            with self.subTest(good=fields):
                self.assertRegex(self.once(gate, "a@acme.test", "b@far.test", body=fields + "\r\nx\r\n"), QUEUED)
        replies = []
        for fields in self.FORGED:
            for sender in ("a@acme.test", ""):
                with self.subTest(forged=fields[-60:], sender=sender):
                    replies.append(self.once(gate, sender, "b@far.test", body=fields + "\r\nbad\r\n"))
                    self.assertEqual(replies[-1], FORBIDDEN.format("e@bank.test"))
        for fields in self.HIDDEN:
            with self.subTest(hidden=fields):
                replies.append(self.once(gate, "a@acme.test", "b@far.test", body=fields + "\r\nbad\r\n"))
                self.assertRegex(replies[-1], r"^553 5\.7\.1 ")
        self.assertNotIn(b"bad", self.arrived(gate, len(self.GOOD)))
        self.assertEqual((gate.folder / "log/ban.log").read_text().count("Ignore 127.0.0.1 by ip"),
                         len([one for one in replies if one.startswith("553 ")]))

    def test_however_the_bytes_come(self):
        gate = self.relaying(tenant(relay_hosts=RELAY))
        good, bad = "From: A\r\n <a@acme.test>\r\n\r\ngood\r\n", "From: A\r\n <e@bank.test>\r\n\r\nbad\r\n"
        for body, wanted in ((good, QUEUED), (bad, f"^{re.escape(FORBIDDEN.format('e@bank.test'))}$")):
            with self.subTest(body=body):
                session = self.session(gate)
                self.assertEqual(session.open("a@acme.test", "b@far.test")[:4], "354 ")
                for byte in body.encode() + b".\r\n":
                    session.send(bytes([byte]))
                    time.sleep(0.001)
                self.assertRegex(session.reply(), wanted)
                for cuts in ([], [10], [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 20]):
                    session.say("MAIL FROM:<a@acme.test>")
                    session.say("RCPT TO:<b@far.test>")
                    edges = [0, *cuts, len(body)]
                    for begin, end in zip(edges, edges[1:]):
                        last = " LAST" if end == len(body) else ""
                        session.send(f"BDAT {end - begin}{last}\r\n{body[begin:end]}")
                        reply = session.reply()
                        self.assertTrue(last or reply.startswith("250 "), reply)
                    self.assertRegex(reply, wanted)
        self.assertNotIn(b"bad", self.arrived(gate, 4))

    def test_it_can_be_turned_off(self):
        gate = self.relaying(tenant(relay_hosts=RELAY), tenant("bolt", relay_hosts=["127.0.0.2/32"],
                                                              check_header_from=True),
                             defaults={"check_header_from": False})
        for body in ("From: e@bank.test\r\n\r\nx\r\n", "\r\nx\r\n", "From: e@bank.test, f@bank.test\r\n\r\nx\r\n"):
            self.assertRegex(self.once(gate, "a@acme.test", "b@far.test", body=body), QUEUED)
        self.assertEqual(self.once(gate, "a@bolt.test", source="127.0.0.2", body="From: e@bank.test\r\n\r\nx\r\n"),
                         FORBIDDEN.format("e@bank.test"))
        self.arrived(gate, 3)


class Limits(Case):
    def limited(self, limits, relaying=False, **keys):
        make = self.relaying if relaying else self.gate
        return make(tenant(relay_hosts=RELAY, limits=limits, **keys))

    def used_up(self, gate, sender="a@acme.test", count=1, spelled=None, **session):
        self.assertEqual(self.once(gate, spelled or sender, **session), USED_UP.format("b@void.test", sender, count))

    def good(self, gate, *arguments, **session):
        self.assertRegex(self.once(gate, *arguments, **session), QUEUED)

    def test_messages_of_a_sender_over_sessions_and_restarts(self):
        gate = self.limited({"messages_per_sender": "3/day"})
        self.good(gate)
        self.assertEqual(gate.terminate(), 0)
        gate.start()
        self.good(gate)
        gate.kill()
        gate.start()
        self.good(gate)
        self.used_up(gate, count=3)
        gate.kill()
        gate.start()
        self.used_up(gate, count=3)
        self.good(gate, "b@acme.test")
        gate.terminate()
        event = gate.events("Rejection")[-1]
        with self.subTest("PRODUCT.md: a log record that names the rule"):
            self.assertIn("messages_per_sender", json.dumps(event))

    def test_the_last_one_is_taken_at_the_dot(self):
        gate = self.limited({"messages_per_sender": "1/day", "messages_per_tenant": "3/day"}, relaying=True)
        for sender in ("a@acme.test", "b@acme.test"):
            both = [self.session(gate), self.session(gate)]
            for one in both:
                self.assertEqual(one.open(sender, "b@far.test")[:4], "354 ")
            replies = [one.finish(f"From: {sender}\r\n\r\nx\r\n") for one in both]
            self.assertRegex(replies[0], QUEUED)
            self.assertEqual(replies[1], USED_UP.format("b@far.test", sender, 1))
        self.used_up(gate)
        self.good(gate, "c@acme.test", "b@far.test")  # What was refused is given back to the tenant.
        self.used_up(gate, "d@acme.test", 3)
        self.arrived(gate, 3)

    def race(self, work, threads=20):
        """What work(number, wait) of so many threads returned; wait() lets all go on at once."""
        barrier, results = threading.Barrier(threads), []
        racing = [threading.Thread(target=lambda number=number: results.append(work(number, barrier.wait)))
                  for number in range(threads)]
        for one in racing:
            one.start()
        for one in racing:
            one.join()
        return results

    def test_exact_when_twenty_race_for_two_limits(self):
        gate = self.limited({"messages_per_sender": "7/day", "messages_per_tenant": "17/day"}, relaying=True)
        senders = ["a@acme.test", "b@acme.test", "c@acme.test"]

        def work(number, wait):
            session = self.session(gate)
            wait()
            turns = [senders[(number + turn) % 3] for turn in range(6)]
            return [(sender, session.submit(sender, "b@far.test")) for sender in turns]
        replies = sum(self.race(work), [])
        accepted = [sender for sender, reply in replies if re.match(QUEUED, reply)]
        self.assertEqual((len(replies), len(accepted)), (120, 17))
        self.assertTrue(all(accepted.count(one) <= 7 for one in senders), accepted)
        for reply in {reply for _, reply in replies if reply[:1] != "2"}:
            self.assertRegex(reply, r"^450 4\.7\.1 <b@far\.test>\.\.\. [abc]@acme\.test has exceeded "
                                    r"(7|17) messages per 1 day\.$")
        self.arrived(gate, 17)

    def test_exact_when_twenty_race_at_the_dot(self):
        gate = self.limited({"messages_per_sender": "7/day"}, relaying=True)

        def work(_, wait):
            session = self.session(gate)
            self.assertEqual(session.open("a@acme.test", "b@far.test")[:4], "354 ")
            wait()
            return session.finish("From: a@acme.test\r\n\r\nx\r\n")
        replies = self.race(work)
        self.assertEqual(len(replies), 20)
        self.assertEqual(len([one for one in replies if re.match(QUEUED, one)]), 7, replies)
        self.arrived(gate, 7)
        gate.kill()
        gate.start()
        self.used_up(gate, count=7)
        self.assertEqual({one for one in replies if one[:1] != "2"}, {USED_UP.format("b@far.test", "a@acme.test", 7)})

    def test_the_reply_is_policy(self):
        text = "{company}: {sender} to {recipient}: {count} {unit} in {period}"
        gate = self.limited({"messages_per_sender": "1/2h", "limit_reply": {"code": 550, "text": text}},
                            company="Acmé")
        racing = self.session(gate)
        racing.open("a@acme.test", "first@void.test", "b@void.test")
        self.good(gate)
        self.assertRegex(self.once(gate), r"^550 5\.7\.1 Acm\?+: a@acme\.test to b@void\.test: 1 messages in 2 hours$")
        self.assertRegex(racing.finish("From: a@acme.test\r\n\r\nx\r\n"),
                         r"^550 5\.7\.1 Acm\?+: a@acme\.test to first@void\.test: 1 messages in 2 hours$")

    def test_accounts_tenants_defaults_and_periods(self):
        gate = self.gate(
            tenant(limits={"messages_per_account": "2/day"}, accounts=[
                account("one"), account("two", limits={"messages_per_account": "3/day"}),
                account("three", limits={"messages_per_account": "unlimited"})]),
            tenant("bolt", relay_hosts=RELAY,
                   limits={"messages_per_sender": "unlimited", "messages_per_tenant": "4/day"}),
            tenant("cork", relay_hosts=["127.0.0.2/32"]),
            defaults={"limits": {"messages_per_account": "9/day", "messages_per_sender": "8/10s"}})
        for user, count in (("one", 2), ("two", 3), ("three", 5)):
            for number in range(count):
                self.good(gate, f"{number}@acme.test", user=user)
            if user != "three":
                self.used_up(gate, count=count, user=user)
        for sender in ("a@bolt.test", "a@bolt.test", "b@bolt.test"):
            self.good(gate, sender)
        self.good(gate, "c@bolt.test", user="mailer@bolt.test")
        self.used_up(gate, "d@bolt.test", 4)
        self.used_up(gate, "d@bolt.test", 4, user="mailer@bolt.test")
        session = self.session(gate, source="127.0.0.2")
        began = time.monotonic()
        replies = [session.submit("a@cork.test") for _ in range(9)]
        self.assertEqual([one[:3] for one in replies], ["250"] * 8 + ["450"])
        self.assertEqual(replies[8], "450 4.7.1 <b@void.test>... a@cork.test has exceeded 8 messages per 10 seconds.")
        while (reply := session.submit("a@cork.test")) == replies[8]:
            self.assertLess(time.monotonic(), began + 40, "no new window")
            time.sleep(0.05)
        self.assertRegex(reply, QUEUED)
        self.assertGreater(time.monotonic(), began + 9.9)  # And not before the old one was over.

    def test_recipients(self):
        gate = self.limited({"recipients_per_sender": "3/day", "recipients_per_message": 2}, relaying=True)
        session = self.session(gate)
        session.say("MAIL FROM:<a@acme.test>")
        for name, reply in (("b", "250 2.1.5 Ok"), ("c", "250 2.1.5 Ok"), ("d", "452 4.5.3 Too many recipients"),
                            ("e", "452 4.5.3 Too many recipients")):
            self.assertEqual(session.say(f"RCPT TO:<{name}@far.test>"), reply)
        session.say("DATA")
        self.assertRegex(session.finish("From: a@acme.test\r\n\r\nx\r\n"), QUEUED)  # For the two that were taken.
        over = session.submit("a@acme.test", "b@far.test", "c@far.test")
        self.assertRegex(over, r"^450 4\.7\.1 <c@far\.test>\.\.\. a@acme\.test has exceeded 3 recipients per 1 day")
        self.good(gate, "a@acme.test", "b@far.test")
        self.assertEqual(session.submit("a@acme.test"),
                         "450 4.7.1 <b@void.test>... a@acme.test has exceeded 3 recipients per 1 day.")
        gate.wait(lambda status: status["mail"]["done"] == 2)
        self.assertEqual(self.sink.stop()["recipients"], 3)

    def test_what_is_not_accepted_is_given_back(self):
        gate = self.limited({"messages_per_sender": "1/day", "messages_per_tenant": "2/day", "message_size": "10KB"})
        self.assertEqual(self.once(gate, body="From: e@bank.test\r\n\r\nx\r\n"), FORBIDDEN.format("e@bank.test"))
        self.assertRegex(self.once(gate, body="From: a@acme.test\r\n\r\n" + "xxxxxxxx\r\n" * 2000), r"^552 5\.3\.4 ")
        for ending in ("", "From: a@acme.test\r\n\r\nx\r\n", "RSET"):
            session = self.session(gate)
            self.assertEqual(session.open("a@acme.test", "b@void.test")[:4], "354 ")
            session.send(ending)
            session.socket.close()
        session = self.session(gate)
        session.say("MAIL FROM:<a@acme.test>")
        session.say("RCPT TO:<b@void.test>")
        session.say("RSET")
        self.good(gate)
        self.used_up(gate)
        self.good(gate, "b@acme.test")
        self.used_up(gate, "c@acme.test", 2)

    def test_an_override_raises_and_lowers_at_once(self):
        gate = self.limited({"messages_per_sender": "1/day"})
        session = self.session(gate)
        rule = ["messages_per_sender", "a@acme.test"]
        self.assertRegex(session.submit(), QUEUED)
        self.assertEqual(session.submit(), USED_UP.format("b@void.test", "a@acme.test", 1))
        self.command(gate, "limit", "set", *rule, "2/day")
        self.assertRegex(session.submit(), QUEUED)
        self.assertEqual(session.submit(), USED_UP.format("b@void.test", "a@acme.test", 2))
        self.command(gate, "limit", "set", *rule, "9/day", "--for", "1h")
        self.assertRegex(session.submit(), QUEUED)
        self.command(gate, "limit", "set", *rule, "9/day", "--for", "1s")
        end = time.monotonic() + 20
        while session.look().startswith("250 "):
            self.assertLess(time.monotonic(), end, "it does not expire")
            time.sleep(0.05)
        self.assertEqual(session.submit(), USED_UP.format("b@void.test", "a@acme.test", 1))
        self.command(gate, "limit", "set", *rule, "5/day")
        self.assertRegex(session.submit(), QUEUED)
        gate.kill()
        gate.start()
        self.good(gate)
        self.used_up(gate, count=5)
        self.command(gate, "limit", "reset", *rule)
        self.used_up(gate, count=1)
        self.good(gate, "b@acme.test")  # The override was for one subject.
        self.used_up(gate, "b@acme.test")

    def test_another_spelling_is_the_same_sender(self):
        gate = self.limited({"messages_per_sender": "2/day"})
        self.good(gate, "a@acme.test")
        self.good(gate, "a@ACME.Test")
        self.used_up(gate, count=2)
        for spelled in ("a@Acme.TEST", '"a"@acme.test', '"\\a"@acme.test'):
            with self.subTest(spelled):
                reply = self.once(gate, spelled, body="From: a@acme.test\r\n\r\nx\r\n")
                self.assertRegex(reply, r"^450 4\.7\.1 <b@void\.test>\.\.\. .* has exceeded 2 messages per 1 day\.$")
        self.good(gate, "A@acme.test")  # Local parts are exact.

    def test_the_null_sender_is_never_counted(self):
        gate = self.limited({"messages_per_sender": "1/day", "messages_per_tenant": "1/day", "messages_per_account":
                             "1/day", "recipients_per_tenant": "1/day"}, null_sender=True,
                            accounts=[account("dsn", null_sender=True)])
        for _ in range(3):
            self.good(gate, "")
            self.good(gate, "", user="dsn")
        self.good(gate)
        self.good(gate, "")

    def test_size_is_announced_for_each_account(self):
        gate = self.gate(tenant(relay_hosts=RELAY, hostname="smtp.acme.test", limits={"upload_size": "20KB",
                                "message_size": "20KB"}, accounts=[account("small"), account("big", limits={
                                    "upload_size": "50KB", "message_size": "50KB"})]))
        for user, size in (("small", 20000), ("big", 50000)):
            session = self.session(gate, user=user)
            self.assertIn(f"SIZE {size}\n", session.ehlo)
            self.assertRegex(session.say(f"MAIL FROM:<a@acme.test> SIZE={size + 1}"), r"^552 5\.3\.4 ")
            self.assertRegex(session.say(f"MAIL FROM:<a@acme.test> SIZE={size}"), "^250 ")
        self.assertIn("SIZE 20000\n", self.session(gate).ehlo)
        gate.terminate()
        rules = [one["meta"]["rule"] for one in gate.events("Rejection")]
        self.assertIn("/tenants/0/limits/upload_size", rules[0])
        self.assertIn("/tenants/0/accounts/1/limits/upload_size", rules[1])

    def test_each_refusal_is_an_event_that_names_its_rule(self):
        gate = Gate(tenant(relay_hosts=RELAY, limits={"upload_size": "1MB", "message_size": "20KB"},
                           accounts=[account("user")]))
        self.addCleanup(gate.close)
        gate.server["limits"]["max_errors_per_connection"] = 10
        gate.start()
        session = self.session(gate)
        session.say("MAIL FROM:<a@acme.test>")
        self.assertRegex(session.say("RCPT TO:<not an address>"), r"^501 5\.1\.3 ")
        session.say("RSET")
        self.assertRegex(session.open("a@acme.test", "b@void.test"), "^354 ")
        self.assertRegex(session.say("From: a@acme.test\r\n\r\n" + "x\r\n" * 9000 + "."), r"^552 5\.3\.4 ")
        self.assertRegex(self.session(gate).say("AUTH PLAIN AGEAYg=="), r"^538 5\.7\.11 ")
        wrong = self.session(gate, tls=True)
        self.assertRegex(wrong.say("AUTH PLAIN AHVzZXIAd3Jvbmc="), r"^535 5\.7\.8 ")
        self.assertRegex(wrong.say("AUTH PLAIN YQB1c2VyAHdyb25n"), r"^535 5\.7\.8 ")  # For another.
        answer = "500"
        for _ in range(20):
            if answer.startswith("500"):
                answer = session.say("NONSENSE")
        gate.terminate()
        seen = [(one["response"]["code"], one["meta"].get("rule", ""), one["meta"].get("login", ""))
                for one in gate.events("Rejection")]
        self.assertEqual(sorted(one[0] for one in seen), [421, 501, 535, 535, 538, 552], (seen, answer))
        rules = {rule: (code, login) for code, rule, login in seen}
        self.assertEqual(rules["authentication in the clear"], (538, ""))
        self.assertEqual(rules["authentication failure"], (535, "user"))
        self.assertEqual(rules["another authorization identity"], (535, ""))
        self.assertEqual(rules["max_errors_per_connection"], (421, ""))
        self.assertIn("/tenants/0/limits/message_size", next(rule for code, rule, _ in seen if code == 552))


if __name__ == "__main__":
    unittest.main(warnings="ignore")  # Sockets end with their test, not before.
