#!/usr/bin/env python3
"""What operators ask of the queue: queue, message, why, flush, bounce, suspend, resume."""

import json
import smtplib
import time
import unittest

from gateway import OPEN, Gateway, Sink
from ports import free_port

LATER = {"retry": {"first": "1h", "factor": 1, "max": "1h", "max_age": "1d"}}
OTHER = {"name": "globex", "domains": ["globex.test"], "authorized_senders": ["@globex.test"],
         "check_header_from": False, "relay_hosts": ["127.0.0.2/32"]}
BODY = "Subject: hello\r\nX-Long: " + "x" * 60 + "\r\n\r\nBody\r\n"


class Commands(unittest.TestCase):
    def sink(self, *options, **more):
        sink = Sink(*options, **more)
        self.addCleanup(sink.process.communicate)
        self.addCleanup(sink.process.kill)
        return sink

    def gateway(self, routes, delivery=None, tenants=None, **more):
        gateway = Gateway(policy={"routes": routes, "delivery": delivery or LATER,
                                  "tenants": tenants or [{"name": "acme", **OPEN, "relay_hosts": ["127.0.0.1/32"]},
                                                         OTHER]}, **more)
        self.addCleanup(gateway.close)
        return gateway.start()

    def send(self, gateway, recipients, count=1, sender="a@acme.test", body=BODY):
        source = "127.0.0.2" if sender.endswith("globex.test") else "127.0.0.1"
        client = smtplib.SMTP()
        client.source_address = (source, 0)
        client.connect("127.0.0.1", gateway.ports["smtp"], source_address=(source, 0))
        with client:
            for _ in range(count):
                client.sendmail(sender, recipients, body)

    def json(self, gateway, *command, code=0):
        got, out, err = gateway.ctl(*command, "--json")
        self.assertEqual(got, code, (command, out, err))
        return json.loads(out)

    def lanes(self, gateway, *options):
        return {one["destination"]: one for one in self.json(gateway, "queue", *options)["lanes"]}

    def messages(self, gateway, *options):
        rows, after = [], 0
        while True:
            page = self.json(gateway, "queue", "list", *options, "--after", str(after))
            rows += page["messages"]
            after = page["next"]
            if not after:
                return rows


class Queue(Commands):
    def test_lanes_are_shown_with_their_state_the_largest_first(self):
        slow, down = self.sink("--rule", "rcpt:defer"), free_port()
        gateway = self.gateway([{"match": "slow.test", "relay": f"127.0.0.1:{slow.port}"},
                                {"match": "down.test", "relay": f"127.0.0.1:{down}"},
                                {"match": "held.test", "relay": "hold"}])
        self.send(gateway, ["x@slow.test"], 20)
        self.send(gateway, ["x@down.test"], 5)
        self.send(gateway, ["x@down.test"], 2, sender="g@globex.test")
        self.send(gateway, ["x@held.test"], 3)
        gateway.wait(lambda status: status["queue"]["deferred"] == 20 and status["queue"]["held"] == 3)
        told = self.json(gateway, "queue")
        slow_name, down_name = f"127.0.0.1:{slow.port}", f"127.0.0.1:{down}"
        self.assertEqual([one["destination"] for one in told["lanes"]], [slow_name, down_name])
        self.assertEqual((told["lanes"][0]["deferred"], told["lanes"][1]["ready"], told["held"]), (20, 7, 3))
        self.assertEqual(told["lanes"][1]["state"], "backed off")
        self.assertIn("refused", told["lanes"][1]["fault"])
        self.assertGreater(told["lanes"][1]["backed_off_until"], time.time())
        self.assertEqual((told["total"]["ready"], told["total"]["deferred"]), (7, 20))
        only = self.json(gateway, "queue", "--tenant", "globex")
        self.assertEqual((only["total"]["ready"], only["total"]["deferred"], only["held"]), (2, 0, 0))
        ages = self.json(gateway, "queue", "--ages")
        self.assertEqual((ages["total"]["ages"][0], ages["held_ages"][0]), (27, 3))
        top = self.json(gateway, "queue", "--rows", "1")
        self.assertEqual((len(top["lanes"]), top["more_lanes"]), (1, 1))
        for options in ([], ["--ages"], ["list"], ["--held"]):
            code, out, err = gateway.ctl("queue", *options)
            self.assertEqual(code, 0, err)
            self.assertNotIn("{", out)
        self.assertEqual(len(self.messages(gateway, "--held")), 3)
        self.assertEqual(len(self.messages(gateway, "--domain", "DOWN.test")), 7)
        self.assertEqual(len(self.messages(gateway, "--domain", down_name, "--tenant", "globex")), 2)
        rows = self.messages(gateway, "--rows", "4")
        self.assertEqual(len({one["id"] for one in rows}), 30)
        (deferred,) = [one for one in rows if one["state"] == "deferred"][:1]
        self.assertEqual((deferred["attempts"], deferred["tenant"], deferred["class"]), (1, "acme", "bulk"))
        self.assertTrue(deferred["last_reply"].startswith("4"), deferred)
        self.assertGreater(deferred["next_try"], time.time() + 3000)

    def test_a_message_is_shown_whole_also_after_a_restart(self):
        slow = self.sink("--rule", "rcpt:defer")
        gateway = self.gateway([{"match": "slow.test", "relay": f"127.0.0.1:{slow.port}"},
                                {"match": "held.test", "relay": "hold"}])
        self.send(gateway, ["x@slow.test", "y@held.test"])
        self.send(gateway, ["x@slow.test"], body="Subject: big\r\n\r\n" + "0123456789\r\n" * 400_000)
        gateway.wait(lambda status: status["queue"]["deferred"] == 2)
        small, big = sorted(self.messages(gateway, "--domain", "slow.test"), key=lambda one: one["id"])
        for restarted in (False, True):
            told = self.json(gateway, "message", small["id"], "--headers")
            self.assertEqual((told["sender"], told["tenant"], told["recipients_total"]), ("a@acme.test", "acme", 2))
            slow_one, held_one = told["recipients"]
            self.assertEqual((slow_one["recipient"], slow_one["attempts"]), ("x@slow.test", 1))
            self.assertEqual(slow_one.get("last_reply", "")[:1], "" if restarted else "4")
            self.assertEqual(held_one["why"], "held by its route until it is released")
            self.assertTrue(told["header"].startswith("Received: from "), told)
            self.assertIn("\r\nSubject: hello\r\nX-Long: " + "x" * 60 + "\r\n", told["header"])
            self.assertNotIn("Body", told["header"])
            header = self.json(gateway, "message", big["id"], "--headers")["header"]
            self.assertIn("\r\nSubject: big\r\n", header)
            self.assertNotIn("0123456789\r\n", header)
            self.assertIn("Subject: hello", gateway.ctl("message", small["id"], "--headers")[1])
            if not restarted:
                self.assertEqual(gateway.terminate(), 0)
                gateway.start()
        self.assertEqual(self.json(gateway, "message", "0" + "1" * 12, code=1)["reason"], "not_found")
        self.assertEqual(self.json(gateway, "message", "nothing", code=2)["reason"], "usage")


class Flush(Commands):
    def test_one_message_one_domain_or_one_tenant_is_tried_now(self):
        sink = self.sink("--rule", "rcpt:defer")
        gateway = self.gateway([{"match": "*", "relay": f"127.0.0.1:{sink.port}"}])
        self.send(gateway, ["x@one.test"], 3)
        self.send(gateway, ["x@two.test"], 4, sender="g@globex.test")
        gateway.wait(lambda status: status["queue"]["deferred"] == 7)
        one = self.messages(gateway, "--domain", "one.test")[0]["id"]
        for command, count in ((["flush", one], 1), (["flush", "--domain", "one.test"], 3),
                               (["flush", "--tenant", "globex"], 4), (["flush"], 7)):
            before = gateway.status()["mail"]["deferrals"]
            self.assertEqual(self.json(gateway, *command)["flushed"], count)
            gateway.wait(lambda status: status["queue"]["deferred"] == 7
                         and status["mail"]["deferrals"] == before + count)
        self.assertEqual(self.json(gateway, "flush", "nothing", code=2)["reason"], "usage")

    def test_a_lane_that_is_left_alone_is_tried_now(self):
        port = free_port()
        gateway = self.gateway([{"match": "*", "relay": f"127.0.0.1:{port}"}])
        self.send(gateway, ["x@one.test"])
        gateway.wait(lambda status: self.lanes(gateway)[f"127.0.0.1:{port}"]["state"] == "backed off")
        self.sink(port=port)
        self.json(gateway, "flush", "--domain", "one.test")
        gateway.wait(lambda status: status["mail"]["delivered"] == 1)


class Bounce(Commands):
    def test_what_waits_ends_with_the_reason_and_what_comes_later_does_not(self):
        sink = self.sink("--rule", "rcpt:defer")
        gateway = self.gateway([{"match": "held.test", "relay": "hold"}, {"match": "acme.test", "relay": "discard"},
                                {"match": "*", "relay": f"127.0.0.1:{sink.port}"}])
        self.send(gateway, ["x@one.test", "y@two.test", "z@held.test"], 3)
        self.send(gateway, ["x@two.test"], 2000)
        gateway.wait(lambda status: status["queue"]["deferred"] == 2003, 60)
        told = self.json(gateway, "bounce", "--domain", "one.test", "--reason", "no such place")
        self.assertEqual((told["bounced"], told["messages"], told["through"]), (3, 3, True))
        told = self.json(gateway, "bounce", "--domain", "held.test", "--reason", "not wanted")
        self.assertEqual(told["bounced"], 3)
        self.assertEqual(gateway.status()["queue"]["held"], 0)
        self.send(gateway, ["later@one.test"])
        gateway.wait(lambda status: status["queue"]["deferred"] == 2004)
        self.assertEqual(gateway.terminate(), 0)
        gateway.start()
        gateway.wait(lambda status: status["queue"]["deferred"] == 2004)
        one = self.messages(gateway, "--domain", "one.test")
        self.assertEqual(len(one), 1, "and none of those that have ended")
        self.assertEqual(self.json(gateway, "bounce", one[0]["id"], "--reason", "gone")["bounced"], 1)
        told = self.json(gateway, "bounce", "--tenant", "acme", "--reason", "a mistake", "--quiet")
        self.assertEqual((told["bounced"], told["in_flight"]), (2003, 0))
        status = gateway.wait(lambda status: status["queue"]["deferred"] == 0)
        self.assertEqual(status["queue"]["ready"], 0)
        self.assertEqual(gateway.terminate(), 0)
        ended = gateway.events("AdminBounce")
        self.assertEqual(len(ended), 2010)
        reply = ended[0]["response"]
        self.assertEqual((reply["code"], reply["content"]), (550, "no such place"))
        self.assertEqual([reply["enhanced_code"][key] for key in ("class", "subject", "detail")], [5, 7, 1])
        gateway.start()
        self.assertEqual(gateway.status()["queue"]["deferred"], 0)
        rows = self.json(gateway, "audit")["audit"]
        self.assertIn(("bounce", "acme", "quiet: a mistake"), [(one["command"], one["tenant"], one["after"]) for one in rows])

    def test_it_must_say_what_and_why(self):
        gateway = self.gateway([{"match": "*", "relay": "hold"}])
        self.assertEqual(gateway.ctl("bounce", "--all")[0], 2)
        self.assertEqual(self.json(gateway, "bounce", "--reason", "x", code=2)["reason"], "usage")
        self.json(gateway, "bounce", "--all", "--domain", "x.test", "--reason", "x", code=2)
        self.json(gateway, "bounce", "--all", "--reason", "two\nlines", code=2)
        self.assertEqual(self.json(gateway, "bounce", "--all", "--reason", "x")["bounced"], 0)


class Suspend(Commands):
    def test_a_domain_waits_over_a_restart_and_others_go_on(self):
        sink = self.sink()
        gateway = self.gateway([{"match": "*", "relay": f"127.0.0.1:{sink.port}"}])
        self.json(gateway, "suspend", "--domain", "one.test", "--duration", "1h", "--reason", "they asked")
        self.send(gateway, ["x@one.test"], 30)
        self.send(gateway, ["x@two.test", "y@one.test"], 5)
        gateway.wait(lambda status: status["mail"]["delivered"] == 5 and status["queue"]["deferred"] == 35)
        (listed,) = self.json(gateway, "suspend", "list")["suspended"]
        self.assertEqual((listed["domain"], listed["tenant"], listed["reason"]), ("one.test", "", "they asked"))
        waiting = self.messages(gateway, "--domain", "one.test")[0]["id"]
        (why,) = self.json(gateway, "why", waiting)["recipients"]
        self.assertEqual((why["lane"], why["attempts"]), ("suspended by an operator: they asked", 0))
        self.assertEqual(self.json(gateway, "flush")["flushed"], 35)
        time.sleep(0.5)
        self.assertEqual(gateway.status()["mail"]["delivered"], 5, "a flush lifts nothing")
        self.assertEqual(gateway.terminate(), 0)
        gateway.start()
        self.send(gateway, ["x@two.test"])
        gateway.wait(lambda status: status["mail"]["delivered"] == 1 and status["queue"]["deferred"] == 35)
        self.assertTrue(self.json(gateway, "resume", "--domain", "one.test")["changed"])
        self.assertFalse(self.json(gateway, "resume", "--domain", "one.test")["changed"])
        gateway.wait(lambda status: status["mail"]["delivered"] == 36)
        self.assertEqual(gateway.status()["queue"]["deferred"], 0)

    def test_a_tenant_waits_and_another_goes_on_by_the_same_lane(self):
        sink = self.sink("--rule", "rcpt:defer@slow.test")
        gateway = self.gateway([{"match": "*", "relay": f"127.0.0.1:{sink.port}"}])
        before = time.time()
        until = self.json(gateway, "suspend", "--tenant", "globex", "--reason", "abuse")["until"]
        self.assertTrue(int(before) + 300 <= until <= time.time() + 300, "five minutes unless it says so")
        self.send(gateway, ["x@one.test"], 2000, sender="g@globex.test")
        self.send(gateway, ["x@one.test"], 50)
        gateway.wait(lambda status: status["mail"]["delivered"] == 50)
        gateway.wait(lambda status: status["queue"]["deferred"] == 2000)
        before = gateway.status()
        time.sleep(1)
        after = gateway.status()
        self.assertLess(after["ring"]["enters"] - before["ring"]["enters"], 400, "it spins")
        rows = self.messages(gateway, "--tenant", "globex", "--rows", "1000")
        self.assertEqual((len(rows), {one["attempts"] for one in rows}), (2000, {0}))
        (why,) = self.json(gateway, "why", rows[0]["id"])["recipients"]
        self.assertEqual(why["lane"], "suspended by an operator: abuse")
        self.assertIn(why["lane_until"] - until, (0, 1))  # It was milliseconds, and is rounded up.
        self.json(gateway, "resume", "--all")
        gateway.wait(lambda status: status["mail"]["delivered"] == 2050, 60)

    def test_it_ends_by_itself(self):
        sink = self.sink()
        gateway = self.gateway([{"match": "*", "relay": f"127.0.0.1:{sink.port}"}])
        lane = f"127.0.0.1:{sink.port}"

        def suspend(tenant, domain):
            self.json(gateway, "suspend", "--tenant", "globex", "--duration", tenant, "--reason", "x")
            self.json(gateway, "suspend", "--domain", lane, "--duration", domain, "--reason", "x")
        suspend("1h", "1h")
        self.send(gateway, ["x@one.test"])
        self.send(gateway, ["x@one.test"], sender="g@globex.test")
        self.assertEqual(gateway.status()["mail"]["delivered"], 0)
        self.assertEqual(self.lanes(gateway)[lane]["state"], "suspended")
        suspend("3s", "1s")  # In the place of those above.
        gateway.wait(lambda status: status["mail"]["delivered"] == 2)
        self.assertEqual(self.json(gateway, "suspend", "list")["suspended"], [])

    def test_a_shorter_one_in_its_place_holds_for_what_was_put_off(self):
        sink = self.sink()
        gateway = self.gateway([{"match": "*", "relay": f"127.0.0.1:{sink.port}"}])
        self.json(gateway, "suspend", "--tenant", "globex", "--duration", "1h", "--reason", "x")
        self.send(gateway, ["x@one.test"], sender="g@globex.test")
        gateway.wait(lambda status: status["queue"]["deferred"] == 1)
        self.json(gateway, "suspend", "--tenant", "globex", "--duration", "2s", "--reason", "x")
        gateway.wait(lambda status: status["mail"]["delivered"] == 1)

    def test_it_must_say_what_and_why(self):
        gateway = self.gateway([{"match": "*", "relay": "hold"}])
        self.assertEqual(gateway.ctl("suspend", "--domain", "x.test")[0], 2)
        self.json(gateway, "suspend", "--reason", "x", code=2)
        self.json(gateway, "suspend", "--domain", "x.test", "--duration", "for ever", "--reason", "x", code=2)
        self.json(gateway, "resume", code=2)


class Why(Commands):
    def why(self, gateway, *options):
        rows = self.messages(gateway, *options)
        return self.json(gateway, "why", rows[0]["id"])["recipients"][0]

    def test_each_state_of_a_message_is_told(self):
        stalling = self.sink("--rule", "data:delay", "--delay", "20000")
        slow, down = self.sink("--rule", "rcpt:defer"), free_port()
        gateway = self.gateway([{"match": "stall.test", "relay": f"127.0.0.1:{stalling.port}"},
                                {"match": "slow.test", "relay": f"127.0.0.1:{slow.port}"},
                                {"match": "down.test", "relay": f"127.0.0.1:{down}"},
                                {"match": "held.test", "relay": "hold"}])
        for domain in ("stall.test", "slow.test", "down.test", "held.test"):
            self.send(gateway, [f"x@{domain}"])
        gateway.wait(lambda status: status["queue"]["deferred"] == 1 and status["queue"]["in_flight"] == 1)
        self.assertEqual(self.why(gateway, "--domain", "stall.test")["why"], "is being tried now")
        told = self.why(gateway, "--domain", "slow.test")
        self.assertEqual((told["attempts"], told["last_reply"][:1]), (1, "4"))
        self.assertGreater(told["next_try"], time.time() + 3000)
        gateway.wait(lambda _: "lane" in self.why(gateway, "--domain", "down.test"))
        told = self.why(gateway, "--domain", "down.test")
        self.assertEqual(told["lane"], "the destination is left alone for a while")
        self.assertIn("refused", told["destination_fault"])
        self.assertLessEqual(told["next_try"], told["lane_until"])
        self.assertEqual(self.why(gateway, "--held")["why"], "held by its route until it is released")

    def test_a_used_up_rate_and_connections_in_use_are_told(self):
        sink = self.sink("--rule", "data:delay", "--delay", "20000")
        fast = self.sink()
        gateway = self.gateway([{"match": "stall.test", "relay": f"127.0.0.1:{sink.port}"},
                                {"match": "rate.test", "relay": f"localhost:{fast.port}"}],
                               {**LATER, "connections_per_destination": 1,
                                "shaping": [{"mx": "localhost", "max_message_rate": "1/1h"}]}, shards=1)
        self.send(gateway, ["x@stall.test"], 2)
        gateway.wait(lambda status: status["queue"]["in_flight"] == 1)
        ready = [one for one in self.messages(gateway, "--domain", "stall.test") if one["state"] == "ready"]
        (told,) = self.json(gateway, "why", ready[0]["id"])["recipients"]
        self.assertEqual(told["lane"], "as many connections as it may have are open")
        self.assertEqual(self.lanes(gateway)[f"127.0.0.1:{sink.port}"]["state"], "connection limit")
        self.send(gateway, ["x@rate.test"], 3)
        gateway.wait(lambda status: status["mail"]["delivered"] >= 1)
        gateway.wait(lambda _: self.lanes(gateway)[f"localhost:{fast.port}"]["state"] == "rate")
        told = self.why(gateway, "--domain", "rate.test")
        self.assertEqual(told["lane"], "its rate is used up")
        self.assertGreater(told["lane_until"], time.time())

    def test_mail_without_a_route_any_more_is_told(self):
        gateway = self.gateway([{"match": "*", "relay": f"127.0.0.1:{free_port()}"}])
        self.send(gateway, ["x@one.test"])
        self.assertEqual(gateway.terminate(), 0)
        gateway.policy["routes"] = [{"match": "other.test", "relay": "hold"}]
        gateway.start()
        self.assertEqual(self.why(gateway, "--held")["why"], "held: no route matches")


if __name__ == "__main__":
    unittest.main()
