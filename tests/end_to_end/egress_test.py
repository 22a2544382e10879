#!/usr/bin/env python3
"""How mail leaves, from outside: PRODUCT.md 7, DESIGN.md D7, D13, 5, docs/policy.md, docs/dns.md."""

import datetime
import json
import pathlib
import re
import smtplib
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from attacked import Attacked
from dns_servers import Scripted, reply
from gateway import CTL, DAEMON, OPEN, Hop, Sink
from ports import free_port

RETRY = {"first": "1s", "factor": 1, "max": "1s", "max_age": "1d"}


class Zone:
    """Names on loopback by a resolver of our own: {name: {type: [data]}}; `mood` is well, dead or SERVFAIL."""

    def __init__(self, names):
        self.names, self.mood = names, "well"
        self.server = Scripted(self.script)
        self.close = self.server.close

    def script(self, name, kind, query, _tcp):
        if self.mood != "well":
            return [] if self.mood == "dead" else [reply(query, rcode=2).pack()]
        records, at = [], name
        while "CNAME" in self.names.get(at, ()):
            target = self.names[at]["CNAME"][0].rstrip(".")
            records.append(f"{at}. 300 IN CNAME {target}.")
            at = target
        if at not in self.names:
            return [reply(query, *records, rcode=3).pack()]
        records += [f"{at}. 300 IN {kind} {data}" for data in self.names[at].get(kind, ())]
        return [reply(query, *records).pack()]


def mx(*hosts):
    return {"MX": [f"{10 * (place + 1)} {host}." for place, host in enumerate(hosts)]}


def at(address):
    return {"A": [address]}


def moment(event):
    return datetime.datetime.fromisoformat(event["event_time"].replace("Z", "+00:00")).timestamp()


def delivered(gateway):
    """When each was."""
    return [moment(one) for one in gateway.events("Delivery")]


def fastest(times, count):
    """How long so many took that followed one another, at best: a machine that is busy loses what a rate allows, but not always."""
    times = sorted(times)
    return min(later - sooner for sooner, later in zip(times, times[count:]))


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        return True
    except OSError:
        return False


class Egress(Attacked):
    def setUp(self):
        self.port = free_port()  # Of all mail hosts.

    def zone(self, names):
        made = Zone(names)
        self.addCleanup(made.close)
        return made

    def by_mx(self, zone, delivery=None, dns=None, shards=2, **policy):
        server = {"shards": shards, "dns": {"resolver": zone.server.server, "private_addresses": "allow", "trust_anchor": "none", **(dns or {})}}
        policy = {"routes": [{"match": "*", "relay": "mx"}],
                  "delivery": {"retry": RETRY, "mx_port": self.port, **(delivery or {})}, **policy}
        return self.gateway(server=server, policy=policy)

    def mail_host(self, *addresses, options=()):
        more = [word for one in addresses[1:] for word in ("--listen", f"{one}:{self.port}")]
        return self.sink(*more, *options, host=addresses[0], port=self.port)

    def bad_host(self, address, greeting, wait=0.0):
        """Every connection gets this greeting, or none; the times of the connections are kept."""
        listener = socket.create_server((address, self.port), backlog=500)
        self.addCleanup(listener.close)
        self.addCleanup(lambda: listener.shutdown(socket.SHUT_RDWR))
        came, kept = [], []

        def serve():
            while True:
                try:
                    plain, _ = listener.accept()
                except OSError:
                    return
                came.append(time.monotonic())
                kept.append(plain)
                if greeting:
                    plain.sendall(greeting)
                    plain.close()
        threading.Thread(target=serve, daemon=True).start()
        return came

    def send(self, gateway, recipients, count=1, client="127.0.0.1", subject="x", sender="a@acme.test"):
        with smtplib.SMTP("127.0.0.1", gateway.ports["smtp"], local_hostname="c.test", timeout=20,
                          source_address=(client, 0)) as session:
            for number in range(count):
                session.sendmail(sender, recipients, f"From: {sender}\r\nSubject: {subject} {number}\r\n\r\nhello\r\n")

    def bulk(self, gateway, count, domains=20, *options):
        """To uM@dN.sink.test."""
        run = subprocess.run(self.load(gateway, "--messages", str(count), "--size", "500", "--domains", str(domains),
                                       *options), capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(run.returncode, 0, run.stderr + run.stdout)

    def bulk_at_once(self, gateway, count, destination):
        """To one domain; none goes before all are there, so that its lane is busy to the end."""
        self.assertEqual(gateway.ctl("suspend", "--domain", destination, "--duration", "1h", "--reason", "wait for all")[0], 0)
        self.bulk(gateway, count, 1)
        self.assertEqual(gateway.status()["mail"]["done"], 0)
        self.assertEqual(gateway.ctl("resume", "--domain", destination)[0], 0)

    def overtaking(self, gateway, recipient, count=1):
        """How many others went out before its message number `count` came, and how many from then on until that had gone out, too."""
        log = gateway.folder / "log" / "events.jsonl"

        def written():
            """As yet: Gateway.events() waits until nothing more is to be written, and here there always is."""
            return [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]

        def arrivals(events):
            return [(moment(one), one["id"]) for one in events if one["type"] == "Delivery" and one["recipient"] == recipient]
        gateway.wait(lambda _: len(arrivals(written())) == count, 60)
        events = written()
        went, identity = arrivals(events)[-1]
        (came,) = [moment(one) for one in events if one["type"] == "Reception" and one["id"] == identity]
        others = [moment(one) for one in events if one["type"] == "Delivery" and one["id"] != identity]
        return sum(one <= came for one in others), sum(came < one < went for one in others)

    def done(self, gateway, count, seconds=30):
        return gateway.wait(lambda now: now["mail"]["done"] >= count, seconds)


class Routes(Egress):
    def test_the_best_host_takes_all(self):
        zone = self.zone({"d.test": mx("m1.test", "m2.test"), "m1.test": at("127.0.0.2"), "m2.test": at("127.0.0.3")})
        host = self.mail_host("127.0.0.2", "127.0.0.3")
        gateway = self.by_mx(zone)
        self.send(gateway, ["x@d.test"], 20)
        self.done(gateway, 20)
        totals = host.stop()
        self.assertEqual((totals["messages"], list(totals["destinations"])), (20, [f"127.0.0.2:{self.port}"]))

    def falls_back(self, greeting):
        zone = self.zone({"d.test": mx("m1.test", "m2.test"), "m1.test": at("127.0.0.2"), "m2.test": at("127.0.0.3")})
        host = self.mail_host("127.0.0.3")
        came = None if greeting is None else self.bad_host("127.0.0.2", greeting)
        gateway = self.by_mx(zone, {"timeouts": {"greeting": "1s", "connect": "1s"},
                                    "retry": {"first": "30s", "factor": 1, "max": "30s", "max_age": "1d"}})
        self.send(gateway, ["x@d.test"], 10)
        status = self.done(gateway, 10, 15)  # Before any retry: it went to the next host at once.
        self.assertEqual((status["mail"]["bounced"], host.stop()["messages"]), (0, 10))
        self.assertEqual(len(gateway.events("Bounce")), 0)
        return came

    def test_refused_connections_fall_back(self):
        self.falls_back(None)

    def test_no_greeting_falls_back(self):
        self.falls_back(b"")

    def test_bad_greetings_fall_back(self):
        for greeting in (b"421 4.3.2 not now\r\n", b"451 4.3.2 not now\r\n", b"554 5.3.2 no service here\r\n"):
            with self.subTest(greeting=greeting):
                self.port = free_port()
                self.falls_back(greeting)

    def test_half_of_the_hosts_dead_costs_little(self):
        """Silent, not refusing, the worst kind; they are not tried for each message."""
        names = {"d0.sink.test": {"MX": [f"10 m{number}.test." for number in range(6)]}}
        names |= {f"m{number}.test": at(f"127.0.1.{number + 1}") for number in range(6)}
        zone = self.zone(names)
        host = self.mail_host("127.0.1.1", "127.0.1.2", "127.0.1.3")
        silent = [self.bad_host(f"127.0.1.{number}", b"") for number in (4, 5, 6)]
        gateway = self.by_mx(zone, {"timeouts": {"greeting": "1s"}, "messages_per_connection": 10})
        began = time.monotonic()
        self.bulk(gateway, 3000, domains=1)
        self.done(gateway, 3000, 60)
        spent = time.monotonic() - began
        totals, tried = host.stop(), sum(len(one) for one in silent)
        self.assertEqual((totals["messages"], totals["duplicates"]), (3000, 0))
        self.assertGreater(totals["connections"], 250)
        self.assertLess(tried, 60, "dead hosts are tried again and again")
        self.assertLess(spent, 15)

    def test_implicit(self):
        zone = self.zone({"d.test": at("127.0.0.2")})
        host = self.mail_host("127.0.0.2")
        gateway = self.by_mx(zone)
        self.send(gateway, ["x@d.test"])
        self.done(gateway, 1)
        self.assertEqual(host.stop()["messages"], 1)

    def test_what_has_no_mail_host_bounces_with_its_code(self):
        zone = self.zone({"null.test": {"MX": ["0 ."]}, "loop.test": {"MX": ["10 gate.test.", "20 m.test."]}, "m.test": at("127.0.0.2"),
                          "gate.test": at("127.0.0.9"), "nohost.test": {"TXT": ["x"]}})
        gateway = self.by_mx(zone)
        want = {"x@null.test": (556, "5.1.10"), "x@nx.test": (550, "5.1.2"), "x@loop.test": (554, "5.4.6"), "x@nohost.test": (550, "5.4.4")}
        for recipient in want:
            self.send(gateway, [recipient])
        self.done(gateway, len(want))
        bounces = {one["recipient"]: one["response"] for one in gateway.events("Bounce") if one["sender"]}  # No report.
        found = {who: (one["code"], "{class}.{subject}.{detail}".format(**one["enhanced_code"])) for who, one in bounces.items()}
        self.assertEqual(found, want)

    def test_aliases(self):
        zone = self.zone({"alias.test": {"CNAME": ["d.test"]}, "d.test": mx("mail.test"), "mail.test": {"CNAME": ["m.test"]},
                          "m.test": at("127.0.0.2")})
        host = self.mail_host("127.0.0.2")
        gateway = self.by_mx(zone)
        self.send(gateway, ["x@alias.test"])
        self.done(gateway, 1)
        self.assertEqual(host.stop()["messages"], 1)

    def test_without_dns_mail_waits_and_goes_when_it_is_back(self):
        for mood in ("dead", "SERVFAIL"):
            with self.subTest(mood=mood):
                self.port = free_port()
                zone = self.zone({"d.test": mx("m.test"), "e.test": mx("m.test"), "m.test": at("127.0.0.2")})
                host = self.mail_host("127.0.0.2")
                gateway = self.by_mx(zone, dns={"timeout": "1s"})
                zone.mood = mood
                self.send(gateway, ["x@d.test"], 5)
                self.send(gateway, ["x@e.test"], 5)
                time.sleep(6)
                status = gateway.status()
                self.assertEqual((status["mail"]["done"], status["mail"]["bounced"]), (0, 0))
                zone.mood = "well"
                status = self.done(gateway, 10, 40)
                self.assertEqual((status["mail"]["bounced"], host.stop()["messages"]), (0, 10))

    def test_five_hundred_domains_behind_one_host(self):
        names = {"m.test": at("127.0.0.2")}
        names |= {f"d{number}.sink.test": mx("m.test") for number in range(500)}
        host = self.mail_host("127.0.0.2", options=("--expect", "5000"))
        gateway = self.by_mx(self.zone(names))
        self.bulk(gateway, 5000, 500)
        self.done(gateway, 5000, 60)
        totals = host.stop()
        self.assertEqual((totals["unique"], totals["duplicates"], totals["missing"]), (5000, 0, 0))
        # One site, whatever the domains: as many connections at once as one destination.
        self.assertLessEqual(totals["open_most"], 20)
        self.assertLessEqual(totals["connections"], 200)  # More than 4,000 if each domain had its own.

    def test_a_busy_domain_leaves_room_for_others_of_its_host(self):
        names = {"m.test": at("127.0.0.2")} | {name: mx("m.test") for name in ("d0.sink.test", "a.test", "b.test", "c.test")}
        self.mail_host("127.0.0.2", options=("--rule", "dot:delay", "--delay", "50"))
        gateway = self.by_mx(self.zone(names), {"connections_per_destination": 2})
        self.bulk(gateway, 4000, 1)
        for name in ("a.test", "b.test", "c.test"):
            self.send(gateway, [f"x@{name}"])
            before, between = self.overtaking(gateway, f"x@{name}")
            self.assertLess(between, 200)  # So many as go in 5 seconds.
            self.assertLess(before + between, 3000)  # It was busy all the time.
        gateway.kill()

    def test_two_domains_of_one_message_with_one_host(self):
        zone = self.zone({"d.test": mx("m.test"), "e.test": mx("m.test"), "m.test": at("127.0.0.2")})
        host = self.mail_host("127.0.0.2")
        gateway = self.by_mx(zone)
        self.send(gateway, ["x@d.test", "y@e.test"])
        self.done(gateway, 1)
        self.assertEqual(host.stop()["recipients"], 2)
        self.assertEqual({one["recipient"] for one in gateway.events("Delivery")}, {"x@d.test", "y@e.test"})


class Commands(Egress):
    def test_suspend_resume_and_bounce_one_domain_of_a_mail_host(self):
        zone = self.zone({"d.test": mx("m.test"), "e.test": mx("m.test"), "f.test": mx("m.test"), "m.test": at("127.0.0.2")})
        host = self.mail_host("127.0.0.2")
        gateway = self.by_mx(zone)
        self.assertEqual(gateway.ctl("suspend", "--domain", "d.test", "--reason", "they asked")[0], 0)
        self.assertEqual(gateway.ctl("suspend", "--domain", "e.test", "--reason", "they asked")[0], 0)
        self.send(gateway, ["x@d.test", "x@f.test"], 20)
        self.send(gateway, ["x@e.test"], 20)
        gateway.wait(lambda now: now["mail"]["delivered"] == 20)
        time.sleep(1)
        self.assertEqual({one["recipient"] for one in gateway.events("Delivery")}, {"x@f.test"})
        lanes = {one["destination"]: one for one in json.loads(gateway.ctl("queue", "--json")[1])["lanes"]}
        self.assertEqual({name: one["state"] for name, one in lanes.items() if name != "f.test"},
                         {"d.test": "suspended", "e.test": "suspended"})
        self.assertEqual(gateway.ctl("bounce", "--domain", "e.test", "--reason", "no longer wanted", "--quiet")[0], 0)
        gateway.wait(lambda now: now["mail"]["bounced"] == 20)
        self.assertEqual(gateway.ctl("resume", "--domain", "d.test")[0], 0)
        self.done(gateway, 40)
        self.assertEqual(len(gateway.events("AdminBounce")), 20)
        self.assertEqual(host.stop()["recipients"], 40)

class Sources(Egress):
    def tenants(self, **egress):
        return [{"name": name, **OPEN, "domains": [f"{name}.test"], "authorized_senders": [f"@{name}.test"],
                 "relay_hosts": [f"127.0.9.{number + 1}/32"], "egress": one} for number, (name, one) in enumerate(egress.items())]

    def to_sink(self, tenants, options=(), delivery=None, routes=None):
        host = self.sink(*options)
        hop = f"127.0.0.1:{host.port}"
        gateway = self.gateway(policy={"routes": routes(hop) if routes else [{"match": "*", "relay": hop}], "tenants": tenants,
                                       "delivery": {"retry": RETRY, **(delivery or {})}})
        return host, gateway

    def post(self, gateway, tenant, number, count=1):
        with smtplib.SMTP("127.0.0.1", gateway.ports["smtp"], local_hostname="c.test", timeout=20,
                          source_address=(f"127.0.9.{number}", 0)) as session:
            for _ in range(count):
                session.sendmail(f"a@{tenant}.test", ["x@d.test"], f"From: a@{tenant}.test\r\nSubject: {tenant}\r\n\r\nhello\r\n")

    def test_each_tenant_has_its_own_address_and_name(self):
        tenants = self.tenants(one={"sources": ["127.0.2.1"], "ehlo": "one.mta.test"},
                               two={"sources": [{"address": "127.0.2.2", "ehlo": "two.mta.test"}], "ehlo": "other.test"}, none={})
        host, gateway = self.to_sink(tenants)
        for number, tenant in enumerate(("one", "two", "none")):
            self.post(gateway, tenant, number + 1, 5)
        self.done(gateway, 15)
        events = {one["sender"]: one.get("source_address", {}).get("address", "") for one in gateway.events("Delivery")}
        totals = host.stop()
        self.assertEqual(set(totals["sources"]), {"127.0.2.1", "127.0.2.2", "127.0.0.1"})
        self.assertEqual(set(totals["ehlo"]), {"one.mta.test", "two.mta.test", "gate.test"})
        self.assertIn("127.0.2.1", events["a@one.test"])
        self.assertIn("127.0.2.2", events["a@two.test"])
        self.assertEqual(events["a@none.test"], "127.0.0.1")  # That the kernel chose.
        self.assertEqual({one["sender"] for one in gateway.events("Delivery") if "egress_source" not in one}, {"a@none.test"})

    def test_a_route_decides_the_source(self):
        tenants = self.tenants(one={"sources": ["127.0.2.1"]})
        host, gateway = self.to_sink(tenants, routes=lambda hop: [{"match": "*", "relay": hop, "source": "127.0.2.9"}])
        self.post(gateway, "one", 1, 5)
        self.done(gateway, 5)
        self.assertEqual(set(host.stop()["sources"]), {"127.0.2.9"})

    @unittest.skipUnless(has_ipv6(), "no IPv6 on loopback here")
    def test_ipv6(self):
        """From an IPv6 source to an IPv6 mail host; past one that nobody reaches; never from one family to the other."""
        zone = self.zone({"d.test": mx("m.test"), "m.test": {"AAAA": ["::1"], "A": ["127.0.0.2"]}, "e.test": mx("n.test"),
                          "n.test": {"AAAA": ["100::1"], "A": ["127.0.0.3"]}, "four.test": mx("o.test"), "o.test": at("127.0.0.3")})
        host = self.mail_host("[::1]", "127.0.0.3")
        tenants = self.tenants(six={"sources": [{"address": "::1", "ehlo": "six.mta.test"}]}, any={})
        gateway = self.by_mx(zone, {"timeouts": {"connect": "1s"}}, tenants=tenants)

        def post(tenant, number, *recipients):
            with smtplib.SMTP("127.0.0.1", gateway.ports["smtp"], local_hostname="c.test", timeout=20,
                              source_address=(f"127.0.9.{number}", 0)) as session:
                session.sendmail(f"a@{tenant}.test", recipients, f"From: a@{tenant}.test\r\nSubject: x\r\n\r\nhello\r\n")
        post("six", 1, "x@d.test")
        post("any", 2, "x@e.test")
        post("six", 1, "x@four.test")
        self.done(gateway, 2, 15)
        sent = {one["recipient"]: (one["peer_address"]["addr"], one["source_address"]["address"] if "source_address" in one else "")
                for one in gateway.events("Delivery")}
        self.assertEqual(sent, {"x@d.test": ("::1", "::1"), "x@e.test": ("127.0.0.3", "127.0.0.1")})
        code, out, err = gateway.ctl("queue", "--json")
        self.assertEqual(code, 0, err)
        (lane,) = [one for one in json.loads(out)["lanes"] if one["destination"] == "four.test"]
        self.assertIn("no source address", lane["fault"])
        totals = host.stop()
        self.assertEqual(totals["ehlo"]["six.mta.test"], 1)
        self.assertEqual(sum(totals["ehlo"].values()), 2)

    def test_weights(self):
        tenants = self.tenants(one={"sources": [{"address": "127.0.2.1", "weight": 1}, {"address": "127.0.2.2", "weight": 3}]})
        host, gateway = self.to_sink(tenants, delivery={"messages_per_connection": 1})
        self.post(gateway, "one", 1, 400)
        self.done(gateway, 400)
        sources = host.stop()["sources"]
        share = sources["127.0.2.2"] / sum(sources.values())
        self.assertGreaterEqual(sum(sources.values()), 400)
        self.assertTrue(0.67 < share < 0.83, sources)

    def test_drain_by_reload(self):
        tenants = self.tenants(one={"sources": ["127.0.2.1", {"address": "127.0.2.2", "drain": True}]})
        host, gateway = self.to_sink(tenants, delivery={"idle_timeout": "1h"})

        def open_from(address):
            found = subprocess.run(["ss", "-Htn", "state", "established", "src", address, "dport", "=", f":{host.port}"],
                                   capture_output=True, text=True, check=True)
            return len(found.stdout.splitlines())
        self.post(gateway, "one", 1, 40)
        self.done(gateway, 40)
        self.assertGreater(open_from("127.0.2.1"), 0)
        tenants[0]["egress"] = {"sources": [{"address": "127.0.2.1", "drain": True}, "127.0.2.2"]}
        (gateway.folder / "policy.json").write_text(json.dumps(gateway.policy))
        self.assertEqual(gateway.ctl("reload")[0], 0)
        gateway.wait(lambda _: open_from("127.0.2.1") == 0)
        before = {one["id"] for one in gateway.events("Delivery")}
        self.post(gateway, "one", 1, 40)
        self.done(gateway, 80)
        after = [one for one in gateway.events("Delivery") if one["id"] not in before]
        self.assertEqual({one["source_address"]["address"].rsplit(":", 1)[0] for one in after}, {"127.0.2.2"})
        # All drained: it waits, and goes when one is back.
        tenants[0]["egress"] = {"sources": [{"address": "127.0.2.1", "drain": True}, {"address": "127.0.2.2", "drain": True}]}
        (gateway.folder / "policy.json").write_text(json.dumps(gateway.policy))
        self.assertEqual(gateway.ctl("reload")[0], 0)
        self.post(gateway, "one", 1, 3)
        time.sleep(2)
        status = gateway.status()["mail"]
        self.assertEqual((status["done"], status["bounced"]), (80, 0))
        tenants[0]["egress"] = {"sources": ["127.0.2.1"]}
        (gateway.folder / "policy.json").write_text(json.dumps(gateway.policy))
        self.assertEqual(gateway.ctl("reload")[0], 0)
        self.done(gateway, 83, 10)  # Not after a back-off that nobody meant.
        self.assertEqual(host.stop()["messages"], 83)

    def test_an_address_that_is_not_here_is_refused(self):
        tenants = self.tenants(one={"sources": ["127.0.2.1"]}, two={"sources": ["127.0.2.2"]})
        host, gateway = self.to_sink(tenants)
        path = gateway.folder / "policy.json"
        tenants[1]["egress"]["sources"].append({"address": "192.0.2.1"})
        gateway.policy["routes"].insert(0, {"match": "r.test", "relay": "127.0.0.1:9", "source": "2001:db8::7"})
        path.write_text(json.dumps(gateway.policy, indent=1))
        lines = path.read_text().splitlines()
        line = {address: 1 + next(number for number, text in enumerate(lines) if address in text) for address in ("192.0.2.1", "2001:db8::7")}
        want = [rf"{path}:{line['2001:db8::7']}: /routes/0/source: .*2001:db8::7", rf"{path}:{line['192.0.2.1']}: /tenants/1/egress/sources/1/address: .*192\.0\.2\.1"]
        for command in ([DAEMON, "--config", gateway.folder / "ebbgate.json", "--check"],
                        [CTL, "--socket", gateway.folder / "admin.sock", "reload"],
                        [CTL, "check", "--config", gateway.folder / "ebbgate.json"]):
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
            self.assertEqual(done.returncode, 1, (command, done.stdout, done.stderr))
            for one in want:
                self.assertRegex(done.stdout + done.stderr, one)
        self.post(gateway, "two", 2)  # What was in force stays.
        self.done(gateway, 1)
        self.assertEqual(host.stop()["sources"], {"127.0.2.2": 1})


class Limits(Egress):
    def to_sink(self, delivery=None, options=(), shards=2):
        host = self.sink(*options)
        gateway = self.gateway(next_hop=host.port, shards=shards, policy={"delivery": {"retry": RETRY, **(delivery or {})}})
        return host, gateway

    def test_the_connection_limit_is_that_of_all_shards(self):
        for limit in (1, 3, 7):
            with self.subTest(limit=limit):
                host, gateway = self.to_sink({"connections_per_destination": limit, "messages_per_connection": 20},
                                             ("--rule", "dot:delay/4", "--delay", "20"), shards=4)
                self.bulk(gateway, 1500, 1)
                self.done(gateway, 1500, 60)
                totals = host.stop()
                self.assertEqual((totals["unique"], totals["duplicates"]), (1500, 0))
                self.assertEqual(totals["open_most"], limit)
                self.assertGreaterEqual(totals["connections"], 1500 // 20)

    def test_the_limit_holds_for_each_source(self):
        host = self.sink("--rule", "dot:delay", "--delay", "10")
        tenant = {"name": "acme", **OPEN, "relay_hosts": ["127.0.0.0/8"], "egress": {"sources": ["127.0.2.1", "127.0.2.2"]}}
        gateway = self.gateway(next_hop=host.port, policy={"tenants": [tenant], "delivery": {"retry": RETRY, "connections_per_destination": 3}})
        self.bulk(gateway, 1500, 1)
        self.done(gateway, 1500, 60)
        totals = host.stop()
        self.assertTrue(all(most <= 3 for most in totals["open_most_by_source"].values()), totals)
        self.assertEqual(totals["messages"], 1500)

    def test_deliveries_per_connection(self):
        zone = self.zone({"d0.sink.test": mx("m.test"), "m.test": at("127.0.0.2")})
        host = self.mail_host("127.0.0.2")
        gateway = self.by_mx(zone, {"shaping": [{"match": "*.sink.test", "max_deliveries_per_connection": 7, "connection_limit": 2}]})
        self.bulk_at_once(gateway, 210, "d0.sink.test")
        self.done(gateway, 210)
        totals = host.stop()
        self.assertEqual(totals["open_most"], 2)
        self.assertTrue(30 <= totals["connections"] <= 60, totals)

    def test_rates(self):
        """Over 5 seconds and more; they leave evenly."""
        rate, burst = 40, 5
        with tempfile.TemporaryDirectory() as box:
            host, gateway = self.to_sink({"max_message_rate": "2400/min"}, ("--maildir", box))
            began = time.time()
            self.bulk(gateway, 260, 1)
            self.done(gateway, 260, 30)
            times = sorted(path.stat().st_mtime for path in pathlib.Path(box, "new").iterdir())
            # None before its place in time, however late others came.
            early = [(place, one - began) for place, one in enumerate(times) if one < began + (place - burst) / rate]
            self.assertEqual((len(times), early), (260, []))
            self.assertLess(fastest(times[burst:], 20), 20 / rate * 1.1)
            host.stop()

    def test_connection_rate(self):
        host, gateway = self.to_sink({"max_connection_rate": "600/min", "messages_per_connection": 1})
        began = time.monotonic()
        self.bulk(gateway, 60, 1)
        self.done(gateway, 60, 30)
        spent = time.monotonic() - began
        totals = host.stop()
        self.assertEqual(totals["connections"], 60)
        self.assertGreaterEqual(spent, 5.5)
        self.assertLess(fastest(delivered(gateway), 5), 0.6)

    def test_shaping_by_the_name_of_the_mail_host(self):
        zone = self.zone({**{f"d{number}.sink.test": mx("mx1.big.test") for number in range(3)}, "mx1.big.test": at("127.0.0.2"),
                          "free.test": mx("m.test"), "m.test": at("127.0.0.3")})
        host = self.mail_host("127.0.0.2", options=("--rule", "dot:delay", "--delay", "5"))
        gateway = self.by_mx(zone, {"shaping": [{"mx": "*.big.test", "connection_limit": 2}]})
        self.bulk(gateway, 600, 3)
        self.done(gateway, 600, 60)
        totals = host.stop()
        self.assertEqual((totals["messages"], totals["open_most"]), (600, 2))  # Of all its domains together.

    def test_a_rate_that_a_reload_brings_holds_for_open_connections(self):
        gateway = self.to_sink(shards=1)[1]
        self.send(gateway, ["x@d.test"])
        self.done(gateway, 1)
        gateway.policy["delivery"]["max_message_rate"] = "2/s"
        (gateway.folder / "policy.json").write_text(json.dumps(gateway.policy))
        self.assertEqual(gateway.ctl("reload")[0], 0)
        began = time.monotonic()
        self.send(gateway, ["x@d.test"], 7)
        self.done(gateway, 8)
        self.assertGreater(time.monotonic() - began, 2.5)

    def test_many_destinations_share_few_connections(self):
        host = self.sink(host="0.0.0.0")
        routes = [{"match": f"d{number}.sink.test", "relay": f"127.0.1.{number + 1}:{host.port}"} for number in range(100)]
        gateway = self.gateway(policy={"routes": routes, "delivery": {"retry": RETRY, "max_connections": 4}})
        self.bulk(gateway, 1000, 100)
        self.done(gateway, 1000)
        totals = host.stop()
        self.assertEqual((totals["unique"], totals["duplicates"]), (1000, 0))
        self.assertLessEqual(totals["open_most"], 16)  # One that is saying good-bye may stand beside its successor.

    def test_a_busy_relay_has_as_many_connections_as_it_may_and_keeps_them(self):
        host, gateway = self.to_sink()
        self.bulk_at_once(gateway, 20_000, f"127.0.0.1:{host.port}")
        self.done(gateway, 20_000, 60)
        totals = host.stop()
        self.assertEqual(totals["open_most"], 20)
        self.assertLess(totals["connections"], 100)

    def test_a_new_site_begins_with_few(self):
        """As long as it has not answered; of what it has taken, there are ever more."""
        go_on, lock, inside, most = threading.Event(), threading.Lock(), set(), [0]

        def hold(plain, reply):
            with lock:
                inside.add(plain)
                most[0] = max(most[0], len(inside))
            go_on.wait(60)
            time.sleep(0.1)
            with lock:
                inside.remove(plain)
            plain.sendall(reply)
            return True
        zone = self.zone({"d0.sink.test": mx("m.test"), "m.test": at("127.0.0.2")})
        hop = self.hop(*[("dot", hold)] * 200, host="127.0.0.2", port=self.port)
        gateway = self.by_mx(zone)
        self.addCleanup(go_on.set)
        self.bulk(gateway, 1000, 1)
        gateway.wait(lambda _: len(inside) >= 5)
        time.sleep(1)
        self.assertEqual((hop.connections, len(inside), gateway.status()["queue"]["in_flight"]), (5, 5, 5))
        go_on.set()
        self.done(gateway, 1000, 60)
        self.assertTrue(15 <= most[0] <= 20, most)

    def test_too_many_connections_makes_it_use_fewer(self):
        zone = self.zone({"d0.sink.test": mx("m.test"), "m.test": at("127.0.0.2")})
        host = self.mail_host("127.0.0.2", options=("--connections-at-once", "3", "--rule", "dot:delay", "--delay", "5"))
        gateway = self.by_mx(zone)
        self.bulk(gateway, 2000, 1)
        self.done(gateway, 2000, 90)
        totals = host.stop()
        self.assertEqual((totals["unique"], totals["duplicates"]), (2000, 0))
        self.assertLess(totals["turned_away"], 30, totals)

    def test_421_in_a_session_is_no_loss_and_no_flood(self):
        host, gateway = self.to_sink(options=("--messages-per-connection", "3"))
        self.bulk(gateway, 300, 1)
        self.done(gateway, 300, 60)
        totals = host.stop()
        self.assertEqual((totals["unique"], totals["duplicates"]), (300, 0))
        self.assertLess(totals["connections"], 250)

    def test_a_refusing_destination_is_tried_ever_less_and_recovers(self):
        port = free_port()
        gateway = self.gateway(next_hop=port)
        self.send(gateway, ["x@d.test"], 50)
        time.sleep(5)
        tried = [one for one in gateway.text_log().splitlines() if f":{port}: " in one and "refused" in one]
        self.assertTrue(1 <= len(tried) <= 10, tried)
        self.assertEqual(gateway.status()["mail"]["bounced"], 0)
        host = self.sink(port=port)
        self.assertEqual(gateway.ctl("flush")[0], 0)
        self.done(gateway, 50, 5)  # At once, whatever the back-off.
        self.assertEqual(host.stop()["messages"], 50)


if __name__ == "__main__":
    unittest.main()
