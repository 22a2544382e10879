#!/usr/bin/env python3
"""Crowds, full disks, signals and time. EBBGATE_FULL=1: the whole crowd."""

import contextlib
import json
import os
import pathlib
import resource
import signal
import smtplib
import statistics
import subprocess
import tempfile
import threading
import time
import unittest

from attacked import FULL, SANITIZED, WIDE, Attacked, connect_many, private_bytes, saying, trusting
from gateway import Client, Gateway, Hop
from ports import free_port


class Crowd(Attacked):
    def setUp(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.most = 10_000 if FULL and hard > 12_000 else 2000 if not SANITIZED else 300

    def latency(self, gateway):
        done = subprocess.run(self.load(gateway, "--messages", "100000", "--rate", "150", "--sessions", "10", "--duration",
                                        "6" if FULL else "3", "--size", "2000"),
                              capture_output=True, text=True, timeout=60, check=False)
        result = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual((result["network_errors"], result["refusals"]), (0, {}), result)
        return result["latency_ms"]["p50"]

    def test_idle_and_slow_connections_cost_others_nothing(self):
        sink = self.sink()
        gateway = self.gateway(next_hop=sink.port, server={"limits": WIDE})
        self.latency(gateway)  # Warm.
        alone, crowded = [], []
        ratio = 0.0
        # Medians of three pairs; of up to seven where the machine's own noise hides it.
        while len(alone) < 3 or (ratio >= 1.2 and len(alone) < 7 and not SANITIZED):
            alone.append(self.latency(gateway))
            idle = connect_many(self.most, gateway.ports["smtp"])
            slow = connect_many(self.most // 10, gateway.ports["smtp"], base=40)
            stop = threading.Event()

            def drip(slow=slow, stop=stop):
                text = b"EHLO slow.test\r\nMAIL FROM:<a@acme.test>\r\nRCPT TO:<b@far.test>\r\nDATA\r\n" + b"x" * 60 + b"\r\n"
                for byte in text * 10:
                    began = time.monotonic()
                    for number, one in enumerate(slow):
                        one.send(bytes([byte]))
                        if number % 20 == 0:  # Spread over the second.
                            if stop.wait(max(0, began + number / len(slow) - time.monotonic())):
                                return
                    if stop.wait(max(0, began + 1 - time.monotonic())):
                        return
            dripping = threading.Thread(target=drip)
            dripping.start()
            gateway.wait(lambda status, many=len(idle) + len(slow): status["sessions"]["open"] >= many)
            crowded.append(self.latency(gateway))
            stop.set()
            dripping.join()
            for one in idle + slow:
                one.close()
            gateway.wait(lambda status: status["sessions"]["open"] == 0, 30)
            ratio = statistics.median(crowded) / statistics.median(alone)
        print(f"{self.most} idle and {self.most // 10} slow: median {statistics.median(crowded):.2f} ms, alone "
              f"{statistics.median(alone):.2f} ms, ratio {ratio:.2f} {alone} {crowded}", flush=True)
        if not SANITIZED:
            self.assertLess(ratio, 1.2)

    def test_memory_of_an_idle_session(self):
        context = trusting()

        def cost(count, port, tls):
            # A gateway for each: what the allocator kept from the other crowd would hide this one.
            gateway = self.gateway(server={"limits": WIDE}, shards=1)
            pid = gateway.process.pid
            for one in [Client(gateway.ports[port], tls) for _ in range(50)]:
                one.socket.close()  # What the allocator takes once.
            gateway.wait(lambda status: status["sessions"]["open"] == 0)
            before = private_bytes(pid)
            made = connect_many(count, gateway.ports[port])
            if tls:
                made = [context.wrap_socket(one) for one in made]
            for one in made:
                one.recv(4096)
                one.sendall(b"EHLO x.test\r\n")
                one.recv(4096)
            gateway.wait(lambda status: status["sessions"]["open"] == count)
            each = (private_bytes(pid) - before) / count
            for one in made:
                one.close()
            gateway.wait(lambda status: status["sessions"]["open"] == 0)
            return each

        plain, secure = cost(self.most, "smtp", False), cost(self.most // 2, "smtps", True)
        print(f"memory of an idle session: plain {plain:.0f} bytes, TLS {secure:.0f} bytes", flush=True)
        if not SANITIZED:
            self.assertLess(plain, 2048)
            self.assertLess(secure, 8192)


@contextlib.contextmanager
def small_disk(kind, mebibytes):
    """A file system of its own. Needs root."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ebbgate-disk-"))
    (folder / "mount").mkdir()
    if kind == "tmpfs":
        command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "none", folder / "mount"]
    else:
        with open(folder / "image", "wb") as image:
            image.truncate(mebibytes * 2**20)
        subprocess.run(["mkfs.ext4", "-q", "-F", folder / "image"], check=True, capture_output=True)
        command = ["mount", "-o", "loop", folder / "image", folder / "mount"]
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield folder / "mount"
    finally:
        subprocess.run(["umount", folder / "mount"], check=False, capture_output=True)
        (folder / "image").unlink(missing_ok=True)


def can_mount():
    try:
        with small_disk("ext4", 8):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


class Disk(Attacked):
    def setUp(self):
        if os.geteuid() != 0 or not can_mount():
            self.skipTest("needs to mount a small file system")

    def disk(self, kind, mebibytes):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)  # After the gateway's own clean-up, which was added later.
        return stack.enter_context(small_disk(kind, mebibytes))

    def test_a_full_disk_refuses_new_mail_delivers_the_old_and_comes_back(self):
        folder = self.disk("ext4", 120)
        port = free_port()  # Of nobody until later.
        gateway = self.gateway(next_hop=port, shards=1, server={
            "data_dir": str(folder), "limits": {**WIDE, "counters": 4096},
            "spool": {"segment_size": "4MiB", "free_min": "8MiB"}})
        for number in range(3):
            self.submit(gateway, "b@far.test", body=f"Subject: {number}\r\n\r\n" + ("v" * 70 + "\r\n") * 3000)
        filler = folder / "filler"
        block = b"\0" * 2**20
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as out:
            while True:
                out.write(block)
        refused, held = None, 0
        for _ in range(200):
            try:
                self.submit(gateway, "b@hold.test", body="Subject: h\r\n\r\n" + ("w" * 70 + "\r\n") * 3000)
                held += 1
            except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as refusal:
                refused = refusal
                break
        self.assertIsNotNone(refused, "the disk never became full")
        self.assertEqual((refused.smtp_code, refused.smtp_error[:5]), (452, b"4.3.1"))
        again = Hop(port=port)
        self.addCleanup(again.close)
        gateway.ctl("flush")
        gateway.wait(lambda status: status["mail"]["done"] == 3, 30)
        self.assertEqual(len(again.accepted), 3)
        filler.unlink()
        end = time.monotonic() + 20
        while True:
            try:
                self.submit(gateway, "b@far.test")
                break
            except smtplib.SMTPResponseException as still:
                self.assertEqual(still.smtp_code, 452)
                self.assertLess(time.monotonic(), end, "it never came back")
                time.sleep(0.5)
        gateway.wait(lambda status: status["mail"]["done"] == 4)
        gateway.kill()
        gateway.start()
        self.assertEqual(gateway.status()["queue"]["held"], held)  # What was acknowledged, no more and no less.

    def test_a_spool_on_tmpfs_works_or_says_why(self):
        folder = self.disk("tmpfs", 120)
        sink = self.sink()
        gateway = Gateway(next_hop=sink.port, server={
            "data_dir": str(folder), "limits": {"counters": 4096}, "spool": {"segment_size": "4MiB", "free_min": "1MiB"}})
        self.addCleanup(gateway.close)
        self.addCleanup(lambda: self.check(gateway))
        gateway.start()
        self.submit(gateway, "b@far.test")
        self.submit(gateway, "b@hold.test", body="Subject: big\r\n\r\n" + ("w" * 70 + "\r\n") * 30_000)
        gateway.wait(lambda status: status["mail"]["done"] == 1)
        gateway.kill()
        gateway.start()
        gateway.ctl("release")
        gateway.wait(lambda status: status["mail"]["done"] == 1)

    def test_a_full_log_disk_stops_no_mail(self):
        folder = self.disk("ext4", 16)
        sink = self.sink()
        gateway = self.gateway(next_hop=sink.port, server={"log_dir": str(folder)})
        with contextlib.suppress(OSError), open(folder / "filler", "wb", buffering=0) as out:
            while True:
                out.write(b"\0" * 4096)
        for _ in range(5):
            self.submit(gateway, "b@far.test")
        gateway.wait(lambda status: status["mail"]["done"] == 5)
        self.assertEqual(gateway.terminate(), 0)


class Signals(Attacked):
    def test_reloading_under_load_drops_no_session(self):
        sink = self.sink()
        gateway = self.gateway(next_hop=sink.port)
        running = subprocess.Popen(self.load(gateway, "--messages", "1000000", "--duration", "4", "--sessions", "20", "--size",
                                             "500-5000"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while running.poll() is None:
            gateway.process.send_signal(signal.SIGHUP)
            time.sleep(0.05)
        result = json.loads(running.stdout.read().splitlines()[-1])
        running.stdout.close()
        running.stderr.close()
        self.assertEqual((result["network_errors"], result["refusals"]), (0, {}), result)
        done = gateway.wait(lambda status: status["mail"]["done"] == status["mail"]["received"], 40)
        self.assertGreater(done["mail"]["done"], 100)
        self.assertEqual(sink.stop()["unique"], done["mail"]["done"])

    def test_sigterm_under_load_loses_nothing(self):
        folder = pathlib.Path(tempfile.mkdtemp())
        sink = self.sink("--ids", folder / "arrived")
        gateway = self.gateway(next_hop=sink.port)
        for number in range(4 if FULL else 2):
            source = subprocess.Popen(self.load(gateway, "--messages", "1000000", "--sessions", "30", "--run", f"t{number}",
                                                "--duration", "20", "--size", "100-9000", "--acknowledged-ids",
                                                folder / "acknowledged"),
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(1)
            self.assertEqual(gateway.terminate(), 0)
            source.terminate()
            source.wait()
            gateway.start()
        gateway.wait(lambda status: status["queue"]["ready"] + status["queue"]["in_flight"]
                     + status["queue"]["deferred"] == 0, 60)
        totals = sink.stop()
        acknowledged = set((folder / "acknowledged").read_text().split())
        arrived = set((folder / "arrived").read_text().split())
        self.assertGreater(len(acknowledged), 100)
        self.assertEqual(acknowledged - arrived, set())
        self.assertEqual(totals["duplicates"], 0)


class LongLived(Attacked):
    def test_a_held_message_does_not_pin_the_log_that_wraps_around_it(self):
        sink = self.sink()
        waiting = self.hop(*[("mail", saying(b"450 4.2.1 later\r\n", go_on=True))] * 500)
        folder = tempfile.mkdtemp()
        gateway = self.gateway(shards=1, server={"spool": {"segment_size": "4MiB", "free_min": "1MiB"}}, policy={"routes": [
            {"match": "hold.test", "relay": "hold"}, {"match": "later.test", "relay": f"127.0.0.1:{waiting.port}"},
            {"match": "*", "relay": f"127.0.0.1:{sink.port}"}]})
        head = "\r\nDate: Wed, 25 Nov 2026 02:00:00 +0000\r\nMessage-ID: <1@acme.test>\r\n\r\n"
        small = "Subject: small" + head + "".join(f"{number}\r\n" for number in range(20_000))
        large = "Subject: large" + head + "".join(f"{number} {'l' * 50}\r\n" for number in range(40_000))
        self.submit(gateway, "b@hold.test", body=small)
        self.submit(gateway, "b@hold.test", body=large)
        self.submit(gateway, "b@later.test", body=small)
        highest = 0
        for number in range(12 if FULL else 6):
            done = subprocess.run(self.load(gateway, "--messages", "150", "--size", "100000", "--sessions", "4", "--run",
                                            f"w{number}"), capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 0, done.stdout)
            highest = max(highest, gateway.status()["spool"]["log_bytes"])
        status = gateway.wait(lambda status: status["queue"]["ready"] == 0)
        print(f"{status['spool']['bytes_written'] >> 20} MiB written around a held message, log at most {highest >> 20} MiB",
              flush=True)
        self.assertGreater(status["spool"]["bytes_written"], 80 * 2**20)
        self.assertLess(highest, 48 * 2**20)
        gateway.kill()
        end = self.hop()
        gateway.policy["routes"] = [{"match": "*", "relay": f"127.0.0.1:{end.port}"}]
        gateway.start()
        status = gateway.wait(lambda status: status["mail"]["done"] >= 3 and all(
            status["queue"][key] == 0 for key in ("ready", "deferred", "in_flight")), 40)
        # What was being delivered when the gateway was killed may come a second time.
        got = sorted(body[body.index(b"Subject: "):-3] for body in end.accepted
                     if b"Subject: small\r\n" in body or b"Subject: large\r\n" in body)
        self.assertEqual(len(got), 3)
        self.assertTrue(got == sorted(body.encode() for body in (small, large, small)))


if __name__ == "__main__":
    unittest.main(warnings="ignore")  # Sockets and sinks end with their test, not before.
