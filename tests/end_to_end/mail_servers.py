"""Postfix, Exim and OpenSMTPD out of .deps/peers (see tools/fetch_peers): each in a copy of its tree, by chroot."""

import contextlib
import os
import pathlib
import shutil
import signal
import smtplib
import subprocess
import tempfile
import time
import unittest

from ports import free_port

TREES = pathlib.Path(__file__).resolve().parent.parent.parent / ".deps/peers"
# name: (uid, home). Numbers of our own, so that no account of this machine is meant by accident.
USERS = {"nobody": (64900, "/nowhere"), "postfix": (64901, "/nowhere"), "Debian-exim": (64902, "/nowhere"),
         "opensmtpd": (64903, "/var/lib/opensmtpd/empty"), "opensmtpq": (64904, "/nowhere"), "keeper": (64905, "/home/keeper"),
         "postdrop": (64906, "/nowhere")}


def uid(name):
    return USERS[name][0] if name != "root" else 0


class MailServer:
    """A stock server on a loopback port; mailbox() holds what it stored. With `smarthost` it relays there instead."""

    package = ""
    command = ()

    def __init__(self, certificate, key, smarthost=None, login=None):
        if os.geteuid() != 0:
            raise unittest.SkipTest(f"{self.package} runs by chroot, and that needs root")
        if not (TREES / self.package / ".complete").exists():
            raise unittest.SkipTest(f"{self.package} is not in .deps/peers: run tools/fetch_peers (needs the network)")
        self.certificate, self.key = certificate, key
        self.smarthost, self.login = smarthost, login
        self.port = free_port()
        self.process = None
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=TREES.resolve()))
        try:
            self.plant()
        except BaseException:
            shutil.rmtree(self.root)
            raise

    def plant(self):
        # Hard links: nothing of the tree is written to in place.
        subprocess.run(["cp", "-al", f"{TREES.resolve()}/{self.package}/.", self.root], check=True)
        self.root.chmod(0o755)
        try:
            for name, minor in (("null", 3), ("zero", 5), ("random", 8), ("urandom", 9)):
                os.mknod(self.root / "dev" / name, 0o20666, os.makedev(1, minor))
                os.chmod(self.root / "dev" / name, 0o666)
        except PermissionError as error:
            raise unittest.SkipTest(f"{self.package} needs device nodes, and mknod says: {error}") from error
        self.write("etc/passwd", "root:x:0:0::/:/bin/sh\n" +
                   "".join(f"{name}:x:{number}:{number}::{home}:/bin/sh\n" for name, (number, home) in USERS.items()))
        self.write("etc/group", "root:x:0:\n" + "".join(f"{name}:x:{number}:\n" for name, (number, _) in USERS.items()))
        self.write("etc/hosts", "127.0.0.1 gate.test relay.test localhost\n")
        self.write("etc/mailname", "relay.test\n")
        self.write("etc/nsswitch.conf", "hosts: files\n")
        self.write("etc/resolv.conf", "nameserver 127.0.0.1\n")
        self.write("etc/gate.pem", self.certificate.read_text())
        self.write("etc/gate.key", self.key.read_text(), 0o600)
        self.folder("var/mailboxes", "keeper")
        self.configure()

    def configure(self):
        raise NotImplementedError

    def write(self, path, text, mode=0o644, owner="root"):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(mode)
        os.chown(path, uid(owner), uid(owner))

    def folder(self, path, owner, mode=0o755, group=None):
        path = self.root / path
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, uid(owner), uid(group or owner))
        path.chmod(mode)

    def start(self):
        self.output = open(self.root / "output.txt", "w")
        self.process = subprocess.Popen(["chroot", self.root, *self.command], stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=self.output, start_new_session=True)
        end = time.monotonic() + 15
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(OSError, smtplib.SMTPException):
                smtplib.SMTP("127.0.0.1", self.port, timeout=5).close()
                return self
            time.sleep(0.05)
        log = self.log()
        self.close()
        raise AssertionError(f"{self.package} does not greet:\n{log}")

    def run(self, *command):
        return subprocess.run(["chroot", self.root, *command], capture_output=True, text=True, timeout=60, check=False)

    def log(self):
        names = ["output.txt", *(path for path in (self.root / "var/log").rglob("*") if path.is_file())]
        return "\n".join((self.root / name).read_text(errors="replace") for name in names)

    def mailbox(self):
        """Each stored message as it was on the wire: the store has bare line ends."""
        files = [path for path in (self.root / "var/mailboxes").rglob("*") if path.parent.name == "new"]
        return [path.read_bytes().replace(b"\n", b"\r\n") for path in files]

    def close(self):
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
                self.process.wait(10)
            # The session is this server's alone: what its parent left behind ends here.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
            self.output.close()
        shutil.rmtree(self.root, ignore_errors=True)


class Postfix(MailServer):
    package = "postfix"
    command = ("/usr/lib/postfix/sbin/master", "-c", "/etc/postfix")

    MAIN = """compatibility_level = 3.6
myhostname = relay.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = /var/log/postfix.log
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = may
smtpd_tls_chain_files = /etc/gate.key, /etc/gate.pem
smtpd_tls_received_header = yes
alias_maps =
alias_database =
local_recipient_maps =
"""
    STORE = """virtual_mailbox_domains = static:all
virtual_mailbox_base = /var/mailboxes
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:64905
virtual_gid_maps = static:64905
"""
    RELAY = """relayhost = [127.0.0.1]:{port}
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = texthash:/etc/postfix/passwords
smtp_sasl_security_options = noanonymous
smtp_sasl_mechanism_filter = {mechanism}
smtp_tls_security_level = secure
smtp_tls_CAfile = /etc/gate.pem
smtp_tls_secure_cert_match = gate.test
smtp_tls_connection_reuse = yes
smtp_tls_loglevel = 1
smtp_connection_cache_destinations = static:all
smtp_destination_concurrency_limit = 2
"""
    MASTER = """127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsproxy unix - - n - 0 tlsproxy
postlog unix-dgram n - n - 1 postlogd
"""
    mechanism = "plain"

    def configure(self):
        more = self.RELAY.format(port=self.smarthost, mechanism=self.mechanism) if self.smarthost else self.STORE
        self.write("etc/postfix/main.cf", self.MAIN + more)
        self.write("etc/postfix/master.cf", self.MASTER.format(port=self.port))
        if self.smarthost:
            self.write("etc/postfix/passwords", f"[127.0.0.1]:{self.smarthost} {':'.join(self.login)}\n", 0o600)
        self.folder("var/log", "root")
        self.folder("var/lib/postfix", "postfix")
        self.folder("var/spool/postfix", "root")
        for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private",
                     "saved", "trace"):
            self.folder(f"var/spool/postfix/{name}", "postfix", 0o700, "root")
        self.folder("var/spool/postfix/maildrop", "postfix", 0o730, "postdrop")
        self.folder("var/spool/postfix/public", "postfix", 0o710, "postdrop")
        self.folder("var/spool/postfix/pid", "root")


class Exim(MailServer):
    package = "exim"
    command = ("/usr/sbin/exim4", "-bdf")

    CONFIG = """primary_hostname = relay.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
disable_ipv6 = true
host_lookup =
rfc1413_query_timeout = 0s
spool_directory = /var/spool/exim4
log_file_path = /var/log/exim4/%slog
tls_advertise_hosts = *
tls_certificate = /etc/gate.pem
tls_privatekey = /etc/gate.key
queue_only = {queue_only}
keep_environment =
acl_smtp_rcpt = take
acl_smtp_data = take
begin acl
take:
  accept
begin routers
{router}
begin transports
store:
  driver = appendfile
  directory = /var/mailboxes/all
  maildir_format
  user = keeper
  group = keeper
  delivery_date_add
  envelope_to_add
  return_path_add
smarthost:
  driver = smtp
  port = {smarthost}
  allow_localhost
  hosts_try_dane =
  hosts_require_tls = *
  hosts_require_auth = *
  tls_verify_certificates = /etc/gate.pem
  tls_verify_hosts = *
begin retry
* * F,1h,1m
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  client_send = ^{user}^{password}
"""
    STORE = """store:
  driver = accept
  transport = store"""
    RELAY = """smarthost:
  driver = manualroute
  transport = smarthost
  route_list = * gate.test byname
  self = send"""

    def configure(self):
        user, password = self.login or ("", "")
        self.write("etc/exim4/exim4.conf", self.CONFIG.format(
            port=self.port, router=self.RELAY if self.smarthost else self.STORE, smarthost=self.smarthost or 25,
            queue_only="true" if self.smarthost else "false", user=user, password=password))
        os.chown(self.root / "etc/gate.key", 0, uid("Debian-exim"))
        (self.root / "etc/gate.key").chmod(0o640)
        self.folder("var/spool/exim4", "Debian-exim", 0o750)
        self.folder("var/log/exim4", "Debian-exim", 0o750)

    def run_queue(self):
        return self.run("/usr/sbin/exim4", "-qqf")


class OpenSMTPD(MailServer):
    package = "opensmtpd"
    command = ("/usr/sbin/smtpd", "-d", "-f", "/etc/smtpd.conf")

    CONFIG = """pki peer cert "/etc/gate.pem"
pki peer key "/etc/gate.key"
table everyone {{ "@" = keeper }}
listen on 127.0.0.1 port {port} tls pki peer hostname relay.test
action store maildir "/var/mailboxes/all" virtual <everyone>
match from any for any action store
"""

    def configure(self):
        self.write("etc/smtpd.conf", self.CONFIG.format(port=self.port), 0o600)
        self.write("etc/ssl/certs/ca-certificates.crt", self.certificate.read_text())  # It does not start without.
        self.folder("var/lib/opensmtpd/empty", "root")
        self.folder("var/spool", "root")
        self.folder("home/keeper", "keeper")
