#!/usr/bin/env python3
"""A start with a large queue: what memory it takes, and that each message is there once. DESIGN.md, failures; TARGETS.md E1."""

import os
import pathlib
import subprocess
import time
import unittest

from attacked import SANITIZED
from gateway import DAEMON, Gateway, Sink

FILL = os.environ["EBBGATE_FILL_QUEUE"]
NOBODY = [{"match": f"d{number}.queue.test", "relay": f"127.0.0.77:{10_000 + number}"} for number in range(100)]
# What the queue remembers as due in an hour or two stays so, however long the start takes.
LATER = {"retry": {"first": "1h", "max": "4h"}}


class Restart(unittest.TestCase):
    def gateway(self, *options, **more):
        made = Gateway(**more)
        self.addCleanup(made.close)
        if options:
            spool = made.folder / "data" / "spool"
            spool.mkdir(parents=True, mode=0o700)
            subprocess.run([FILL, spool, "--segment", "8", "--domains", "100", *options], check=True)
        return made

    def most_bytes(self, gateway):
        text = pathlib.Path(f"/proc/{gateway.process.pid}/status").read_text()
        return int(text.split("VmHWM:")[1].split()[0]) * 1024

    def test_memory_does_not_hold_the_envelopes(self):
        """Of 1 KB each: they alone would be 100 MB."""
        empty = self.gateway(policy={"routes": NOBODY}).start()
        before = self.most_bytes(empty)
        full = self.gateway("--messages", "100000", "--more-meta", "750", "--deferred", "100",
                            policy={"routes": NOBODY, "delivery": LATER}).start()
        most = self.most_bytes(full) - before
        self.assertEqual(full.status()["queue"]["deferred"], 100_000)
        print(f"{most / 100_000:.0f} bytes each at most", flush=True)
        if not SANITIZED:
            self.assertLess(most / 100_000, 500)

    def waiting(self, gateway):
        queue = gateway.status()["queue"]
        return queue["ready"] + queue["deferred"] + queue["in_flight"] + queue["held"]

    def test_killed_amid_its_start_it_has_all_at_the_next(self):
        gateway = self.gateway("--messages", "60000", "--done", "20", policy={"routes": NOBODY})
        gateway.start()
        self.assertEqual(self.waiting(gateway), 60_000)
        gateway.kill()
        for part in range(1, 8):
            process = subprocess.Popen([DAEMON, "--config", gateway.folder / "ebbgate.json"], stdout=subprocess.DEVNULL,
                                       stderr=gateway.errors)
            time.sleep(part / 10)
            process.kill()
            process.wait()
        gateway.start()
        self.assertEqual(self.waiting(gateway), 60_000)

    def test_each_is_delivered_once_and_none_that_had_ended(self):
        sink = Sink()
        self.addCleanup(sink.process.kill)
        gateway = self.gateway("--messages", "20000", "--done", "30", "--deferred", "0", "--recipients", "2", next_hop=sink.port)
        gateway.start()
        gateway.wait(lambda now: now["mail"]["done"] >= 20_000, 120)
        delivered = [(one["id"], one["recipient"]) for one in gateway.events("Delivery")]
        self.assertEqual((len(delivered), len(set(delivered))), (40_000, 40_000))
        self.assertEqual(gateway.terminate(), 0)
        self.assertEqual(sink.stop()["messages"], 20_000)


if __name__ == "__main__":
    unittest.main()
