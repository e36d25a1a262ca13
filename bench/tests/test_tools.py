"""What a run says of the build that it measured."""

import pathlib
import subprocess
import tempfile
import unittest

from lib import tools


class Commit(unittest.TestCase):
    def test_a_tree_is_dirty_by_anything_but_results(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            source, results = root / "main.rs", root / tools.RESULTS / "run.json"
            results.parent.mkdir(parents=True)
            for path in (source, results):
                path.write_text("1")
            git = ["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@example.com"]
            for words in (["init"], ["add", "."], ["commit", "--no-gpg-sign", "-m", "one"]):
                subprocess.run([*git, *words], check=True, capture_output=True)
            clean = tools.commit(root)
            self.assertRegex(clean, "^[0-9a-f]{7,}$")
            results.write_text("2")
            (root / "new").write_text("not of the tree")
            self.assertEqual(tools.commit(root), clean)
            source.write_text("2")
            self.assertEqual(tools.commit(root), f"{clean}-dirty")


if __name__ == "__main__":
    unittest.main()
