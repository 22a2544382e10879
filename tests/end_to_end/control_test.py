#!/usr/bin/env python3
"""What operators and tenants change by command: in force at once, kept over a kill, audited, and for nobody else."""

import json
import os
import pty
import select
import signal
import socket
import subprocess
import threading
import time
import unittest

from gateway import CTL, PASSWORD, Client, Gateway, password_hash

SECRET = "a new secret of the account"


class Controlled(unittest.TestCase):
    def setUp(self):
        self.gateway = Gateway()
        self.addCleanup(self.gateway.close)
        self.gateway.policy["tenants"].append({"name": "bolt", "domains": ["bolt.test"]})
        self.gateway.start()

    def run_ctl(self, *command, text=None):
        done = subprocess.run([CTL, "--socket", self.gateway.folder / "admin.sock", *command], capture_output=True,
                              text=True, timeout=60, check=False, input=text)
        return done.returncode, done.stdout, done.stderr

    def ctl(self, *command, code=0, text=None):
        got, out, err = self.run_ctl(*command, text=text)
        self.assertEqual(got, code, (command, out, err))
        return out if code == 0 else err

    def json(self, *command):
        return json.loads(self.ctl(*command, "--json"))

    def login(self, user, password):
        client = Client(self.gateway.ports["smtps"], implicit_tls=True)
        client.say("EHLO client.test")
        reply = client.login(user, password)
        client.socket.close()
        return reply[:3]

    def audit(self, *options):
        return self.json("audit", *options)["audit"]

    def stored_bytes(self):
        return b"".join(path.read_bytes() for path in (self.gateway.folder / "data").glob("overlay.db*"))


class Accounts(Controlled):
    def test_add_passwd_remove_are_in_force_at_once_and_after_a_kill(self):
        self.assertEqual(self.login("new@acme.test", SECRET), "535")
        out = self.ctl("account", "add", "new@acme.test", "--tenant", "acme", "--password-stdin", text=SECRET + "\n")
        self.assertEqual(out, "done\n")
        self.assertEqual(self.login("new@acme.test", SECRET), "235")
        self.assertEqual(self.login("mailer@acme.test", PASSWORD), "235")
        self.gateway.kill()
        self.gateway.start()
        self.assertEqual(self.login("new@acme.test", SECRET), "235")
        self.ctl("account", "passwd", "new@acme.test", "--password-stdin", text="another one")
        self.assertEqual(self.login("new@acme.test", SECRET), "535")
        self.assertEqual(self.login("new@acme.test", "another one"), "235")
        # One of the file: removed by command, the file as it was.
        before = (self.gateway.folder / "policy.json").read_bytes()
        self.ctl("account", "remove", "mailer@acme.test")
        self.assertEqual(self.login("mailer@acme.test", PASSWORD), "535")
        self.assertEqual((self.gateway.folder / "policy.json").read_bytes(), before)
        self.ctl("reload")
        self.assertEqual(self.login("mailer@acme.test", PASSWORD), "535")
        listed = self.json("account", "list")["accounts"]
        self.assertEqual(listed, [{"login": "new@acme.test", "tenant": "acme", "source": "command"}])
        changes = {one["login"]: (one["change"], one["in_force"])
                   for one in self.json("account", "list", "--changes")["accounts"]}
        self.assertEqual(changes, {"new@acme.test": ("added", True), "mailer@acme.test": ("removed", True)})
        rows = [(one["command"], one["subject"], one["before"], one["result"]) for one in self.audit()]
        self.assertEqual(rows, [("account remove", "mailer@acme.test", "file", "done"),
                                ("account passwd", "new@acme.test", "added", "done"),
                                ("account add", "new@acme.test", "", "done")])
        self.assertEqual({one["uid"] for one in self.audit()}, {os.getuid()})

    def test_refusals_have_their_exit_codes(self):
        add = ["account", "add", "mailer@acme.test", "--password-stdin"]
        self.assertIn("exists already", self.ctl(*add, "--tenant", "acme", code=1, text=SECRET))
        self.assertIn("no such tenant", self.ctl(*add, "--tenant", "none", code=1, text=SECRET))
        self.ctl("account", "remove", "nobody", code=1)
        self.ctl(*add, "--tenant", "acme", code=2, text="")
        self.ctl(*add, code=2, text=SECRET)
        self.ctl("account", "add", "x", "--tenant", "acme", "--password", SECRET, code=2)
        self.ctl("account", "passwd", "mailer@acme.test", "--password-stdin", code=2, text="x" * 600)
        self.ctl("account", code=2)
        self.ctl(code=2)
        self.ctl("no-such-command", code=2)
        self.gateway.terminate()
        self.ctl("account", "list", code=3)
        code, out, _ = self.run_ctl("account", "list", "--json")
        self.assertEqual((code, json.loads(out)["ok"]), (3, False))

    def test_no_secret_is_stored_logged_or_sent(self):
        listening = socket.socket(socket.AF_UNIX)
        path = self.gateway.folder / "spy.sock"
        listening.bind(str(path))
        listening.listen()
        seen = []

        def spy():
            client, _ = listening.accept()
            while not (seen and seen[-1].endswith(b"\n")):
                seen.append(client.recv(65536))
            client.sendall(b'{"ok":true,"changed":true,"in_force":true}\n')
            client.close()
        watching = threading.Thread(target=spy)
        watching.start()
        subprocess.run([CTL, "--socket", path, "account", "add", "spied@acme.test", "--tenant", "acme",
                        "--password-stdin"], input=SECRET, text=True, check=True, timeout=30, capture_output=True)
        watching.join()
        listening.close()
        sent = json.loads(b"".join(seen))
        self.assertEqual(set(sent["arguments"]), {"tenant", "login", "hash"})
        self.assertTrue(sent["arguments"]["hash"].startswith("$y$"))
        self.assertNotIn(SECRET.encode(), b"".join(seen))
        self.ctl("account", "add", "new@acme.test", "--tenant", "acme", "--password-stdin", text=SECRET)
        token = self.ctl("token", "add", "--tenant", "acme", "--label", "laptop").strip()
        logs = b"".join(one.read_bytes() for one in (self.gateway.folder / "log").iterdir())
        logs += (self.gateway.folder / "stderr.txt").read_bytes() + self.stored_bytes()
        self.assertNotIn(SECRET.encode(), logs)
        self.assertNotIn(token.encode(), logs)
        self.assertNotIn("$y$j", json.dumps(self.audit()))

    def prompt(self, *answers):
        """What a person at a terminal sees and gets."""
        try:
            pid, terminal = pty.fork()
        except OSError as error:  # A root without /dev/pts.
            self.skipTest(f"no terminal to be had: {error}")
        if pid == 0:
            os.execv(CTL, [CTL, "--socket", str(self.gateway.folder / "admin.sock"), "account", "passwd",
                           "mailer@acme.test"])
        screen = b""
        waiting = list(answers)
        while True:
            ready, _, _ = select.select([terminal], [], [], 20)
            self.assertTrue(ready, screen)
            try:
                more = os.read(terminal, 4096)
            except OSError:  # The other end is closed.
                break
            if not more:
                break
            screen += more
            if waiting and screen.endswith((b"Password: ", b"Once more: ")):
                answer = waiting.pop(0)
                if isinstance(answer, bytes):
                    os.write(terminal, answer)
                else:
                    os.kill(pid, answer)
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
        return screen.decode(), status

    def test_a_prompt_shows_nothing_of_the_password(self):
        text = SECRET.encode() + b"\n"
        screen, status = self.prompt(text, text)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0, screen)
        self.assertNotIn(SECRET, screen)
        self.assertEqual(self.login("mailer@acme.test", SECRET), "235")
        screen, status = self.prompt(text, b"other\n")
        self.assertEqual(os.waitstatus_to_exitcode(status), 2, screen)
        self.assertIn("not the same", screen)
        screen, status = self.prompt(b"half\x03")
        self.assertEqual(os.waitstatus_to_exitcode(status), -signal.SIGINT, screen)
        screen, status = self.prompt(signal.SIGTERM)
        self.assertEqual(os.waitstatus_to_exitcode(status), -signal.SIGTERM, screen)
        self.assertEqual(self.login("mailer@acme.test", SECRET), "235")

    def test_import_keeps_the_customers_credentials(self):
        dovecot = self.gateway.folder / "users"
        dovecot.write_text("# exported\n" + "".join(f"u{n}@acme.test:{{SHA512-CRYPT}}{password_hash()}:1:1::/home\n"
                                                    for n in range(3)))
        self.assertIn("3", self.ctl("account", "import", dovecot, "--tenant", "acme", "--format", "dovecot"))
        self.assertEqual(self.login("u2@acme.test", PASSWORD), "235")
        self.assertIn("exists already", self.ctl("account", "import", dovecot, "--tenant", "acme", "--format",
                                                 "dovecot", code=1))
        self.ctl("account", "import", dovecot, "--tenant", "acme", "--format", "dovecot", "--replace")
        many = self.gateway.folder / "many"
        hashed = password_hash()
        many.write_text("".join(f"m{n}:{hashed}\n" for n in range(2345)))
        self.ctl("account", "import", many, "--tenant", "bolt", "--format", "htpasswd")
        self.assertEqual(self.login("m2344", PASSWORD), "235")
        listed = self.json("account", "list", "--tenant", "bolt")["accounts"]
        self.assertEqual(sorted(one["login"] for one in listed), sorted(f"m{n}" for n in range(2345)))
        many.write_text("x:plain text\ny:$apr1$0123456789abcdefghijk\n")
        err = self.ctl("account", "import", many, "--tenant", "acme", "--format", "htpasswd", code=1)
        self.assertRegex(err, r"many:1: .*\n.*many:2: ")
        self.assertNotIn("plain text", err)
        self.ctl("account", "import", many, "--tenant", "acme", "--format", "csv", code=2)
        self.ctl("account", "import", self.gateway.folder / "none", "--tenant", "acme", "--format", "dovecot", code=1)

    def test_a_broken_policy_file_delays_a_change_and_loses_none(self):
        good = (self.gateway.folder / "policy.json").read_text()
        (self.gateway.folder / "policy.json").write_text("{")
        out = self.ctl("account", "add", "new@acme.test", "--tenant", "acme", "--password-stdin", text=SECRET)
        self.assertIn("not in force yet", out)
        self.assertEqual(self.login("mailer@acme.test", PASSWORD), "235")
        (self.gateway.folder / "policy.json").write_text(good)
        self.ctl("reload")
        self.assertEqual(self.login("new@acme.test", SECRET), "235")


class Tenants(Controlled):
    def setUp(self):
        super().setUp()
        self.token = self.gateway.folder / "token"
        self.token.write_text(self.ctl("token", "add", "--tenant", "acme", "--label", "laptop"))
        self.token.chmod(0o600)

    def test_a_tenants_own_administrator_changes_its_senders(self):
        self.ctl("sender", "add", "boss@acme.test", "--token-file", self.token)
        self.ctl("sender", "add", "@bolt.test", "--tenant", "bolt")
        self.assertEqual(self.ctl("sender", "add", "boss@acme.test", "--token-file", self.token),
                         "nothing to change\n")
        changes = self.json("sender", "list", "--changes", "--token-file", self.token)["senders"]
        self.assertEqual(changes, [{"pattern": "boss@acme.test", "tenant": "acme", "change": "added"}])
        self.gateway.kill()
        self.gateway.start()
        changes = self.json("sender", "list", "--changes")["senders"]
        self.assertEqual([one["pattern"] for one in changes], ["boss@acme.test", "@bolt.test"])
        self.ctl("sender", "remove", "boss@acme.test", "--token-file", self.token)
        self.ctl("sender", "remove", "boss@acme.test", "--token-file", self.token, code=1)
        self.ctl("sender", "add", "x@acme.test", "--token-file", self.token, "--tenant", "bolt", code=1)
        rows = self.audit("--tenant", "acme")
        self.assertEqual([(one["by"], one["token"], one["command"], one["result"]) for one in rows],
                         [("token", "laptop", "sender add", "denied"),
                          ("token", "laptop", "sender remove", "no such sender"),
                          ("token", "laptop", "sender remove", "done"),
                          ("token", "laptop", "sender add", "done"),
                          ("operator", "", "token add", "done")])
        self.assertIn("laptop", self.ctl("audit"))
        self.ctl("sender", "add", "x@acme.test", code=2)

    def test_a_revoked_or_expired_token_opens_nothing(self):
        short = self.gateway.folder / "short"
        short.write_text(self.ctl("token", "add", "--tenant", "acme", "--label", "short", "--for", "1s"))
        short.chmod(0o600)
        time.sleep(2)
        self.assertIn("not valid", self.ctl("sender", "list", "--token-file", short, code=1))
        self.ctl("token", "revoke", "--tenant", "acme", "--label", "laptop")
        self.assertIn("not valid", self.ctl("sender", "list", "--token-file", self.token, code=1))
        self.ctl("token", "revoke", "--tenant", "acme", "--label", "laptop", code=1)
        listed = self.json("token", "list")["tokens"]
        self.assertEqual([(one["label"], one["expired"]) for one in listed], [("short", True)])
        self.token.chmod(0o644)
        self.assertIn("others can read", self.ctl("sender", "list", "--token-file", self.token, code=2))

    def test_a_token_is_nothing_to_the_commands_of_operators(self):
        token = self.token.read_text().strip()
        for command in ("status", "reload", "flush", "release", "account list", "audit", "policy show", "token list"):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(self.gateway.folder / "admin.sock"))
            client.sendall(json.dumps({"command": command, "token": token}).encode() + b"\n")
            answer = json.loads(client.makefile().readline())
            client.close()
            self.assertEqual((answer["ok"], answer["reason"]), (False, "denied"), command)


class Others(Controlled):
    def test_limits_are_kept_and_expire(self):
        rule = ["messages_per_sender", "a@acme.test"]
        self.ctl("limit", "set", *rule, "2000/day", "--until", "2100-01-31T12:00:00Z")
        self.ctl("limit", "set", "messages_per_sender", "b@acme.test", "9/hour", "--for", "1h")
        self.gateway.kill()
        self.gateway.start()
        first, second = self.json("limit", "list")["limits"]
        self.assertEqual((first["rate"], first["expires"], first["expired"]), ("2000/day", 4105080000, False))
        self.assertAlmostEqual(second["expires"], time.time() + 3600, delta=120)
        self.assertIn("2100-01-31T12:00:00Z", self.ctl("limit", "list"))
        self.ctl("limit", "reset", *rule)
        self.ctl("limit", "reset", *rule, code=1)
        self.ctl("limit", "set", *rule, "1/day", "--until", "2001-01-01", code=1)
        self.ctl("limit", "set", *rule, "1/day", "--until", "tomorrow", code=2)
        self.ctl("limit", "set", *rule, "1/day", "--for", "1x", code=2)
        self.ctl("limit", "set", *rule, "1/day", "--for", "1h", "--until", "2100-01-01", code=2)

    def test_the_policy_is_shown_checked_and_tried(self):
        self.ctl("account", "add", "new@acme.test", "--tenant", "acme", "--password-stdin", text=SECRET)
        shown = self.json("policy", "show")
        self.assertEqual([(one["name"], one["accounts"]) for one in shown["tenants"]], [("acme", 2), ("bolt", 0)])
        self.assertNotIn("$", json.dumps(shown))
        before = self.gateway.status()["policy"]["fingerprint"]
        bad = self.gateway.folder / "bad.json"
        bad.write_text('{"routes": [{"match": 7}], "tenants": []}')
        self.assertRegex(self.ctl("check", "--policy", bad, code=1), r"bad\.json:1: /routes/0/match: ")
        self.ctl("check", "--policy", self.gateway.folder / "policy.json")
        code, out, _ = self.run_ctl("check", "--policy", bad, "--json")
        self.assertEqual((code, json.loads(out)["faults"][0]["pointer"]), (1, "/routes/0/match"))
        good = (self.gateway.folder / "policy.json").read_text()
        (self.gateway.folder / "policy.json").write_text(bad.read_text())
        self.assertIn("/routes/0/match", self.ctl("reload", "--dry-run", code=1))
        (self.gateway.folder / "policy.json").write_text(good.replace("hold.test", "wait.test"))
        self.ctl("reload", "--dry-run")  # That it changes nothing: policy_in_force_test. The file is watched, too.
        self.ctl("reload")
        self.assertNotEqual(self.gateway.status()["policy"]["fingerprint"], before)

    def test_the_files_are_the_owners(self):
        self.ctl("token", "add", "--tenant", "acme", "--label", "x")
        mode = (self.gateway.folder / "admin.sock").stat().st_mode & 0o777
        self.assertEqual(mode, 0o660)
        for path in (self.gateway.folder / "data").glob("overlay.db*"):
            self.assertEqual(path.stat().st_mode & 0o077, 0, path)

    def test_a_database_of_another_version_is_refused_at_start(self):
        self.assertEqual(self.gateway.terminate(), 0)
        path = self.gateway.folder / "data/overlay.db"
        data = bytearray(path.read_bytes())
        data[60:64] = (2).to_bytes(4, "big")  # user_version: sqlite.org/fileformat2.html, section 1.3.
        path.write_bytes(data)
        with self.assertRaises(AssertionError) as failed:
            self.gateway.start()
        self.assertIn("its schema is number 2", str(failed.exception))
        self.assertEqual(self.gateway.process.wait(timeout=10), 1)
        self.gateway.process.stdout.close()
        self.gateway.process = None
        self.assertEqual(path.read_bytes(), bytes(data))

    def test_stored_text_cannot_steer_a_terminal(self):
        hashed = password_hash()
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(self.gateway.folder / "admin.sock"))
        client.sendall(json.dumps({"command": "account add", "arguments": {
            "tenant": "acme", "login": "x\u009b31m", "hash": hashed}}).encode() + b"\n")
        self.assertTrue(json.loads(client.makefile().readline())["ok"])
        client.close()
        self.assertIn("x?31m", self.ctl("account", "list"))
        self.assertNotIn("\u009b", self.ctl("account", "list"))


if __name__ == "__main__":
    unittest.main()
