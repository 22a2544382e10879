#!/usr/bin/env python3
"""MTA-STS policies, fetched from a web server of the test's own."""

import os
import socket
import subprocess
import tempfile
import time
import unittest

from policy_server import DAY, POLICY, WebServer, openssl

PROGRAM = os.environ["EBBGATE_FIND_POLICY"]


class Finder:
    def __init__(self, folder, port, store="sts.sqlite", timeout_s=20):
        self.process = subprocess.Popen(
            [PROGRAM, f"{folder}/{store}", f"{folder}/ca.pem", f"127.0.0.1:{port}", str(timeout_s)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def find(self, domain, times=1):
        self.tell(f"find {domain} {times}")
        lines = [self.process.stdout.readline().strip() for _ in range(times)]
        return lines if times > 1 else lines[0]

    def find_until(self, domain, start, seconds=10):
        """Until the answer begins so: what is asked for behind the answer comes a little later."""
        end = time.monotonic() + seconds
        while not (line := self.find(domain)).startswith(start):
            if time.monotonic() > end:
                raise AssertionError(f"never {start}: {line}")
            time.sleep(0.02)
        return line

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


class MtaSts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        folder = cls.folder.name
        ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        openssl(folder, "req", "-x509", *ec, "-days", "2", "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem")
        names = ",".join(f"DNS:mta-sts.{name}.test" for name in "abcdefghijklmnopqrstuvw")
        with open(f"{folder}/ext", "w", encoding="ascii") as file:
            file.write(f"subjectAltName={names}\n")
        openssl(folder, "req", *ec, "-subj", "/CN=web", "-keyout", "web.key", "-out", "web.csr")
        openssl(folder, "x509", "-req", "-days", "2", "-in", "web.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-extfile", "ext", "-out", "web.pem")
        openssl(folder, "req", "-x509", *ec, "-days", "2", "-subj", "/CN=self", "-addext", f"subjectAltName={names}",
                "-keyout", "self.key", "-out", "self.pem")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def setUp(self):
        self.store = self.id().split(".")[-1] + ".sqlite"
        self.web = WebServer(self.folder.name, "web")
        self.addCleanup(self.web.close)
        self.start()

    def start(self):
        self.finder = Finder(self.folder.name, self.web.port, self.store)
        self.addCleanup(self.finder.close)

    def restart(self):
        self.finder.close()
        self._cleanups.pop()
        self.start()

    def publish(self, domain, identity="1", **policy):
        self.web.put(domain, **policy)
        self.finder.tell(f"txt {domain} v=STSv1; id={identity};")

    def test_a_policy_is_fetched_once_and_kept(self):
        self.publish("a.test")
        self.assertEqual(self.finder.find("A.test"), "enforce 86400 mx.a.test - asked=1")
        self.assertEqual(self.finder.find("a.test"), "enforce 86400 mx.a.test - asked=0")
        self.assertEqual(self.web.hits, ["mta-sts.a.test/.well-known/mta-sts.txt"])

    def test_callers_at_once_share_one_look_up(self):
        self.publish("a.test")
        self.assertEqual(self.finder.find("a.test", 5), ["enforce 86400 mx.a.test - asked=1"] * 5)
        self.assertEqual(len(self.web.hits), 1)

    def test_without_a_record_nothing_is_fetched(self):
        self.web.put("a.test")
        self.assertEqual(self.finder.find("a.test"), "nothing 0 - - asked=1")
        self.assertEqual(self.finder.find("a.test"), "nothing 0 - - asked=0")
        self.finder.tell("txt b.test !")
        self.assertEqual(self.finder.find("b.test"), "nothing 0 - - asked=1")
        self.assertEqual(self.finder.find("not/a.host"), "nothing 0 - - asked=0")
        self.assertEqual(self.web.hits, [])
        self.finder.tell("clock 301")  # The absence is not believed for ever.
        self.publish("a.test")
        self.assertEqual(self.finder.find("a.test"), "enforce 86400 mx.a.test - asked=1")

    def test_a_new_id_brings_the_new_policy(self):
        self.publish("a.test")
        self.finder.find("a.test")
        self.publish("a.test", "2", mode="testing")
        self.assertTrue(self.finder.find("a.test").startswith("enforce"))
        self.finder.tell("clock 301")
        self.assertEqual(self.finder.find("a.test"), "enforce 86400 mx.a.test - asked=1", "no mail waits for it")
        self.finder.find_until("a.test", "testing")
        self.finder.tell("clock 301")
        self.assertEqual(self.finder.find("a.test"), "testing 86400 mx.a.test - asked=1")
        self.assertEqual(len(self.web.hits), 2, "the same id: no fetch")

    def test_half_of_max_age_refreshes_it(self):
        self.publish("a.test", max_age=2000)
        self.finder.find("a.test")
        self.finder.tell("clock 900")
        self.finder.find("a.test")
        self.assertEqual(len(self.web.hits), 1)
        self.finder.tell("clock 400")
        self.publish("a.test", max_age=2001)
        self.finder.find("a.test")
        self.finder.find_until("a.test", "enforce 2001")
        self.assertEqual(len(self.web.hits), 2)
        self.finder.tell("clock 900")  # Counted from the second fetch.
        self.finder.find("a.test")
        self.assertEqual(len(self.web.hits), 2)

    def test_what_cannot_be_refreshed_holds_until_its_end(self):
        self.publish("a.test", max_age=2000)
        self.finder.find("a.test")
        self.web.pages.clear()
        self.finder.tell("clock 1500")
        self.assertEqual(self.finder.find("a.test"), "enforce 2000 mx.a.test - asked=1")
        self.finder.find_until("a.test", "enforce 2000 mx.a.test sts-policy-fetch-error")
        self.finder.tell("txt a.test")  # And without a record, too.
        self.finder.tell("clock 301")
        self.finder.find_until("a.test", "enforce 2000 mx.a.test - ")
        self.finder.tell("clock 301")
        self.assertEqual(self.finder.find("a.test"), "nothing 0 - - asked=1")

    def test_after_the_end_of_a_short_policy_mail_waits_for_the_next(self):
        self.publish("a.test", max_age=100)
        self.finder.find("a.test")
        self.finder.tell("clock 101")
        self.assertEqual(self.finder.find("a.test"), "enforce 100 mx.a.test - asked=1")
        self.finder.tell("clock 60")
        self.publish("a.test", max_age=101)
        self.assertEqual(self.finder.find("a.test"), "enforce 100 mx.a.test - asked=1")
        self.finder.find_until("a.test", "enforce 101")  # Before the other has ended.

    def test_a_silent_policy_host_is_not_waited_for_while_a_policy_holds(self):
        self.publish("a.test", max_age=2000)
        self.finder.find("a.test")
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        self.finder.close()
        self._cleanups.pop(-2)
        self.finder = Finder(self.folder.name, silent.getsockname()[1], self.store)
        self.addCleanup(self.finder.close)
        self.finder.tell("txt a.test v=STSv1; id=2;")
        self.assertEqual(self.finder.find("not/a.host"), "nothing 0 - - asked=0")  # It has started.
        began = time.monotonic()
        self.assertEqual(self.finder.find("a.test"), "enforce 2000 mx.a.test - asked=1")
        self.assertEqual(self.finder.find("a.test"), "enforce 2000 mx.a.test - asked=0")
        self.assertLess(time.monotonic() - began, 10)  # Half of its time-out.
        short = Finder(self.folder.name, silent.getsockname()[1], "short.sqlite", timeout_s=5)
        self.addCleanup(short.close)
        short.tell("txt b.test v=STSv1; id=2;")
        self.assertEqual(short.find("not/a.host"), "nothing 0 - - asked=0")
        began = time.monotonic()
        self.assertEqual(short.find("b.test"), "nothing 0 - sts-policy-fetch-error asked=1")
        self.assertLess(time.monotonic() - began, 10)  # Twice its time-out.

    def test_a_restart_keeps_policies(self):
        self.publish("a.test", max_age=2000)
        self.publish("b.test", max_age=2)
        self.finder.find("a.test")
        self.finder.find("b.test")
        time.sleep(2)
        self.restart()
        self.web.pages.clear()
        self.finder.tell("txt a.test !")
        self.assertEqual(self.finder.find("a.test"), "enforce 2000 mx.a.test - asked=1")
        self.assertEqual(self.finder.find("b.test"), "nothing 0 - - asked=1")

    def test_what_is_no_good_answer_is_no_policy(self):
        good = (POLICY % ("enforce", "x", DAY)).encode()
        rows = {
            "b.test": ({"status": 404}, "sts-policy-fetch-error"),
            "c.test": ({"status": 301, "Location": "https://mta-sts.a.test/.well-known/mta-sts.txt"},
                       "sts-policy-fetch-error"),
            "d.test": ({"content_type": "text/html"}, "sts-policy-invalid"),
            "e.test": ({"body": b"nonsense"}, "sts-policy-invalid"),
            "f.test": ({"body": good + b"x: y\r\n" * 20000}, "sts-policy-fetch-error"),
            "nobody.test": ({}, "sts-webpki-invalid"),  # Not in the certificate.
        }
        self.web.put("a.test")
        for domain, (policy, fault) in rows.items():
            with self.subTest(domain):
                self.publish(domain, **policy)
                self.assertEqual(self.finder.find(domain), f"nothing 0 - {fault} asked=1")
                hits = len(self.web.hits)
                self.assertEqual(self.finder.find(domain), f"nothing 0 - {fault} asked=0")
                self.assertEqual(len(self.web.hits), hits)

    def test_a_certificate_of_nobody_is_refused(self):
        web = WebServer(self.folder.name, "self")
        self.addCleanup(web.close)
        web.put("a.test")
        finder = Finder(self.folder.name, web.port, "self.sqlite")
        self.addCleanup(finder.close)
        finder.tell("txt a.test v=STSv1; id=1;")
        self.assertEqual(finder.find("a.test"), "nothing 0 - sts-webpki-invalid asked=1")
        self.assertEqual(web.hits, [])

    def test_a_server_that_is_not_there(self):
        finder = Finder(self.folder.name, 1, "none.sqlite")
        self.addCleanup(finder.close)
        finder.tell("txt a.test v=STSv1; id=1;")
        self.assertEqual(finder.find("a.test"), "nothing 0 - sts-policy-fetch-error asked=1")


if __name__ == "__main__":
    unittest.main()
