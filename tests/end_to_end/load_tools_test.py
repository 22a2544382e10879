#!/usr/bin/env python3
"""The load tools against each other and against Python's smtplib: what they count is what happened."""

import json
import os
import pathlib
import signal
import smtplib
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
import unittest

SOURCE = os.environ["EBBGATE_SOURCE"]
SINK = os.environ["EBBGATE_SINK"]
DELAY = os.environ["EBBGATE_DELAY"]


class Sink:
    def __init__(self, *options):
        self.process = subprocess.Popen([SINK, "--seconds", "100", *options],
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline().split()
        assert line[0] == "listening", line
        self.address = line[1]
        self.port = int(line[1].rsplit(":", 1)[1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=20)
        return json.loads(out.splitlines()[-1])


class Delay:
    def __init__(self, *relays, delay="20ms"):
        options = [word for relay in relays for word in ("--relay", relay)]
        self.process = subprocess.Popen([DELAY, "--seconds", "100", "--delay", delay, *options], stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().split()[1]
        self.port = int(self.address.rsplit(":", 1)[1])

    stop = Sink.stop


def load(sink, *options, code=0):
    done = subprocess.run([SOURCE, "--target", sink.address, "--json", *options],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)


class Distance(unittest.TestCase):
    def peers(self, delay):
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        relay = Delay(f"127.0.0.1:0=127.0.0.1:{server.getsockname()[1]}", delay=delay)
        self.addCleanup(lambda: relay.process.poll() is None and relay.stop())
        began = time.monotonic()
        near = socket.create_connection(("127.0.0.1", relay.port), 10)
        near.sendall(b"early")
        far, _ = server.accept()
        self.connected = time.monotonic() - began
        near.settimeout(10)
        far.settimeout(10)
        self.assertEqual(far.recv(5, socket.MSG_WAITALL), b"early")
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        return relay, near, far

    def test_bytes_come_late_and_in_order_both_ways(self):
        relay, near, far = self.peers("50ms")
        self.assertGreaterEqual(self.connected, 0.150)
        for sender, receiver in ((near, far), (far, near)):
            began = time.monotonic()
            sender.sendall(b"x")
            self.assertEqual(receiver.recv(1), b"x")
            self.assertGreaterEqual(time.monotonic() - began, 0.050)
            self.assertLess(time.monotonic() - began, 0.3)
        began = time.monotonic()
        near.close()
        self.assertEqual(far.recv(1), b"")
        self.assertGreaterEqual(time.monotonic() - began, 0.050)
        self.assertEqual(relay.stop(), {"connections": 1, "refused": 0, "bytes": 7})

    def test_delay_does_not_limit_what_passes_nor_does_a_slow_reader_lose_any(self):
        relay, near, far = self.peers("20ms")
        data = os.urandom(1 << 20) * 64
        sender = threading.Thread(target=lambda: (near.sendall(data), near.shutdown(socket.SHUT_WR)))
        began = time.monotonic()
        sender.start()
        time.sleep(0.5)  # Its reader sleeps: what is under way is bounded.
        got = bytearray()
        while more := far.recv(1 << 20):
            got += more
        self.assertTrue(got == data)
        self.assertLess(time.monotonic() - began, 6)
        sender.join()

    def ended(self, near):
        try:
            return near.recv(1) == b""
        except ConnectionResetError:
            return True

    def test_a_reset_and_a_dead_target_end_the_connection(self):
        _, near, far = self.peers("10ms")
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
        self.assertTrue(self.ended(near))
        relay = Delay("127.0.0.1:0=127.0.0.1:1", delay="1ms")
        with socket.create_connection(("127.0.0.1", relay.port), 10) as near:
            self.assertTrue(self.ended(near))
        self.assertEqual(relay.stop(), {"connections": 1, "refused": 1, "bytes": 0})

    def test_many_destinations_with_distance(self):
        sink = Sink("--listen", "0.0.0.0:0")
        relay = Delay(f"0.0.0.0:0=same:{sink.port}", delay="20ms")
        sent = []
        for number in range(2, 6):
            far = type("Far", (), {"address": f"127.0.0.{number}:{relay.port}"})
            sent.append(load(far, "--messages", "100", "--sessions", "50", "--run", f"r{number}"))
        self.assertTrue(all(one["latency_ms"]["p50"] >= 80 for one in sent))
        relay.stop()
        totals = sink.stop()
        self.assertEqual((totals["unique"], totals["destination_count"]), (400, 4))


class LoadTools(unittest.TestCase):
    def test_every_message_is_counted_once(self):
        sink = Sink("--expect", "3000")
        sent = load(sink, "--messages", "3000", "--sessions", "40", "--per-connection", "7", "--size", "100-20000")
        totals = sink.stop()
        self.assertEqual(sent["acknowledged"], 3000)
        self.assertEqual(sent["network_errors"], 0)
        self.assertEqual((totals["messages"], totals["unique"], totals["duplicates"], totals["missing"]),
                         (3000, 3000, 0, 0))
        self.assertGreaterEqual(totals["connections"], 3000 // 7)

    def test_without_pipelining_and_with_many_recipients(self):
        sink = Sink("--expect", "50", "--no-pipelining")
        load(sink, "--messages", "50", "--sessions", "5", "--recipients", "20", "--no-pipelining")
        totals = sink.stop()
        self.assertEqual((totals["unique"], totals["recipients"]), (50, 1000))

    def test_missing_messages_are_found(self):
        sink = Sink("--expect", "120")
        load(sink, "--messages", "100")
        totals = sink.stop()
        self.assertEqual((totals["unique"], totals["missing"]), (100, 20))
        self.assertEqual(sink.process.returncode, 1)

    def test_doubled_messages_are_found(self):
        sink = Sink()
        for _ in range(2):
            load(sink, "--messages", "10", "--run", "twice")
        totals = sink.stop()
        self.assertEqual((totals["messages"], totals["unique"], totals["duplicates"]), (20, 10, 10))

    def test_refusals_and_lost_connections_are_tried_again(self):
        sink = Sink("--expect", "300", "--rule", "rcpt:defer/10", "--rule", "dot:drop/25", "--rule", "mail:refuse/40")
        sent = load(sink, "--messages", "300", "--sessions", "10")
        totals = sink.stop()
        self.assertEqual(sent["acknowledged"], 300)
        self.assertGreater(sent["refusals"]["451"], 0)
        self.assertGreater(sent["refusals"]["550"], 0)
        self.assertGreater(sent["network_errors"], 0)
        self.assertGreater(totals["misdeeds"], 0)
        self.assertEqual((totals["unique"], totals["missing"]), (300, 0))

    def test_a_slow_sink_only_delays(self):
        sink = Sink("--expect", "20", "--rule", "dot:delay", "--delay", "50")
        sent = load(sink, "--messages", "20", "--sessions", "20")
        totals = sink.stop()
        self.assertGreaterEqual(sent["latency_ms"]["p50"], 50)
        self.assertEqual(totals["unique"], 20)

    def test_rate_is_kept(self):
        sink = Sink()
        sent = load(sink, "--messages", "100", "--rate", "100", "--sessions", "10")
        sink.stop()
        self.assertGreater(sent["seconds"], 0.8)
        self.assertLess(sent["seconds"], 5)

    def test_a_maildir_holds_what_smtplib_sent(self):
        body = "Subject: dots\r\nMessage-ID: <one@test>\r\n\r\n.leading dot\r\n..two\r\nend\r\n"
        with tempfile.TemporaryDirectory() as folder:
            sink = Sink("--maildir", folder)
            with smtplib.SMTP("127.0.0.1", sink.port) as client:
                client.sendmail("a@test", ["b@test", "c@test"], body)
            totals = sink.stop()
            stored = [path.read_bytes() for path in pathlib.Path(folder, "new").iterdir()]
        self.assertEqual(stored, [body.encode()])
        self.assertEqual((totals["messages"], totals["recipients"]), (1, 2))

    def test_a_folder_of_messages_is_sent_in_turn(self):
        with tempfile.TemporaryDirectory() as folder:
            for number in range(3):
                pathlib.Path(folder, f"{number}.eml").write_text(f"X-Number: {number}\n\n.dot {number}\n")
            with tempfile.TemporaryDirectory() as maildir:
                sink = Sink("--maildir", maildir)
                load(sink, "--messages", "9", "--folder", folder)
                sink.stop()
                texts = [path.read_text() for path in pathlib.Path(maildir, "new").iterdir()]
        self.assertEqual(len(texts), 9)
        for number in range(3):
            self.assertEqual(sum(f"\n\n.dot {number}\n" in text for text in texts), 3)

    def test_bdat_in_any_chunks(self):
        body = b"Subject: dots\r\nMessage-ID: <one@test>\r\n\r\n.dot\r\n.\r\nend"
        with tempfile.TemporaryDirectory() as folder:
            sink = Sink("--maildir", folder, "--offer", "CHUNKING,PIPELINING", "--offer", "LIMITS MAILMAX=9")
            with smtplib.SMTP("127.0.0.1", sink.port) as client:
                client.ehlo("chunky.test")
                self.assertEqual(client.esmtp_features, {"chunking": "", "pipelining": "", "limits": "MAILMAX=9", "help": ""})
                for cut in range(len(body)):
                    client.docmd("MAIL FROM:<a@test>")
                    client.docmd("RCPT TO:<b@test>")
                    client.send(b"BDAT %d\r\n" % cut + body[:cut] + b"BDAT %d LAST\r\n" % (len(body) - cut) + body[cut:])
                    self.assertEqual([client.getreply()[0] for _ in range(2)], [250, 250])
                # For nobody: the octets are taken, and no command.
                client.docmd("MAIL FROM:<a@test>")
                client.send(b"BDAT 6 LAST\r\nQUIT\r\nBDAT 0 LAST\r\nNOOP\r\n")
                self.assertEqual([client.getreply()[0] for _ in range(3)], [503, 503, 250])
            totals = sink.stop()
            stored = {path.read_bytes() for path in pathlib.Path(folder, "new").iterdir()}
        self.assertEqual(stored, {body})
        self.assertEqual((totals["messages"], totals["by_bdat"], totals["ehlo"]), (len(body), len(body), {"chunky.test": 1}))

    def test_several_ports_and_the_addresses_of_loopback_are_told_apart(self):
        sink = Sink("--listen", "0.0.0.0:0", "--port-count", "2")
        for number in range(2, 5):
            with smtplib.SMTP(f"127.0.0.{number}", sink.port, local_hostname=f"c{number}.test",
                              source_address=("127.0.0.9", 0)) as client:
                client.ehlo()
        totals = sink.stop()
        self.assertEqual(totals["sources"], {"127.0.0.9": 3})
        self.assertEqual(totals["destinations"], {f"127.0.0.{number}:{sink.port}": 1 for number in range(2, 5)})
        self.assertEqual(totals["ehlo"], {f"c{number}.test": 1 for number in range(2, 5)})

    def test_starttls_and_421_after_so_many_messages(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=sink.test",
                            "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"], capture_output=True, check=True)
            sink = Sink("--tls-certificate", f"{folder}/cert.pem", "--tls-key", f"{folder}/key.pem",
                        "--messages-per-connection", "2")
            with smtplib.SMTP("127.0.0.1", sink.port) as client:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                client.starttls(context=context)
                client.ehlo()
                self.assertNotIn("starttls", client.esmtp_features)
                for _ in range(2):
                    client.sendmail("a@test", ["b@test"], "Subject: x\r\n\r\ny\r\n")
                self.assertEqual(client.docmd("MAIL FROM:<a@test>")[0], 421)
            load(sink, "--messages", "40", "--tls", "starttls", "--per-connection", "2")
            totals = sink.stop()
        self.assertEqual((totals["messages"], totals["handshakes"]), (42, totals["connections"]))

    def test_nothing_listens(self):
        sink = Sink()
        sink.stop()
        sent = load(sink, "--messages", "5", "--duration", "1", code=1)
        self.assertEqual(sent["acknowledged"], 0)
        self.assertGreater(sent["network_errors"], 0)


if __name__ == "__main__":
    unittest.main()
