#!/usr/bin/env python3
"""What tools/run shows a newcomer: the demo ends well, and the lines that it prints to paste work."""

import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class Demo(unittest.TestCase):
    def test_the_lines_it_prints_deliver_a_message_each(self):
        demo = subprocess.Popen([sys.executable, ROOT / "tools/demo.py"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(demo.stdout.close)
        self.addCleanup(demo.wait, 60)
        self.addCleanup(demo.terminate)  # It stops its gateway and its sink.
        shown = ""
        while "Ctrl-C stops everything." not in shown:
            line = demo.stdout.readline()
            self.assertTrue(line, shown)
            shown += line
        self.assertIn("acknowledged = delivered = 1000, duplicates 0", shown)
        commands = re.findall(r"^  ((?:swaks|curl) (?:.*\\\n)*.*)$", shown, re.M)
        self.assertEqual([command.split()[0] for command in commands], ["swaks", "curl"], shown)
        for command in commands:
            words = shlex.split(command.replace("\\\n", " "))
            if not shutil.which(words[0]):
                self.skipTest(f"{words[0]} is not installed: run tools/setup")
            done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(demo.stdout.readline(), "  delivered   1 more\n")
        status = shlex.split(re.search(r"^  (\S*ebbgatectl .*)$", shown, re.M)[1])
        done = subprocess.run(status, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
        self.assertRegex(done.stdout, r"mail\.delivered +1002")
        demo.send_signal(signal.SIGTERM)
        self.assertEqual(demo.wait(30), 0)


if __name__ == "__main__":
    unittest.main()
