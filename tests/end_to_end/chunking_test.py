#!/usr/bin/env python3
"""BDAT to next hops: when it is used, byte for byte, and what becomes of a message when it fails."""

import time
import unittest

from attacked import Attacked, closing, once, resetting, saying
from gateway import Hop

CHUNKING = ("8BITMIME", "SIZE 100000000", "CHUNKING")
HEAD = "From: a@acme.test\r\nSubject: x\r\n\r\n"


class Deaf(Hop):
    """Offers CHUNKING and does not know BDAT: what follows it are commands."""

    def converse(self, plain, fault):
        lines = plain.makefile("rb")
        plain.sendall(b"220 deaf.test ESMTP\r\n")
        while line := lines.readline():
            self.commands.append(line.strip().decode())
            if line.upper().startswith(b"EHLO"):
                plain.sendall(b"250-deaf.test\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
            elif line[:4].upper() in (b"MAIL", b"NOOP", b"RSET"):
                plain.sendall(b"250 2.0.0 Ok\r\n")
            elif line[:4].upper() == b"RCPT":
                plain.sendall(b"550 5.1.1 Not here\r\n" if b"nobody@" in line else b"250 2.0.0 Ok\r\n")
            elif line.upper() == b"DATA\r\n":
                plain.sendall(b"354 Go on\r\n")
                while lines.readline() != b".\r\n":
                    pass
                plain.sendall(b"250 2.0.0 Ok\r\n")
            else:
                plain.sendall(b"500 5.5.1 What?\r\n")


class Chunking(Attacked):
    def routed(self, hops, delivery=None, **more):
        """One gateway; cN.test goes to hop N."""
        routes = [{"match": f"c{number}.test", "relay": f"127.0.0.1:{hop.port}"} for number, hop in enumerate(hops)]
        retry = {"retry": {"first": "1s", "factor": 1, "max": "1s", "max_age": "1d"}}
        return self.gateway(policy={"routes": routes, "delivery": {**retry, **(delivery or {})}}, **more)

    def verbs(self, hop):
        return [command.split(" ")[0] for command in hop.commands]

    def done(self, gateway, count, seconds=20):
        return gateway.wait(lambda status: status["mail"]["done"] == count, seconds)

    def test_small_messages_go_by_bdat_large_ones_and_those_without_pipelining_by_data(self):
        hops = [self.hop(offers=CHUNKING), self.hop(offers=CHUNKING, pipelining=False), self.hop()]
        gateway = self.routed(hops)
        for number in range(len(hops)):
            self.submit(gateway, f"b@c{number}.test", f"c@c{number}.test", body=HEAD + ".dot\r\n..\r\n.\r\n")
        self.done(gateway, len(hops))
        large = HEAD + ("." + "y" * 70 + "\r\n") * 1000
        self.submit(gateway, "b@c0.test", body=large)
        self.done(gateway, len(hops) + 1)
        bodies = {hop.accepted[0].split(b"\r\n\r\n", 1)[1] for hop in hops}
        self.assertEqual(bodies, {b"..dot\r\n...\r\n..\r\n.\r\n"})
        self.assertEqual(hops[0].accepted[1].split(b"\r\n\r\n", 1)[1], large.split("\r\n\r\n", 1)[1].replace("\r\n.", "\r\n..")
                         .encode().join((b".", b".\r\n")))
        self.assertEqual([[verb for verb in self.verbs(hop) if verb in ("BDAT", "DATA")] for hop in hops],
                         [["BDAT", "DATA"], ["DATA"], ["DATA"]])
        commands = {event["response"]["command"] for event in gateway.events("Delivery")}
        self.assertEqual(commands, {"BDAT", "."})

    def test_policy_can_turn_it_off(self):
        hop = self.hop(offers=CHUNKING)
        gateway = self.routed([hop], {"chunking": False})
        self.submit(gateway, "b@c0.test")
        self.done(gateway, 1)
        self.assertIn("DATA", self.verbs(hop))
        self.assertNotIn("BDAT", self.verbs(hop))

    def test_one_gateway_to_another_dots_at_every_place_from_memory_and_from_the_disk(self):
        last = self.hop(offers=CHUNKING)
        second = self.gateway(next_hop=last.port)
        routes = [{"match": "*", "relay": f"127.0.0.1:{second.ports['smtp']}"}]
        first = self.gateway(policy={"routes": routes})
        sent = {}
        for number in range(40):
            # Blocks of a body in memory end at 8 and 64 KiB: dots slide over these places.
            text = "z" * (number + 1) + "\r\n" + ".\r\n..\r\n.a\r\n" * (4 * number if number % 2 else 4500)
            sent[str(number)] = text
            self.submit(first, "b@c.test", body=HEAD.replace(": x", f": {number}") + text)
        self.done(second, 40)
        self.done(first, 40)
        first.terminate()
        first.policy["routes"] = [{"match": "*", "relay": "127.0.0.1:1"}]
        first.start()
        for number in range(40, 60):
            text = "z" * number + "\r\n" + ".\r\n..\r\n.a\r\n" * 60 * (number - 39)
            sent[str(number)] = text
            self.submit(first, "b@c.test", body=HEAD.replace(": x", f": {number}") + text)
        first.kill()  # What is read back comes from the disk.
        first.policy["routes"] = routes
        first.start()
        self.done(second, 60)
        self.assertEqual(len(last.accepted), 60)
        for message in last.accepted:
            head, text = message.decode().split("\r\n\r\n", 1)
            name = head.split("Subject: ")[1].split("\r\n")[0]
            self.assertEqual(text, ("\r\n" + sent.pop(name)).replace("\r\n.", "\r\n..")[2:] + ".\r\n", name)
        self.assertEqual(self.verbs(last).count("BDAT"), 60)
        self.assertEqual([one.status()["mail"]["ambiguous"] for one in (first, second)], [0, 0])

    def test_refusals_at_each_step(self):
        refuse, defer = saying(b"550 5.7.1 no\r\n", go_on=True), saying(b"450 4.2.0 later\r\n", go_on=True)
        hops = [self.hop((step, action), offers=CHUNKING, refuses=True) for step in ("mail", "rcpt") for action in (refuse, defer)]
        hops += [self.hop(("dot", once(action)), offers=CHUNKING) for action in (refuse, defer)]
        gateway = self.routed(hops)
        for number in range(len(hops)):
            self.submit(gateway, f"b@c{number}.test", body=HEAD + "NOOP\r\nRSET\r\n")
        status = self.done(gateway, len(hops))
        self.assertEqual((status["mail"]["bounced"], status["mail"]["deferrals"], status["mail"]["ambiguous"]), (3, 3, 0))
        events = [(event["recipient"], event["type"], event["response"]["command"]) for event in gateway.events()
                  if event["type"] in ("Bounce", "TransientFailure")]
        kinds = {0: "Bounce", 1: "TransientFailure"}
        commands = ["MAIL", "RCPT", "BDAT"]
        self.assertIn("RSET", self.verbs(hops[5]))  # It took the text: the connection is of use.
        self.assertEqual(hops[5].connections, 1)
        self.assertEqual(sorted(events), sorted((f"b@c{number}.test", kinds[number % 2], commands[number // 2])
                                                for number in range(len(hops))))

    def test_a_connection_lost_with_the_message_under_way_is_ambiguous_unless_its_end_came_first(self):
        cases = [("mail", closing), ("mail", resetting), ("rcpt", closing), ("rcpt", saying(b"421 4.3.2 no\r\n")),
                 ("dot", closing), ("dot", resetting), ("dot", saying(b"25")), ("dot", saying(b"\xff\xff\r\n")),
                 ("mail", saying(b"\xff\xff\r\n")), ("dot", saying(b"421 4.3.2 no\r\n"))]
        doubtful = {1, 4, 5, 6, 7, 8}
        hops = [self.hop(case, offers=CHUNKING) for case in cases]
        gateway = self.routed(hops)
        for number in range(len(hops)):
            self.submit(gateway, f"b@c{number}.test", body=HEAD + "x" * 5000 + "\r\n")
        status = self.done(gateway, len(hops))
        self.assertEqual(status["mail"]["bounced"], 0)
        doubts = {event["recipient"] for event in gateway.events("Ambiguous")}
        self.assertEqual(doubts, {f"b@c{number}.test" for number in doubtful})
        self.assertEqual([len(hop.accepted) for hop in hops], [1] * len(hops))

    def test_text_read_as_commands_never_speaks_for_another_message(self):
        hop = Deaf()
        self.addCleanup(hop.close)
        gateway = self.routed([hop], shards=1)
        lies = HEAD + "NOOP\r\n" * 400
        for _ in range(5):
            self.submit(gateway, "nobody@c0.test", body=lies)
            self.submit(gateway, "b@c0.test", body=lies)
        gateway.wait(lambda status: status["mail"]["delivered"] >= 5 and status["mail"]["bounced"] >= 5)
        time.sleep(1)  # For one too many.
        status = gateway.status()
        self.assertEqual((status["mail"]["delivered"], status["mail"]["bounced"]), (5, 5))
        # Once it is known, they go by DATA.
        self.assertEqual([(event["recipient"], event["response"]["command"]) for event in gateway.events("Delivery")],
                         [("b@c0.test", ".")] * 5)
        bounced = {event["recipient"] for event in gateway.events("Bounce")}
        self.assertEqual(bounced, {"nobody@c0.test"})
        self.assertIn("CHUNKING is offered and refused", gateway.text_log())


if __name__ == "__main__":
    unittest.main(warnings="ignore")  # Sockets and sinks end with their test, not before.
