#!/usr/bin/env python3
"""fail2ban's own tools read our ban log: its recidive filter finds each ban, and nothing else."""

import importlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

LINES = os.environ["EBBGATE_BAN_LOG_LINES"]
FILTER = pathlib.Path("/etc/fail2ban/filter.d/recidive.conf")
PACKAGES = "/usr/lib/python3/dist-packages"  # Where a distribution's package keeps its modules.


def lines_of_ours(*arguments):
    return subprocess.run([LINES, *arguments], capture_output=True, text=True, timeout=60, check=True).stdout


class Fail2ban(unittest.TestCase):
    def setUp(self):
        if not shutil.which("fail2ban-regex") or not FILTER.exists():
            self.skipTest("fail2ban is not installed: run tools/setup")

    def test_the_recidive_filter_matches_each_ban_and_nothing_else(self):
        text = lines_of_ours()
        bans = [line for line in text.splitlines() if re.search(r"\] Ban [0-9a-f.:]+$", line)]
        self.assertEqual(len(bans), 4, text)
        self.assertEqual(len(text.splitlines()), 8 * len(bans), text)
        with tempfile.TemporaryDirectory() as folder:
            log = pathlib.Path(folder, "ban.log")
            log.write_text(text)
            done = subprocess.run(
                ["fail2ban-regex", "--print-all-matched", "--print-all-missed", str(log), str(FILTER)],
                capture_output=True, text=True, timeout=60, check=False)
        said = done.stdout + done.stderr
        counts = re.search(r"Lines: (\d+) lines, (\d+) ignored, (\d+) matched, (\d+) missed", said)
        self.assertTrue(counts, said)
        self.assertEqual([int(count) for count in counts.groups()], [32, 0, 4, 28], said)
        matched = said.split("Matched line(s):")[1].split("Missed line(s):")[0]
        self.assertEqual([line.strip("| ") for line in matched.splitlines() if "[4711]" in line], bans, said)
        # Each line's time was understood.
        self.assertRegex(said, r"\[32\] .*Year(-|\(.*\)).*Month")

    def test_durations_are_said_as_fail2ban_says_them(self):
        sys.path.append(PACKAGES)
        self.addCleanup(sys.path.remove, PACKAGES)
        try:
            says = importlib.import_module("fail2ban.server.mytime").MyTime.seconds2str
        except ImportError as missing:
            self.skipTest(f"fail2ban's modules cannot be read by this Python: {missing}")
        units = (10, 60, 3600, 86400, 7 * 86400, 365 * 86400)
        seconds = sorted({max(0, unit * count + off) for unit in units for count in (1, 2, 3, 7, 11, 23, 59)
                          for off in (-86401, -43200, -3601, -1800, -61, -30, -5, -1, 0, 1, 5, 30, 61, 43200)})
        ours = lines_of_ours(*map(str, seconds)).splitlines()
        self.assertEqual(len(ours), len(seconds))
        for number, text in zip(seconds, ours):
            self.assertEqual(text, str(says(number)), number)


if __name__ == "__main__":
    unittest.main()
