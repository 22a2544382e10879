"""What the tests of attackers and failing machines share."""

import os
import pathlib
import re
import resource
import smtplib
import socket
import ssl
import struct
import time
import unittest

from gateway import SOURCE, Gateway, Hop, Sink

FULL = os.environ.get("EBBGATE_FULL") == "1"
SANITIZED = os.environ.get("EBBGATE_SANITIZED", "")  # By what: time and memory say nothing then.
BODY = "From: a@acme.test\r\nSubject: x\r\n\r\n.dot\r\nlast line\r\n"
UNSAFE = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]")
WIDE = {"max_connections_per_ip": 100_000, "client_timeout": "300s"}


def reset(plain):
    """Closes with RST, as a crashed machine's peer sees it."""
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    plain.close()


def trusting():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def private_bytes(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kib) * 1024 for kib in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.M))


def connect_many(count, port, base=2):
    """Connections from several loopback addresses, so that none runs out of ports or over a limit."""
    made = []
    for number in range(count):
        plain = socket.socket()
        plain.bind((f"127.0.0.{base + number % 20}", 0))
        plain.settimeout(20)
        plain.connect(("127.0.0.1", port))
        made.append(plain)
    return made


# What a Hop does in place of a reply, as an action of its faults.
def closing(_plain, _reply):
    return False


def resetting(plain, _reply):
    reset(plain)
    return False


def once(action):
    """As an action of a connection that is used again: the second time it does what is right."""
    done = []

    def act(plain, reply):
        if done:
            plain.sendall(reply)
            return True
        done.append(True)
        return action(plain, reply)
    return act


def saying(*texts, go_on=False, pause=0.05):
    def action(plain, _reply):
        for text in texts:
            plain.sendall(text)
            time.sleep(pause)
        return go_on
    return action


class Attacked(unittest.TestCase):
    def gateway(self, descriptors=None, **options):
        """`descriptors`: its limit from the start, because io_uring remembers the one of the moment when it accepts."""
        made = Gateway(**options)
        self.addCleanup(made.close)
        self.addCleanup(lambda: self.check(made))
        if descriptors is None:
            return made.start()
        return made.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors)))

    def sink(self, *options, **more):
        made = Sink(*options, **more)
        self.addCleanup(lambda: made.process.poll() is None and made.process.kill())
        return made

    def hop(self, *arguments, **options):
        made = Hop(*arguments, **options)
        self.addCleanup(made.close)
        return made

    def check(self, gateway):
        """What holds after every case: alive, nothing left open, no hostile byte in a log."""
        if gateway.process is None:
            return
        self.assertIsNone(gateway.process.poll(), (gateway.folder / "stderr.txt").read_text()[-3000:])
        status = gateway.wait(lambda now: now["sessions"]["open"] == 0 and now["queue"]["in_flight"] == 0, 30)
        self.assertEqual(status["ring"]["stale_completions"], 0)
        self.assertEqual(status["log_blocks_dropped"], 0)
        for name in ("mail.log", "events.jsonl"):
            self.assertIsNone(UNSAFE.search(gateway.log(name).encode()), name)  # And it is UTF-8.
        gateway.events()  # Each line is JSON.
        self.assertEqual(gateway.terminate(), 0, (gateway.folder / "stderr.txt").read_text()[-3000:])

    def submit(self, gateway, *recipients, body=BODY):
        with smtplib.SMTP("127.0.0.1", gateway.ports["smtp"], local_hostname="c.test", timeout=20) as client:
            client.sendmail("a@acme.test", recipients, body)

    def load(self, gateway, *options, port="smtp"):
        return [SOURCE, "--target", f"127.0.0.1:{gateway.ports[port]}", "--json", *options]
