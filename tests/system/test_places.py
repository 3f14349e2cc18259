"""Where hermesd and hermes look for each other, and what they say when there is no such place."""
import os
import shutil
import subprocess
import tempfile
import unittest

from hermes_test import for_anybody, main

ALONE, KNOWN = 65533, 65534  # a user that the system knows nothing of, and nobody


@unittest.skipUnless(os.getuid() == 0 and open("/proc/self/uid_map").read().split()[2] != "1", "needs other users")
class Places(unittest.TestCase):
    def setUp(self):
        self.runtime = tempfile.mkdtemp(prefix="hermes-test-")
        self.addCleanup(shutil.rmtree, self.runtime)
        os.chmod(self.runtime, 0o777)

    def refused(self, uid, program, *arguments, **environment):
        result = subprocess.run([for_anybody(program), *arguments], user=uid, group=uid, extra_groups=[],
                                env={"XDG_RUNTIME_DIR": self.runtime, **environment}, capture_output=True, timeout=60, cwd="/")
        self.assertEqual(result.returncode, 1)
        return result.stderr

    def test_without_any_home_they_say_what_to_set(self):
        for environment in ({}, {"HOME": ""}, {"HERMES_HOME": ""}, {"HOME": "", "HERMES_HOME": ""}):
            for program in (["hermesd"], ["hermes", "topic", "list"], ["hermes", "pub", "t"]):
                with self.subTest(program=program, environment=environment):
                    self.assertIn(b"set HOME, or HERMES_HOME", self.refused(ALONE, *program, **environment))
        self.assertEqual(os.listdir(self.runtime), [])

    def test_without_home_it_is_the_users_own(self):
        """Of this one there is none, and it cannot be made."""
        self.assertIn(b"/nonexistent", self.refused(KNOWN, "hermesd"))
        self.assertIn(b"is hermesd running?", self.refused(KNOWN, "hermes", "topic", "list"))


main()
