#!/usr/bin/env python3
"""The queue, from outside: who waits for whom, how long, and what is kept. PRODUCT.md 7, DESIGN.md D7, docs/policy.md."""

import pathlib
import smtplib
import socket
import subprocess
import tempfile
import time
import unittest

from attacked import Attacked, reset
from gateway import OPEN
from ports import free_port


def resident_bytes(gateway):
    text = pathlib.Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


class Queue(Attacked):
    def send(self, gateway, recipients, count=1, client="127.0.0.1", subject="x", domain="acme.test"):
        with smtplib.SMTP("127.0.0.1", gateway.ports["smtp"], local_hostname="c.test", timeout=20, source_address=(client, 0)) as session:
            for number in range(count):
                session.sendmail(f"a@{domain}", recipients, f"From: a@{domain}\r\nSubject: {subject} {number}\r\n\r\nhello\r\n")

    def bulk(self, gateway, count, domains=1, *options):
        done = subprocess.run(self.load(gateway, "--messages", str(count), "--size", "500", "--domains", str(domains), *options),
                              capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)

    def done(self, gateway, count, seconds=30):
        return gateway.wait(lambda now: now["mail"]["done"] >= count, seconds)


class Fairness(Queue):
    def place_of(self, box, subject):
        """How many came before it, by the numbers that the sink gives."""
        files = sorted(pathlib.Path(box, "new").iterdir(), key=lambda path: int(path.name.split(".")[1]))
        return next(place for place, path in enumerate(files) if f"Subject: {subject}".encode() in path.read_bytes()) if files else -1

    def came(self, box):
        return len(list(pathlib.Path(box, "new").iterdir()))

    def overtakes(self, connections, most):
        with tempfile.TemporaryDirectory() as box:
            sink = self.sink("--maildir", box, "--rule", "dot:delay", "--delay", "50")
            tenants = [{"name": "bulk", **OPEN, "relay_hosts": ["127.0.0.1/32"]},
                       {"name": "other", **OPEN, "domains": ["other.test"], "authorized_senders": ["@other.test"],
                        "relay_hosts": ["127.0.0.2/32"]}]
            gateway = self.gateway(next_hop=sink.port, policy={"tenants": tenants, "delivery": {
                "retry": {"first": "1s", "max": "1s", "factor": 1, "max_age": "1d"}, "connections_per_destination": connections}})
            self.bulk(gateway, 20_000)
            gateway.wait(lambda now: now["queue"]["ready"] > 10_000)
            waited = []
            for number in range(6):  # One after another, each on a connection, and so a shard, of its own.
                before = self.came(box)
                self.send(gateway, ["one@d0.sink.test"], client="127.0.0.2", subject=f"single-{number}", domain="other.test")
                gateway.wait(lambda now: self.count(gateway, "a@other.test") > number, 90)
                waited.append(self.place_of(box, f"single-{number}") - before)
            self.stop(sink, gateway)
            self.assertLess(max(waited), most, waited)

    def count(self, gateway, sender):
        return sum(one["sender"] == sender for one in gateway.events("Delivery"))

    def test_one_message_of_another_tenant_does_not_wait(self):
        self.overtakes(4, 40)

    def test_one_message_does_not_wait_for_a_connection_that_another_shard_has(self):
        self.overtakes(1, 60)  # A turn is a second, 20 messages; each shard has one at most before.

    def test_transactional_mail_overtakes_of_its_own_tenant(self):
        """Through another account of the same tenant."""
        with tempfile.TemporaryDirectory() as box:
            sink = self.sink("--maildir", box, "--rule", "dot:delay", "--delay", "50")
            tenants = [{"name": "bulk", **OPEN, "relay_hosts": ["127.0.0.1/32"]},
                       {"name": "quick", **OPEN, "domains": ["other.test"], "authorized_senders": ["@other.test"],
                        "relay_hosts": ["127.0.0.2/32"], "class": "transactional"}]
            gateway = self.gateway(next_hop=sink.port, policy={"tenants": tenants, "delivery": {
                "retry": {"first": "1s", "max": "1s", "factor": 1, "max_age": "1d"}, "connections_per_destination": 2}})
            self.bulk(gateway, 3_000)
            gateway.wait(lambda now: now["queue"]["in_flight"] == 2)
            before = self.came(box)
            self.send(gateway, ["one@d0.sink.test"], 100, client="127.0.0.2", subject="quick", domain="other.test")
            gateway.wait(lambda now: self.count(gateway, "a@other.test") == 100, 60)
            time.sleep(0.2)
            files = sorted(pathlib.Path(box, "new").iterdir(), key=lambda path: int(path.name.split(".")[1]))
            last = max(place for place, path in enumerate(files) if b"Subject: quick" in path.read_bytes())
            count = sum(b"Subject: quick" in path.read_bytes() for path in files)
            self.assertEqual(count, 100)
            # Eight quick ones, then one of the others, at worst; and meanwhile the other shard's connection, which has
            # no quick ones, sends as many.
            self.assertLess(last - before, 300, (before, last))
            self.stop(sink, gateway)

    def stop(self, sink, gateway):
        gateway.kill()
        sink.process.kill()
        sink.process.wait()

    def speed(self, dead):
        sink = self.sink()
        routes = [{"match": f"dead{number}.test", "relay": f"127.0.0.1:{free_port()}"} for number in range(dead)]
        routes.append({"match": "*", "relay": f"127.0.0.1:{sink.port}"})
        gateway = self.gateway(policy={"routes": routes})
        for start in range(0, dead, 50):
            self.send(gateway, [f"x@dead{number}.test" for number in range(start, min(dead, start + 50))], 20)
        began = time.monotonic()
        self.bulk(gateway, 10_000, 20)
        gateway.wait(lambda now: now["mail"]["delivered"] >= 10_000, 60)
        spent = time.monotonic() - began
        self.assertEqual(sink.stop()["messages"], 10_000)
        return spent

    def test_dead_destinations_slow_nobody(self):
        none, one, many = (min(self.speed(dead) for _ in range(2)) for dead in (0, 1, 200))
        self.assertLess(one, none * 1.3 + 0.3, (none, one, many))
        self.assertLess(many, none * 1.3 + 0.5, (none, one, many))


class Retries(Queue):
    def deferring(self, retry, **more):
        sink = self.sink("--rule", "rcpt:defer")
        return sink, self.gateway(next_hop=sink.port, policy={"delivery": {"retry": retry}}, **more)

    def test_the_schedule(self):
        sink, gateway = self.deferring({"first": "1s", "factor": 2, "max": "4s", "max_age": "1d"})
        self.send(gateway, ["x@d.test"])
        gateway.wait(lambda now: now["mail"]["deferrals"] >= 5, 30)
        times = [one["timestamp"] for one in gateway.events("TransientFailure")]
        attempts = [one["num_attempts"] for one in gateway.events("TransientFailure")]
        events = gateway.events("TransientFailure")
        exact = [self.seconds(one["event_time"]) for one in events]
        waits = [later - sooner for sooner, later in zip(exact, exact[1:])]
        self.assertEqual(attempts[:5], [1, 2, 3, 4, 5], times)
        for wait, least in zip(waits, (1, 2, 4, 4)):
            self.assertTrue(least - 0.1 <= wait <= least * 1.2 + 0.6, waits)
        sink.stop()

    def seconds(self, text):
        from datetime import datetime
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()

    def ends_in_time(self, gateway, count, age, late):
        gateway.wait(lambda now: now["mail"]["done"] >= count, age + late + 10)
        ends = gateway.events("Expiration") + gateway.events("Bounce")
        self.assertEqual(len(ends), count)
        for one in ends:
            spent = self.seconds(one["event_time"]) - self.seconds(one["created_time"])
            self.assertTrue(age - 1 <= spent <= age + late, (spent, one))

    def test_max_age_of_what_is_deferred(self):
        sink, gateway = self.deferring({"first": "1s", "factor": 2, "max": "2s", "max_age": "6s"})
        self.send(gateway, ["x@d.test"], 5)
        self.ends_in_time(gateway, 5, 6, 4)
        sink.stop()

    def test_max_age_of_what_waits_for_a_destination_that_refuses(self):
        """What is due has a minute of chance at least, so that it is tried once more after a long back-off."""
        policy = {"delivery": {"retry": {"first": "1s", "factor": 2, "max": "2s", "max_age": "6s"}}}
        gateways = [self.gateway(next_hop=free_port(), policy=policy) for _ in range(2)]
        for gateway in gateways:
            self.send(gateway, ["x@d.test"], 5)
        time.sleep(2)
        gateways[1].kill()
        gateways[1].start()
        for gateway in gateways:
            self.ends_in_time(gateway, 5, 6, 66)

    def test_held_mail_is_exempt(self):
        gateway = self.gateway(policy={"delivery": {"retry": {"first": "1s", "factor": 1, "max": "1s", "max_age": "3s"}}})
        self.send(gateway, ["x@hold.test"], 3)
        time.sleep(6)
        self.assertEqual((gateway.status()["queue"]["held"], gateway.status()["mail"]["bounced"]), (3, 0))

    def test_a_restart_keeps_attempts_and_the_next_try(self):
        sink, gateway = self.deferring({"first": "4s", "factor": 1, "max": "4s", "max_age": "1d"})
        self.send(gateway, ["x@d.test"])
        gateway.wait(lambda now: now["mail"]["deferrals"] == 1)
        time.sleep(1)
        gateway.kill()
        gateway.start()
        gateway.wait(lambda now: now["mail"]["deferrals"] == 1, 10)
        events = gateway.events("TransientFailure")
        self.assertEqual([one["num_attempts"] for one in events], [1, 2])
        wait = self.seconds(events[1]["event_time"]) - self.seconds(events[0]["event_time"])
        self.assertTrue(3.5 <= wait <= 6.5, wait)
        sink.stop()

    def test_fifty_thousand_deferred_messages(self):
        sink, gateway = self.deferring({"first": "1h", "factor": 1, "max": "1h", "max_age": "1d"})
        self.bulk(gateway, 2_000, 50)
        gateway.wait(lambda now: now["queue"]["deferred"] == 2_000, 60)
        time.sleep(2)
        before = resident_bytes(gateway)
        self.bulk(gateway, 50_000, 50, "--run", "s", "--sessions", "20")
        gateway.wait(lambda now: now["queue"]["deferred"] == 52_000, 120)
        time.sleep(3)
        each = (resident_bytes(gateway) - before) / 50_000
        self.assertEqual(gateway.terminate(), 0)
        began = time.monotonic()
        gateway.start()
        spent = time.monotonic() - began
        status = gateway.wait(lambda now: now["queue"]["deferred"] == 52_000, 20)
        self.assertEqual(status["queue"]["ready"], 0)
        fresh = resident_bytes(gateway) / 52_000
        print(f"{each:.0f} bytes each, {fresh:.0f} of all after a restart of {spent:.2f} s", flush=True)
        self.assertLess(each, 400)
        self.assertLess(spent, 5)
        sink.stop()

    def test_lost_after_the_final_dot_is_in_doubt_and_tried_again(self):
        for end in (lambda _plain, _reply: False, lambda plain, _reply: bool(reset(plain))):
            hop = self.hop(("dot", end))
            gateway = self.gateway(next_hop=hop.port)
            self.send(gateway, ["x@d.test"])
            status = self.done(gateway, 1)
            self.assertEqual((status["mail"]["ambiguous"], status["mail"]["bounced"], len(hop.seen)), (1, 0, 2))
            self.assertEqual([one["recipient"] for one in gateway.events("Ambiguous")], ["x@d.test"])


if __name__ == "__main__":
    unittest.main()
