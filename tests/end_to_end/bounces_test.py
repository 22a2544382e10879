#!/usr/bin/env python3
"""What senders are told: reports of failure, delay and success, by the rules of RFC 3461 and RFC 3464."""

import email
import email.policy
import json
import pathlib
import random
import shutil
import smtplib
import tempfile
import threading
import time
import unittest

from attacked import Attacked, saying
from gateway import Gateway, Hop
from ports import free_port

BODY = ("From: a@acme.test\r\nTo: b@c0.test\r\nSubject: Gr\u00fc\u00dfe\r\nMessage-ID: <m1@acme.test>\r\n\r\n"
        ".dot at the start\r\nlast line\r\n")
QUICK = {"retry": {"first": "1s", "factor": 1, "max": "1s", "max_age": "1d", "delay_notice": "0s"}}


class Bounces(Attacked):
    def maildir(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="ebbgate-bounces-"))
        self.addCleanup(shutil.rmtree, folder, True)
        return folder

    def start(self, *hops, delivery=None, tenant=None, sender_hop=None, **options):
        """Mail for cN.test goes to hop N; what goes back to acme.test is kept in self.box."""
        self.box = self.maildir()
        self.home = self.sink("--maildir", str(self.box))
        routes = [{"match": f"c{number}.test", "relay": f"127.0.0.1:{hop.port}"} for number, hop in enumerate(hops)]
        routes.append({"match": "acme.test", "relay": f"127.0.0.1:{(sender_hop or self.home).port}"})
        gateway = Gateway(policy={"routes": routes, "delivery": {**QUICK, **(delivery or {})}}, **options)
        gateway.policy["tenants"][0].update(tenant or {})
        self.addCleanup(gateway.close)
        self.addCleanup(lambda: self.check(gateway))
        return gateway.start()

    def send(self, gateway, recipients, mail="", sender="a@acme.test", body=BODY):
        with smtplib.SMTP("127.0.0.1", gateway.ports["smtp"], local_hostname="c.test", timeout=20) as client:
            client.ehlo()
            self.assertEqual(client.docmd(f"MAIL FROM:<{sender}> {mail}".strip())[0], 250)
            for recipient in recipients:
                address, _, parameters = recipient.partition(" ")
                self.assertEqual(client.docmd(f"RCPT TO:<{address}> {parameters}".strip())[0], 250, recipient)
            self.assertEqual(client.docmd("DATA")[0], 354)
            client.send(body.encode().replace(b"\r\n.", b"\r\n..") + b".\r\n")
            code, text = client.getreply()
            self.assertEqual(code, 250, text)
            return text.decode().rsplit(" ", 1)[1]

    def reports(self, count, seconds=20):
        end = time.monotonic() + seconds
        files = []
        while time.monotonic() < end:
            files = sorted((self.box / "new").glob("*")) if (self.box / "new").exists() else []
            if len(files) >= count:
                break
            time.sleep(0.05)
        self.assertEqual(len(files), count)
        return [email.message_from_bytes(one.read_bytes(), policy=email.policy.default) for one in files]

    def fields(self, report):
        """The words for people, the fields of the message, and those of each recipient."""
        self.assertEqual(report.get_content_type(), "multipart/report")
        self.assertEqual(report.get_param("report-type"), "delivery-status")
        words, status = report.get_payload()[:2]
        self.assertEqual(words.get_content_type(), "text/plain")
        self.assertEqual(status.get_content_type(), "message/delivery-status")
        blocks = [dict(block.items()) for block in status.get_payload()]
        return words.get_content(), blocks[0], blocks[1:]

    def refusing(self, code=b"550 5.1.1 <b@c0.test>: no such user\r\n", **options):
        return self.hop(*[("rcpt", saying(code, go_on=True))] * 20, **options)

    def test_a_refusal_comes_back_to_the_sender(self):
        gateway = self.start(self.refusing())
        queue_id = self.send(gateway, ["b@c0.test ORCPT=rfc822;orig+2Bb@c0.test"], "ENVID=job+2D7")
        report = self.reports(1)[0]
        words, about, recipients = self.fields(report)
        self.assertEqual(report["To"], "a@acme.test")
        self.assertIn("MAILER-DAEMON@gate.test", report["From"])
        self.assertEqual(report["Auto-Submitted"], "auto-replied")
        self.assertIn("b@c0.test", words)
        self.assertIn("no such user", words)
        self.assertNotIn("127.0.0.1", words)
        self.assertEqual(about["Original-Envelope-Id"], "job-7")
        self.assertEqual(about["Reporting-MTA"], "dns; gate.test")
        self.assertEqual(len(recipients), 1)
        self.assertEqual(recipients[0]["Final-Recipient"], "rfc822; b@c0.test")
        self.assertEqual(recipients[0]["Original-Recipient"], "rfc822; orig+b@c0.test")
        self.assertEqual((recipients[0]["Action"], recipients[0]["Status"]), ("failed", "5.1.1"))
        self.assertIn("550 5.1.1 <b@c0.test>: no such user", recipients[0]["Diagnostic-Code"])
        returned = report.get_payload()[2]
        self.assertIn("m1@acme.test", returned.as_string())
        gateway.wait(lambda status: status["mail"]["done"] == 2)
        lines = gateway.text_log()
        self.assertIn(f"{queue_id}: sender non-delivery notification: ", lines)
        report_id = lines.split("non-delivery notification: ")[1].split()[0]
        self.assertIn(f"{report_id}: from=<>, ", lines)
        self.assertIn("status=sent", [line for line in lines.splitlines() if f"{report_id}: to=" in line][0])
        bounced = gateway.events("Bounce")
        self.assertEqual([event["bounce_classification"] for event in bounced], ["InvalidRecipient"])

    def test_what_is_returned_is_what_ret_asks_for(self):
        gateway = self.start(self.refusing())
        large = BODY + ("x" * 70 + "\r\n") * 2000
        for ret, body in (("RET=FULL", BODY), ("RET=HDRS", BODY), ("", BODY), ("RET=FULL", large)):
            self.send(gateway, ["b@c0.test"], ret, body=body)
            gateway.wait(lambda status: status["queue"]["ready"] + status["queue"]["in_flight"] == 0)
        seen = [(report.get_payload()[2].get_content_type(), "\n.dot at the start" in
                 report.get_payload()[2].as_string()) for report in self.reports(4)]
        self.assertEqual(sorted(seen), sorted([("message/rfc822", True)] + [("text/rfc822-headers", False)] * 3))

    def test_a_body_in_its_own_file_comes_back_by_its_header(self):
        gateway = self.start(self.refusing(), server={"spool": {"segment_size": "8MiB", "inline_max": "64KiB"}})
        self.send(gateway, ["b@c0.test"], "RET=FULL", body=BODY + ("y" * 70 + "\r\n") * 40_000)
        report = self.reports(1)[0]
        self.assertEqual(report.get_payload()[2].get_content_type(), "text/rfc822-headers")
        self.assertIn("m1@acme.test", report.get_payload()[2].as_string())

    def test_nobody_is_told_who_does_not_want_it_and_no_report_on_a_report(self):
        gateway = self.start(self.refusing(), tenant={"null_sender": True})
        self.send(gateway, ["b@c0.test NOTIFY=NEVER"])
        self.send(gateway, ["b@c0.test NOTIFY=SUCCESS,DELAY"])
        self.send(gateway, ["b@c0.test NOTIFY=FAILURE"], sender="")
        self.send(gateway, ["b@c0.test NOTIFY=FAILURE"])
        gateway.wait(lambda status: status["mail"]["done"] == 5)
        self.reports(1)

    def test_a_report_that_cannot_be_delivered_ends_quietly(self):
        refuses_all = self.refusing(b"550 5.7.1 nothing here\r\n")
        gateway = self.start(self.refusing(), sender_hop=refuses_all)
        self.send(gateway, ["b@c0.test"])
        gateway.wait(lambda status: status["mail"]["done"] == 2)
        time.sleep(0.5)
        self.assertEqual(gateway.status()["mail"]["done"], 2)

    def test_recipients_of_one_transaction_share_a_report(self):
        gateway = self.start(self.refusing())
        self.send(gateway, [f"b{number}@c0.test" for number in range(3)])
        # The hop refuses the first only: its fault is spent. What is not refused arrives.
        gateway.wait(lambda status: status["mail"]["done"] >= 1 and status["queue"]["ready"] == 0)
        reports = self.reports(1)
        self.assertEqual({one["Action"] for one in self.fields(reports[0])[2]}, {"failed"})

    def test_success_is_told_when_it_was_asked_for_and_the_next_hop_does_not_tell(self):
        plain, capable = self.hop(), self.sink()
        gateway = self.start(plain, capable)
        self.send(gateway, ["b@c0.test NOTIFY=SUCCESS", "b@c1.test NOTIFY=SUCCESS"])
        self.send(gateway, ["b@c0.test", "b@c1.test"])
        report = self.reports(1)[0]
        gateway.wait(lambda status: status["mail"]["done"] == 3)
        _, _, recipients = self.fields(report)
        self.assertEqual([(one["Final-Recipient"], one["Action"], one["Status"][0]) for one in recipients],
                         [("rfc822; b@c0.test", "relayed", "2")])
        self.reports(1)

    def test_a_delay_is_told_once_and_the_end_too(self):
        hop = self.hop(*[("rcpt", saying(b"451 4.3.2 not now\r\n", go_on=True))] * 100)
        gateway = self.start(hop, delivery={"retry": {**QUICK["retry"], "delay_notice": "3s", "max_age": "8s"}})
        self.send(gateway, ["b@c0.test", "c@c0.test NOTIFY=FAILURE"])
        delayed = self.reports(1)[0]
        words, _, recipients = self.fields(delayed)
        self.assertEqual([(one["Final-Recipient"], one["Action"]) for one in recipients], [("rfc822; b@c0.test", "delayed")])
        self.assertIn("Will-Retry-Until", recipients[0])
        self.assertIn("not now", words)
        gateway.terminate()
        gateway.start()  # It is not told again after a restart.
        reports = self.reports(2)
        failed = [report for report in reports if "failed" in str(report.get_payload()[1])]
        self.assertEqual(len(failed), 1)
        self.assertEqual({one["Action"] for one in self.fields(failed[0])[2]}, {"failed"})
        self.assertEqual({one["Status"] for one in self.fields(failed[0])[2]}, {"4.4.7"})
        expired = gateway.events("Expiration")
        self.assertEqual({event["bounce_classification"] for event in expired}, {"MessageExpired"})

    def test_a_dead_destination_delays_too(self):
        class Dead:
            port = free_port()
        dead = Dead()
        gateway = self.start(dead, delivery={"retry": {**QUICK["retry"], "delay_notice": "2s", "max_age": "6s"}})
        self.send(gateway, ["b@c0.test"])
        actions = [self.fields(report)[2][0]["Action"] for report in self.reports(2, 30)]
        self.assertEqual(sorted(actions), ["delayed", "failed"])

    def test_no_refusal_is_lost_by_a_kill(self):
        """A message that ended badly is reported at least once, whenever the process dies."""
        gateway = self.start(self.refusing(), delivery=QUICK)
        sent, stop = [], threading.Event()

        def submit():
            while not stop.is_set():
                name = f"k{len(sent)}"
                try:
                    self.send(gateway, ["b@c0.test"], f"ENVID={name}")
                    sent.append(name)
                except (OSError, smtplib.SMTPException, AssertionError, KeyError):
                    time.sleep(0.01)
        hop = gateway.policy["routes"][0]["relay"]
        self.assertTrue(hop)
        # Every recipient is refused, however many connections there are.
        refusing = RefusingServer()
        self.addCleanup(refusing.close)
        gateway.terminate()
        gateway.policy["routes"][0]["relay"] = f"127.0.0.1:{refusing.port}"
        gateway.start()
        thread = threading.Thread(target=submit)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(stop.set)
        kills, end = 0, time.monotonic() + 120
        while kills < 6 or (len(sent) <= 20 and time.monotonic() < end):
            time.sleep(0.2 + random.random() / 2)
            gateway.kill()
            gateway.start()
            kills += 1
        stop.set()
        thread.join()
        self.assertGreater(len(sent), 20)
        gateway.wait(lambda status: status["queue"]["ready"] + status["queue"]["in_flight"] + status["queue"]["deferred"] == 0, 60)
        seen, told, end = set(), set(), time.monotonic() + 20
        while True:
            is_last = time.monotonic() >= end
            for one in set((self.box / "new").glob("*")) - seen:
                report = email.message_from_bytes(one.read_bytes(), policy=email.policy.default)
                told.add(self.fields(report)[1]["Original-Envelope-Id"])
                seen.add(one)
            if is_last or told.issuperset(sent):
                break
            time.sleep(0.05)
        self.assertEqual(set(sent) - told, set())

    def test_a_hard_bounce_is_suppressed_for_those_who_want_it(self):
        gateway = self.start(self.refusing(), tenant={"suppression": {"keep": "1h"}})
        self.send(gateway, ["b@c0.test"])
        self.reports(1)
        with smtplib.SMTP("127.0.0.1", gateway.ports["smtp"], local_hostname="c.test", timeout=20) as client:
            client.ehlo()
            client.docmd("MAIL FROM:<a@acme.test>")
            code, text = client.docmd("RCPT TO:<b@c0.test>")
            self.assertEqual((code, text.decode()), (550, "5.1.1 <b@c0.test>: Recipient address rejected: it bounced "
                                                          "before and is suppressed"))
            self.assertEqual(client.docmd("RCPT TO:<other@c0.test>")[0], 250)
        code, out, err = gateway.ctl("suppression", "list", "--json")
        self.assertEqual(code, 0, err)
        self.assertIn("b@c0.test", out)
        code, out, err = gateway.ctl("suppression", "remove", "b@c0.test", "--tenant", "acme")
        self.assertEqual(code, 0, err)
        self.send(gateway, ["b@c0.test"])
        refused = gateway.events("Rejection")
        self.assertEqual([event["meta"]["rule"] for event in refused], ["suppression"])

    def test_rules_of_ones_own_name_the_class(self):
        rules = self.maildir() / "rules.json"
        rules.write_text(json.dumps({"rules": [{"class": "Moonphase", "patterns": ["(?i)no such user"]}]}))
        gateway = self.start(self.refusing(), delivery={"bounce_rules": str(rules)})
        self.send(gateway, ["b@c0.test"])
        self.reports(1)
        self.assertEqual([event["bounce_classification"] for event in gateway.events("Bounce")],
                         ["Moonphase"])
        rules.write_text("{")
        code, _, err = gateway.ctl("reload")
        self.assertNotEqual(code, 0)
        self.assertIn("rules.json", err)


class RefusingServer(Hop):
    """Refuses each recipient of each connection."""

    def converse(self, plain, fault):
        while True:
            super().converse(plain, ("rcpt", saying(b"550 5.1.1 nobody\r\n", go_on=True, pause=0)))
            return


if __name__ == "__main__":
    unittest.main(warnings="ignore")
