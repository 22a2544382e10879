#!/usr/bin/env python3
"""Connections that go from one domain to another with the same mail host: docs/policy.md, "delivery"."""

import socket
import ssl
import tempfile
import time
import unittest

from egress_test import Egress, at, mx
from gateway import OPEN, Hop
from policy_server import openssl

LONG = {"idle_timeout": "1h"}


class Share(Egress):
    def domains(self, *names, host="127.0.0.2"):
        return self.zone({"m.test": at(host)} | {name: mx("m.test") for name in names})

    def certificate(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        openssl(folder.name, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-subj", "/CN=m.test", "-keyout", "m.key", "-out", "m.pem")
        return f"{folder.name}/m.pem", f"{folder.name}/m.key"

    def send_each(self, gateway, names, before=0):
        """One after the other, each when the one before has arrived."""
        for number, name in enumerate(names):
            self.send(gateway, [f"x@{name}"])
            self.done(gateway, before + number + 1)
        return {one["recipient"].split("@")[1]: one for one in gateway.events("Delivery")}

    def test_one_connection_for_all_domains_of_a_host(self):
        names = [f"d{number}.test" for number in range(30)]
        host = self.mail_host("127.0.0.2")
        gateway = self.by_mx(self.domains(*names))
        events = self.send_each(gateway, names)
        totals = host.stop()
        self.assertEqual(totals["messages"], 30)
        self.assertLessEqual(totals["connections"], 2)  # One a shard.
        self.assertEqual(set(events), set(names))  # Each with its own domain's name, on the host that it went to.
        self.assertEqual({one["peer_address"]["name"] for one in events.values()}, {"m.test"})
        for name, event in events.items():
            self.assertIn(name, event["site"])

    def test_limits_count_over_all_of_them(self):
        names = [f"d{number}.sink.test" for number in range(50)]
        host = self.mail_host("127.0.0.2", options=("--expect", "2000"))
        gateway = self.by_mx(self.domains(*names), {"messages_per_connection": 10, "connections_per_destination": 3})
        self.bulk(gateway, 2000, 50)
        self.done(gateway, 2000, 60)
        totals = host.stop()
        self.assertEqual((totals["unique"], totals["duplicates"], totals["missing"]), (2000, 0, 0))
        self.assertEqual(totals["open_most"], 3)
        self.assertTrue(200 <= totals["connections"] <= 320, totals["connections"])  # 2,000 without sharing.

    def test_a_host_that_takes_no_more_connections_puts_no_domain_off(self):
        """It turns away what is more than two; whose connection that was says nothing of his mail."""
        names = [f"d{number}.sink.test" for number in range(10)]
        host = self.mail_host("127.0.0.2", options=("--connections-at-once", "2", "--rule", "dot:delay", "--delay", "5"))
        gateway = self.by_mx(self.domains(*names), {"retry": {"first": "30s", "max": "30s"}})
        self.bulk(gateway, 1000, 10)
        self.done(gateway, 1000, 20)  # A domain that is put off comes back after 30 seconds.
        totals = host.stop()
        self.assertEqual((totals["unique"], totals["duplicates"]), (1000, 0))
        self.assertTrue(0 < totals["turned_away"] < 40, totals)
        self.assertEqual(gateway.events("TransientFailure"), [])

    def test_what_is_idle_in_one_shard_is_for_the_shard_that_waits(self):
        host = self.mail_host("127.0.0.2", options=("--connections-at-once", "2", "--rule", "dot:delay", "--delay", "5"))
        gateway = self.by_mx(self.domains("d0.sink.test"), {"retry": {"first": "30s", "max": "30s"}, "idle_timeout": "1h"}, shards=4)
        self.bulk(gateway, 1000, 1)
        self.done(gateway, 1000, 25)
        totals = host.stop()
        self.assertEqual((totals["unique"], totals["duplicates"]), (1000, 0))
        self.assertLess(totals["turned_away"], 20)

    def test_a_host_that_takes_none_at_all_is_not_asked_again_and_again(self):
        names = [f"d{number}.sink.test" for number in range(10)]
        came = self.bad_host("127.0.0.2", b"421 4.7.0 Too many connections\r\n")
        gateway = self.by_mx(self.domains(*names), {"retry": {"first": "30s", "max": "30s"}})
        self.bulk(gateway, 100, 10)
        gateway.wait(lambda now: len(gateway.events("TransientFailure")) >= 10, 15)  # Each has been told of once,
        time.sleep(3)
        self.assertEqual({one["recipient"].split("@")[1] for one in gateway.events("TransientFailure")}, set(names))
        self.assertLess(len(came), 40)  # and waits.

    def test_what_asks_for_tls_does_not_go_by_one_in_the_clear(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate())
        hop = Hop(tls=context, port=self.port, host="127.0.0.2")
        self.addCleanup(hop.close)
        routes = [{"match": "clear.test", "relay": "mx", "tls": "off"}, {"match": "must.test", "relay": "mx", "tls": "required"},
                  {"match": "*", "relay": "mx"}]
        gateway = self.by_mx(self.domains("clear.test", "must.test", "may.test", "too.test"), LONG, routes=routes)
        events = self.send_each(gateway, ("clear.test", "must.test", "may.test", "clear.test", "must.test", "may.test", "too.test"))
        self.assertNotIn("tls_cipher", events["clear.test"])
        for name in ("must.test", "may.test", "too.test"):
            self.assertIn("tls_cipher", events[name])
        # In each shard at most one in the clear, one that must be by TLS and one that may.
        self.assertTrue(3 <= hop.connections <= 6, hop.connections)

    def test_who_cannot_use_it_gets_a_place_all_the_same(self):
        """At one connection, two busy domains that hand it to each other, and one that asks for TLS."""
        certificate, key = self.certificate()
        self.mail_host("127.0.0.2", options=("--rule", "dot:delay", "--delay", "30", "--tls-certificate", certificate, "--tls-key", key))
        routes = [{"match": "must.test", "relay": "mx", "tls": "required"}, {"match": "*", "relay": "mx"}]
        gateway = self.by_mx(self.domains("d0.sink.test", "d1.sink.test", "must.test"), {"connections_per_destination": 1}, routes=routes)
        self.bulk(gateway, 1500, 2)
        for count in (1, 2):
            self.send(gateway, ["x@must.test"])
            before, between = self.overtaking(gateway, "x@must.test", count)
            self.assertLess(between, 300)  # So many as go in 10 seconds.
            self.assertLess(before + between, 1400)  # They were busy all the time.
        gateway.kill()

    def test_no_backup_because_a_connection_to_it_is_there(self):
        zone = self.zone({"a.test": mx("m1.test", "m2.test"), "b.test": mx("m2.test", "m1.test"), "m1.test": at("127.0.0.2"),
                          "m2.test": at("127.0.0.3")})
        host = self.mail_host("127.0.0.2", "127.0.0.3")
        gateway = self.by_mx(zone, LONG)
        self.send_each(gateway, ("a.test", "b.test") * 3)
        names = {(one["recipient"], one["peer_address"]["name"]) for one in gateway.events("Delivery")}
        self.assertEqual(names, {("x@a.test", "m1.test"), ("x@b.test", "m2.test")})
        self.assertEqual(host.stop()["messages"], 6)

    def test_each_source_has_its_own(self):
        tenants = [{"name": name, **OPEN, "domains": [f"{name}.example"], "authorized_senders": [f"@{name}.example"], "check_header_from": False,
                    "relay_hosts": [f"127.0.9.{number + 1}/32"], "egress": {"sources": [f"127.0.2.{number + 1}"]}}
                   for number, name in enumerate(("one", "two"))]
        host = self.mail_host("127.0.0.2")
        gateway = self.by_mx(self.domains("a.test", "b.test"), LONG, tenants=tenants)
        sent = 0
        for _ in range(3):
            for number, name in enumerate(("one", "two")):
                for domain in ("a.test", "b.test"):
                    self.send(gateway, [f"x@{domain}"], client=f"127.0.9.{number + 1}", sender=f"s@{name}.example")
                    sent += 1
                    self.done(gateway, sent)
        wrong = [one for one in gateway.events("Delivery")
                 if one["source_address"]["address"] != {"one": "127.0.2.1", "two": "127.0.2.2"}[one["sender"][2:5]]]
        totals = host.stop()
        self.assertEqual((totals["messages"], wrong), (12, []))
        self.assertEqual(set(totals["sources"]), {"127.0.2.1", "127.0.2.2"})
        self.assertLessEqual(totals["connections"], 4)

    def test_a_connection_that_died_meanwhile_costs_nobody_his_mail(self):
        hop = Hop(port=self.port, host="127.0.0.2")
        self.addCleanup(hop.close)
        gateway = self.by_mx(self.domains("a.test", "b.test"), LONG)
        self.send_each(gateway, ("a.test",))
        for one in hop.open:
            one.shutdown(socket.SHUT_RDWR)  # Without a word.
        time.sleep(0.3)
        began = time.monotonic()
        self.send_each(gateway, ("b.test",), before=1)
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(gateway.status()["mail"]["bounced"], 0)


if __name__ == "__main__":
    unittest.main()
