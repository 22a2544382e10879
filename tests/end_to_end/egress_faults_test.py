#!/usr/bin/env python3
"""Faults of the way out that a review found: each of these failed before it was mended."""

import collections
import json
import pathlib
import random
import re
import shutil
import tempfile
import threading
import time
import unittest

from attacked import SANITIZED, closing, cpu_seconds, reset, saying
from egress_test import Egress, at, delivered, fastest, mx
from gateway import Client, Hop

LATER = {"retry": {"first": "1h", "factor": 1, "max": "1h", "max_age": "1d"}}
FULL = b"450 4.2.2 mailbox full\r\n"  # Says nothing of the destination, which is not left alone for it.


class Judge(Hop):
    """What it says is decide(verb, line): None is what is right, bytes are said instead, an action is that of a fault.

    Verbs are those of SMTP, BODY when a line of a text has come, and DOT. `taken` has the recipients and the text of each
    message that it took.
    """

    def __init__(self, decide, **options):
        self.decide, self.taken, self.tried = decide, [], []
        super().__init__(**options)

    def converse(self, plain, _fault):
        lines, recipients = plain.makefile("rb"), []

        def answer(verb, line, right):
            told = self.decide(verb, line)
            if callable(told):
                return told(plain, right), right
            told = right if told is None else told
            plain.sendall(told)
            return True, told

        go_on, _ = answer("GREETING", "", b"220 judge.test ESMTP\r\n")
        while go_on and (raw := lines.readline()):
            line = raw.decode().strip()
            verb = line[:4].upper()
            if verb == "EHLO":
                offers = ["judge.test", *self.offers, *["PIPELINING"] * self.pipelining]
                go_on, _ = answer(verb, line, "".join(f"250-{offer}\r\n" for offer in offers).encode() + b"250 HELP\r\n")
            elif verb == "DATA" and not recipients:
                plain.sendall(b"554 5.5.1 no recipients\r\n")
            elif verb == "DATA":
                go_on, told = answer(verb, line, b"354 go ahead\r\n")
                if not go_on or not told.startswith(b"3"):
                    continue
                text = bytearray(lines.readline())
                cut = self.decide("BODY", "")
                if cut and not cut(plain, b""):
                    return
                while not text.endswith(b"\r\n.\r\n"):
                    more = lines.readline()
                    if not more:
                        return
                    text += more
                told = self.decide("DOT", "") or b"250 2.0.0 Ok: kept\r\n"
                if told.startswith(b"2"):
                    self.taken.append((tuple(recipients), bytes(text)))
                plain.sendall(told)
                recipients = []
            else:
                go_on, told = answer(verb, line, b"221 bye\r\n" if verb == "QUIT" else b"250 2.0.0 Ok\r\n")
                if verb == "RCPT":
                    address = re.search(r"<(.*?)>", line)[1]
                    self.tried.append(address)
                    recipients += [address] * told.startswith(b"2")
                elif verb in ("MAIL", "RSET"):
                    recipients = []
                go_on = go_on and verb != "QUIT"


def text_of(name, lines=20):
    """With all that the gateway would add."""
    return ("From: a@acme.test\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n"
            f"Message-ID: <{name.replace('@', '.')}@acme.test>\r\nSubject: {name}\r\n\r\n" + f"{name} line\r\n" * lines)


class Faults(Egress):
    def judge(self, decide, **options):
        made = Judge(decide, **options)
        self.addCleanup(made.close)
        return made

    def routed(self, hops, delivery=None, **more):
        """{domain: hop}"""
        more.setdefault("shards", 1)
        routes = [{"match": domain, "relay": f"127.0.0.1:{hop.port}"} for domain, hop in hops.items()]
        routes.append({"match": "hold.test", "relay": "hold"})
        return self.gateway(policy={"routes": routes, "delivery": {**LATER, **(delivery or {})}}, **more)

    def flush(self, gateway):
        code, _, err = gateway.ctl("flush")
        self.assertEqual(code, 0, err)

    def reload(self, gateway, **retry):
        gateway.policy["delivery"]["retry"].update(retry)
        (gateway.folder / "policy.json").write_text(json.dumps(gateway.policy))
        code, _, err = gateway.ctl("reload")
        self.assertEqual(code, 0, err)

    def deferred(self, gateway, count, seconds=20):
        """So many items wait, and none is tried."""
        return gateway.wait(lambda now: now["queue"]["deferred"] == count and now["queue"]["in_flight"] == 0
                            and now["queue"]["ready"] == 0, seconds)

    def emptied(self, gateway, seconds=30):
        return gateway.wait(lambda now: sum(now["queue"][one] for one in ("ready", "deferred", "in_flight")) == 0, seconds)

    def restart(self, gateway, **server):
        self.assertEqual(gateway.terminate(), 0)
        gateway.server.update(server)
        gateway.start()

    def counted(self, hop):
        return collections.Counter(address for recipients, _ in hop.taken for address in recipients)

    def text_in(self, taken):
        """Without what the gateway put in front, and without the end mark."""
        return taken[taken.index(b"From: a@acme.test"):].removesuffix(b".\r\n").decode()


class Bodies(Faults):
    def test_each_message_goes_out_with_its_own_body(self):
        """One connection refuses what was read for it; the next message is in memory without its body, for another hop has it."""
        is_cold, at_slow, go_on = threading.Event(), threading.Event(), threading.Event()
        self.addCleanup(go_on.set)
        refused = []

        def slow(verb, _line):
            if verb == "RCPT" and not is_cold.is_set():
                return FULL
            if verb == "RCPT":
                at_slow.set()
                go_on.wait(20)
            return None

        def far(verb, line):
            if verb == "RCPT" and not is_cold.is_set():
                return FULL
            if verb == "RCPT" and "<a@" in line and not refused:
                refused.append(line)
                at_slow.wait(10)
                return FULL
            return None
        hops = {"far.test": self.judge(far), "slow.test": self.judge(slow)}
        gateway = self.routed(hops, {"connections_per_destination": 1})
        self.submit(gateway, "a@far.test", body=text_of("A"))
        self.submit(gateway, "b@far.test", "b@slow.test", body=text_of("B"))
        self.deferred(gateway, 3)
        far, slow = hops.values()
        far.tried.clear()
        is_cold.set()
        self.flush(gateway)
        gateway.wait(lambda _now: far.taken)
        self.assertEqual(far.tried, ["a@far.test", "b@far.test"])
        self.assertEqual(slow.taken, [])
        go_on.set()
        gateway.wait(lambda now: now["mail"]["done"] == 1)
        self.flush(gateway)
        gateway.wait(lambda now: now["mail"]["done"] == 2)
        found = [(recipients, self.text_in(text)) for hop in (far, slow) for recipients, text in hop.taken]
        self.assertEqual(found, [(("b@far.test",), text_of("B")), (("a@far.test",), text_of("A")), (("b@slow.test",), text_of("B"))])

    def test_a_peer_that_goes_away_while_the_disk_is_read(self):
        """At each step, and with the next message on its way from the disk."""
        faults, spent, is_cold = [], threading.local(), threading.Event()

        def bye(plain, reply):
            plain.sendall(reply)
            return False

        def resetting(plain, reply):
            plain.sendall(reply)
            reset(plain)
            return False
        plans = [{"EHLO": bye}, {"EHLO": resetting}, {"MAIL": closing}, {"MAIL": saying(b"421 4.3.2 no\r\n", pause=0)}, {"MAIL": FULL, "RSET": bye},
                 {"RCPT": FULL, "RSET": bye}, {"RCPT": FULL, "RSET": resetting}, {"RCPT": FULL, "RSET": b"421 4.3.2 no\r\n"},
                 {"RCPT": closing}, {"DATA": closing}, {"DATA": FULL, "RSET": bye}, {"BODY": closing}, {"BODY": resetting}, {"DOT": FULL}]

        def decide(verb, _line):
            if verb == "GREETING":
                spent.plan = faults.pop() if faults else {}
            if not is_cold.is_set() and verb == "RCPT":
                return FULL
            return spent.plan.get(verb)
        hop = self.judge(decide, pipelining=False)
        piped = self.judge(decide)
        gateway = self.routed({"far.test": hop, "piped.test": piped}, {"connections_per_destination": 3, "idle_timeout": "0s"},
                              server={"spool": {"segment_size": "8MiB", "inline_max": "64KiB"}})
        texts = {}
        for number in range(120):
            name = f"m{number}@{('far', 'piped')[number % 2]}.test"
            texts[name] = text_of(name, random.Random(number).choice((1, 200, 4000, 60_000)))
            self.submit(gateway, name, body=texts[name])
        self.deferred(gateway, len(texts))
        is_cold.set()
        for _ in range(12):
            faults[:] = plans * 2
            random.shuffle(faults)
            end = time.monotonic() + 2
            while faults and time.monotonic() < end and gateway.status()["mail"]["done"] < len(texts):
                self.flush(gateway)
        faults.clear()
        end = time.monotonic() + 20
        while gateway.status()["mail"]["done"] < len(texts) and time.monotonic() < end:
            self.flush(gateway)
            time.sleep(0.1)
        self.emptied(gateway)
        found = collections.Counter(recipients for recipients, _ in hop.taken + piped.taken)
        self.assertEqual(found, collections.Counter((name,) for name in texts))
        for recipients, text in hop.taken + piped.taken:
            self.assertEqual(self.text_in(text), texts[recipients[0]])

    def test_connections_that_may_not_be_idle_wait_for_the_disk(self):
        """For messages that take a while to be read: by far longer than no time at all."""
        count, is_cold = 20, threading.Event()
        hop = self.judge(lambda verb, _line: FULL if verb == "RCPT" and not is_cold.is_set() else None)
        gateway = self.routed({"far.test": hop}, {"idle_timeout": "0s"})
        for number in range(count):
            self.submit(gateway, f"m{number}@far.test", body=text_of("x" * 70, 12_000))
        self.deferred(gateway, count)
        is_cold.set()
        tried, connections = len(hop.tried), hop.connections
        self.flush(gateway)
        self.done(gateway, count, 5)
        self.assertEqual((len(hop.taken), len(hop.tried) - tried), (count, count))
        self.assertLessEqual(hop.connections - connections, 2 * count)  # None was closed in vain.


class ManyRecipients(Faults):
    def setUp(self):
        super().setUp()
        self.recipients = [f"r{number}@far.test" for number in range(300)]
        self.phase = "cold"

    def odd(self, line):
        return int(re.search(r"<r(\d+)@", line)[1]) % 2 == 1

    def test_those_in_flight_are_not_lost_by_a_kill(self):
        """While one transaction has an outcome that is kept, the others of the message are under way."""
        answered, go_on = threading.Lock(), threading.Event()
        self.addCleanup(go_on.set)
        first = threading.local()

        def decide(verb, line):
            if self.phase == "cold":
                return FULL if verb == "RCPT" else None
            if self.phase != "mixed":
                return None
            if verb == "MAIL":
                first.one = answered.acquire(blocking=False)
            elif verb == "RCPT" and not first.one:
                go_on.wait(20)
            elif verb == "RCPT" and self.odd(line):
                return FULL
            return None
        hop = self.judge(decide)
        gateway = self.routed({"far.test": hop}, {"connections_per_destination": 10})
        self.submit(gateway, *self.recipients)
        gateway.wait(lambda now: now["mail"]["deferrals"] >= 300)
        self.phase = "mixed"
        before = len(hop.tried)
        self.flush(gateway)
        gateway.wait(lambda now: now["mail"]["delivered"] > 0 and now["queue"]["in_flight"] > 0)
        gateway.wait(lambda _now: len(hop.tried) - before >= 100)
        self.submit(gateway, "x@hold.test")  # Durable: so is what was noted before it.
        gateway.kill()
        self.phase = "well"
        go_on.set()
        gateway.start()
        self.flush(gateway)
        self.emptied(gateway)
        self.assertEqual(self.counted(hop), collections.Counter(self.recipients))

    def test_kills_at_any_moment_lose_none(self):
        hop = self.judge(lambda verb, line: FULL if verb == "RCPT" and self.phase != "well" and
                         (self.phase == "cold" or random.random() < 0.7) else None)
        gateway = self.routed({"far.test": hop}, {"connections_per_destination": 3})
        self.submit(gateway, *self.recipients)
        gateway.wait(lambda now: now["mail"]["deferrals"] >= 300)
        self.phase = "mixed"
        kills = 5
        for number in range(kills):
            self.flush(gateway)
            time.sleep(random.random() / 20 * (number + 1))
            gateway.kill()
            gateway.start()
        self.phase = "well"
        self.flush(gateway)
        gateway.wait(lambda now: now["queue"]["in_flight"] == 0 and now["queue"]["ready"] == 0)
        self.flush(gateway)
        self.emptied(gateway)
        counts = self.counted(hop)
        self.assertEqual(set(counts), set(self.recipients))
        self.assertLessEqual(max(counts.values()), 1 + kills)  # Between the reply and its record there is doubt.


class Reports(Faults):
    def setUp(self):
        super().setUp()
        self.box = pathlib.Path(tempfile.mkdtemp(prefix="ebbgate-faults-"))
        self.addCleanup(shutil.rmtree, self.box, True)
        self.home = self.sink("--maildir", str(self.box))

    def reports(self):
        return list((self.box / "new").glob("*")) if (self.box / "new").exists() else []

    def test_who_was_delivered_at_the_last_attempt_does_not_come_back(self):
        count = 20
        is_last, go_on = threading.Event(), threading.Event()

        def decide(verb, line):
            if verb == "RCPT" and is_last.is_set():
                go_on.wait(60)
            return FULL if verb == "RCPT" and ("late" in line or not is_last.is_set()) else None
        hop = self.judge(decide)
        gateway = self.routed({"far.test": hop}, {"retry": {**LATER["retry"], "delay_notice": "0s"}})
        self.addCleanup(go_on.set)
        gateway.policy["routes"].append({"match": "acme.test", "relay": "hold"})  # No report expires.
        self.reload(gateway)
        for number in range(count):
            self.submit(gateway, f"good{number}@far.test", f"late{number}@far.test")
        self.deferred(gateway, count)
        time.sleep(2)  # So old are all at least.
        is_last.set()
        self.flush(gateway)
        gateway.wait(lambda now: now["queue"]["in_flight"] == count)
        self.reload(gateway, max_age="1s")  # It is their last attempt, which has begun.
        go_on.set()
        gateway.wait(lambda now: now["mail"]["done"] == now["queue"]["held"] == count)  # Each, and its report.
        gateway.policy["delivery"]["retry"]["max_age"] = "1d"
        self.restart(gateway)
        self.flush(gateway)
        gateway.wait(lambda now: now["queue"]["ready"] == now["queue"]["in_flight"] == 0)
        status = gateway.status()
        self.assertEqual([status["mail"]["delivered"], *(status["queue"][one] for one in ("deferred", "held"))], [0, 0, count])
        gateway.policy["routes"][-1]["relay"] = f"127.0.0.1:{self.home.port}"
        self.reload(gateway)
        self.assertEqual(gateway.ctl("release")[0], 0)
        self.done(gateway, count)
        self.assertEqual(self.counted(hop), collections.Counter(f"good{number}@far.test" for number in range(count)))
        self.assertEqual(len(self.reports()), count)
        expired = [one["recipient"] for one in gateway.events("Expiration")]
        self.assertEqual(sorted(expired), sorted(f"late{number}@far.test" for number in range(count)))

    def test_many_bounces_by_command_take_little_memory(self):
        """Their senders want all of it back, and take nothing for a while."""
        count, each, text = 5000, 10, (text_of("x" * 70, 200) + ".\r\n").encode()
        home = self.sink("--rule", "ehlo:delay", "--delay", "4000")
        gateway = self.routed({"acme.test": home}, server={"limits": {"memory": "16MiB"}})
        client = Client(gateway.ports["smtp"])
        client.say("EHLO c.test")
        for number in range(count):
            recipients = "".join(f"RCPT TO:<r{number}-{one}@hold.test>\r\n" for one in range(each))
            client.send(f"MAIL FROM:<a@acme.test> RET=FULL\r\n{recipients}DATA\r\n")
            self.assertEqual([client.reply()[:3] for _ in range(each + 2)], ["250"] * (each + 1) + ["354"])
            client.send(text)
            self.assertEqual(client.reply()[:3], "250")
        self.assertEqual(client.say("QUIT")[:3], "221")
        gateway.wait(lambda now: now["queue"]["held"] == count)
        before = self.memory_most(gateway, is_anew=True)
        code, out, err = gateway.ctl("bounce", "--all", "--reason", "gone " * 80)
        self.assertEqual(code, 0, (out, err))
        gateway.wait(lambda now: now["mail"]["done"] == 2 * count, 40)
        grown = self.memory_most(gateway) - before
        queue = gateway.status()["queue"]
        self.assertEqual((home.stop()["messages"], queue["held"], queue["deferred"]), (count, 0, 0))
        ended = [one["recipient"] for one in gateway.events("AdminBounce")]
        self.assertEqual((len(ended), len(set(ended))), (each * count, each * count))
        print(f"{grown / 2**20:.0f} MiB more", flush=True)
        if not SANITIZED:
            self.assertLess(grown, 36 * 2**20)

    def memory_most(self, gateway, is_anew=False):
        """The largest so far, or from now on."""
        if is_anew:
            pathlib.Path(f"/proc/{gateway.process.pid}/clear_refs").write_text("5")
        text = pathlib.Path(f"/proc/{gateway.process.pid}/status").read_text()
        return int(text.split("VmHWM:")[1].split()[0]) * 1024

    def test_a_report_above_the_inline_limit_is_written(self):
        gateway = self.routed({"acme.test": self.home}, server={"spool": {"segment_size": "8MiB", "inline_max": "4KiB"}})
        self.submit(gateway, *[f"r{number}@hold.test" for number in range(50)], body=text_of("x"))
        gateway.wait(lambda now: now["queue"]["held"] == 1)
        self.assertEqual(gateway.ctl("bounce", "--all", "--reason", "gone")[0], 0)
        gateway.wait(lambda now: now["mail"]["done"] == 2, 5)
        self.assertEqual(len(self.reports()), 1)
        self.assertGreater(self.reports()[0].stat().st_size, 4096)


class Sharing(Faults):
    def test_a_lane_gets_the_connection_that_another_one_leaves_idle(self):
        go_on = threading.Event()
        self.addCleanup(go_on.set)
        busy = self.judge(lambda verb, _line: go_on.wait(20) and None if verb == "DOT" else None)
        others = [self.judge(lambda _verb, _line: None) for _ in range(5)]
        gateway = self.routed({"busy.test": busy, **{f"c{number}.test": one for number, one in enumerate(others)}}, {"max_connections": 1})
        self.submit(gateway, "x@busy.test")
        gateway.wait(lambda now: now["queue"]["in_flight"] == 1)
        for number in range(len(others)):
            self.submit(gateway, f"x@c{number}.test")
        gateway.wait(lambda now: now["queue"]["ready"] == len(others))
        go_on.set()
        self.done(gateway, 1 + len(others), 5)  # Far less than the idle time.
        self.assertEqual([hop.connections for hop in others], [1] * len(others))

    def test_a_rate_of_connections_of_many_domains_of_one_site(self):
        count = 50
        names = {"m.test": at("127.0.0.2")} | {f"d{number}.sink.test": mx("m.test") for number in range(count)}
        host = self.mail_host("127.0.0.2")
        gateway = self.by_mx(self.zone(names), {"max_connection_rate": "5/s", "messages_per_connection": 1})
        began = time.monotonic()
        self.bulk(gateway, count, count)
        cpu = cpu_seconds(gateway.process.pid)
        self.done(gateway, count)
        spent, cpu = time.monotonic() - began, cpu_seconds(gateway.process.pid) - cpu
        self.assertEqual((host.stop()["messages"], len(gateway.events("TransientFailure"))), (count, 0))
        self.assertGreaterEqual(spent, 8)
        self.assertLess(fastest(delivered(gateway), 5), 1.2)
        if not SANITIZED:
            self.assertLess(cpu, 1)  # Who waits does not ask again and again.


if __name__ == "__main__":
    unittest.main(warnings="ignore")  # Sockets and sinks end with their test, not before.
