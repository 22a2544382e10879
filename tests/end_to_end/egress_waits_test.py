#!/usr/bin/env python3
"""Mail that this host, this hour or this policy does not take: PRODUCT.md 7, DESIGN.md 5, docs/policy.md."""

import ctypes
import json
import pathlib
import signal
import smtplib
import subprocess
import tempfile
import time
import unittest

from attacked import saying
from dns_servers import Scripted
from egress_test import RETRY, Egress, Zone, at, mx
from gateway import Gateway

ALL = ("8BITMIME", "SMTPUTF8", "SIZE 100000000")
WITHOUT = {"SMTPUTF8": ("8BITMIME", "SIZE 100000000"), "SIZE": ("8BITMIME", "SMTPUTF8", "SIZE 5000"), "8BITMIME": ("SMTPUTF8", "SIZE 100000000")}
STATUS = {"SMTPUTF8": "5.6.7", "SIZE": "5.3.4", "8BITMIME": "5.6.3"}


def status_of(event):
    return "{class}.{subject}.{detail}".format(**event["response"]["enhanced_code"])


class Domains(Egress):
    def test_mail_to_a_domain_with_other_letters(self):
        """By its A-labels: in DNS, in routes, in suspensions."""
        zone = self.zone({"xn--bcher-kva.test": mx("m.test"), "m.test": at("127.0.0.2")})
        self.mail_host("127.0.0.2")
        gateway = self.by_mx(zone, routes=[{"match": "xn--bcher-kva.test", "relay": "mx"}])
        self.assertEqual(gateway.ctl("suspend", "--domain", "xn--bcher-kva.test", "--reason", "they asked")[0], 0)
        with smtplib.SMTP("127.0.0.1", gateway.ports["smtp"], local_hostname="c.test", timeout=20) as session:
            session.ehlo()
            session.command_encoding = "utf-8"
            session.sendmail("a@acme.test", ["x@B\u00dccher.test"], "From: a@acme.test\r\nSubject: x\r\n\r\nhello\r\n", ["SMTPUTF8"])
        time.sleep(1)
        self.assertEqual(gateway.status()["mail"]["done"], 0)
        self.assertEqual(gateway.ctl("resume", "--all")[0], 0)
        self.done(gateway, 1, 10)
        self.assertEqual([one["recipient"] for one in gateway.events("Delivery")], ["x@B\u00dccher.test"])

    def test_names_that_do_not_answer_hold_up_no_others(self):
        zone = self.zone({"good.test": mx("m.test"), "m.test": at("127.0.0.2")})
        plain = zone.server.script
        zone.server.script = lambda name, kind, query, tcp: [] if "slow" in name else plain(name, kind, query, tcp)
        self.mail_host("127.0.0.2")
        gateway = self.by_mx(zone, {"max_connections": 4})
        for number in range(8):
            self.send(gateway, [f"x@slow{number}.test"], 10)
        time.sleep(1)
        self.send(gateway, ["x@good.test"], 20)
        self.done(gateway, 20, 5)

    def test_our_words_are_not_put_into_a_peers_mouth(self):
        zone = self.zone({"none.test": {"MX": ["0 ."]}, "acme.test": mx("m.test"), "m.test": at("127.0.0.2")})
        with tempfile.TemporaryDirectory() as box:
            self.mail_host("127.0.0.2", options=("--maildir", box))
            gateway = self.by_mx(zone)
            self.send(gateway, ["x@none.test"])
            self.done(gateway, 2)
            (report,) = [one.read_text() for one in pathlib.Path(box, "new").iterdir()]
        self.assertIn("takes no mail (null MX)", report)
        self.assertIn("Status: 5.1.10", report)
        self.assertNotIn("server said", report)
        self.assertNotIn("Diagnostic-Code: smtp;", report)


class Reloaded(Egress):
    """Mail that waits goes by the routes that are in force when it is tried."""

    def reload(self, gateway, **policy):
        gateway.policy.update(policy)
        (gateway.folder / "policy.json").write_text(json.dumps(gateway.policy))
        self.assertEqual(gateway.ctl("reload")[0], 0)
        self.assertEqual(gateway.ctl("flush")[0], 0)

    def waiting(self, count=40):
        zone = self.zone({"d.test": mx("m.test"), "m.test": at("127.0.0.2")})
        gateway = self.by_mx(zone, {"retry": {"first": "1h", "factor": 1, "max": "1h", "max_age": "1d"}})
        self.send(gateway, ["x@d.test"], count)
        gateway.wait(lambda _: "Connection refused" in gateway.text_log())
        return gateway

    def test_to_tls(self):
        gateway = self.waiting()
        host = self.mail_host("127.0.0.2")  # Without TLS.
        self.reload(gateway, routes=[{"match": "*", "relay": "mx", "tls": "required"}])
        gateway.wait(lambda _: "STARTTLS" in gateway.ctl("queue")[1] or "TLS" in gateway.ctl("queue")[1])
        time.sleep(1)
        self.assertEqual(gateway.status()["mail"]["done"], 0)
        self.assertEqual(host.stop()["messages"], 0)

    def test_to_the_hold_and_back(self):
        gateway = self.waiting()
        self.mail_host("127.0.0.2")
        self.reload(gateway, routes=[{"match": "*", "relay": "hold"}])
        gateway.wait(lambda now: now["queue"]["held"] == 40)
        self.reload(gateway, routes=[{"match": "*", "relay": "mx"}])
        self.assertEqual(gateway.ctl("release")[0], 0)
        self.done(gateway, 40)

    def test_to_nowhere_and_back(self):
        gateway = self.waiting()
        self.mail_host("127.0.0.2")
        self.reload(gateway, routes=[{"match": "other.test", "relay": "mx"}])
        gateway.wait(lambda now: now["queue"]["held"] == 40)
        self.reload(gateway, routes=[{"match": "*", "relay": "mx"}])
        self.done(gateway, 40)
        self.assertEqual(gateway.status()["mail"]["bounced"], 0)

    def test_to_another_relay(self):
        gateway = self.waiting(1000)
        host = self.sink()
        self.reload(gateway, routes=[{"match": "*", "relay": f"127.0.0.1:{host.port}"}])
        self.done(gateway, 1000)
        self.assertEqual(host.stop()["unique"], 1000)

    def test_from_a_relay_that_others_still_use(self):
        first, second = self.hop(("mail", saying(b"451 4.3.0 later\r\n"))), self.sink()
        routes = [{"match": "*", "relay": f"127.0.0.1:{first.port}"}]
        gateway = self.gateway(policy={"routes": routes, "delivery": {"retry": {"first": "1h", "factor": 1, "max": "1h", "max_age": "1d"}}})
        self.send(gateway, ["x@d.test", "x@e.test"])
        gateway.wait(lambda now: now["queue"]["deferred"] == 1)
        self.reload(gateway, routes=[{"match": "e.test", "relay": f"127.0.0.1:{second.port}"}, *routes])
        self.done(gateway, 1)
        self.assertEqual([one for one in first.commands if one.startswith("RCPT")][-1:], ["RCPT TO:<x@d.test>"])
        self.assertEqual((len(first.accepted), second.stop()["recipients"]), (1, 1))


class Lacking(Egress):
    def setUp(self):
        super().setUp()
        self.names = {f"m{number}.test": at(f"127.0.0.{number + 1}") for number in (1, 2, 3)}

    def domain(self, *numbers, delivery=None, **dns):
        """d.test with these mail hosts, m1.test being at 127.0.0.2."""
        names = {"d.test": mx(*(f"m{number}.test" for number in numbers)), "acme.test": {"MX": ["0 ."]}, **self.names}
        self.names_served = self.zone(names)
        return self.by_mx(self.names_served, {"eight_bit": "bounce", **(delivery or {})}, dns)

    def host(self, number, offers=ALL, *faults):
        return self.hop(*faults, offers=offers, host=f"127.0.0.{number + 1}", port=self.port)

    def needing(self, gateway, need, recipients=("x@d.test",), count=1, pad=9000):
        options = {"SMTPUTF8": ["SMTPUTF8", "BODY=8BITMIME"], "8BITMIME": ["BODY=8BITMIME"]}.get(need, [])
        body = "From: a@acme.test\r\nSubject: needs it\r\n\r\n" + ("x" * 70 + "\r\n") * (pad // 72 if need == "SIZE" else 1)
        with smtplib.SMTP("127.0.0.1", gateway.ports["smtp"], local_hostname="c.test", timeout=20) as session:
            for _ in range(count):
                session.sendmail("a@acme.test", list(recipients), body, mail_options=options)

    def ended(self, gateway, count, seconds=20):
        gateway.wait(lambda _: len(self.outcomes(gateway)) >= count, seconds)
        return self.outcomes(gateway)

    def outcomes(self, gateway):
        return [one for one in gateway.events() if one["type"] in ("Delivery", "Bounce", "Expiration") and one["sender"]]

    def test_the_next_host_gets_what_the_first_does_not_offer(self):
        for need, offers in WITHOUT.items():
            for limit in (1, 20):
                with self.subTest(need=need, limit=limit):
                    self.setUp()
                    poor, good = self.host(1, offers), self.host(2)
                    gateway = self.domain(1, 2, delivery={"connections_per_destination": limit})
                    self.needing(gateway, need, ("x@d.test", "y@d.test"))
                    self.assertEqual([one["type"] for one in self.ended(gateway, 2, 10)], ["Delivery"] * 2)
                    self.assertEqual((len(poor.seen), len(good.accepted), gateway.events("Bounce")), (0, 1, []))
                    self.assertEqual({one["site"] for one in gateway.events("Delivery")}, {"d.test/opportunistic"})
                    gateway.wait(lambda now: now["mail"]["done"] == 1)

    def test_it_bounces_when_all_lack_it(self):
        for need, offers in WITHOUT.items():
            with self.subTest(need=need):
                self.setUp()
                hosts = [self.host(number, offers) for number in (1, 2, 3)]
                gateway = self.domain(1, 2, 3)
                self.needing(gateway, need)
                ends = self.ended(gateway, 1, 10)
                self.assertEqual([(one["type"], status_of(one), one["num_attempts"]) for one in ends], [("Bounce", STATUS[need], 1)])
                self.assertEqual([one.connections for one in hosts], [1, 1, 1])
                self.assertEqual(ends[0]["peer_address"]["name"], "m3.test")
                self.assertEqual(gateway.events("TransientFailure"), [])

    def test_it_waits_for_a_host_that_cannot_be_reached(self):
        for offers, end in ((ALL, "Delivery"), (WITHOUT["SMTPUTF8"], "Bounce")):
            for dead in (1, 2, 3):
                with self.subTest(end=end, dead=dead):
                    self.setUp()
                    for number in {1, 2, 3} - {dead}:
                        self.host(number, WITHOUT["SMTPUTF8"])
                    gateway = self.domain(1, 2, 3)
                    self.needing(gateway, "SMTPUTF8")
                    time.sleep(2)
                    self.assertEqual(self.outcomes(gateway), [])
                    message = gateway.events("Reception")[0]["id"]
                    waits = json.loads(gateway.ctl("why", message, "--json")[1])
                    self.assertIn(f"m{dead}.test", json.dumps(waits))
                    self.host(dead, offers)
                    self.assertEqual(gateway.ctl("flush")[0], 0)
                    self.assertEqual([one["type"] for one in self.ended(gateway, 1, 10)], [end])

    def test_a_host_whose_name_has_no_answer_may_have_it_too(self):
        self.host(1, WITHOUT["SMTPUTF8"])
        gateway = self.domain(1, 2, timeout="1s")
        script, lame = self.names_served.script, ["m2.test"]
        self.names_served.server.script = lambda name, *rest: [] if name in lame else script(name, *rest)
        self.needing(gateway, "SMTPUTF8")
        time.sleep(4)
        self.assertEqual(self.outcomes(gateway), [])
        lame.clear()
        self.host(2)
        self.assertEqual(gateway.ctl("flush")[0], 0)
        self.assertEqual([one["type"] for one in self.ended(gateway, 1, 30)], ["Delivery"])

    def test_other_mail_keeps_its_connection(self):
        poor, good = self.host(1, WITHOUT["SMTPUTF8"]), self.host(2)
        zone = self.zone({"d.test": mx("m1.test", "m2.test"), "acme.test": {"MX": ["0 ."]}, **self.names})
        server = {"dns": {"resolver": zone.server.server, "private_addresses": "allow", "trust_anchor": "none"}}
        gateway = self.gateway(server=server, shards=1, policy={"routes": [{"match": "*", "relay": "mx"}], "delivery": {
            "mx_port": self.port}})
        for _ in range(20):
            self.send(gateway, ["x@d.test"], 10)
            self.needing(gateway, "SMTPUTF8")
        self.assertEqual([one["type"] for one in self.ended(gateway, 220, 60)], ["Delivery"] * 220)
        self.assertEqual((len(poor.accepted), len(good.accepted)), (200, 20))
        self.assertLessEqual(poor.connections + good.connections, 20)

    def test_many_that_no_host_takes_cost_few_connections(self):
        hosts = [self.host(number, WITHOUT["SIZE"]) for number in (1, 2, 3)]
        gateway = self.domain(1, 2, 3)
        self.needing(gateway, "SIZE", count=500)
        ends = self.ended(gateway, 500, 60)
        self.assertEqual({(one["type"], status_of(one)) for one in ends}, {("Bounce", "5.3.4")})
        self.assertEqual(len({one["id"] for one in ends}), 500)
        self.assertLess(sum(one.connections for one in hosts), 750)  # Not one for each of 1500 visits.


class NotReached(Egress):
    def failures(self, gateway, count=1, seconds=15):
        gateway.wait(lambda _: len(gateway.events("TransientFailure")) >= count, seconds)
        return gateway.events("TransientFailure")

    def test_the_message_that_a_connection_was_for_has_an_event(self):
        gateway = self.by_mx(self.zone({"d.test": mx("m1.test", "m2.test"), "m1.test": at("127.0.0.2"), "m2.test": at("127.0.0.3")}))
        self.send(gateway, ["x@d.test", "y@d.test"])
        text = rf"connect to m2\.test\[127\.0\.0\.3\]:{self.port}: Connection refused"
        found = self.failures(gateway, 4)  # The next round too.
        self.assertEqual({one["recipient"] for one in found}, {"x@d.test", "y@d.test"})
        for one in found:
            self.assertRegex(one["response"]["content"], f"^{text}$")
            self.assertEqual((one["response"]["code"], status_of(one), one["num_attempts"], one["site"]), (0, "4.4.1", 0, "d.test/opportunistic"))
            self.assertEqual((one["bounce_classification"], one.get("peer_address")), ("NoAnswerFromHost", None))
            self.assertEqual(one["id"], gateway.events("Reception")[0]["id"])
        self.assertRegex(gateway.text_log(), rf"to=<x@d\.test>, relay=none, delay=.*dsn=4\.4\.1, status=deferred \({text}\)\n")
        self.assertEqual((gateway.status()["mail"]["deferrals"], gateway.status()["queue"]["ready"]), (0, 1))

    def test_no_answer_from_dns_and_no_permitted_host_too(self):
        zone = self.zone({"d.test": mx("m.test")})
        zone.mood = "SERVFAIL"
        gateway = self.by_mx(zone)
        self.send(gateway, ["x@d.test"])
        self.assertIn("SERVFAIL", self.failures(gateway)[0]["response"]["content"])
        self.assertEqual(status_of(gateway.events("TransientFailure")[0]), "4.4.3")

    def test_a_full_lane_is_no_flood(self):
        gateway = self.by_mx(self.zone({"d0.sink.test": mx("m.test"), "m.test": at("127.0.0.2")}))
        self.bulk(gateway, 2000, 1)
        time.sleep(4)
        found = gateway.events("TransientFailure")
        self.assertTrue(2 <= len(found) <= 2 * 6, len(found))  # Of two shards, each a few rounds.

    def test_what_goes_by_another_connection_has_none(self):
        host = self.sink("--connections-at-once", "2", "--rule", "dot:delay", "--delay", "20")
        gateway = self.gateway(next_hop=host.port, shards=1)
        self.send(gateway, ["x@d.test"])
        self.done(gateway, 1)  # One works before others are turned away.
        self.bulk(gateway, 300, 1)
        self.done(gateway, 301)
        self.assertEqual(gateway.events("TransientFailure"), [])
        self.assertGreater(host.stop()["turned_away"], 0)


class WithoutRoute(Egress):
    """Its route went away while the gateway was down; DSNs go to a sink."""

    def waiting(self, recipients, more=()):
        self.reports = self.sink()
        self.kept = [{"match": "hold.test", "relay": "hold"}, {"match": "acme.test", "relay": f"127.0.0.1:{self.reports.port}"}]
        gateway = self.gateway(policy={"routes": [*self.kept, {"match": "d.test", "relay": f"127.0.0.1:{self.port}"}],
                                       "delivery": {"retry": {**RETRY, "max_age": "1h"}}})
        self.began = time.monotonic()
        self.send(gateway, recipients)
        for command in more:
            self.assertEqual(gateway.ctl(*command)[0], 0)
        gateway.terminate()
        gateway.policy["routes"] = self.kept
        gateway.start()
        self.assertEqual(gateway.status()["queue"]["held"], 1)
        return gateway

    def reload(self, gateway, **retry):
        gateway.policy["delivery"]["retry"].update(retry)
        (gateway.folder / "policy.json").write_text(json.dumps(gateway.policy))
        self.assertEqual(gateway.ctl("reload")[0], 0)

    def expired(self, gateway, recipient="x@d.test"):
        gateway.wait(lambda _: gateway.events("Expiration"), 15)
        found = gateway.events("Expiration")
        self.assertGreater(time.monotonic() - self.began, 5)
        self.assertEqual([(one["recipient"], one["response"]["code"], status_of(one)) for one in found], [(recipient, 550, "4.4.7")])

    def test_it_expires_with_a_report(self):
        gateway = self.waiting(["x@d.test"])
        self.reload(gateway, max_age="6s")
        self.expired(gateway)
        gateway.wait(lambda now: now["mail"]["done"] == 2)
        self.assertEqual((gateway.status()["queue"]["held"], self.reports.stop()["messages"]), (0, 1))

    def test_after_another_restart_and_while_suspended(self):
        gateway = self.waiting(["x@d.test"], more=[("suspend", "--tenant", "acme", "--duration", "1h", "--reason", "x"),
                                                   ("suspend", "--domain", "d.test", "--duration", "1h", "--reason", "x")])
        gateway.kill()
        gateway.policy["delivery"]["retry"]["max_age"] = "6s"
        time.sleep(6)
        gateway.start()
        self.expired(gateway)
        self.assertEqual(gateway.status()["queue"]["held"], 0)

    def test_what_a_route_holds_stays(self):
        gateway = self.waiting(["x@d.test", "y@hold.test"])
        self.reload(gateway, max_age="6s")
        self.expired(gateway)
        time.sleep(2)
        self.assertEqual(gateway.status()["queue"]["held"], 1)
        gateway.kill()
        gateway.start()
        self.assertEqual((gateway.status()["queue"]["held"], len(gateway.events("Expiration"))), (1, 1))
        host = self.sink()
        gateway.policy["routes"] = [*self.kept, {"match": "*", "relay": f"127.0.0.1:{host.port}"}]
        self.reload(gateway, max_age="1h")
        self.assertEqual(gateway.ctl("release")[0], 0)
        gateway.wait(lambda _: [one["recipient"] for one in gateway.events("Delivery") if one["sender"]] == ["y@hold.test"])

    def test_a_route_in_time(self):
        gateway = self.waiting(["x@d.test"])
        host = self.sink(port=self.port)
        gateway.policy["routes"] = [*self.kept, {"match": "d.test", "relay": f"127.0.0.1:{host.port}"}]
        self.reload(gateway)
        self.done(gateway, 1)
        self.reload(gateway, max_age="6s")  # Of what is gone nothing is left that could end.
        time.sleep(7)
        self.assertEqual((len(gateway.events("Delivery")), gateway.events("Expiration")), (1, []))


class Names(Egress):
    """With a resolv.conf and a hosts of their own, in the daemon's mount namespace."""

    def setUp(self):
        super().setUp()
        box = tempfile.TemporaryDirectory()
        self.addCleanup(box.cleanup)
        self.files = {name: pathlib.Path(box.name, name) for name in ("resolv.conf", "hosts")}
        self.write("resolv.conf", "nameserver 127.0.0.77\n")  # Nobody.
        self.write("hosts", "127.0.0.77 relay.example\n")

    def write(self, name, text):
        self.files[name].write_text(text)  # In place: a bind mount is of the file.

    def inside(self):
        libc = ctypes.CDLL(None, use_errno=True)
        private, bind = 0x44000, 0x1000
        done = [libc.unshare(0x20000), libc.mount(b"none", b"/", None, private, None)]
        done += [libc.mount(bytes(path), f"/etc/{name}".encode(), None, bind, None) for name, path in self.files.items()]
        if any(done):
            raise OSError(ctypes.get_errno(), "mount")

    def started(self, policy):
        made = Gateway(policy={"delivery": {"retry": RETRY, "mx_port": self.port}, **policy},
                       server={"dns": {"resolver": "system", "private_addresses": "allow", "timeout": "1s", "trust_anchor": "none"}})
        self.addCleanup(made.close)
        try:
            made.start(preexec_fn=self.inside)
        except subprocess.SubprocessError:
            self.skipTest("needs to mount files of its own")
        self.addCleanup(lambda: self.check(made))
        return made

    def test_hosts_by_reload_and_by_sighup(self):
        host = self.sink(host="127.0.0.2", port=self.port)
        for again in (lambda gateway: gateway.ctl("reload"), lambda gateway: gateway.process.send_signal(signal.SIGHUP)):
            self.write("hosts", "127.0.0.77 relay.example\n")
            gateway = self.started({"routes": [{"match": "*", "relay": f"relay.example:{self.port}"}]})
            self.send(gateway, ["x@d.test"])
            gateway.wait(lambda _, gateway=gateway: gateway.events("TransientFailure"))
            self.write("hosts", "127.0.0.2 relay.example\n")
            again(gateway)
            time.sleep(1)
            self.assertEqual(gateway.ctl("flush")[0], 0)
            self.done(gateway, 1, 10)
        self.assertEqual(host.stop()["messages"], 2)

    def test_other_servers(self):
        zone = Zone({"d.test": mx("m.test"), "m.test": at("127.0.0.2")})
        self.addCleanup(zone.close)
        try:
            server = Scripted(zone.script, port=53)
        except OSError:
            self.skipTest("needs port 53")
        self.addCleanup(server.close)
        host = self.mail_host("127.0.0.2")
        gateway = self.started({"routes": [{"match": "*", "relay": "mx"}]})
        self.send(gateway, ["x@d.test"])
        gateway.wait(lambda _: gateway.events("TransientFailure"))
        self.write("resolv.conf", "nameserver 127.0.0.1\n")
        self.assertEqual(gateway.ctl("reload")[0], 0)
        self.assertEqual(gateway.ctl("reload")[0], 0)
        self.assertEqual(gateway.ctl("flush")[0], 0)
        self.done(gateway, 1, 10)
        self.assertEqual(host.stop()["messages"], 1)
        self.assertEqual((gateway.folder / "stderr.txt").read_text().count("read again"), 1)


if __name__ == "__main__":
    unittest.main()
