"""The document says what was measured, and nothing beside its marks is touched."""

import unittest

import document

RUN = {
    "date": "2026-01-01 00:00 UTC", "commit": "abc", "rounds": 2, "seconds": 1,
    "versions": {"nginx": "nginx version: nginx/1.2.3", "piko": "piko version unknown"},
    "machine": {"cores": 2, "cpu": "a processor", "kernel": "6.1",
                "congestion_control": "cubic", "load_average": "0.1"},
    "scenarios": {"get-50": {"title": "", "failed": {"bore": "it ended"}, "peers": {
        "nginx": [{"rate": 10, "cpu_us": 4}], "mesh": [{"rate": 20, "cpu_us": 2}]}}},
}


class Document(unittest.TestCase):
    def test_figures_ratios_failures_and_verdicts_are_told(self):
        text = document.results_of([("run.json", RUN)])
        self.assertIn("| mesh | 20 | 2.00 | - | - | - | 0.50 |", text)
        self.assertIn("bore: failed, it ended", text)
        self.assertIn("a processor, Linux 6.1 with cubic, load average 0.1", text)
        self.assertIn("as the programs tell them: nginx 1.2.3.", text)
        self.assertIn("| small GET, 50 connections: CPU / nginx | 0.50 | ≤ 0.4 | **missed** |", text)

    def test_the_first_run_that_has_a_scenario_counts(self):
        other = RUN | {"scenarios": {"get-50": {"peers": {}, "failed": {}}, "ws": {
            "peers": {"mesh": [{"rate": 7}]}, "failed": {}}}}
        text = document.results_of([("run.json", RUN), ("run-2.json", other)])
        self.assertIn("| mesh | 20 |", text)
        self.assertIn("| mesh | 7 |", text)

    def test_what_is_beside_the_marks_stays(self):
        old = f"a\n{document.BEGIN}\nold\n{document.END}\nb\n"
        new = document.put_into(old, "new")
        self.assertEqual(new, f"a\n{document.BEGIN}\nnew\n{document.END}\nb\n")
        self.assertEqual(document.put_into(new, "new"), new)

    def test_instructions_are_those_on_record(self):
        old = "much (`few`: 1 instructions) and `one`: 2,345 instructions; few: 3 instructions"
        new = document.with_counts(old, {"few": 20634, "one": 999})
        self.assertEqual(
            new, "much (`few`: 20,634 instructions) and `one`: 999 instructions; few: 3 instructions")
        with self.assertRaises(KeyError):
            document.with_counts("`fewer`: 1 instructions", {"few": 1})


if __name__ == "__main__":
    unittest.main()
