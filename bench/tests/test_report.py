"""Rounds are put together, compared and judged as the documents say."""

import unittest

from lib import report, targets
from lib.scenarios import BY_NAME


class Spread(unittest.TestCase):
    def test_a_figure_is_the_median_of_the_rounds_that_have_it(self):
        rounds = [{"rate": 3}, {"rate": 1}, {}, {"rate": 9}]
        self.assertEqual(report.figure(rounds, "rate"), (3, 1, 9))
        self.assertIsNone(report.figure(rounds, "cpu_us"))

    def test_ratios_are_taken_round_by_round(self):
        own, base = [{"x": 1}, {"x": 8}], [{"x": 2}, {"x": 4}]
        self.assertEqual(report.ratios(own, base, "x"), (1.25, 0.5, 2.0))
        self.assertIsNone(report.ratios(own, [{"x": 0}, {}], "x"))

    def test_a_table_names_what_failed_and_what_was_not_measured(self):
        results = {"peers": {"direct": [{"rate": 10}], "mesh": [{"rate": 5, "cpu_us": 2.5}]},
                   "failed": {"bore": "it ended with 1"}}
        text = "\n".join(report.table(BY_NAME["get-50"], results))
        self.assertIn("bore: FAILED: it ended with 1", text)
        self.assertRegex(text, r"direct +10 +-")
        self.assertRegex(text, r"mesh +5 +2\.50")


class Targets(unittest.TestCase):
    RESULTS = {
        "get-50": {"peers": {
            "mesh": [{"cpu_us": 4, "rate": 100, "peak_kib.agent": 2048}],
            "nginx": [{"cpu_us": 8, "rate": 90}], "rathole": [{"rate": 120}]}},
        "get-1": {"peers": {"direct": [{"p50_ms": 1.0}], "nginx": [{"p50_ms": 2.0}],
                            "mesh": [{"p50_ms": 1.5}]}},
    }

    def verdicts(self):
        found = targets.all_targets(targets.Results(self.RESULTS))
        return {what: (value, targets.verdict(value, limit, more))
                for what, value, limit, more in found}

    def test_each_is_met_missed_or_not_measured(self):
        found = self.verdicts()
        self.assertEqual(found["small GET, 50 connections: CPU / nginx"], (0.5, "missed"))
        self.assertEqual(found["one connection: p50 added / nginx"], (0.5, "met"))
        self.assertEqual(found["peak memory of a program, MiB"], (2.0, "met"))
        self.assertEqual(found["10 KiB GET: CPU / nginx"], (None, "not measured"))

    def test_the_best_other_counts(self):
        value, verdict = self.verdicts()[
            "small GET, 50 connections: rate / best other chain or tunnel"]
        self.assertEqual((round(value, 2), verdict), (0.83, "missed"))
