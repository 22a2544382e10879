#!/usr/bin/env python3
"""Which policy is in force, for whom, and why: PRODUCT.md 1 and 2, docs/policy.md, docs/control.md, DESIGN.md 6."""

import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

from attacked import saying
from gateway import Hop, password_hash
from ports import free_port
from who_may_send_test import FORBIDDEN, QUEUED, RELAY, STRANGER, USED_UP, Case, Gate, Session, account, tenant


def in_a_namespace_with(name, value):
    """In a child, before it becomes the gateway: its own user namespace, where this limit is its own."""
    uid = os.getuid()
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000) != 0:  # CLONE_NEWUSER
        raise OSError(ctypes.get_errno(), "unshare")
    pathlib.Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    pathlib.Path("/proc/sys/user", name).write_text(str(value))


class Reload(Case):
    def allows(self, session, sender):
        reply = session.say(f"MAIL FROM:<{sender}>")
        session.say("RSET")
        self.assertTrue(reply.startswith("250 ") or reply == FORBIDDEN.format(sender), reply)
        return reply.startswith("250 ")

    def change(self, gate, *senders):
        gate.policy["tenants"][0]["authorized_senders"] = list(senders)
        gate.write()

    def test_a_changed_file_is_in_force_within_a_second(self):
        gate = self.gate(tenant(relay_hosts=RELAY, authorized_senders=["a@acme.test"]))
        session = self.session(gate)
        for turn in range(6):
            gate.rename = turn % 2 == 1
            sender = f"s{turn}@acme.test"
            self.assertFalse(self.allows(session, sender))
            self.change(gate, sender)
            self.within_a_second(lambda: self.allows(session, sender))
            self.assertFalse(self.allows(session, "a@acme.test"))
        self.change(gate, "hup@acme.test")
        gate.process.send_signal(signal.SIGHUP)
        self.within_a_second(lambda: self.allows(session, "hup@acme.test"))
        # Written by and by: what is half there is never in force.
        text = json.dumps(gate.policy).replace("hup@", "slow@")
        with open(gate.folder / "policy.json", "w", encoding="utf-8") as file:
            file.write(text[:len(text) // 2])
            file.flush()
            time.sleep(0.4)
            self.assertTrue(self.allows(session, "hup@acme.test"))
            file.write(text[len(text) // 2:])
        self.within_a_second(lambda: self.allows(session, "slow@acme.test"))
        self.assertFalse(gate.status()["policy"]["stale"])

    def test_without_inotify_too(self):
        for limit in ("instances", "watches"):
            with self.subTest(limit):
                gate = Gate(tenant(relay_hosts=RELAY, authorized_senders=["a@acme.test"]), folder=True)
                self.addCleanup(gate.close)
                try:
                    gate.start(preexec_fn=lambda: in_a_namespace_with(f"max_inotify_{limit}", 0))
                except subprocess.SubprocessError:
                    self.skipTest("needs a user namespace")
                session = self.session(gate)
                for turn in range(5):
                    time.sleep(0.13 * turn)  # At different times of its half second.
                    gate.rename = turn % 2 == 1
                    self.change(gate, f"s{turn}@acme.test")
                    self.within_a_second(lambda: self.allows(session, f"s{turn}@acme.test"))
                before = ssl.get_server_certificate(("127.0.0.1", gate.ports["smtps"]))
                self.make_certificate(gate.folder)
                self.within_a_second(lambda: ssl.get_server_certificate(("127.0.0.1", gate.ports["smtps"])) != before, 1.5)
                told = len(gate.stderr())  # While there was no certificate, it may have said so.
                (gate.directory / "acme.json").write_text("{")
                self.within_a_second(lambda: gate.status()["policy"]["stale"])
                time.sleep(1.5)
                self.assertEqual(len(re.findall("for inotify does not tell of all: .*fs.inotify.max_user_" + limit,
                                                gate.stderr())), 1, gate.stderr())
                self.assertEqual(gate.stderr()[told:].count("nothing reloaded"), 1)  # Once, not each half second.

    def make_certificate(self, folder):
        for name in ("key.pem", "cert.pem"):
            (folder / name).rename(folder / f"old-{name}")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "2", "-subj", "/CN=new.test", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
                       capture_output=True, check=True)

    def test_a_bad_file_changes_nothing_and_says_where(self):
        gate = self.gate(tenant(relay_hosts=RELAY, limits={"messages_per_sender": "1/day"}))
        session = self.session(gate)
        good = json.dumps(gate.policy, indent=1)
        bad = good.replace('"1/day"', '"many"').replace("@acme.test", "@*.acme.test")
        line = bad[:bad.index('"many"')].count("\n") + 1
        for number, act in enumerate((lambda: None, lambda: gate.process.send_signal(signal.SIGHUP))):
            (gate.folder / "policy.json").write_text(bad)
            act()
            self.within_a_second(lambda: gate.status()["policy"]["stale"])
            self.assertIn("policy.stale", gate.ctl("status")[1])
            self.assertIn(f"{gate.folder}/policy.json:{line}: /tenants/0/limits/messages_per_sender: ", gate.stderr())
            self.assertTrue(self.allows(session, "a@acme.test"))
            (gate.folder / "policy.json").write_text(good.replace("hold.test", f"hold{number}.test"))
            self.within_a_second(lambda: not gate.status()["policy"]["stale"])
        (gate.folder / "policy.json").unlink()
        self.within_a_second(lambda: gate.status()["policy"]["stale"], 1.5)
        self.assertTrue(self.allows(session, "a@acme.test"))

    def test_a_folder_with_a_file_for_each_tenant(self):
        gate = self.gate(tenant(relay_hosts=RELAY), folder=True)
        acme, bolt = self.session(gate), self.session(gate, source="127.0.0.2")
        self.assertTrue(self.allows(acme, "a@acme.test"))
        self.assertRegex(bolt.say("MAIL FROM:<a@bolt.test>"), "^530 ")
        for rename in (False, True):
            gate.rename = rename
            gate.put(gate.directory / "bolt.json", tenant("bolt", relay_hosts=["127.0.0.2/32"]))
            self.within_a_second(lambda: self.once(gate, "a@bolt.test", source="127.0.0.2")[:3] == "250")
            (gate.directory / "bolt.json").unlink()
            self.within_a_second(lambda: self.once(gate, "a@bolt.test", source="127.0.0.2")[:3] == "530")
        self.assertEqual(gate.ctl("policy", "show")[0], 0)
        (gate.directory / ".hidden.json").write_text("{")
        (gate.directory / "notes.txt").write_text("{")
        gate.put(gate.directory / "bolt.json", tenant("bolt", relay_hosts=["127.0.0.2/32"]))
        self.within_a_second(lambda: self.once(gate, "a@bolt.test", source="127.0.0.2")[:3] == "250")
        (gate.directory / "cork.json").write_text('{"name": "cork",\n "domains": ["x.bolt.test"]}')
        self.within_a_second(lambda: gate.status()["policy"]["stale"])
        self.assertIn(f"{gate.directory}/cork.json:2: /domains/0: ", gate.stderr())
        self.assertTrue(self.allows(acme, "a@acme.test"))

    def test_a_dry_run_shows_and_changes_nothing(self):
        gate = self.gate(tenant(relay_hosts=RELAY))
        before = gate.status()["policy"]["fingerprint"]
        # By another name of the file, in a folder that is not watched: it is not reloaded by itself.
        with tempfile.TemporaryDirectory() as folder:
            other = pathlib.Path(folder, "other.json")
            os.link(gate.folder / "policy.json", other)
            gate.policy["tenants"].append(tenant("bolt"))
            gate.policy["tenants"][0]["company"] = "Acme & Sons"
            other.write_text(json.dumps(gate.policy))
            changes = " ".join(self.command(gate, "reload", "--dry-run")["changes"])
            self.assertIn('"acme"', changes)
            self.assertIn('"bolt"', changes)
            self.assertEqual(gate.status()["policy"]["fingerprint"], before)
            self.assertEqual(" ".join(self.command(gate, "reload")["changes"]), changes)
            self.assertNotEqual(gate.status()["policy"]["fingerprint"], before)

    def test_a_bad_file_has_the_same_faults_whoever_is_asked(self):
        gate = self.gate(tenant(relay_hosts=RELAY))
        gate.policy["tenants"][0]["limits"] = {"messages_per_sender": "many", "nope": 1}
        gate.policy["bans"] = {"max_retry": 0}
        gate.write()
        config = gate.folder / "ebbgate.json"
        programs = ([os.environ["EBBGATE_DAEMON"], "--config", config, "--check"],
                    [os.environ["EBBGATE_CTL"], "check", "--config", config],
                    [os.environ["EBBGATE_CTL"], "check", "--policy", gate.folder / "policy.json"],
                    [os.environ["EBBGATE_CTL"], "--socket", gate.folder / "admin.sock", "reload", "--dry-run"],
                    [os.environ["EBBGATE_CTL"], "--socket", gate.folder / "admin.sock", "reload"])
        answers = []
        for program in programs:
            done = subprocess.run(program, capture_output=True, text=True, timeout=30, check=False)
            self.assertEqual(done.returncode, 1, done)
            answers.append([line for line in (done.stdout + done.stderr).splitlines() if "policy.json:" in line])
        self.assertEqual(sorted(line.split(": ")[1] for line in answers[0]),
                         ["/bans/max_retry", "/tenants/0/limits/messages_per_sender", "/tenants/0/limits/nope"])
        for answer in answers[1:]:
            self.assertEqual(answer, answers[0])
        # Stored, and not in force for these faults: one a line there, too.
        code, out, _ = gate.ctl("sender", "add", "x@acme.test", "--tenant", "acme")
        self.assertEqual((code, [line for line in out.splitlines() if "policy.json:" in line]), (0, answers[0]))

    def test_what_was_changed_by_command_stays(self):
        gate = self.gate(tenant(relay_hosts=RELAY, authorized_senders=["a@acme.test", "b@acme.test"]))
        session = self.session(gate)
        self.command(gate, "sender", "add", "new@acme.test", "--tenant", "acme")
        self.command(gate, "sender", "remove", "b@acme.test", "--tenant", "acme")
        self.command(gate, "account", "add", "fresh", "--tenant", "acme", "--password-stdin", text="correct horse")
        self.command(gate, "sender", "add", "x@bolt.test", "--tenant", "acme", code=1)

        def holds(session, other):
            senders = ("new@acme.test", "b@acme.test", "x@bolt.test", other)
            self.assertEqual([self.allows(session, one) for one in senders], [True, False, False, True])
            self.session(gate, user="fresh").socket.close()
        holds(session, "a@acme.test")
        self.change(gate, "b@acme.test", "c@acme.test")
        self.within_a_second(lambda: self.allows(session, "c@acme.test"))
        holds(session, "c@acme.test")
        for end in (gate.terminate, gate.kill):
            end()
            gate.start()
            holds(self.session(gate), "c@acme.test")

    def test_a_changed_rate_keeps_the_count(self):
        gate = self.gate(tenant(relay_hosts=RELAY, limits={"messages_per_sender": "1/day"}))
        session = self.session(gate)
        for rate in (1, 3):
            gate.policy["tenants"][0]["limits"]["messages_per_sender"] = f"{rate}/day"
            gate.write()
            self.within_a_second(lambda: self.command(gate, "why", "a@acme.test")["limits"][0]["rate"] == f"{rate}/day")
            for _ in range(rate - rate // 2):
                self.assertRegex(session.submit(), QUEUED)
            self.assertEqual(session.submit(), USED_UP.format("b@void.test", "a@acme.test", rate))

    def test_a_message_keeps_the_policy_it_began_with(self):
        gate = self.relaying(tenant(relay_hosts=RELAY, check_header_from=False))
        session, other = self.session(gate), self.session(gate)
        self.assertEqual(session.open("a@acme.test", "b@far.test")[:4], "354 ")
        session.send("From: e@bank.test\r\n")
        gate.policy["tenants"][0].update(check_header_from=True, authorized_senders=["new@acme.test"],
                                         limits={"message_size": "1KiB"})
        gate.policy["routes"] = [{"match": "far.test", "relay": "hold"}]
        gate.write()
        self.within_a_second(lambda: self.allows(other, "new@acme.test") and not self.allows(other, "a@acme.test"))
        self.assertRegex(session.finish("\r\n" + "xxxxxxxx\r\n" * 200), QUEUED)
        self.assertEqual(session.submit("a@acme.test"), FORBIDDEN.format("a@acme.test"))
        self.assertRegex(session.submit("new@acme.test", "b@far.test"), QUEUED)
        gate.wait(lambda status: status["queue"]["held"] >= 1)


class Tenants(Case):
    def certificate(self, folder, name, common):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-days", "2", "-subj", f"/CN={common}", "-keyout", folder / f"{name}.key",
                        "-out", folder / f"{name}.pem"], capture_output=True, check=True)

    def served(self, gate, *options, port="smtps"):
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{gate.ports[port]}", *options],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False)
        found = re.search(r"subject=.*CN ?= ?(\S+)", done.stdout)
        return found[1] if found and done.returncode == 0 else f"no handshake: {done.stderr}"

    def test_certificates_by_server_name_and_replaced_without_a_command(self):
        gate = Gate(*(tenant(name, hostname=f"smtp.{name}.test", limits={"message_size": size, "upload_size": size},
                             tls={"certificate": f"{name}.pem", "key": f"{name}.key"})
                      for name, size in (("acme", "10KB"), ("bolt", "20KB"))))
        self.addCleanup(gate.close)
        for name in ("acme", "bolt"):
            self.certificate(gate.folder, name, f"{name}.first")
        gate.start()
        for name in ("acme", "bolt"):
            self.assertEqual(self.served(gate, "-servername", f"smtp.{name}.test"), f"{name}.first")
        self.assertEqual(self.served(gate, "-servername", "SMTP.Acme.Test"), "acme.first")
        self.assertEqual(self.served(gate, "-starttls", "smtp", "-servername", "smtp.bolt.test", port="smtp"),
                         "bolt.first")
        for options in (["-noservername"], ["-servername", "smtp.other.test"], ["-servername", "acme.test"]):
            self.assertEqual(self.served(gate, *options), "gate.test")
        self.assertIn("SIZE 10000\n", self.session(gate, tls=True, name="smtp.acme.test").ehlo)
        self.assertIn("SIZE 20000\n", self.session(gate, tls=True, name="smtp.bolt.test").ehlo)
        # The name picks the certificate only: a login of another tenant is let in.
        foreign = self.session(gate, user="mailer@bolt.test", name="smtp.acme.test")
        self.assertRegex(foreign.submit("a@bolt.test"), QUEUED)
        open_before = self.session(gate, user="mailer@acme.test", name="smtp.acme.test")
        self.certificate(gate.folder, "acme", "acme.second")  # In place: the key first, then the certificate.
        self.within_a_second(lambda: self.served(gate, "-servername", "smtp.acme.test") == "acme.second")
        self.certificate(gate.folder, "fresh", "bolt.second")
        os.replace(gate.folder / "fresh.pem", gate.folder / "bolt.pem")
        os.replace(gate.folder / "fresh.key", gate.folder / "bolt.key")
        self.within_a_second(lambda: self.served(gate, "-servername", "smtp.bolt.test") == "bolt.second")
        self.assertEqual(self.served(gate, "-servername", "smtp.acme.test"), "acme.second")
        self.certificate(gate.folder, "server", "gate.second")
        os.replace(gate.folder / "server.key", gate.folder / "key.pem")
        os.replace(gate.folder / "server.pem", gate.folder / "cert.pem")
        self.within_a_second(lambda: self.served(gate, "-noservername") == "gate.second")
        self.assertRegex(open_before.submit(), QUEUED)
        self.assertFalse(gate.status()["policy"]["stale"])

    def test_a_broken_certificate_leaves_the_old_one_in_force(self):
        gate = Gate(tenant(hostname="smtp.acme.test", tls={"certificate": "acme.pem", "key": "acme.key"}))
        self.addCleanup(gate.close)
        self.certificate(gate.folder, "acme", "acme.first")
        gate.start()
        self.certificate(gate.folder, "fresh", "acme.second")
        for name, fault in (("garbage", "acme.pem: not a readable PEM certificate chain"),
                            ("another key", "acme.key: not the private key of ")):
            with self.subTest(name):
                if name == "garbage":
                    (gate.folder / "acme.pem").write_text("no certificate")
                else:
                    shutil.copy(gate.folder / "fresh.pem", gate.folder / "acme.pem")
                self.within_a_second(lambda: fault in gate.stderr())
                self.assertEqual(self.served(gate, "-servername", "smtp.acme.test"), "acme.first")
                self.assertTrue(gate.status()["policy"]["stale"])
            with self.subTest(name, by="--check"):
                check = [os.environ["EBBGATE_DAEMON"], "--config", gate.folder / "ebbgate.json", "--check"]
                done = subprocess.run(check, capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 1)
                self.assertIn(fault, done.stdout + done.stderr)
        os.replace(gate.folder / "fresh.key", gate.folder / "acme.key")
        self.within_a_second(lambda: self.served(gate, "-servername", "smtp.acme.test") == "acme.second")

    def test_a_certificate_that_is_a_pipe_holds_nobody_up(self):
        gate = Gate(tenant(hostname="smtp.acme.test", tls={"certificate": "acme.pem", "key": "acme.key"}))
        self.addCleanup(gate.close)
        self.certificate(gate.folder, "acme", "acme.first")
        gate.start()
        (gate.folder / "acme.key").unlink()
        os.mkfifo(gate.folder / "acme.key")
        self.within_a_second(lambda: gate.status()["policy"]["stale"])
        self.assertIn("acme.key: not a regular file", gate.stderr())
        self.assertEqual(self.served(gate, "-servername", "smtp.acme.test"), "acme.first")

    def test_a_session_ends_with_what_its_password_opened(self):
        accounts = [account("mailer@acme.test")]
        gate = self.gate(tenant(accounts=accounts), tenant("bolt", accounts=[]))
        session = self.session(gate, user="mailer@acme.test")
        self.assertRegex(session.submit(), QUEUED)
        for tenants in ([tenant(accounts=[account("mailer@acme.test", password=password_hash())]), tenant("bolt", accounts=[])],
                        [tenant(accounts=[]), tenant("bolt", accounts=accounts)]):
            (gate.folder / "policy.json").write_text(json.dumps({**gate.policy, "tenants": tenants}))
            self.assertEqual(gate.ctl("reload")[0], 0)
            self.assertRegex(session.submit(), "^530 5\\.7\\.0 ")
            self.assertRegex(session.submit("a@bolt.test"), "^530 5\\.7\\.0 ")

    def test_a_listener_tied_to_a_tenant_is_for_its_clients_only(self):
        gate = self.gate(tenant(relay_hosts=RELAY), tenant("bolt", relay_hosts=["127.0.0.2/32"]),
                         listeners=[{"name": "bolt", "kind": "smtp", "listen": "127.0.0.1:0", "tenant": "bolt"},
                                    {"name": "bolts", "kind": "smtps", "listen": "127.0.0.1:0", "tenant": "bolt"}])
        own = Session(gate.ports["bolts"], tls=True, user="mailer@bolt.test")
        self.assertRegex(own.answer, r"^235 2\.7\.0 ")
        self.assertRegex(own.submit("a@bolt.test"), QUEUED)
        foreign = Session(gate.ports["bolts"], tls=True, user="mailer@acme.test")
        self.assertRegex(foreign.answer, r"^535 5\.7\.8 ")
        self.assertRegex(foreign.submit("a@acme.test"), "^5[35][03] 5\\.7\\.[01] ")
        self.assertRegex(Session(gate.ports["bolt"]).submit("a@acme.test"), "^5[35][03] 5\\.7\\.[01] ")
        self.assertRegex(Session(gate.ports["bolt"], source="127.0.0.2").submit("a@bolt.test"), QUEUED)
        self.assertRegex(Session(gate.ports["bolt"], source=STRANGER).submit("a@bolt.test"), r"^530 5\.7\.0 ")

    def test_clients_see_their_tenants_name(self):
        gate = self.gate(tenant(relay_hosts=RELAY, hostname="smtp.acme.test"),
                         tenant("bolt", hostname="smtp.bolt.test"), listeners=[
                             {"name": "bolt", "kind": "smtp", "listen": "127.0.0.1:0", "tenant": "bolt"}])
        for name, session in (("smtp.acme.test", self.session(gate)),
                              ("gate.test", self.session(gate, source=STRANGER)),
                              ("smtp.bolt.test", Session(gate.ports["bolt"], source=STRANGER))):
            with self.subTest(name):
                self.assertEqual((session.greeting.split()[1], session.ehlo.split()[0]), (name, f"250-{name}"))
        with self.subTest("login"):
            self.assertRegex(self.session(gate, user="mailer@bolt.test").ehlo, r"^250-smtp\.bolt\.test\n")

    def test_clients_of_a_tenant_are_counted(self):
        full = "421 4.7.0 Too many connections"
        gate = self.gate(tenant(relay_hosts=RELAY, limits={"connections": 2}))
        self.session(gate)  # Only greeted: nobody's yet.
        first = self.session(gate)
        self.assertRegex(first.submit(), QUEUED)
        self.assertRegex(self.session(gate, user="mailer@acme.test").submit(), QUEUED)
        with self.subTest("relay host"):
            self.assertEqual(self.session(gate).say("MAIL FROM:<a@acme.test>"), full)
        with self.subTest("login"):
            self.assertEqual(Session(gate.ports["smtps"], tls=True, user="mailer@acme.test").answer, full)
        first.socket.close()
        self.within_a_second(lambda: self.once(gate)[:4] == "250 ")

    def test_nobody_claims_what_is_anothers(self):
        gate = self.gate(tenant(relay_hosts=RELAY))
        bolt = {"name": "bolt", "domains": ["bolt.test"]}
        for keys, pointer in (({"domains": ["acme.test"]}, "/tenants/1/domains/0"),
                              ({"domains": ["x.acme.test"]}, "/tenants/1/domains/0"),
                              ({"authorized_senders": ["@acme.test"]}, "/tenants/1/authorized_senders/0"),
                              ({"accounts": [account("mailer@acme.test")]}, "/tenants/1/accounts/0/login"),
                              ({"relay_hosts": RELAY}, "/tenants/1/relay_hosts/0"),
                              ({"name": "acme"}, "/tenants/1/name")):
            tenants = [gate.policy["tenants"][0], {**bolt, **keys}]
            gate.put(gate.folder / "bad.json", {**gate.policy, "tenants": tenants})
            faults = self.command(gate, "check", "--policy", gate.folder / "bad.json", code=1)["faults"]
            self.assertIn(pointer, [one["pointer"] for one in faults])


class Why(Case):
    def test_senders(self):
        gate = self.gate(tenant(relay_hosts=RELAY, authorized_senders=["@acme.test", "ceo@acme.test"],
                                limits={"messages_per_sender": "2/day"}))
        allowed = self.command(gate, "why", "ceo@ACME.test")
        self.assertEqual((allowed["allowed"], allowed["tenant"]), (True, "acme"))
        self.assertEqual(allowed["rule"], {"file": f"{gate.folder}/policy.json", "text": "ceo@acme.test",
                                           "pointer": "/tenants/0/authorized_senders/1"})  # The most precise one.
        self.assertEqual(self.command(gate, "why", "a@acme.test")["rule"]["pointer"], "/tenants/0/authorized_senders/0")
        for sender in ("a@x.acme.test", "a@other.test"):
            denied = self.command(gate, "why", sender)
            self.assertFalse(denied["allowed"], denied)
        began = time.time()
        for _ in range(2):
            self.assertRegex(self.once(gate), QUEUED)
        self.assertEqual(self.once(gate), USED_UP.format("b@void.test", "a@acme.test", 2))
        (limit,) = self.command(gate, "why", "a@acme.test")["limits"]
        self.assertEqual((limit["limit"], limit["rate"], limit["used"], limit["used_up"], limit["rule"]["pointer"]),
                         ("messages_per_sender", "2/day", 2, True, "/tenants/0/limits/messages_per_sender"))
        self.assertAlmostEqual(limit["frees"], began + 86400, delta=5)
        text = gate.ctl("why", "a@acme.test")[1]
        self.assertRegex(text, r"\.used +2\n(.*\n)*.*\.used_up +yes\n")
        self.command(gate, "limit", "set", "messages_per_sender", "a@acme.test", "3/day")
        (limit,) = self.command(gate, "why", "a@acme.test")["limits"]
        self.assertEqual((limit["rate"], limit["used"], limit["used_up"]), ("3/day", 2, False))
        self.command(gate, "sender", "add", "@*.acme.test", "--tenant", "acme")
        self.assertTrue(self.command(gate, "why", "a@x.acme.test")["allowed"])

    def test_the_limits_of_the_accounts_that_may_use_a_sender(self):
        gate = self.gate(tenant(relay_hosts=RELAY, limits={"messages_per_sender": "9/day"}, accounts=[
            account("a@acme.test"), account("shop", limits={"messages_per_account": "2/day", "recipients_per_account": "9/h"}),
            account("narrow", authorized_senders=["n@acme.test"], limits={"messages_per_account": "3/day"}),
            account("own", limits={"messages_per_sender": "5/day"}),
            account("none", limits={"messages_per_sender": "unlimited"})]))
        began = time.time()
        session = self.session(gate, user="shop")
        for _ in range(2):
            self.assertRegex(session.submit(), QUEUED)
        self.assertTrue(session.submit().startswith("450 4.7.1 "))
        answer = self.command(gate, "why", "a@acme.test")
        self.assertEqual([(one["limit"], one["used"]) for one in answer["limits"]], [("messages_per_sender", 2)])
        self.assertEqual([one["account"] for one in answer["accounts"]], ["shop", "own", "none"])
        self.assertEqual(answer["more_accounts"], 0)
        (messages, recipients), (own,), (none,) = [one["limits"] for one in answer["accounts"]]
        self.assertAlmostEqual(messages.pop("frees"), began + 86400, delta=5)
        self.assertEqual(messages, {
            "limit": "messages_per_account", "subject": "shop", "rate": "2/day", "used": 2, "used_up": True,
            "rule": {"file": f"{gate.folder}/policy.json", "text": "messages_per_account",
                     "pointer": "/tenants/0/accounts/1/limits/messages_per_account"}})
        self.assertEqual([recipients[key] for key in ("limit", "rate", "used", "used_up")],
                         ["recipients_per_account", "9/hour", 2, False])
        # What the account says of its senders holds in the place of the tenant's.
        self.assertEqual([own[key] for key in ("limit", "subject", "rate", "used")],
                         ["messages_per_sender", "a@acme.test", "5/day", 2])
        self.assertEqual((none["rate"], none["used_up"], none["rule"]["pointer"]),
                         ("unlimited", False, "/tenants/0/accounts/4/limits/messages_per_sender"))
        (first,) = self.command(gate, "why", "n@acme.test")["accounts"][1:2]
        self.assertEqual((first["account"], first["limits"][0]["rate"]), ("narrow", "3/day"))
        self.assertRegex(gate.ctl("why", "a@acme.test")[1], r"accounts\.0\.account +shop\n(.*\n)*.*\.used_up +yes\n")
        self.command(gate, "limit", "set", "messages_per_account", "shop", "3/day")
        self.command(gate, "limit", "set", "messages_per_account", "a@acme.test", "1/day")
        answer = self.command(gate, "why", "a@acme.test")["accounts"]
        self.assertEqual([one["account"] for one in answer[:2]], ["a@acme.test", "shop"])
        for one, rate, used in zip(answer, ("1/day", "3/day"), (0, 2)):
            limit = one["limits"][0]
            self.assertEqual((limit["rate"], limit["used"], limit["by_command"]), (rate, used, True))
        self.assertEqual(self.command(gate, "why", "a@other.test").get("accounts"), None)

    def test_of_many_accounts_those_with_a_limit_reached_come_first(self):
        accounts = [account(f"u{number}", limits={"messages_per_account": "1/day"}) for number in range(50)]
        gate = self.gate(tenant(accounts=accounts))
        answer = self.command(gate, "why", "a@acme.test")
        self.assertEqual([one["account"] for one in answer["accounts"]], [f"u{number}" for number in range(20)])
        self.assertEqual(answer["more_accounts"], 30)
        self.assertRegex(self.session(gate, user="u41").submit(), QUEUED)
        answer = self.command(gate, "why", "a@acme.test")
        self.assertEqual([one["account"] for one in answer["accounts"]], ["u41"] + [f"u{number}" for number in range(19)])
        self.assertEqual((answer["accounts"][0]["limits"][0]["used_up"], answer["more_accounts"]), (True, 30))

    def test_a_held_message(self):
        gate = self.gate(tenant(relay_hosts=RELAY))
        queued = self.once(gate, "a@acme.test", "b@hold.test").rsplit(" ", 1)[1]
        gate.wait(lambda status: status["queue"]["held"] == 1)
        answer = json.dumps(self.command(gate, "why", queued))
        for part in ("a@acme.test", "b@hold.test", "hold", "/routes/0"):
            self.assertIn(part, answer)
        self.command(gate, "why", "0" * 13, code=1)
        # Released to where nobody answers: it is not held any more, whatever its first route is.
        gate.policy["routes"].append({"match": "*", "relay": f"127.0.0.1:{free_port()}"})
        before = gate.status()["policy"]["fingerprint"]
        gate.write()
        self.within_a_second(lambda: gate.status()["policy"]["fingerprint"] != before)
        self.command(gate, "release", queued)
        self.within_a_second(lambda: "destination_fault" in self.recipient(gate, queued))
        shown = self.recipient(gate, queued)
        self.assertEqual((shown["why"], shown["attempts"], shown["rule"]["pointer"]),
                         ("waits for delivery", 0, "/routes/2"))

    def recipient(self, gate, queued, index=0):
        return self.command(gate, "why", queued)["recipients"][index]

    def test_a_message_that_is_tried_again(self):
        nobody = free_port()
        slow = threading.Event()
        self.addCleanup(slow.set)
        answers = [saying(b"451 4.7.1 come \xff later\r\n", go_on=True), saying(b"452 4.2.2 full\r\n", go_on=True),
                   lambda plain, reply: slow.wait(20) and False]
        hop = Hop(*[("rcpt", one) for one in answers])
        self.addCleanup(hop.close)
        gate = self.gate(tenant(relay_hosts=RELAY), routes=[
            {"match": "down.test", "relay": f"127.0.0.1:{nobody}"}, {"match": "*", "relay": f"127.0.0.1:{hop.port}"}],
            delivery={"retry": {"first": "1h", "factor": 2, "max": "4h", "max_age": "1d"}, "idle_timeout": "0s"})
        queued = self.once(gate, "a@acme.test", "b@far.test", "c@down.test").rsplit(" ", 1)[1]
        began = time.time()

        def tried(attempts, recipient=0):
            self.within_a_second(lambda: self.recipient(gate, queued, recipient)["attempts"] == attempts)
            return self.recipient(gate, queued, recipient)
        shown = tried(1)
        self.assertEqual((shown["recipient"], shown["why"], shown["last_reply"]),
                         ("b@far.test", "waits for delivery", "451 4.7.1 come \ufffd later"))
        self.assertTrue(began + 3590 <= shown["next_try"] <= began + 4330, shown)
        self.assertNotIn("destination_fault", shown)
        # The other has not been tried: nobody is there to be asked.
        shown = tried(0, 1)
        self.assertIn("Connection refused", shown["destination_fault"])
        self.assertNotIn("last_reply", shown)
        self.assertTrue(began + 20 <= shown["next_try"] <= began + 45, shown)
        gate.ctl("flush")
        shown = tried(2)
        self.assertEqual(shown["last_reply"], "452 4.2.2 full")
        self.assertTrue(began + 7190 <= shown["next_try"] <= began + 8650, shown)
        gate.kill()
        gate.start()
        again = tried(2)
        self.assertAlmostEqual(again["next_try"], shown["next_try"], delta=2)
        self.assertNotIn("last_reply", again)  # That is not kept.
        gate.ctl("flush")
        self.within_a_second(lambda: self.recipient(gate, queued)["why"] == "is being tried now")
        self.assertRegex(gate.ctl("why", queued)[1], r"recipients\.0\.attempts +2\n")


if __name__ == "__main__":
    unittest.main(warnings="ignore")  # Sockets end with their test, not before.
