#!/usr/bin/env python3
"""Clients that attack or misbehave, and what they can use up. EBBGATE_FUZZ_SECONDS: how long to mutate."""

import concurrent.futures
import contextlib
import os
import random
import re
import signal
import socket
import ssl
import threading
import time
import unittest
import warnings

from attacked import BODY, FULL, SANITIZED, WIDE, Attacked, connect_many, cpu_seconds, private_bytes, reset, trusting
from gateway import OPEN, Client

CONVERSATION = (b"EHLO x.test\r\n", b"NOOP\r\n", b"MAIL FROM:<a@acme.test>\r\n", b"RCPT TO:<b@hold.test>\r\n", b"DATA\r\n",
                b"Subject: x\r\n\r\nbody\r\n.\r\n", b"MAIL FROM:<a@acme.test> BODY=8BITMIME\r\n",
                b"RCPT TO:<b@hold.test>\r\n", b"BDAT 7 LAST\r\nhello\r\n", b"RSET\r\n", b"QUIT\r\n")
FUZZ_SECONDS = float(os.environ.get("EBBGATE_FUZZ_SECONDS", "5"))


class Exhausted(Attacked):
    # It probes memory through a pipe of its own, and calls a sound object broken when it gets none.
    @unittest.skipIf(SANITIZED == "undefined", "the undefined-behaviour sanitizer needs descriptors itself")
    def test_out_of_descriptors_accepting_pauses_and_comes_back(self):
        sink = self.sink()
        gateway = self.gateway(descriptors=72, next_hop=sink.port, server={"limits": WIDE})
        pid = gateway.process.pid
        self.submit(gateway, "b@far.test")
        gateway.process.send_signal(signal.SIGSTOP)  # More than there are descriptors come at once.
        many = connect_many(200, gateway.ports["smtp"])
        gateway_cpu = cpu_seconds(pid)
        gateway.process.send_signal(signal.SIGCONT)
        time.sleep(3)
        spent = cpu_seconds(pid) - gateway_cpu
        self.assertLess(spent, 1.5 if SANITIZED else 0.3, "it spins")
        lines = [line for line in gateway.text_log().splitlines() if "descriptors" in line]
        self.assertTrue(0 < len(lines) <= 4, lines)  # One for each listener of each shard that met it.
        for one in many:
            one.close()
        gateway.wait(lambda status: status["sessions"]["open"] == 0)
        self.submit(gateway, "b@far.test")
        status = gateway.wait(lambda status: status["mail"]["done"] == 2)
        self.assertGreater(status["sessions"]["accept_pauses"], 0)

    def test_a_small_descriptor_limit_keeps_a_reserve_for_the_queue(self):
        sink = self.sink()
        gateway = self.gateway(descriptors=256, next_hop=sink.port, server={"limits": WIDE})
        first = Client(gateway.ports["smtp"])
        many = connect_many(400, gateway.ports["smtp"])
        greetings = [one.recv(4096)[:3] for one in many]
        self.assertIn(b"421", greetings)
        self.assertIn(b"220", greetings)
        first.say("EHLO x.test")
        for line in ("MAIL FROM:<a@acme.test>", "RCPT TO:<b@far.test>"):
            self.assertRegex(first.say(line), "^250")
        first.say("DATA")
        self.assertRegex(first.say(BODY + "."), "^250")
        gateway.wait(lambda status: status["mail"]["done"] == 1)  # A descriptor was left for the next hop.
        for one in many:
            one.close()

    def test_a_reader_that_never_reads_is_held_not_buffered(self):
        gateway = self.gateway(server={"limits": WIDE}, shards=1)
        for _ in range(20):  # What the first mail takes once.
            self.submit(gateway, "b@void.test")
        before = private_bytes(gateway.process.pid)
        greedy = []
        for _ in range(40):
            one = socket.socket()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.connect(("127.0.0.1", gateway.ports["smtp"]))
            one.setblocking(False)
            greedy.append(one)
        # Replies of 30 times the size, many megabytes, more than any socket holds; hardly a log line.
        text = memoryview((b"EHLO x\r\n" * 900 + b"MAIL FROM:<a@acme.test>\r\nRCPT TO:<b@void.test>\r\nDATA\r\n\r\n.\r\n") * 2000)
        sent = dict.fromkeys(greedy, 0)
        moved = time.monotonic()
        end = moved + 60
        while time.monotonic() < min(end, moved + 1):
            for one in greedy:
                with contextlib.suppress(BlockingIOError):
                    sent[one] += one.send(text[sent[one]:])
                    moved = time.monotonic()
            time.sleep(0.01)
        self.assertLess(max(sent.values()), len(text))
        self.assertLess(moved + 1, end, "it is not held")
        grown = (private_bytes(gateway.process.pid) - before) / len(greedy)
        print(f"a client that never reads: {grown / 1024:.0f} KiB", flush=True)
        if not SANITIZED:
            # 64 KiB are kept and 32 KiB of replies; but one burst of the kernel's receive brings what the socket
            # has, half a megabyte and more, before it can be told to stop.
            self.assertLess(grown, 2 * 2**20)
        self.submit(gateway, "b@void.test")
        for one in greedy:
            reset(one)

    def test_replies_read_late_are_complete_and_in_order(self):
        gateway = self.gateway()
        client = Client(gateway.ports["smtp"])
        client.say("EHLO x.test")
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        count = 5000
        commands = b"MAIL FROM:<a@acme.test>\r\n" + b"".join(b"RCPT TO:<%d@%s.nowhere>\r\n" % (number, b"d" * 60)
                                                            for number in range(count))
        sending = threading.Thread(target=client.send, args=(commands,))
        sending.start()
        time.sleep(1)
        self.assertRegex(client.reply(), "^250 2.1.0")
        for number in range(count):
            self.assertIn(f"<{number}@", client.reply())
        sending.join()
        client.socket.close()

    def test_half_open_and_silent_peers_end_by_their_deadline(self):
        gateway = self.gateway(server={"limits": {"client_timeout": "2s"}})
        half = Client(gateway.ports["smtp"])
        half.say("EHLO x.test")
        silent = [Client(gateway.ports["smtp"]) for _ in range(20)]
        stuck = Client(gateway.ports["smtp"])
        for line in ("EHLO x.test", "MAIL FROM:<a@acme.test>", "RCPT TO:<b@far.test>", "DATA"):
            stuck.say(line)
        stuck.send("half a mess")
        half.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(half.reply(), "")
        for one in (*silent, stuck):
            self.assertRegex(one.reply(), "^421 4.4.2")
            self.assertTrue(one.closed())
        self.assertEqual(gateway.status()["mail"]["received"], 0)

    def test_many_uploads_at_once_stay_within_the_memory_budget(self):
        gateway = self.gateway(server={"limits": dict(WIDE, memory="16MiB")}, shards=1)
        before = private_bytes(gateway.process.pid)
        many = [Client(gateway.ports["smtp"]) for _ in range(60)]
        for one in many:
            for line in ("EHLO x.test", "MAIL FROM:<a@acme.test>", "RCPT TO:<b@hold.test>", "DATA"):
                one.say(line)
        part = ("x" * 70 + "\r\n") * 13_000  # 936 KB, all of it kept in memory below the inline limit.
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda one: one.send(part), many))
        time.sleep(0.5)
        grown = private_bytes(gateway.process.pid) - before
        for one in many:
            one.send(".\r\n")
        replies = [one.reply()[:9] for one in many]
        print(f"60 uploads of 0.9 MB with a budget of 16 MiB: {grown / 2**20:.0f} MiB, "
              f"{sum(reply.startswith('250') for reply in replies)} accepted", flush=True)
        self.assertEqual(set(replies) - {"250 2.0.0", "452 4.3.1", "451 4.3.0", "421 4.3.2"}, set())
        self.assertIn("250 2.0.0", replies)
        if not SANITIZED:
            self.assertLess(grown, 40 * 2**20)
        for one in many:
            one.socket.close()
        self.submit(gateway, "b@void.test")


class RudeClients(Attacked):
    def test_a_half_closed_client_gets_the_answers_to_what_it_sent(self):
        sink = self.sink()
        gateway = self.gateway(next_hop=sink.port)
        # Half a message is none, however it ends.
        endings = {".\r\nQUIT\r\n": ["^250 2.0.0 Ok: queued", "^221 "], ".\r\n": ["^250 2.0.0 Ok: queued"], ".": [], "": []}
        ways = ((False, False), (True, False), (True, True))
        for tls, notify in ways:
            for ending, replies in endings.items():
                with self.subTest(tls=tls, notify=notify, ending=ending):
                    client = Client(gateway.ports["smtps" if tls else "smtp"], implicit_tls=tls)
                    for line in ("EHLO x.test", "MAIL FROM:<a@acme.test>", "RCPT TO:<b@far.test>", "DATA"):
                        client.say(line)
                    client.send(BODY + ending)
                    if notify:
                        client.socket.setblocking(False)
                        with contextlib.suppress(ssl.SSLError):
                            client.socket._sslobj.shutdown()
                        client.socket.settimeout(20)
                    socket.socket.shutdown(client.socket, socket.SHUT_WR)
                    for reply in replies:
                        self.assertRegex(client.reply(), reply)
                    # OpenSSL 3.5 tries to answer the end with an alert, which a half-closed socket refuses.
                    with contextlib.suppress(ssl.SSLError, BrokenPipeError):
                        self.assertEqual(client.reply(), "")
        status = gateway.wait(lambda status: status["sessions"]["open"] == 0 and status["mail"]["done"] == 2 * len(ways))
        self.assertEqual(status["mail"]["received"], 2 * len(ways))
        self.assertEqual(sink.stop()["messages"], 2 * len(ways))

    def test_old_tls_is_refused_and_tls_1_2_is_not(self):
        gateway = self.gateway()
        for version, taken in ((ssl.TLSVersion.TLSv1, False), (ssl.TLSVersion.TLSv1_1, False),
                               (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)):
            with self.subTest(version=version.name), warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                context.set_ciphers("ALL:@SECLEVEL=0")  # Else OpenSSL itself would refuse to try.
                context.minimum_version = context.maximum_version = version
                with socket.create_connection(("127.0.0.1", gateway.ports["smtps"]), 10) as plain:
                    if not taken:
                        with self.assertRaisesRegex(ssl.SSLError, "(?i)alert"):
                            context.wrap_socket(plain)
                    else:
                        with context.wrap_socket(plain) as secure:
                            self.assertEqual(secure.version(), version.name.replace("v1_", "v1."))
                            self.assertTrue(secure.recv(100).startswith(b"220 "))
        gateway.wait(lambda status: status["sessions"]["open"] == 0)

    def test_clear_text_behind_starttls_is_refused_wherever_a_slice_ends(self):
        gateway = self.gateway()
        for spare in range(4088, 4101):  # The line ends at, before and behind a border of 4 KiB.
            client = Client(gateway.ports["smtp"])
            filler = "EHLO x\r\n" + "NOOP\r\n" * 600
            filler += "NOOP " + "x" * (spare - len(filler) - 7 - 10) + "\r\n"
            client.send(filler + "STARTTLS\r\nMAIL FROM:<a@acme.test>\r\n")
            replies = []
            while reply := client.reply():
                replies.append(reply)
            self.assertRegex(replies[-1], "^554 5.5.1")

    def test_stuffed_dots_are_no_part_of_the_size(self):
        gateway = self.gateway(policy={"tenants": [{"name": "acme", **OPEN, "relay_hosts": ["127.0.0.0/8"],
                                                    "limits": {"upload_size": "1MB", "message_size": "1200"}}]})
        client = Client(gateway.ports["smtp"])
        client.say("EHLO x.test")
        for dots, reply in ((399, "^250"), (401, "^552 5.3.4")):
            for line in ("MAIL FROM:<a@acme.test>", "RCPT TO:<b@void.test>", "DATA"):
                client.say(line)
            self.assertRegex(client.say("..\r\n" * dots + "."), reply)
        client.socket.close()

    def test_each_refusal_has_a_line_that_says_why(self):
        gateway = self.gateway(policy={"tenants": [{"name": "acme", **OPEN, "relay_hosts": ["127.0.0.0/8"],
                                                    "limits": {"upload_size": "2000", "message_size": "1200"}}]})
        begin = ("EHLO x.test", "MAIL FROM:<a@acme.test>", "RCPT TO:<b@void.test>", "DATA")
        for end in ("bare\n.\r\n", "y" * 900 + "\r\n" + "y" * 500 + "\r\n.", ("z" * 900 + "\r\n") * 4 + "."):
            client = Client(gateway.ports["smtp"])
            for line in begin:
                client.say(line)
            self.assertRegex(client.say(end), "^5")
            client.socket.close()
        client = Client(gateway.ports["smtp"])
        client.say("EHLO x.test")
        client.say("MAIL FROM:<a@acme.test> SIZE=5000")
        client.socket.close()
        gateway.wait(lambda status: status["sessions"]["open"] == 0)
        time.sleep(0.2)  # Lines wait so long at most.
        log = gateway.text_log()
        who = r"from unknown\[127\.0\.0\.1\]:"
        for stage, why, count in (("DATA", "521 5.5.2 Bare <LF>", 1), ("DATA", "552 5.3.4 Message size", 2),
                                  ("MAIL", "552 5.3.4 Message size", 1)):
            self.assertEqual(len(re.findall(rf"NOQUEUE: reject: {stage} {who} {why}.*from=<a@acme\.test>.*helo=<x\.test>",
                                            log)), count, log)

    def test_closing_or_resetting_after_every_byte_of_a_conversation(self):
        gateway = self.gateway(server={"limits": WIDE})
        text = b"".join(CONVERSATION)
        for cut in range(0, len(text), 1 if FULL else 3):
            for end in (reset, socket.socket.close):
                plain = socket.create_connection(("127.0.0.1", gateway.ports["smtp"]))
                plain.sendall(text[:cut])
                if cut % 2:
                    plain.recv(100)
                end(plain)
        gateway.wait(lambda status: status["sessions"]["open"] == 0)
        self.submit(gateway, "b@void.test")

    def test_resets_inside_tls_handshakes_and_logins(self):
        gateway = self.gateway(server={"limits": WIDE})
        outgoing = ssl.MemoryBIO()
        half = trusting().wrap_bio(ssl.MemoryBIO(), outgoing)
        with contextlib.suppress(ssl.SSLWantReadError):
            half.do_handshake()
        hello = outgoing.read()
        for cut in range(0, len(hello) + 1, 7):
            for garbage in (b"", b"\x17\x03\x03\x00\x05hello", b"\0" * 300):
                plain = socket.create_connection(("127.0.0.1", gateway.ports["smtps"]))
                plain.sendall(hello[:cut] + garbage)
                (reset if cut % 2 else socket.socket.close)(plain)
        for number in range(40):
            client = Client(gateway.ports["smtps"], implicit_tls=True)
            client.say("EHLO x.test")
            client.send("AUTH PLAIN " + ("AG1haWxlckBhY21lLnRlc3QAd3Jvbmc=\r\n", "AGE", "\r\n=\r\n")[number % 3])
            time.sleep(0.001 * (number % 5))
            reset(client.socket)
        for _ in range(20):
            client = Client(gateway.ports["smtp"])
            client.say("EHLO x.test")
            self.assertRegex(client.say("STARTTLS"), "^220")
            reset(client.socket)
        gateway.wait(lambda status: status["sessions"]["open"] == 0)
        client = Client(gateway.ports["smtps"], implicit_tls=True)
        client.say("EHLO x.test")
        self.assertRegex(client.login(), "^235")
        client.socket.close()

    def test_resets_inside_large_messages(self):
        big = {"tenants": [{"name": "acme", **OPEN, "relay_hosts": ["127.0.0.0/8"],
                            "limits": {"upload_size": "20MB", "message_size": "20MB"}}]}
        gateway = self.gateway(policy=big, server={"limits": WIDE})
        block = (b"x" * 70 + b"\r\n") * 1000
        for count in (1, 14, 15, 16, 30, 60, 100):
            for command in (b"DATA\r\n", b"BDAT 10000000\r\n"):
                client = Client(gateway.ports["smtp"])
                for line in CONVERSATION[0], CONVERSATION[2], CONVERSATION[3]:
                    client.say(line.decode().strip())
                client.send(command)
                for _ in range(count):
                    client.send(block)
                (reset if count % 2 else socket.socket.close)(client.socket)
        gateway.wait(lambda status: status["sessions"]["open"] == 0)
        self.assertEqual(gateway.status()["mail"]["received"], 0)
        self.submit(gateway, "b@void.test", body="Subject: big\r\n\r\n" + ("y" * 70 + "\r\n") * 50_000)
        self.assertEqual(gateway.wait(lambda status: status["mail"]["done"] == 1)["spool"]["hot_bytes"], 0)

    def test_hostile_text_is_escaped_in_the_logs(self):
        gateway = self.gateway()
        for evil in ("\x1b[31mred", "\x00nul", "a\x7fb", "\u202egnp.exe", "%s%n", '"}\\', "\xff\xfe"):
            client = Client(gateway.ports["smtp"])
            client.send(f"EHLO {evil}\r\n".encode("latin-1", "replace") if evil != "\u202egnp.exe" else f"EHLO {evil}\r\n")
            client.reply()
            client.say("EHLO x.test")
            client.send(f"MAIL FROM:<{evil}@acme.test>\r\nRCPT TO:<{evil}@far.test>\r\nNOOP {evil}\r\n")
            for _ in range(3):
                client.reply()
            client.say("QUIT")
            secure = Client(gateway.ports["smtps"], implicit_tls=True)
            secure.say("EHLO x.test")
            secure.login(user=evil + "\r\nNov 24 00:00:00 forged")
            secure.socket.close()

    def test_mutated_conversations(self):
        gateway = self.gateway(server={"limits": WIDE})
        moment = random.Random(int(os.environ.get("EBBGATE_SEED", "1")))
        words = [*CONVERSATION, b"STARTTLS\r\n", b"AUTH PLAIN AGEAYg==\r\n", b"AUTH LOGIN\r\n", b"BDAT 5\r\nab\r\ncBDAT 0 LAST\r\n",
                 b"BDAT 18446744073709551615 LAST\r\n", b"HELP\r\n", b"VRFY x\r\n", b".\r\n", b"\r\n", b"*\r\n",
                 b"RCPT TO:<c@far.test> NOTIFY=NEVER ORCPT=rfc822;a+2Bb\r\n", b"DATA\r\nx\r\n..\r\n.\r\n", b"x" * 3000,
                 b"MAIL FROM:<> SIZE=99999999999\r\n", "MAIL FROM:<\u00fc@acme.test> SMTPUTF8\r\n".encode()]

        def attack(seed):
            dice = random.Random(seed)
            text = bytearray(b"".join(dice.choice((dice.choice(words), CONVERSATION[step % len(CONVERSATION)]))
                                      for step in range(dice.randrange(1, 25))))
            for _ in range(dice.choice((0, 1, 2, 5, 30))):
                at = dice.randrange(len(text))
                change = dice.randrange(4)
                if change == 0:
                    text[at] = dice.randrange(256)
                elif change == 1:
                    del text[at:at + dice.randrange(1, 20)]
                elif change == 2:
                    text[at:at] = text[at:at + dice.randrange(1, 200)]
                else:
                    text[at:at] = dice.choice((b"\r", b"\n", b"\r\n.\r\n", b"\0", b"\r\n"))
                text = text or bytearray(b"\n")
            tls = dice.random() < 0.15
            with contextlib.suppress(OSError, AssertionError):
                client = Client(gateway.ports["smtps" if tls else "smtp"], implicit_tls=tls, greet=dice.random() < 0.5)
                client.socket.settimeout(2)
                at = 0
                while at < len(text):
                    step = dice.choice((1, 7, 100, 5000))
                    client.send(bytes(text[at:at + step]))
                    at += step
                    if dice.random() < 0.01:
                        time.sleep(0.002)
                if dice.random() < 0.5 and not tls:
                    client.socket.shutdown(socket.SHUT_WR)
                    while client.socket.recv(65536):
                        pass
                (reset if dice.random() < 0.3 else socket.socket.close)(client.socket)

        end, count = time.monotonic() + FUZZ_SECONDS, 0
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            while time.monotonic() < end:
                list(pool.map(attack, (moment.getrandbits(60) for _ in range(200))))
                count += 200
                self.assertIsNone(gateway.process.poll(), (gateway.folder / "stderr.txt").read_text()[-3000:])
        print(f"{count} mutated conversations", flush=True)
        gateway.wait(lambda status: status["sessions"]["open"] == 0, 30)
        self.submit(gateway, "b@void.test")


if __name__ == "__main__":
    unittest.main(warnings="ignore")  # Sockets and sinks end with their test, not before.
