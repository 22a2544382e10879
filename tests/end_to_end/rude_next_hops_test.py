#!/usr/bin/env python3
"""Next hops that fail, lie or stall, at every step."""

import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

from attacked import Attacked, closing, once, resetting, saying


def adding(text, pause=0.0):
    """The right reply, and something that nobody asked for behind it."""
    def action(plain, reply):
        plain.sendall(reply + (text if not pause else b""))
        time.sleep(pause)
        if pause:
            plain.sendall(text)
        return True
    return action


def dribbling(plain, reply):
    for byte in reply:
        plain.sendall(bytes([byte]))
        time.sleep(0.001)
    return True


def huge(plain, reply):
    plain.sendall(reply[:3] + b"-" + b"x" * 100_000 + b"\r\n" + reply)
    return True


def endless(plain, reply):
    for _ in range(2000):
        plain.sendall((reply[:3] + b"-" + b"x" * 70 + b"\r\n") * 10)
    return False


def stalling(until):
    """Says nothing before `until` is set, and then closes."""
    def action(_plain, _reply):
        until.wait(60)
        return False
    return action


FAULTS = {"close": closing, "reset": resetting, "421": saying(b"421 4.3.2 going down\r\n"),
          "421-open": saying(b"421 4.3.2 going down\r\n", go_on=True),
          "garbage": saying(b"\x00\xff\x1b[2J\x07 250 yes\r\n250"), "bare-lf": saying(b"250 yes\n250 yes\n"),
          "wrong-class": saying(b"199 what\r\n"), "terminal": saying(b"450 4.0.0 \x1b]0;owned\x07\x7f\xc2\x9b\xff\r\n", go_on=True),
          "huge": huge, "endless": endless, "extra": adding(b"250 2.0.0 Ok: another\r\n" * 3),
          "late-extra": adding(b"250 2.0.0 Ok: another\r\n", 0.05), "half": saying(b"25")}
STEPS = ("greeting", "ehlo", "mail", "rcpt", "data", "body", "dot")


class RudeNextHops(Attacked):
    def routed(self, hops, **more):
        """One gateway; cN.test goes to hop N."""
        routes = [{"match": f"c{number}.test", "relay": f"127.0.0.1:{hop.port}", "tls": "opportunistic"}
                  for number, hop in enumerate(hops)] + [{"match": "void.test", "relay": "discard"}]
        return self.gateway(policy={"routes": routes}, **more)

    def test_every_fault_at_every_step_is_survived_and_the_mail_arrives(self):
        for how in ({}, {"pipelining": False}, {"offers": ("SIZE 100000000", "CHUNKING")}):
            bdat = "offers" in how
            cases = [(step, name) for step in STEPS for name in FAULTS if not bdat or step not in ("data", "body")]
            hops = [self.hop((step, once(FAULTS[name])), **how) for step, name in cases]
            gateway = self.routed(hops)
            for number, case in enumerate(cases):
                self.submit(gateway, f"b@c{number}.test", body=f"Subject: {case}\r\n\r\n{'x' * 2000}\r\n")
            try:
                status = gateway.wait(lambda status, all=len(cases): status["mail"]["done"] == all, 60)
            except AssertionError:
                late = [case for case, hop in zip(cases, hops) if not hop.accepted]
                raise AssertionError(f"never delivered: {late}")
            self.assertEqual(status["mail"]["bounced"], 0, gateway.events("Bounce"))
            doubts = {event["recipient"] for event in gateway.events("Ambiguous")}
            for number, (case, hop) in enumerate(zip(cases, hops)):
                with self.subTest(case=case, how=how):
                    # It lies: it took the text and said that it did not, or the other way round.
                    lies = {"dot": ("extra", "late-extra", "huge", "terminal"),
                            "body": ("421-open", "terminal", "huge", "extra", "late-extra")}.get(case[0], ())
                    # By BDAT the text is there when it errs on MAIL, and it may take it all the same.
                    counts = (0, 1, 2) if case[1] in lies else (1, 2) if bdat and case[0] in ("ehlo", "mail", "rcpt") else (1,)
                    self.assertIn(len(hop.accepted), counts)
                    self.assertIn(f"Subject: {case}".encode(), hop.seen[-1])
                    if case[0] == "dot" and case[1] in ("close", "reset", "garbage", "half", "bare-lf", "endless", "huge"):
                        self.assertIn(f"b@c{number}.test", doubts)

    def test_replies_in_single_bytes(self):
        hops = [self.hop(*[(step, dribbling)]) for step in STEPS if step != "body"]
        gateway = self.routed(hops)
        for number in range(len(hops)):
            self.submit(gateway, f"b@c{number}.test")
        status = gateway.wait(lambda status: status["mail"]["done"] == len(hops))
        self.assertEqual((status["mail"]["deferrals"], [hop.connections for hop in hops]), (0, [1] * len(hops)))

    def quick(self, hops, **more):
        """The same with time-outs of two seconds: those that behave at their second attempt have to keep them too."""
        routes = [{"match": f"c{number}.test", "relay": f"127.0.0.1:{hop.port}"} for number, hop in enumerate(hops)]
        timeouts = dict.fromkeys(("greeting", "command", "data", "body", "final"), "2s") | more
        retry = {"first": "1s", "factor": 1, "max": "1s", "max_age": "1d"}
        return self.gateway(policy={"routes": routes, "delivery": {"retry": retry, "timeouts": timeouts}})

    def test_a_stall_at_each_step_ends_by_its_time_out(self):
        wait = threading.Event()
        self.addCleanup(wait.set)

        def half_a_reply(plain, reply):
            plain.sendall(reply[:5])
            return stalling(wait)(plain, reply)

        def byte_by_byte_for_ever(plain, reply):
            while not wait.is_set():
                plain.sendall(reply[:3] + b"-x\r\n")
                time.sleep(0.2)
            return False
        faults = {"stalling": stalling(wait), "half": half_a_reply, "slow": byte_by_byte_for_ever}
        kinds = {"plain": {"pipelining": False}, "pipelined": {}, "bdat": {"offers": ("CHUNKING", "SIZE 100000000")}}
        tls = self.tls_context()
        cases = [(kind, step, name) for kind in kinds for step in (*STEPS, "starttls") for name in faults
                 if not (kind == "bdat" and step in ("data", "body")) and not (step == "body" and name != "stalling")]
        hops = [self.hop((step, faults[name]), tls=tls if step == "starttls" else None, **kinds[kind])
                for kind, step, name in cases]
        gateway = self.quick(hops)
        large = "Subject: x\r\n\r\n" + ("z" * 70 + "\r\n") * 200_000
        for number, (kind, step, name) in enumerate(cases):
            self.submit(gateway, f"b@c{number}.test", body=large if step == "body" else f"Subject: {name}\r\n\r\nx\r\n")
        try:
            status = gateway.wait(lambda status: status["mail"]["done"] == len(cases), 40)
        except AssertionError:
            late = [case for case, hop in zip(cases, hops) if not hop.accepted]
            raise AssertionError(f"never delivered: {late}")
        wait.set()
        self.assertEqual(status["mail"]["bounced"], 0)
        self.assertEqual({case: len(hop.accepted) for case, hop in zip(cases, hops)}, dict.fromkeys(cases, 1))
        doubts = {cases[int(event["recipient"][3:].split(".")[0])] for event in gateway.events("Ambiguous")}
        # With BDAT the message is under way from MAIL on.
        self.assertEqual(doubts, {case for case in cases if case[1] == "dot" or (case[0] == "bdat" and case[1] in ("mail", "rcpt"))})

    def test_a_slow_reader_is_no_dead_one(self):
        def slowly(plain, _reply):
            for _ in range(60):
                plain.recv(100_000)
                time.sleep(0.1)
            return True
        hop = self.hop(("body", slowly))
        gateway = self.quick([hop], body="2s")
        self.submit(gateway, "b@c0.test", body="Subject: x\r\n\r\n" + ("z" * 70 + "\r\n") * 200_000)
        status = gateway.wait(lambda status: status["mail"]["done"] == 1, 30)
        self.assertEqual((status["mail"]["deferrals"], status["mail"]["ambiguous"], hop.connections), (0, 0, 1))

    def test_who_reads_next_to_nothing_is_left(self):
        """It would keep a connection, and the spool's files with it, for days."""
        wait = threading.Event()
        self.addCleanup(wait.set)

        def dripping(plain, _reply):
            while not wait.wait(0.5):
                plain.recv(50)
            return False
        hop = self.hop(("body", dripping))
        gateway = self.quick([hop], body="2s")
        self.submit(gateway, "b@c0.test", body="Subject: x\r\n\r\n" + ("z" * 70 + "\r\n") * 300_000)
        status = gateway.wait(lambda status: status["mail"]["done"] == 1, 30)
        self.assertEqual((status["mail"]["deferrals"], status["mail"]["ambiguous"], hop.connections), (1, 0, 2))

    def test_a_connection_lost_within_a_large_body_leaves_no_doubt(self):
        hops = [self.hop(("body", action)) for action in (closing, resetting)]
        gateway = self.quick(hops)
        for number in range(len(hops)):
            self.submit(gateway, f"b@c{number}.test", body="Subject: x\r\n\r\n" + ("z" * 70 + "\r\n") * 200_000)
        status = gateway.wait(lambda status: status["mail"]["done"] == len(hops), 30)
        self.assertEqual((status["mail"]["deferrals"], status["mail"]["ambiguous"]), (2, 0))

    def test_replies_of_many_lines_and_bytes(self):
        def lines(count, width):
            def act(plain, reply):
                plain.sendall((reply[:3] + b"-" + b"x" * width + b"\r\n") * count + reply)
                return True
            return act
        sizes = {(99, 300): 0, (90, 10): 0, (200, 10): 1, (20, 2100): 1, (60, 1700): 1}  # Deferred once: over a bound.
        hops = [self.hop((step, once(lines(*size)))) for size in sizes for step in ("greeting", "mail", "rcpt", "dot")]
        gateway = self.quick(hops)
        for number in range(len(hops)):
            self.submit(gateway, f"b@c{number}.test")
        gateway.wait(lambda status: status["mail"]["done"] == len(hops), 30)
        again = {(size, index): hops[4 * number + index].connections - 1
                 for number, size in enumerate(sizes) for index in range(4)}
        self.assertEqual(again, {(size, index): sizes[size] for size in sizes for index in range(4)})

    def test_nobody_answers_the_connection(self):
        # Its backlog is full: SYNs are dropped, as behind a firewall.
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            held = [socket.socket() for _ in range(8)]
            for one in held:
                self.addCleanup(one.close)
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            time.sleep(0.2)
            gateway = self.quick([type("Full", (), {"port": full.getsockname()[1]})], connect="1s")
            self.submit(gateway, "b@c0.test")
            time.sleep(3)
            self.assertIn("timed out", gateway.text_log())
            self.assertEqual(gateway.status()["mail"]["bounced"], 0)

    def tls_context(self):
        folder = tempfile.mkdtemp()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=hop.test",
                        "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"], capture_output=True, check=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
        return context

    def test_replies_injected_before_tls_are_never_believed(self):
        inject = b"220 go ahead\r\n" + b"250 injected\r\n" * 8 + b"354 injected\r\n250 2.0.0 Ok: injected\r\n"
        hops = [self.hop(*[("starttls", saying(inject))] * 2, tls=self.tls_context()),
                self.hop(*[("starttls", saying(b"220 go ahead\r\n", inject[14:]))] * 2, tls=self.tls_context()),
                self.hop(("ehlo", saying(b"250-hop.test\r\n250 STARTTLS\r\n220 early\r\n250 early\r\n")), tls=self.tls_context())]
        gateway = self.routed(hops)
        for number in range(len(hops)):
            self.submit(gateway, f"b@c{number}.test")
        gateway.wait(lambda status: status["mail"]["done"] == len(hops))
        self.assertEqual([len(hop.accepted) for hop in hops], [1] * len(hops))
        self.assertNotIn("injected)", gateway.text_log().replace("unexpected reply", ""))
        self.assertTrue(all("injected" not in event["response"]["content"] for event in gateway.events("Delivery")))

    def test_a_broken_handshake_falls_back_only_where_policy_allows_it(self):
        go = b"220 go ahead\r\n"
        faults = [saying(go, b"\x16\x03\x03\x00\x02hi" * 10), saying(go, b"\x15\x03\x03\x00\x02\x02\x28"), saying(go)]
        hops = [self.hop(*[("starttls", fault)] * 50, tls=self.tls_context()) for fault in faults for _ in range(2)]
        hops.append(self.hop(tls=self.tls_context()))
        routes = [{"match": f"c{number}.test", "relay": f"127.0.0.1:{hop.port}",
                   "tls": "opportunistic" if number % 2 == 0 else "required"} for number, hop in enumerate(hops)]
        gateway = self.gateway(policy={"routes": routes})
        for number in range(len(hops)):
            self.submit(gateway, f"b@c{number}.test")
        gateway.wait(lambda status: status["mail"]["done"] == 4)
        time.sleep(1.5)
        self.assertEqual([len(hop.accepted) for hop in hops], [1, 0, 1, 0, 1, 0, 1])
        self.assertEqual([hop.clear for hop in hops], [1, 0, 1, 0, 1, 0, 0])
        self.assertEqual(gateway.status()["mail"]["bounced"], 0)

    def test_a_hop_that_stalls_holds_up_nobody_else_nor_the_end(self):
        wait = threading.Event()
        self.addCleanup(wait.set)
        hops = [self.hop(*[(step, stalling(wait))] * 30) for step in STEPS]
        good = self.hop()
        gateway = self.routed([*hops, good])
        for number in range(len(hops)):
            self.submit(gateway, f"b@c{number}.test", body="Subject: x\r\n\r\n" + ("z" * 70 + "\r\n") * 20_000)
        for _ in range(20):
            self.submit(gateway, f"b@c{len(hops)}.test")
        gateway.wait(lambda status: status["mail"]["done"] == 20)
        began = time.monotonic()
        self.assertEqual(gateway.terminate(), 0)
        self.assertLess(time.monotonic() - began, 30)
        wait.set()
        for hop in hops:
            hop.faults.clear()
        gateway.start()
        gateway.wait(lambda status: status["mail"]["done"] == len(hops), 40)
        self.assertEqual([len(hop.accepted) for hop in hops], [1] * len(hops))

    def test_a_closed_idle_connection_does_not_defer_the_next_message(self):
        def late_goodbye(plain, reply):
            plain.sendall(reply)
            time.sleep(0.2)
            plain.sendall(b"421 4.4.2 idle too long\r\n")
            return False
        hop = self.hop(("dot", late_goodbye), ("dot", FAULTS["421-open"]))
        gateway = self.routed([hop], shards=1)
        self.submit(gateway, "b@c0.test")
        time.sleep(0.6)
        self.submit(gateway, "b@c0.test")
        self.submit(gateway, "b@c0.test")
        gateway.wait(lambda status: status["mail"]["done"] == 3)
        self.assertEqual(gateway.status()["mail"]["deferrals"], 1)  # Only what the 421 was an answer to.


if __name__ == "__main__":
    unittest.main(warnings="ignore")  # Sockets and sinks end with their test, not before.
