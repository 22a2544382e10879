#!/usr/bin/env python3
"""The gateway from the outside: what is acknowledged is durable and arrives, once, byte for byte."""

import base64
import json
import os
import pathlib
import random
import re
import smtplib
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

from gateway import CTL, DAEMON, OPEN, PASSWORD, SOURCE, Client, Gateway, Sink
from ports import free_port

BODY = ("From: a@acme.test\r\nTo: b@far.test\r\nSubject: dots\r\nMessage-ID: <one@acme.test>\r\n"
        "Date: Wed, 25 Nov 2026 02:00:00 +0000\r\n\r\n"
        ".leading dot\r\n..two\r\n\r\nlast line\r\n")


class WithGateway(unittest.TestCase):
    def gateway(self, **options):
        made = Gateway(**options)
        self.addCleanup(made.close)
        return made.start()

    def relay(self, *sink_options, **options):
        folder = tempfile.mkdtemp()
        sink = Sink("--maildir", folder, *sink_options)
        self.addCleanup(lambda: sink.process.poll() is None and sink.process.kill())
        self.maildir = pathlib.Path(folder, "new")
        return self.gateway(next_hop=sink.port, **options), sink

    def send(self, gateway, recipients, body):
        with smtplib.SMTP("127.0.0.1", gateway.ports["smtp"], local_hostname="client.test") as client:
            client.sendmail("a@acme.test", recipients, body)

    def stored(self):
        return [path.read_bytes() for path in self.maildir.iterdir()]


class Relaying(WithGateway):
    def test_a_message_arrives_byte_for_byte_with_one_received_field(self):
        gateway, _ = self.relay()
        with smtplib.SMTP("127.0.0.1", gateway.ports["smtp"], local_hostname="client.test") as client:
            client.sendmail("a@acme.test", ["b@far.test"], BODY)
        gateway.wait(lambda status: status["mail"]["done"] == 1)
        (got,) = self.stored()
        head, rest = got.split(b"From: ", 1)
        self.assertEqual(b"From: " + rest, BODY.encode())
        self.assertRegex(head.decode(), r"^Received: from client\.test \(\[127\.0\.0\.1\]\)\r\n"
                                        r"\tby gate\.test \(Ebbgate\) with ESMTP id [0-9A-Z]{13};\r\n"
                                        r"\t\w{3}, \d{2} \w{3} \d{4} \d\d:\d\d:\d\d \+0000\r\n$")

    def test_the_log_names_the_mechanism_that_was_used(self):
        gateway, _ = self.relay()
        client = Client(gateway.ports["smtps"], implicit_tls=True)
        client.say("EHLO x.test")
        for word in ("wrong", PASSWORD):
            client.say("AUTH LOGIN")
            client.say(base64.b64encode(b"mailer@acme.test").decode())
            reply = client.say(base64.b64encode(word.encode()).decode())
        self.assertTrue(reply.startswith("235 "), reply)
        self.assertTrue(client.login().startswith("503 "))  # Changes nothing.
        for line in ("MAIL FROM:<a@acme.test>", "RCPT TO:<b@void.test>", "DATA"):
            client.say(line)
        client.send(BODY + ".\r\n")
        self.assertTrue(client.reply().startswith("250 "))
        clear = Client(gateway.ports["smtp"])
        clear.say("EHLO x.test")
        self.assertTrue(clear.say("AUTH CRAM-MD5").startswith("538 "))
        self.assertTrue(clear.login().startswith("538 "))
        self.assertEqual(gateway.terminate(), 0)
        log = gateway.text_log()
        self.assertEqual(re.findall("SASL (\\S+) authentication failed", log), ["LOGIN", "unknown", "PLAIN"])
        self.assertIn("sasl_method=LOGIN, sasl_username=mailer@acme.test\n", log)

    def test_requiretls_is_neither_offered_nor_taken(self):
        gateway, _ = self.relay()
        client = Client(gateway.ports["smtp"])
        self.assertNotIn("REQUIRETLS", client.say("EHLO x.test"))
        self.assertEqual(client.say("MAIL FROM:<a@acme.test> REQUIRETLS"), "555 5.5.4 REQUIRETLS is not supported")
        self.assertTrue(client.say("MAIL FROM:<a@acme.test>").startswith("250 "))

    def test_starttls_and_auth_and_implicit_tls(self):
        gateway, _ = self.relay(policy={"tenants": [dict(Gateway().policy["tenants"][0], relay_hosts=[])]})
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with smtplib.SMTP("127.0.0.1", gateway.ports["smtp"]) as client:
            client.ehlo()
            self.assertFalse(client.has_extn("auth"))
            with self.assertRaises(smtplib.SMTPSenderRefused) as refused:
                client.sendmail("a@acme.test", ["b@far.test"], BODY)
            self.assertEqual(refused.exception.smtp_code, 530)
        for name in ("smtp", "smtps"):
            kind = smtplib.SMTP if name == "smtp" else smtplib.SMTP_SSL
            extra = {} if name == "smtp" else {"context": context}
            with kind("127.0.0.1", gateway.ports[name], **extra) as client:
                if name == "smtp":
                    client.starttls(context=context)
                with self.assertRaises(smtplib.SMTPAuthenticationError) as refused:
                    client.login("mailer@acme.test", "wrong")
                self.assertEqual(refused.exception.smtp_code, 535)
                client.login("mailer@acme.test", PASSWORD)
                client.sendmail("a@acme.test", ["b@far.test"], BODY)
        gateway.wait(lambda status: status["mail"]["done"] == 2)
        self.assertEqual(len(self.stored()), 2)
        self.assertIn(b"with ESMTPSA id", self.stored()[0])
        with Client(gateway.ports["smtp"]).socket:
            pass

    def test_sizes_from_nothing_to_eight_megabytes(self):
        big = {"tenants": [{"name": "acme", **OPEN, "relay_hosts": ["127.0.0.0/8"],
                            "limits": {"upload_size": "20MB", "message_size": "20MB"}}]}
        gateway, _ = self.relay(policy=big)
        bodies = []
        for size in (0, 1, 4000, 70_000, 300_000, 1_100_000, 2_500_000, 8_000_000):
            lines = "".join(f"line {number} {'x' * 60}\r\n" for number in range(size // 75 + 1)) if size else ""
            bodies.append(f"Subject: {size}\r\nMessage-ID: <{size}@acme.test>\r\n"
                          f"Date: Wed, 25 Nov 2026 02:00:00 +0000\r\n\r\n{lines}")
        with smtplib.SMTP("127.0.0.1", gateway.ports["smtp"]) as client:
            for body in bodies:
                client.sendmail("a@acme.test", ["b@far.test"], body)
        gateway.wait(lambda status: status["mail"]["done"] == len(bodies))
        got = sorted(message[message.index(b"Subject: "):] for message in self.stored())
        self.assertEqual([len(one) for one in got], [len(one) for one in sorted(body.encode() for body in bodies)])
        self.assertTrue(got == sorted(body.encode() for body in bodies))

    def test_several_recipients_go_in_one_transaction_and_fail_apart(self):
        gateway, sink = self.relay("--rule", "rcpt:refuse@nobody@", "--rule", "rcpt:defer/1@later@far")
        with smtplib.SMTP("127.0.0.1", gateway.ports["smtp"]) as client:
            client.sendmail("a@acme.test", ["b@far.test", "nobody@far.test", "c@far.test", "d@void.test"], BODY)
        gateway.wait(lambda status: status["mail"]["done"] == 2)
        kinds = sorted((event["type"], event.get("recipient")) for event in gateway.events()
                       if event["type"] != "Reception")
        self.assertEqual(kinds, [("Bounce", "nobody@far.test"), ("Delivery", "a@acme.test"),  # The report on it.
                                 ("Delivery", "b@far.test"), ("Delivery", "c@far.test"), ("Delivery", "d@void.test")])
        self.assertEqual(sink.stop()["recipients"], 3)

    def test_deferred_mail_is_tried_again_and_arrives_once(self):
        gateway, sink = self.relay("--rule", "dot:defer/2", "--expect", "20")
        with smtplib.SMTP("127.0.0.1", gateway.ports["smtp"]) as client:
            for number in range(20):
                client.sendmail("a@acme.test", ["b@far.test"], f"Message-ID: <{number}@acme.test>\r\n\r\nx\r\n")
        gateway.wait(lambda status: status["mail"]["done"] == 20, 60)
        totals = sink.stop()
        self.assertEqual((totals["unique"], totals["duplicates"]), (20, 0))
        self.assertGreater(gateway.status()["mail"]["deferrals"], 0)

    def test_a_dead_next_hop_keeps_the_mail_until_it_lives(self):
        port = free_port()
        gateway = self.gateway(next_hop=port)
        with smtplib.SMTP("127.0.0.1", gateway.ports["smtp"]) as client:
            client.sendmail("a@acme.test", ["b@far.test"], BODY)
        time.sleep(1)
        self.assertEqual(gateway.status()["mail"]["done"], 0)
        sink = Sink("--expect", "1", port=port)
        gateway.wait(lambda status: status["mail"]["done"] == 1, 30)
        self.assertEqual(sink.stop()["unique"], 1)

    def test_hold_waits_for_release_also_over_a_restart(self):
        gateway, _ = self.relay()
        with smtplib.SMTP("127.0.0.1", gateway.ports["smtp"]) as client:
            client.sendmail("a@acme.test", ["b@hold.test"], BODY)
        gateway.wait(lambda status: status["queue"]["held"] == 1)
        self.assertEqual(gateway.terminate(), 0)
        gateway.start()
        self.assertEqual(gateway.status()["queue"]["held"], 1)
        code, out, _ = gateway.ctl("release", "--json")
        self.assertEqual((code, json.loads(out)["released"]), (0, 1))
        gateway.wait(lambda status: status["mail"]["done"] == 1)
        self.assertEqual(len(self.stored()), 1)

    def test_ipv6_from_the_client_to_the_next_hop(self):
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError as error:
            self.skipTest(f"this machine has no ::1: {error}")
        folder = tempfile.mkdtemp()
        sink = Sink("--maildir", folder, host="[::1]")
        self.addCleanup(sink.process.kill)
        self.maildir = pathlib.Path(folder, "new")
        gateway = self.gateway(
            server={"listeners": [{"name": "smtp", "kind": "smtp", "listen": "[::1]:0"}]},
            policy={"tenants": [{"name": "acme", **OPEN, "relay_hosts": ["::1/128"]}],
                    "routes": [{"match": "*", "relay": f"[::1]:{sink.port}"}]})
        with smtplib.SMTP("::1", gateway.ports["smtp"], local_hostname="client.test") as client:
            client.sendmail("a@acme.test", ["b@far.test"], BODY)
        gateway.wait(lambda status: status["mail"]["delivered"] == 1)
        (got,) = self.stored()
        self.assertTrue(got.startswith(b"Received: from client.test ([IPv6:::1])\r\n"), got[:100])
        self.assertEqual(gateway.terminate(), 0)  # Its last lines are written.
        self.assertIn("client=unknown[::1]", gateway.text_log())

    def test_without_deferred_task_work_everything_is_the_same(self):
        sink = Sink()
        self.addCleanup(sink.process.kill)
        gateway = self.gateway(next_hop=sink.port, server={"io_uring": {"defer_taskrun": "off"}})
        self.assertFalse(gateway.status()["ring"]["features"]["defer_taskrun"])
        done = subprocess.run([SOURCE, "--target", f"127.0.0.1:{gateway.ports['smtp']}", "--messages", "2000",
                               "--sessions", "20", "--json"], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(json.loads(done.stdout.splitlines()[-1])["acknowledged"], 2000)
        gateway.wait(lambda status: status["mail"]["delivered"] == 2000, 30)
        totals = sink.stop()
        self.assertEqual((totals["unique"], totals["duplicates"]), (2000, 0))

    def test_many_recipients_go_out_in_transactions_of_a_hundred(self):
        sink = Sink()
        self.addCleanup(sink.process.kill)
        gateway = self.gateway(next_hop=sink.port)
        self.send(gateway, [f"r{number}@far.test" for number in range(250)], "Subject: x\r\n\r\nx\r\n")
        status = gateway.wait(lambda status: status["mail"]["done"] == 1)
        self.assertEqual((status["mail"]["delivered"], status["mail"]["deferrals"]), (250, 0))
        totals = sink.stop()
        self.assertEqual((totals["messages"], totals["recipients"]), (3, 250))

    def test_release_follows_the_routes_that_match(self):
        partner, everyone = Sink(), Sink()
        self.addCleanup(partner.process.kill)
        self.addCleanup(everyone.process.kill)
        gateway = self.gateway(policy={"routes": [
            {"match": "partner.test", "relay": f"127.0.0.1:{partner.port}"}, {"match": "*.test", "relay": "hold"},
            {"match": "far.test", "relay": f"127.0.0.1:{everyone.port}"}]})
        self.send(gateway, ["b@far.test", "c@far.test"], "Subject: one\r\n\r\nx\r\n")
        self.send(gateway, ["d@nowhere.test"], "Subject: two\r\n\r\nx\r\n")
        gateway.wait(lambda status: status["queue"]["held"] == 2)
        gateway.ctl("release")
        status = gateway.wait(lambda status: status["mail"]["done"] == 1)
        self.assertEqual((status["queue"]["held"], status["mail"]["bounced"]), (1, 0))
        self.assertEqual((partner.stop()["messages"], everyone.stop()["messages"]), (0, 1))

    def test_mail_whose_route_is_taken_away_is_kept_until_there_is_one(self):
        sink = Sink()
        self.addCleanup(sink.process.kill)
        gateway = self.gateway(policy={"routes": [{"match": "*", "relay": "127.0.0.1:1"}]})
        self.send(gateway, ["b@far.test"], "Subject: one\r\n\r\nx\r\n")
        gateway.kill()
        gateway.policy["routes"] = [{"match": "other.test", "relay": "discard"}]
        gateway.start()
        status = gateway.wait(lambda status: status["queue"]["held"] == 1)
        self.assertEqual(status["mail"]["bounced"], 0)
        gateway.policy["routes"] = [{"match": "*", "relay": f"127.0.0.1:{sink.port}"}]
        (gateway.folder / "policy.json").write_text(json.dumps(gateway.policy))
        gateway.ctl("reload")
        gateway.wait(lambda status: status["mail"]["done"] == 1)
        self.assertEqual(sink.stop()["messages"], 1)

    def test_one_bad_file_leaves_the_policy_in_force(self):
        gateway, _ = self.relay()
        (gateway.folder / "policy.json").write_text('{"routes": [{"match": 7}]}')
        code, out, _ = gateway.ctl("reload", "--json")
        self.assertEqual(code, 1)
        self.assertRegex(json.loads(out)["error"], r"policy\.json:1: /routes/0/match: ")
        self.assertTrue(gateway.status()["policy"]["stale"])
        with smtplib.SMTP("127.0.0.1", gateway.ports["smtp"]) as client:
            client.sendmail("a@acme.test", ["b@far.test"], BODY)
        gateway.wait(lambda status: status["mail"]["done"] == 1)
        (gateway.folder / "policy.json").write_text(json.dumps(gateway.policy))
        self.assertEqual(gateway.ctl("reload")[0], 0)
        self.assertFalse(gateway.status()["policy"]["stale"])

    def test_many_sessions_over_tls_lose_nothing(self):
        gateway, sink = self.relay("--expect", "2000")
        secret = gateway.folder / "password"
        secret.write_text(PASSWORD + "\n")
        done = subprocess.run([SOURCE, "--target", f"127.0.0.1:{gateway.ports['smtp']}", "--messages", "2000",
                               "--sessions", "50", "--tls", "starttls", "--user", "mailer@acme.test",
                               "--password-file", secret, "--size", "100-40000", "--json"],
                              capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        gateway.wait(lambda status: status["mail"]["done"] == 2000, 60)
        totals = sink.stop()
        self.assertEqual((totals["unique"], totals["duplicates"], totals["missing"]), (2000, 0, 0))


class Refusing(WithGateway):
    def test_nothing_is_relayed_for_strangers(self):
        gateway, _ = self.relay(policy={"tenants": []})
        client = Client(gateway.ports["smtp"])
        client.say("EHLO x.test")
        self.assertRegex(client.say("MAIL FROM:<a@acme.test>"), "^5[35][0-9] 5\\.7\\.[0-9]")
        self.assertRegex(client.say("RCPT TO:<b@far.test>"), "^5")
        self.assertEqual(gateway.status()["mail"]["received"], 0)

    def test_smuggling_is_refused_and_nothing_of_it_kept(self):
        gateway, _ = self.relay()
        for end in ("\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r\n.\r", "\r\n\0.\r\n\n"):
            with self.subTest(end=repr(end)):
                client = Client(gateway.ports["smtp"])
                client.say("EHLO x.test")
                client.say("MAIL FROM:<a@acme.test>")
                client.say("RCPT TO:<b@far.test>")
                self.assertRegex(client.say("DATA"), "^354")
                client.send(f"Subject: x\r\n\r\nbody{end}MAIL FROM:<evil@acme.test>\r\nRCPT TO:<v@far.test>\r\n"
                            f"DATA\r\nevil\r\n.\r\n")
                self.assertRegex(client.reply(), "^521 5\\.5\\.2")
                self.assertTrue(client.closed())
        time.sleep(0.3)
        self.assertEqual(self.stored(), [])

    def test_commands_behind_starttls_in_the_clear_are_never_run(self):
        gateway, _ = self.relay()
        client = Client(gateway.ports["smtp"])
        client.say("EHLO x.test")
        client.send("STARTTLS\r\nMAIL FROM:<a@acme.test>\r\nRCPT TO:<b@far.test>\r\nDATA\r\n\r\nx\r\n.\r\n")
        replies = []
        while (reply := client.reply()):
            replies.append(reply)
        self.assertTrue(all(not reply.startswith("250") for reply in replies), replies)
        self.assertEqual(gateway.status()["mail"]["received"], 0)

    def test_a_message_above_the_limit_is_refused_before_and_after_its_upload(self):
        small = {"tenants": [{"name": "acme", **OPEN, "relay_hosts": ["127.0.0.0/8"],
                              "limits": {"upload_size": "10KB", "message_size": "10KB"}}]}
        gateway, _ = self.relay(policy=small)
        client = Client(gateway.ports["smtp"])
        self.assertIn("SIZE 10000", client.say("EHLO x.test"))
        self.assertRegex(client.say("MAIL FROM:<a@acme.test> SIZE=10001"), "^552 5\\.3\\.4")
        client.say("MAIL FROM:<a@acme.test>")
        client.say("RCPT TO:<b@far.test>")
        client.say("DATA")
        client.send("x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * 500 + ".\r\n")
        self.assertRegex(client.reply(), "^552 5\\.3\\.4")
        self.assertRegex(client.say("NOOP"), "^250")
        self.assertEqual(gateway.status()["mail"]["received"], 0)

    def test_garbage_gets_a_reply_or_a_close(self):
        gateway, _ = self.relay()
        for garbage in (b"\0" * 5000, b"\xff" * 20000 + b"\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                        b"\r\n" * 3000, b"EHLO " + b"a" * 60000 + b"\r\n", b"\x16\x03\x01\x02\x00" + b"\1" * 512):
            client = Client(gateway.ports["smtp"])
            client.send(garbage)
            client.socket.shutdown(socket.SHUT_WR)
            while client.reply():
                pass
        gateway.wait(lambda status: status["sessions"]["open"] == 0)
        self.assertIsNone(gateway.process.poll())
        self.assertNotRegex(gateway.text_log(), r"[\x00-\x09\x0b-\x1f]")

    def test_a_broken_certificate_at_reload_leaves_everything_in_force(self):
        gateway, _ = self.relay()
        before = gateway.status()["policy"]["fingerprint"]
        gateway.policy["routes"] = [{"match": "*", "relay": "discard"}]
        (gateway.folder / "policy.json").write_text(json.dumps(gateway.policy))
        good = (gateway.folder / "cert.pem").read_text()
        (gateway.folder / "cert.pem").write_text("no certificate")
        code, out, err = gateway.ctl("reload")
        self.assertNotEqual(code, 0, (out, err))
        policy = gateway.status()["policy"]
        self.assertEqual((policy["fingerprint"], policy["stale"]), (before, True))
        # Nor does a change by command let in what was refused.
        code, out, err = gateway.ctl("sender", "add", "new@acme.test", "--tenant", "acme", "--json")
        self.assertIn('"in_force":false', (out + err).replace(" ", ""))
        policy = gateway.status()["policy"]
        self.assertEqual((policy["fingerprint"], policy["stale"]), (before, True))
        Client(gateway.ports["smtps"], implicit_tls=True).say("EHLO x.test")
        (gateway.folder / "cert.pem").write_text(good)
        self.assertEqual(gateway.ctl("reload")[0], 0)
        self.assertNotEqual(gateway.status()["policy"]["fingerprint"], before)

    def test_a_client_of_the_admin_socket_that_dribbles_holds_nobody_up(self):
        gateway, _ = self.relay()
        slow = socket.socket(socket.AF_UNIX)
        slow.connect(str(gateway.folder / "admin.sock"))
        stop = threading.Event()

        def dribble():
            try:
                while not stop.wait(0.5):
                    slow.send(b"x")
            except OSError:
                pass
        writing = threading.Thread(target=dribble)
        writing.start()
        time.sleep(0.2)
        began = time.monotonic()
        gateway.status()
        self.assertLess(time.monotonic() - began, 5)
        stop.set()
        writing.join()
        slow.close()

    def test_messages_of_every_size_go_through_a_large_inline_limit(self):
        gateway, _ = self.relay(server={"spool": {"inline_max": "8000001", "segment_size": "64MiB"}})
        for size in (1_900_000, 3_000_000, 7_000_000):
            self.send(gateway, ["b@far.test"], "Subject: x\r\n\r\n" + ("y" * 70 + "\r\n") * (size // 72))
        status = gateway.wait(lambda status: status["mail"]["done"] == 3)
        self.assertEqual(status["mail"]["delivered"], 3)

    def test_check_names_file_line_and_pointer(self):
        gateway, _ = self.relay()
        bad = gateway.folder / "bad.json"
        bad.write_text(json.dumps(gateway.server, indent=1).replace('"hostname"', '"hostnam"'))
        done = subprocess.run([DAEMON, "--config", bad, "--check"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"bad\.json:\d+: /hostnam: unknown key")

    def test_check_looks_at_the_certificate(self):
        gateway, _ = self.relay()
        command = [DAEMON, "--config", gateway.folder / "ebbgate.json", "--check"]
        self.assertEqual(subprocess.run(command, check=False).returncode, 0)
        (gateway.folder / "key.pem").unlink()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"ebbgate\.json: /tls: .*key\.pem")


class Surviving(WithGateway):
    def test_sigkill_under_load_loses_nothing_acknowledged(self):
        folder = pathlib.Path(tempfile.mkdtemp())
        rounds = int(os.environ.get("EBBGATE_KILLS", "8"))
        sink = Sink("--ids", folder / "arrived")
        gateway = self.gateway(next_hop=sink.port)
        moment = random.Random(rounds)
        for number in range(rounds):
            source = subprocess.Popen([SOURCE, "--target", f"127.0.0.1:{gateway.ports['smtp']}", "--messages", "1000000",
                                       "--sessions", "30", "--run", f"k{number}", "--duration", "20", "--size", "100-9000",
                                       "--acknowledged-ids", folder / "acknowledged", "--json"],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(moment.uniform(0.05, 0.6) * (4 if os.environ.get("EBBGATE_SANITIZED") else 1))
            gateway.kill()
            source.terminate()
            source.wait()
            gateway.start()
        gateway.wait(lambda status: status["queue"]["ready"] + status["queue"]["in_flight"]
                     + status["queue"]["deferred"] == 0, 60)
        self.assertEqual(gateway.terminate(), 0)
        totals = sink.stop()
        acknowledged = set((folder / "acknowledged").read_text().split())
        arrived = set((folder / "arrived").read_text().split())
        print(f"{rounds} kills: {len(acknowledged)} acknowledged, lost {len(acknowledged - arrived)}, "
              f"duplicates {totals['duplicates']} of {totals['messages']}", flush=True)
        self.assertGreater(len(acknowledged), 100)
        self.assertEqual(acknowledged - arrived, set())

    def test_sigterm_answers_what_it_has_and_exits_with_zero(self):
        gateway, sink = self.relay()
        idle = Client(gateway.ports["smtp"])
        idle.say("EHLO x.test")
        done = []
        ending = threading.Thread(target=lambda: done.append(gateway.terminate()))
        ending.start()
        self.assertRegex(idle.reply(), "^421 4\\.3\\.2")
        ending.join()
        self.assertEqual(done, [0])

    def test_a_stopped_spool_can_be_verified_and_exported(self):
        gateway, _ = self.relay()
        with smtplib.SMTP("127.0.0.1", gateway.ports["smtp"], local_hostname="c.test") as client:
            client.sendmail("a@acme.test", ["b@hold.test"], BODY)
        gateway.wait(lambda status: status["queue"]["held"] == 1)
        spool = gateway.folder / "data/spool"
        self.assertNotEqual(subprocess.run([CTL, "spool", "verify", spool], capture_output=True, check=False).returncode,
                            0, "the daemon holds the lock")
        gateway.terminate()
        done = subprocess.run([CTL, "spool", "verify", spool], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("messages 1,", done.stdout)
        with tempfile.TemporaryDirectory() as out:
            subprocess.run([CTL, "spool", "export", spool, out], check=True, capture_output=True)
            (eml,) = pathlib.Path(out).glob("*.eml")
            (envelope,) = pathlib.Path(out).glob("*.json")
            self.assertTrue(eml.read_bytes().endswith(BODY.encode()))
            self.assertEqual(json.loads(envelope.read_text())["sender"], "a@acme.test")


if __name__ == "__main__":
    unittest.main(warnings="ignore")  # Sockets and sinks end with their test, not before.
