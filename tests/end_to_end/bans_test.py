#!/usr/bin/env python3
"""Bans from the outside: which failures count, that the third one shuts the door on every listener, and for whom."""

import base64
import concurrent.futures
import contextlib
import ctypes
import datetime
import ipaddress
import itertools
import json
import math
import os
import pathlib
import re
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
import unittest

from gateway import PASSWORD, Client, Gateway, password_hash
from ports import free_port

LOGIN = "mailer@acme.test"
# The usual password, with a hash that takes long enough to go away while it is being checked.
SLOW = ("$6$rounds=600000$ebbgateslowsalt1$"
        "QtOYqzbWTHGSt3yhTAL9uhOoFCLjoL7VfsoD/N8stIyC/cSGMGp7h8iQHpQEwTNVJX3Wm6bUbJ9.T0je6BtRh1")
RECIDIVE = pathlib.Path("/etc/fail2ban/filter.d/recidive.conf")
PACKAGES = "/usr/lib/python3/dist-packages"  # Where a distribution's package keeps its modules.
DATE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
USUAL = {"ignore": [], "max_retry": 3, "find_time": "10m", "ban_time": "10m"}
LISTENERS = [{"name": name, "kind": kind, "listen": f"{address}:0"} for name, kind, address in (
    ("smtp", "smtp", "127.0.0.1"), ("smtps", "smtps", "127.0.0.1"), ("any", "smtp", "0.0.0.0"))]
SIX = [*LISTENERS, {"name": "six", "kind": "smtps", "listen": "[::1]:0"}]
BROKEN = (ConnectionError, ssl.SSLError)


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def plain(user=LOGIN, password=PASSWORD):
    return "AUTH PLAIN " + encoded(f"\0{user}\0{password}")


def line(gateway, logger, level, message):
    """A regular expression of one whole line, padded as fail2ban pads."""
    return f"^{DATE},\\d{{3}} {logger.ljust(24)}\\[{gateway.process.pid}\\]: {level.ljust(7)} \\[smtp\\] {message}$"


def found(gateway, address):
    return line(gateway, "fail2ban.filter", "INFO", f"Found {re.escape(address)} - {DATE}")


def ignored(gateway, address):
    return line(gateway, "fail2ban.filter", "INFO", f"Ignore {re.escape(address)} by ip")


def action(gateway, word, address="127.0.0.2"):
    return line(gateway, "fail2ban.actions", "NOTICE", f"{word} {re.escape(address)}")


def stamp(text):
    return datetime.datetime.strptime(text[:23], "%Y-%m-%d %H:%M:%S,%f").timestamp()


class Visitor(Client):
    """A client that comes from the address it is told to."""

    def __init__(self, plain_socket, source, target, implicit_tls, greet):
        self.socket, self.buffer = plain_socket, b""
        try:
            self.socket.settimeout(20)
            self.socket.bind((source, 0))
            self.socket.connect(target)
            if implicit_tls:
                self.wrap()
            if greet and not self.reply().startswith("220 "):
                raise ConnectionResetError("no greeting")
            if greet:
                self.say("EHLO client.test")
        except BaseException:
            self.socket.close()
            raise

    def close(self):
        self.socket.close()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def half_close(self):
        socket.socket.shutdown(self.socket, socket.SHUT_WR)

    def starttls(self):
        assert self.say("STARTTLS").startswith("220 ")
        self.wrap()
        self.say("EHLO client.test")

    def gone(self):
        """Whether the gateway ends the session by itself, soon, with whatever last words."""
        self.socket.settimeout(3)
        try:
            while self.reply():
                pass
        except TimeoutError:
            return False
        except BROKEN:
            pass
        return True


class Banning(unittest.TestCase):
    host, make = "127.0.0.1", staticmethod(socket.socket)

    def gateway(self, bans=None, tenant=None, server=None, process=None):
        acme = {"name": "acme", "domains": ["acme.test"], "authorized_senders": ["@acme.test"],
                "accounts": [{"login": LOGIN, "password": password_hash()}], **(tenant or {})}
        policy = {"tenants": [acme], **({} if bans is None else {"bans": {**USUAL, **bans}})}
        made = Gateway(policy=policy, server={"listeners": LISTENERS, **(server or {})})
        self.addCleanup(made.close)
        self.addCleanup(self.check, made)
        return made.start(**(process or {}))

    def check(self, gateway):
        """After every case: it still lives and ends well, and nothing has written of a crash."""
        errors = (gateway.folder / "stderr.txt").read_text()
        self.assertNotRegex(errors, "(?i)sanitizer|abort|assert|terminate called")
        if gateway.process:
            self.assertIsNone(gateway.process.poll(), errors)
            self.assertEqual(gateway.terminate(), 0, errors)

    def come(self, gateway, source, name="smtps", greet=True, tls=None):
        if tls is None:
            tls = "smtps" in {one["kind"] for one in gateway.server["listeners"] if one["name"] == name}
        made = self.make(socket.AF_INET6 if ":" in source else socket.AF_INET)
        client = Visitor(made, source, (self.host, gateway.ports[name]), tls, greet)
        self.addCleanup(client.close)
        return client

    def outcome(self, gateway, source, name):
        try:
            self.come(gateway, source, name).close()
        except ConnectionRefusedError:
            return "refused"
        except BROKEN:
            return "reset"
        return "in"

    def mode(self, gateway):
        """What status says of bans; empty when it says nothing."""
        if not hasattr(gateway, "mode"):
            lines = gateway.ctl("status")[1].splitlines()
            gateway.mode = " ".join(text for text in lines if re.match("bans?[._ ]", text))
        return gateway.mode

    def refusals(self, gateway):
        # Without the privilege a connection is accepted and reset.
        return {"refused", "reset"} if re.search("(?i)fallback|accept|reset", self.mode(gateway)) else {"refused"}

    def shut(self, gateway, *sources, times=1, names=None):
        allowed = self.refusals(gateway)
        for source, name in itertools.product(sources, names or gateway.ports):
            got = {self.outcome(gateway, source, name) for _ in range(times)}
            self.assertLessEqual(got, allowed, (source, name))

    def welcome(self, gateway, *sources, names=None):
        got = {(source, name): self.outcome(gateway, source, name)
               for source, name in itertools.product(sources, names or gateway.ports)}
        self.assertEqual(got, dict.fromkeys(got, "in"))

    def strike(self, gateway, source, count=3, name="smtps"):
        """Wrong passwords, each on a connection of its own; returns the last client, its connection open."""
        for number in range(count):
            client = self.come(gateway, source, name)
            self.assertEqual(client.login(password="wrong")[:9], "535 5.7.8", (source, number))
            if number + 1 < count:
                client.close()
        return client

    def ban(self, gateway, *sources):
        for source in sources:
            self.assertTrue(self.strike(gateway, source).closed())

    def lines(self, gateway, pattern=""):
        return [text for text in (gateway.folder / "log/ban.log").read_text().splitlines() if re.search(pattern, text)]

    def logged(self, gateway, pattern, count=1, seconds=3):
        end = time.monotonic() + seconds
        while len(self.lines(gateway, pattern)) < count and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.15)  # For one too many.
        got = self.lines(gateway, pattern)
        self.assertEqual(len(got), count, (pattern, self.lines(gateway)))
        return got

    def ban_beside(self, gateway, address, until):
        """By hand, to end two or three seconds after that: how late another one's end is shows by the order of both."""
        self.done(gateway, "ban", address, "--for", f"{max(1, math.ceil(until + 2 - time.time()))}s")

    def ended_in_time(self, gateway, start, seconds, beside, count=1):
        """By the ban's line in the log."""
        address = start.rsplit(" ", 1)[1]
        end = self.logged(gateway, action(gateway, "Unban", address), count, seconds=seconds + 20)[-1]
        self.assertGreaterEqual(stamp(end) - stamp(start), seconds - 0.1, (start, end))
        before = self.lines(gateway)
        before = before[:len(before) - before[::-1].index(end)]
        self.assertFalse([text for text in before if re.search(action(gateway, "Unban", beside), text)], (start, end))

    def done(self, gateway, *command, code=0):
        got, out, err = gateway.ctl(*command)
        self.assertEqual(got, code, (command, out, err))
        return json.loads(out) if "--json" in command else out

    def banned(self, gateway):
        return {one["address"]: one for one in self.done(gateway, "banned", "--json")["banned"]}

    def changed(self, gateway, *command):
        return self.done(gateway, *command, "--json")["changed"]

    def reload(self, gateway, **bans):
        gateway.policy["bans"].update(bans)
        (gateway.folder / "policy.json").write_text(json.dumps(gateway.policy))
        self.done(gateway, "reload")

    def talk(self, client, *words):
        """Each command is followed by how its reply begins; what can be called is done to the client."""
        words = iter(words)
        for word in words:
            if callable(word):
                word(client)
            else:
                self.assertEqual(client.say(word)[:len(expected := next(words))], expected, word)


IN = (plain(), "235")
DATA = (*IN, "MAIL FROM:<a@acme.test>", "250", "RCPT TO:<b@void.test>", "250", "DATA", "354")
CLOSE, RESET = Visitor.close, Visitor.reset
ANSWERED = {
    "wrong password": ("smtps", plain(LOGIN, "wrong"), "535 5.7.8"),
    "unknown login": ("smtps", plain("nobody@acme.test"), "535 5.7.8"),
    "wrong by AUTH LOGIN": ("smtps", "AUTH LOGIN", "334", encoded(LOGIN), "334", encoded("wrong"), "535 5.7.8"),
    "wrong after STARTTLS": ("smtp", Visitor.starttls, plain(LOGIN, "wrong"), "535 5.7.8"),
    "AUTH PLAIN in the clear": ("smtp", plain(), "538 5.7.11"),
    "AUTH LOGIN in the clear": ("smtp", "AUTH LOGIN", "538 5.7.11"),
    "envelope sender": ("smtps", *IN, "MAIL FROM:<ceo@other.test>",
                        "553 5.7.1 <ceo@other.test>: Sender address rejected: not authorized to send"),
    "header From": ("smtps", *DATA, "From: ceo@other.test, cfo@other.test\r\nSubject: x\r\n\r\nx\r\n.", "553 5.7.1"),
}
TIMED_OUT = (lambda client: client.gone() or 1 / 0,)
BROKEN_OFF = {
    f"{how} {when}": ("smtps", *words, *end) for (when, words), (how, end) in itertools.product(
        {"after AUTH LOGIN": ("AUTH LOGIN", "334"), "after AUTH PLAIN": ("AUTH PLAIN", "334"),
         "after the login": ("AUTH LOGIN", "334", encoded(LOGIN), "334")}.items(),
        {"closed": (CLOSE,), "reset": (RESET,), "half closed": (Visitor.half_close,), "timed out": TIMED_OUT}.items())
}
HARMLESS = {
    "cancelled": ("smtps", "AUTH LOGIN", "334", "*", "501", "AUTH PLAIN", "334", "*", "501", "AUTH LOGIN", "334",
                  encoded(LOGIN), "334", "*", "501", RESET),
    "malformed": ("smtps", "AUTH PLAIN !!!", "501", "AUTH BOGUS", "504"),
    "MAIL without AUTH": ("smtps", "MAIL FROM:<a@acme.test>", "530 5.7.0"),
    "MAIL in the clear": ("smtp", "MAIL FROM:<a@acme.test>", "530 5.7.0"),
    "too many errors": ("smtps", lambda client: client.send("NONSENSE\r\n" * 8), Visitor.gone),
    "lost": ("smtps", RESET),
    "lost after AUTH": ("smtps", *IN, RESET),
    "lost in the message": ("smtps", *DATA, lambda client: client.send("Subject: half"), RESET),
    "timed out": ("smtps", *TIMED_OUT),
}


class Causes(Banning):
    def test_each_cause_is_a_strike(self):
        gateway = self.gateway({"max_retry": 100}, server={"limits": {"client_timeout": "1s"}})
        cases = {**ANSWERED, **BROKEN_OFF}
        for number, (name, (port, *words)) in enumerate(cases.items(), 1):
            with self.subTest(name):
                self.talk(self.come(gateway, f"127.0.1.{number}", port), *words)
        self.logged(gateway, f"Found {re.escape('127.0.1.')}", len(cases))
        for number, name in enumerate(cases, 1):
            self.assertEqual(len(self.lines(gateway, found(gateway, f"127.0.1.{number}"))), 1, name)

    def test_a_connection_lost_while_the_password_is_checked_is_a_strike(self):
        accounts = [{"login": login, "password": SLOW} for login in ("one", "two")]  # A verified one is remembered.
        gateway = self.gateway({"max_retry": 100}, tenant={"accounts": accounts})
        # A client that has the right password and half-closes may still read: it is answered, not struck.
        cases = [("two", PASSWORD, RESET), ("one", "wrong", CLOSE), ("two", "wrong", RESET)]
        for number, (login, password, leave) in enumerate(cases, 1):
            with self.subTest(number=number, password=password):
                client = self.come(gateway, f"127.0.1.{number}")
                client.send(plain(login, password) + "\r\n")
                time.sleep(0.02)
                leave(client)
                self.logged(gateway, found(gateway, f"127.0.1.{number}"))

    def test_nothing_else_is_a_strike(self):
        gateway = self.gateway({"max_retry": 1},
                               server={"limits": {"client_timeout": "1s", "max_errors_per_connection": 5}})
        for number, (name, (port, *words)) in enumerate(HARMLESS.items(), 1):
            with self.subTest(name):
                self.talk(self.come(gateway, f"127.0.1.{number}", port), *words)
        time.sleep(0.3)
        self.assertEqual((self.lines(gateway), self.banned(gateway)), ([], {}))


class Door(Banning):
    def test_status_says_which_mode_is_active(self):
        gateway = self.gateway({})
        self.assertRegex(json.dumps(gateway.status()), r'"bans?"|"ban_')
        if os.geteuid() == 0:
            self.assertRegex(self.mode(gateway), r"(?i)kernel|bpf|reuseport")

    def test_the_third_strike_shuts_every_listener_for_this_address_only(self):
        gateway = self.gateway({})
        self.strike(gateway, "127.0.0.2", 2)
        self.welcome(gateway, "127.0.0.2")
        own = [self.come(gateway, "127.0.0.2", name) for name in gateway.ports]
        own.append(self.come(gateway, "127.0.0.2"))
        self.talk(own[-1], *DATA)
        own[-1].send("Subject: half")
        own.append(self.come(gateway, "127.0.0.2", "smtps", greet=False, tls=False))  # Before its handshake.
        others = [self.come(gateway, "127.0.0.4", name) for name in gateway.ports]
        last = self.strike(gateway, "127.0.0.2", 1)
        self.shut(gateway, "127.0.0.2", times=30)
        self.assertTrue(last.closed())
        self.assertEqual([one.gone() for one in own], [True] * len(own))
        self.strike(gateway, "127.0.0.3", 2)
        self.welcome(gateway, "127.0.0.3", "127.0.0.4")
        self.strike(gateway, "127.0.0.3", 1)
        self.shut(gateway, "127.0.0.2", "127.0.0.3")
        self.welcome(gateway, "127.0.0.4")
        for one in others:
            self.talk(one, "NOOP", "250")
        self.assertEqual(set(self.banned(gateway)), {"127.0.0.2", "127.0.0.3"})

    def test_without_the_privilege_it_is_accept_and_reset(self):
        def drop():  # CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF, from what exec may give.
            for capability in (12, 21, 38, 39):
                if ctypes.CDLL(None).prctl(24, capability, 0, 0, 0):
                    raise OSError("prctl")
        gateway = self.gateway({}, process={"preexec_fn": drop} if os.geteuid() == 0 else {})
        held = self.come(gateway, "127.0.0.2")
        self.ban(gateway, "127.0.0.2")
        got = {self.outcome(gateway, "127.0.0.2", name) for name in gateway.ports for _ in range(10)}
        print(f"without the privilege: {got}, status of bans: {self.mode(gateway)!r}", flush=True)
        self.assertLessEqual(got, {"refused", "reset"})
        self.assertTrue(held.gone())
        self.welcome(gateway, "127.0.0.4")
        if "reset" in got:
            self.assertRegex(self.mode(gateway), "(?i)fallback|accept|reset")

    def test_three_strikes_of_each_kind_and_the_fourth_is_never_answered(self):
        gateway = self.gateway({})
        client = self.come(gateway, "127.0.0.2")
        self.talk(client, *[plain(LOGIN, "wrong"), "535"] * 3, "NOOP", "")
        self.assertTrue(client.gone())
        for source, port, words, code, text in (
                ("127.0.0.3", "smtp", (), "538", "AUTH PLAIN\r\n" * 6),
                ("127.0.0.4", "smtps", IN, "553", "MAIL FROM:<ceo@other.test>\r\n" * 6)):
            client = self.come(gateway, source, port)
            self.talk(client, *words)
            client.send(text)
            self.assertEqual([client.reply()[:3] for _ in range(4)], [code] * 3 + [""])
        for count in (1, 2, 3):  # There is no reply to wait for.
            self.talk(self.come(gateway, "127.0.0.5"), "AUTH LOGIN", "334", CLOSE)
            self.logged(gateway, found(gateway, "127.0.0.5"), count)
        self.logged(gateway, action(gateway, "Ban", "127.0.0.5"))
        self.shut(gateway, *(f"127.0.0.{number}" for number in (2, 3, 4, 5)))

    def test_ipv6_on_loopback(self):
        gateway = self.gateway({}, server={"listeners": SIX})
        self.host = "::1"
        self.assertTrue(self.strike(gateway, "::1", name="six").closed())
        self.shut(gateway, "::1", times=30, names=["six"])
        self.logged(gateway, found(gateway, "::1"), 3)
        self.logged(gateway, action(gateway, "Ban", "::1"))
        with self.subTest("IPv4 does not lie in ::/64"):
            self.host = "127.0.0.1"
            self.welcome(gateway, "127.0.0.2", names=["smtp", "smtps", "any"])
        self.host = "::1"
        self.done(gateway, "unban", "::1")
        self.welcome(gateway, "::1", names=["six"])
        self.done(gateway, "ban", "::1")
        self.shut(gateway, "::1", names=["six"])

    def test_fifty_at_once_and_none_gets_in_after_the_ban(self):
        gateway = self.gateway({})
        start, entered, answered = threading.Barrier(50), [], []

        def attack(_):
            start.wait()
            while True:
                began = time.monotonic()
                try:
                    client = self.come(gateway, "127.0.0.2")
                    entered.append(began)
                    if reply := client.login(password="wrong")[:3]:
                        answered.append((time.monotonic(), reply))
                    client.close()
                except BROKEN:
                    return

        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            list(pool.map(attack, range(50)))
        times = sorted(when for when, reply in answered if reply == "535")
        self.assertTrue(3 <= len(times) <= 3 + 5, len(times))
        self.assertEqual([began for began in entered if began > times[2]], [], "got in after the ban's reply")
        self.logged(gateway, action(gateway, "Ban"))
        self.shut(gateway, "127.0.0.2", times=10)


class Times(Banning):
    def test_strikes_older_than_find_time_do_not_count(self):
        gateway = self.gateway({"find_time": "2s"})
        self.strike(gateway, "127.0.0.2", 2)
        time.sleep(2.2)
        self.strike(gateway, "127.0.0.2", 2)
        self.welcome(gateway, "127.0.0.2")
        self.strike(gateway, "127.0.0.2", 1)
        self.shut(gateway, "127.0.0.2")

    def test_a_ban_ends_after_ban_time_and_counting_begins_anew(self):
        gateway = self.gateway({"ban_time": "2s"})
        self.ban(gateway, "127.0.0.2")
        (start,) = self.logged(gateway, action(gateway, "Ban"))
        self.ban_beside(gateway, "127.0.1.2", stamp(start) + 2)
        while True:
            got = self.outcome(gateway, "127.0.0.2", "smtp")
            if time.time() > stamp(start) + 1.9:
                break
            self.assertIn(got, self.refusals(gateway))
        self.ended_in_time(gateway, start, 2, "127.0.1.2")
        self.reload(gateway, ban_time="10m")  # One that is still there when it is looked at.
        self.strike(gateway, "127.0.0.2", 2)
        self.welcome(gateway, "127.0.0.2")
        self.strike(gateway, "127.0.0.2", 1)
        row = self.banned(gateway)["127.0.0.2"]
        self.assertEqual(row["until"] - row["since"], 600)  # Without ban_time_increment each is as long.
        self.logged(gateway, "Increase", 0, seconds=0)

    def test_bans_end_at_the_first_look_after_their_time_and_that_is_each_second(self):
        gateway = self.gateway({})
        for number in range(15):
            self.done(gateway, "ban", f"127.0.1.{number}", "--for", "6s")
            time.sleep(0.3)
        ends = self.logged(gateway, r" Unban 127\.0\.1\.", 15, seconds=30)
        due = {text.rsplit(" ", 1)[1]: stamp(text) + 6 for text in self.lines(gateway, r"\] Ban ")}
        looks = sorted({stamp(end) for end in ends})
        for end in ends:
            asked = due[end.rsplit(" ", 1)[1]]
            self.assertGreater(stamp(end), asked - 0.002, end)
            self.assertEqual([one for one in looks if asked + 0.002 < one < stamp(end)], [], end)
        # Busy, it looks later, but not each time.
        self.assertLess(min(after - before for before, after in itertools.pairwise(looks)), 1.2, looks)

    def test_a_ban_grows_when_told_to_up_to_its_bound(self):
        gateway = self.gateway({"ban_time": "2s", "ban_time_increment": True, "ban_time_max": "4s"})
        for count, seconds in ((1, 2), (2, 4), (3, 4)):
            with contextlib.suppress(ConnectionError):  # A known offender may be banned sooner.
                self.strike(gateway, "127.0.0.2")
            self.shut(gateway, "127.0.0.2")
            row = self.banned(gateway)["127.0.0.2"]
            self.assertEqual((row["until"] - row["since"], row["count"]), (seconds, count))
            beside = f"127.0.1.{count}"
            self.ban_beside(gateway, beside, row["since"] + seconds)
            start = self.logged(gateway, action(gateway, "Ban"), count)[-1]
            self.ended_in_time(gateway, start, seconds, beside, count)
        for text, count in zip(self.logged(gateway, "Increase", 2), (2, 3)):  # Of 4 seconds both.
            self.assertRegex(text, line(gateway, "fail2ban.observer", "NOTICE",
                                        rf"Increase Ban 127\.0\.0\.2 \({count} # 4s -> {DATE}\)"))
            until = datetime.datetime.strptime(text[-20:-1], "%Y-%m-%d %H:%M:%S").timestamp()
            self.assertAlmostEqual(until, stamp(text) + 4, delta=1.1)


class WhiteList(Banning):
    def test_who_is_on_it_is_logged_and_never_counted(self):
        gateway = self.gateway({"ignore": ["127.0.0.5", "127.0.7.0/24"]}, tenant={"relay_hosts": ["127.0.0.6/32"]})
        for source in ("127.0.0.5", "127.0.7.9", "127.0.0.6"):
            self.strike(gateway, source, 8)
            self.logged(gateway, ignored(gateway, source), 8)
            self.logged(gateway, f"(Found|Ban) {re.escape(source)}", 0, seconds=0)
            self.welcome(gateway, source)
        self.ban(gateway, "127.0.0.7")

    def test_loopback_is_on_it_unless_the_policy_says_otherwise(self):
        gateway = self.gateway()
        self.strike(gateway, "127.0.0.2", 5)
        self.logged(gateway, ignored(gateway, "127.0.0.2"), 5)
        self.welcome(gateway, "127.0.0.2")

    def test_adding_an_address_lifts_its_ban_at_once_and_stays(self):
        gateway = self.gateway({})
        self.ban(gateway, "127.0.0.2", "127.0.0.3", "127.0.3.1", "127.0.0.8")
        self.done(gateway, "ignore", "add", "127.0.0.2")
        self.welcome(gateway, "127.0.0.2")
        self.logged(gateway, action(gateway, "Unban"))
        self.done(gateway, "ignore", "add", "127.0.3.0/24")
        self.welcome(gateway, "127.0.3.1")
        self.shut(gateway, "127.0.0.3", "127.0.0.8")
        self.reload(gateway, ignore=["127.0.0.8"])  # By the file, too.
        self.welcome(gateway, "127.0.0.8", "127.0.0.2")
        time.sleep(1.2)  # Kills at once have tests of their own.
        gateway.kill()
        gateway.start()
        self.strike(gateway, "127.0.0.2", 4)
        self.logged(gateway, ignored(gateway, "127.0.0.2"), 4)
        self.welcome(gateway, "127.0.0.2", "127.0.3.1")
        self.done(gateway, "ignore", "remove", "127.0.0.2")
        self.ban(gateway, "127.0.0.2")
        self.shut(gateway, "127.0.0.2")

    def test_one_address_of_a_banned_network_can_be_let_in(self):
        gateway = self.gateway({})
        self.done(gateway, "ban", "127.0.9.0/24")
        self.shut(gateway, "127.0.9.1", "127.0.9.2")
        self.done(gateway, "ignore", "add", "127.0.9.2")
        self.welcome(gateway, "127.0.9.2")
        with self.subTest("the others stay banned"):
            self.shut(gateway, "127.0.9.1")
        self.done(gateway, "ignore", "add", "127.0.8.2")  # The other way round.
        gateway.ctl("ban", "127.0.8.0/24")
        self.welcome(gateway, "127.0.8.2")


class Commands(Banning):
    def test_ban_banned_why_and_unban(self):
        gateway = self.gateway({"ignore": ["127.0.0.5"]})
        held = self.come(gateway, "127.0.0.2", "smtp")
        self.assertEqual(self.done(gateway, "ban", "127.0.0.2", "--for", "1h", "--json"),
                         {"ok": True, "changed": True, "in_force": True})
        self.shut(gateway, "127.0.0.2", times=5)
        self.assertTrue(held.gone())
        self.done(gateway, "ban", "127.0.9.0/24")
        self.shut(gateway, "127.0.9.1", "127.0.9.254", times=5)
        self.welcome(gateway, "127.0.8.1", "127.0.10.1")
        for address, seconds in (("127.0.0.2", 3600), ("127.0.9.0/24", 600)):
            row = self.banned(gateway)[address]
            self.assertEqual((row["until"] - row["since"], row["count"]), (seconds, 1))
            self.assertAlmostEqual(row["since"], time.time(), delta=5)
            self.assertIn(address, self.done(gateway, "banned"))
        self.assertEqual([one["address"] for one in self.done(gateway, "banned", "127.0.0.2", "--json")["banned"]],
                         ["127.0.0.2"])
        for address, yes in (("127.0.0.2", True), ("127.0.9.7", True), ("127.0.0.4", False), ("127.0.0.5", False)):
            self.assertIs(self.done(gateway, "why", address, "--json")["banned"], yes)
        self.assertRegex(self.done(gateway, "why", "127.0.0.2"), r"banned +yes")
        self.assertIn("ignore", self.done(gateway, "why", "127.0.0.5"))
        self.strike(gateway, "127.0.0.4", 2)
        why = self.done(gateway, "why", "127.0.0.4", "--json")
        self.assertEqual((why["banned"], why["strikes"], why["rule"]["pointer"]), (False, 2, "/bans/max_retry"))
        self.assertAlmostEqual(why["frees"], time.time() + 600, delta=10)  # The first one's.
        self.assertEqual(self.done(gateway, "why", "127.0.0.8", "--json")["strikes"], 0)
        self.strike(gateway, "127.0.0.4", 1)
        self.assertIn("max_retry", self.done(gateway, "why", "127.0.0.4"))  # By which rule.
        self.assertEqual([self.changed(gateway, "unban", "127.0.0.2") for _ in range(2)], [True, False])
        self.welcome(gateway, "127.0.0.2")
        self.assertEqual([self.changed(gateway, "unban", "--all") for _ in range(2)], [True, False])
        self.welcome(gateway, "127.0.9.1", "127.0.0.4")
        self.assertEqual(self.banned(gateway), {})
        for address in ("127.0.0.2", "127.0.9.0/24"):
            self.logged(gateway, action(gateway, "Ban", address))
            self.logged(gateway, action(gateway, "Unban", address))
        audited = [(one["command"], one["subject"]) for one in self.done(gateway, "audit", "--json")["audit"]]
        for command in ("ban", "unban"):
            self.assertIn((command, "127.0.0.2"), [(word, what.removesuffix("/32")) for word, what in audited])

    def test_white_list(self):
        gateway = self.gateway({"ignore": ["127.0.5.0/24"]})
        self.done(gateway, "ban", "127.0.5.1", code=1)
        self.assertEqual([self.changed(gateway, "ignore", "add", "2001:db8:1::/48") for _ in range(2)], [True, False])
        listed = {ipaddress.ip_network(one["network"]): one["source"]
                  for one in self.done(gateway, "ignore", "list", "--json")["ignore"]}
        self.assertEqual({str(network) for network in listed}, {"127.0.5.0/24", "2001:db8:1::/48"})
        self.assertEqual(listed[ipaddress.ip_network("2001:db8:1::/48")], "command")
        self.assertIn("2001:db8:1::/48", self.done(gateway, "ignore", "list"))
        self.assertEqual([self.changed(gateway, "ignore", "remove", "2001:db8:1::/48") for _ in range(2)],
                         [True, False])

    def test_exit_codes(self):
        gateway = self.gateway({})
        for command in ("ban", "ban nonsense", "ban 127.0.0.9/8", "ban 127.0.0.2 --for long", "unban", "unban nonsense",
                        "unban 127.0.0.2 --all", "banned nonsense", "ignore", "ignore add", "ignore add nonsense",
                        "ignore remove 1.2.3", "why", "why nonsense"):
            self.done(gateway, *command.split(), code=2)
        gateway.terminate()
        for command in ("ban 127.0.0.2", "unban --all", "banned", "ignore list", "why 127.0.0.2"):
            self.done(gateway, *command.split(), code=3)
            self.assertIs(self.done(gateway, *command.split(), "--json", code=3)["ok"], False)


class Restarts(Banning):
    def test_bans_survive_the_end_and_kills_and_do_not_grow(self):
        # Fixed ports, to knock at while it starts.
        listeners = [dict(one, listen=f"127.0.0.1:{free_port()}") for one in LISTENERS[:2]]
        gateway = self.gateway({}, server={"listeners": listeners})
        self.ban(gateway, "127.0.0.2")
        self.done(gateway, "ban", "127.0.9.0/24", "--for", "1h")
        before = self.banned(gateway)
        time.sleep(1.5)  # Kills at once have tests of their own.
        for stop in (gateway.terminate, gateway.kill, gateway.kill):
            stop()
            over, got = threading.Event(), set()

            def knock(over=over, got=got):
                while not over.is_set():
                    got.add(self.outcome(gateway, "127.0.0.2", "smtp"))
            knocking = threading.Thread(target=knock)
            knocking.start()
            try:
                gateway.start()
                self.shut(gateway, "127.0.0.2", "127.0.9.7", times=10)
            finally:
                over.set()
                knocking.join()
            self.assertNotIn("in", got)
            self.welcome(gateway, "127.0.0.3")
            self.assertEqual(self.banned(gateway), before)
            for address in before:
                self.logged(gateway, action(gateway, "Restore Ban", address))

    def test_a_kill_right_after_the_third_reply(self):
        gateway = self.gateway({})
        self.strike(gateway, "127.0.0.2")
        gateway.kill()
        gateway.start()
        self.shut(gateway, "127.0.0.2", times=5)

    def test_a_kill_right_after_a_command(self):
        gateway = self.gateway({})
        self.done(gateway, "ban", "127.0.0.3")
        self.ban(gateway, "127.0.0.4")
        time.sleep(1.2)
        for command, expected in (("ban 127.0.0.2", "refused"), ("unban 127.0.0.3", "in"),
                                  ("ignore add 127.0.0.4", "in")):
            with self.subTest(command):  # Each is durable, with its audit row, before the answer comes.
                self.done(gateway, *command.split())
                gateway.kill()
                gateway.start()
                source = command.split()[-1]
                self.assertEqual(self.outcome(gateway, source, "smtp"), expected)
                if command.startswith("ignore"):
                    self.assertIn(source, self.done(gateway, "ignore", "list"))

    def test_what_ended_or_was_listed_while_it_was_down_is_not_restored(self):
        gateway = self.gateway({"ban_time": "1h"})
        self.ban(gateway, "127.0.0.2", "127.0.0.4")
        time.sleep(1.2)  # Kills at once have tests of their own.
        self.done(gateway, "ban", "127.0.0.3", "--for", "3s")
        ban, unban = (action(gateway, word, "127.0.0.3") for word in ("Ban", "Unban"))
        (start,) = self.logged(gateway, ban)
        gateway.kill()
        self.assertEqual(self.lines(gateway, unban), [])
        time.sleep(max(0, stamp(start) + 3.1 - time.time()))
        gateway.policy["bans"]["ignore"] = ["127.0.0.4"]  # Listed meanwhile.
        gateway.start()
        self.shut(gateway, "127.0.0.2")
        self.welcome(gateway, "127.0.0.3")
        with self.subTest("listed meanwhile"):
            self.welcome(gateway, "127.0.0.4")
        self.logged(gateway, action(gateway, "Restore Ban"))
        self.logged(gateway, action(gateway, "Restore Ban", "127.0.0.3"), 0, seconds=0)

    def test_a_ban_that_is_restored_ends_in_time(self):
        gateway = self.gateway({"ban_time": "1h"})
        for number, seconds in enumerate((8, 24, 72), 2):
            address, beside = f"127.0.0.{number}", f"127.0.1.{number}"
            self.reload(gateway, ban_time=f"{seconds}s")
            self.ban(gateway, address)
            (start,) = self.logged(gateway, action(gateway, "Ban", address))
            gateway.kill()
            time.sleep(4)  # Were these added to it, its end would come after that of the one beside.
            gateway.start()
            self.ban_beside(gateway, beside, stamp(start) + seconds)
            self.logged(gateway, action(gateway, "Ban", beside))
            if self.lines(gateway, action(gateway, "Restore Ban", address)):
                break  # Else the start took longer than the ban.
        self.ended_in_time(gateway, start, seconds, beside)

    def test_a_reload_keeps_bans_and_strikes_and_changes_the_rule(self):
        gateway = self.gateway({})
        self.ban(gateway, "127.0.0.2")
        self.strike(gateway, "127.0.0.3", 2)
        self.reload(gateway, ban_time="20m")
        self.shut(gateway, "127.0.0.2")
        self.strike(gateway, "127.0.0.3", 1)
        self.shut(gateway, "127.0.0.3")
        self.strike(gateway, "127.0.0.4", 1)
        self.reload(gateway, max_retry=2)  # What was counted under another number is forgotten.
        self.strike(gateway, "127.0.0.4", 2)
        self.shut(gateway, "127.0.0.4")


class Log(Banning):
    def test_lines_are_fail2bans_byte_for_byte_and_in_order(self):
        gateway = self.gateway({"ignore": ["127.0.0.5"]})
        before = time.time()
        self.strike(gateway, "127.0.0.5", 1)
        self.ban(gateway, "127.0.0.2")
        self.done(gateway, "unban", "127.0.0.2")
        self.logged(gateway, action(gateway, "Unban"))
        expected = [ignored(gateway, "127.0.0.5"), *[found(gateway, "127.0.0.2")] * 3, action(gateway, "Ban"),
                    action(gateway, "Unban")]
        data = (gateway.folder / "log/ban.log").read_bytes()
        self.assertTrue(data.endswith(b"\n") and b"\r" not in data)
        for text, pattern in itertools.zip_longest(data.decode().splitlines(), expected):
            self.assertRegex(text, pattern)
            self.assertTrue(before - 0.01 <= stamp(text) <= time.time() + 0.01, text)  # Local time.
            before = stamp(text)

    def recidive(self, log):
        if not shutil.which("fail2ban-regex") or not RECIDIVE.exists():
            self.skipTest("fail2ban is not installed: run tools/setup")
        for path in ("", PACKAGES):
            done = subprocess.run(["fail2ban-regex", "--print-all-matched", str(log), str(RECIDIVE)], text=True,
                                  capture_output=True, timeout=60, check=False, env={**os.environ, "PYTHONPATH": path})
            if "ModuleNotFoundError" not in done.stderr:
                break
        self.assertIn("matched", done.stdout, done.stderr)
        matched = done.stdout.partition("Matched line(s):")[2].partition("\n`-")[0]
        return re.findall(rf"^\|  ({DATE},.*\S) *$", matched, re.M)

    def test_the_recidive_filter_finds_each_ban_and_nothing_else(self):
        gateway = self.gateway({"ban_time": "1s", "ban_time_increment": True, "ignore": ["127.0.0.5"]},
                               server={"listeners": SIX})
        self.strike(gateway, "127.0.0.5", 1)
        self.ban(gateway, "127.0.0.2")
        self.logged(gateway, action(gateway, "Unban"))
        self.strike(gateway, "127.0.0.2")
        for address in ("127.0.0.9", "2001:db8::7", "192.0.2.0/24"):
            self.done(gateway, "ban", address, "--for", "1h")
        self.host = "::1"
        self.strike(gateway, "::1", name="six")
        gateway.terminate()
        gateway.start()
        self.logged(gateway, action(gateway, "Restore Ban", "127.0.0.9"))
        bans = self.lines(gateway, r"\] Ban ")
        self.assertEqual(len(bans), 6, bans)
        matched = self.recidive(gateway.folder / "log/ban.log")
        # A network, banned by hand, is no <HOST>: fail2ban's own filter passes over fail2ban's own line, too.
        self.assertEqual(matched, [text for text in bans if "/" not in text.rsplit(" ", 1)[1]])


def enter_namespace(name):
    with open(f"/run/netns/{name}", "rb") as namespace:
        if ctypes.CDLL(None).setns(namespace.fileno(), 0x40000000):
            raise OSError(f"setns {name}")


@unittest.skipUnless(os.geteuid() == 0 and shutil.which("ip"), "network namespaces need root and ip(8)")
class Namespaces(Banning):
    """Two machines with a cable between them: the gateway's, and the clients'."""

    def ip(self, *words):
        done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True, timeout=20)
        if done.returncode and words[1] == "add":
            self.skipTest(f"no network namespace can be made: {done.stderr}")
        self.assertEqual(done.returncode, 0, (words, done.stderr))

    def setUp(self):
        inside, outside = (f"ebb-{os.getpid()}-{self._testMethodName[-4:]}-{end}" for end in "gc")
        for name in (inside, outside):
            self.ip("netns", "add", name)
            self.addCleanup(subprocess.run, ["ip", "netns", "del", name], check=False)
        self.ip("-n", inside, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", outside)
        for number in range(1, 5):
            self.ip("-n", outside if number > 1 else inside, "addr", "add", f"10.77.0.{number}/24", "dev", "cable")
        for address in ("fd77::1", "fd77:0:0:2::2", "fd77:0:0:2::3", "fd77:0:0:2::8", "fd77:0:0:3::2"):
            self.ip("-n", inside if address == "fd77::1" else outside, "addr", "add", address + "/32", "dev", "cable",
                    "nodad")
        for name, link in itertools.product((inside, outside), ("lo", "cable")):
            self.ip("-n", name, "link", "set", link, "up")
        there = concurrent.futures.ThreadPoolExecutor(1, initializer=enter_namespace, initargs=(outside,))
        self.addCleanup(there.shutdown)
        self.make = lambda family: there.submit(socket.socket, family).result()  # It belongs there for good.
        listeners = [{"name": f"{kind} {address}", "kind": kind, "listen": f"{address}:0"} for kind, address in
                     itertools.product(("smtp", "smtps"), ("10.77.0.1", "0.0.0.0", "[fd77::1]", "[::]"))]
        self.served = self.gateway({"ignore": ["10.77.0.4", "fd77:0:0:2::8"]}, server={"listeners": listeners},
                                   process={"preexec_fn": lambda: enter_namespace(inside)})

    def test_ipv4(self):
        served, self.host = self.served, "10.77.0.1"
        names = [name for name in served.ports if "." in name or
                 self.outcome(served, "10.77.0.2", name) == "in"]  # [::] may take IPv4 as well.
        print(f"IPv4 clients get in by {names}", flush=True)
        self.welcome(served, "10.77.0.2", "10.77.0.3", "10.77.0.4", names=names)
        held = [self.come(served, "10.77.0.2", name) for name in names]
        secure = [name for name in names if name.startswith("smtps")]
        for number in range(3):
            client = self.strike(served, "10.77.0.2", 1, secure[number % len(secure)])
        self.assertTrue(client.closed())
        self.shut(served, "10.77.0.2", times=30, names=names)
        self.assertTrue(all(one.gone() for one in held))
        for name in secure:
            self.strike(served, "10.77.0.4", 5, name)
        self.welcome(served, "10.77.0.3", "10.77.0.4", names=names)
        self.logged(served, found(served, "10.77.0.2"), 3)
        self.logged(served, action(served, "Ban", "10.77.0.2"))
        self.logged(served, ignored(served, "10.77.0.4"), 5 * len(secure))

    def test_ipv6_shares_the_ban_of_its_64(self):
        served, self.host = self.served, "fd77::1"
        names = [name for name in served.ports if "[" in name]
        one, same, listed, other = "fd77:0:0:2::2", "fd77:0:0:2::3", "fd77:0:0:2::8", "fd77:0:0:3::2"
        self.welcome(served, one, same, listed, other, names=names)
        held = self.come(served, same, "smtp [::]")
        for source in (one, same, one):  # Counted together.
            client = self.strike(served, source, 1, "smtps [fd77::1]")
        self.assertTrue(client.closed())
        self.shut(served, one, same, times=30, names=names)
        self.assertTrue(held.gone())
        self.welcome(served, other, names=names)
        self.logged(served, found(served, one), 2)
        self.logged(served, found(served, same), 1)
        self.logged(served, action(served, "Ban", one))  # The address is logged, not its /64.
        self.assertIs(self.done(served, "why", same, "--json")["banned"], True)
        with self.subTest("a listed address within the banned /64"):
            self.strike(served, listed, 6, "smtps [fd77::1]")
            self.welcome(served, listed, names=names)
        self.done(served, "unban", same)
        self.welcome(served, one, same, names=names)


if __name__ == "__main__":
    unittest.main()
