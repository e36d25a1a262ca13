"""Counts of instructions are read, reckoned and judged as they are meant."""

import contextlib
import io
import json
import os
import pathlib
import tempfile
import unittest
from unittest import mock

from micro import count


class Counts(unittest.TestCase):
    SAID = """\
==7== Events    : Ir
==7== Collected : 3219731
==7==
==7== I   refs:      3,219,731
"""

    def test_the_count_is_what_callgrind_ends_with(self):
        self.assertEqual(count.collected(self.SAID), 3219731)

    def test_no_count_is_a_failure_that_says_what_was_said(self):
        with self.assertRaisesRegex(ValueError, "cannot open shared object"):
            count.collected("valgrind: cannot open shared object file")

    def test_start_and_end_are_in_no_operation(self):
        start_and_end = 123_456
        few, many = start_and_end + 1000 * 22, start_and_end + 3000 * 22
        self.assertEqual(count.per_operation(1000, few, many), 22)


class Judgement(unittest.TestCase):
    RECORDED = {"a": 1000, "b": 1000, "c": 1000}

    def test_only_what_is_beyond_the_limit_is_a_fault(self):
        now = {"a": 1050, "b": 1051, "c": 400}
        rows, faults = count.judge(now, self.RECORDED)
        self.assertEqual(faults, ["b"])
        self.assertEqual([change for *_, change, _ in rows], [5.0, 5.1, -60.0])

    def test_what_became_cheaper_is_to_be_recorded(self):
        rows, faults = count.judge({"a": 900}, self.RECORDED)
        self.assertEqual((rows[0][-1], faults), ("record it, so that it stays", []))

    def test_a_scenario_without_a_record_is_a_fault(self):
        rows, faults = count.judge({"new": 5}, self.RECORDED)
        self.assertEqual((rows, faults), ([("new", 5, None, None, "not recorded")], ["new"]))
        self.assertRegex(count.table(rows), r"\nnew +5 +not recorded$")

    def test_scenarios_that_were_not_run_are_not_judged(self):
        self.assertEqual(count.judge({}, self.RECORDED), ([], []))

    def test_a_wider_limit_is_a_limit_too(self):
        _, faults = count.judge({"a": 1250, "b": 1251}, self.RECORDED, limit=25)
        self.assertEqual(faults, ["b"])

    def test_a_record_without_a_scenario_is_a_fault(self):
        self.assertEqual(count.gone({"a", "c", "new"}, self.RECORDED), ["b"])


class Surroundings(unittest.TestCase):
    def test_the_same_have_no_differences(self):
        here = {"rustc": "1.95.0", "target": "x86_64-unknown-linux-gnu"}
        self.assertEqual(count.differences(here, dict(here)), [])

    def test_others_are_named_with_both_values(self):
        self.assertEqual(count.differences({"rustc": "1.96.0"}, {"rustc": "1.95.0"}),
                         ["rustc is 1.96.0, recorded with 1.95.0"])

    def test_with_another_compiler_the_limit_is_wider(self):
        there = {"rustc": "1.95.0", "target": "x86_64-unknown-linux-gnu"}
        self.assertEqual(count.allowance(there, there), count.LIMIT_PERCENT)
        other = there | {"rustc": "1.94.1"}
        self.assertEqual(count.allowance(other, there), count.LIMIT_ELSEWHERE_PERCENT)

    def test_for_another_processor_there_is_none(self):
        there = {"rustc": "1.95.0", "target": "x86_64-unknown-linux-gnu"}
        self.assertIsNone(count.allowance(there | {"target": "aarch64-unknown-linux-gnu"}, there))


class Verdict(unittest.TestCase):
    HERE = {"rustc": "1.95.0", "target": "x86_64-unknown-linux-gnu"}

    def verdict(self, counts, here, recorded, environment=None):
        said = io.StringIO()
        with tempfile.TemporaryDirectory() as folder:
            record = pathlib.Path(folder, "counts.json")
            record.write_text(json.dumps({"with": self.HERE, "counts": recorded}), encoding="utf-8")
            with mock.patch.object(count, "RECORD", record), \
                    mock.patch.dict(os.environ, environment or {}, clear=True), \
                    contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                return count.compare(counts, here, set(counts)), said.getvalue()

    def test_what_is_as_recorded_passes(self):
        self.assertEqual(self.verdict({"a": 1000}, self.HERE, {"a": 1000})[0], 0)

    def test_other_surroundings_excuse_neither_other_scenarios_nor_much_more(self):
        here = self.HERE | {"rustc": "1.94.1"}
        code, said = self.verdict({"a": 1200}, here, {"a": 1000})
        self.assertEqual(code, 0)
        self.assertIn("because rustc is 1.94.1, recorded with 1.95.0", said)
        self.assertEqual(self.verdict({"a": 1300}, here, {"a": 1000})[0], 1)
        self.assertEqual(self.verdict({"a": 1000, "new": 5}, here, {"a": 1000})[0], 1)
        code, said = self.verdict({"a": 1000}, here, {"a": 1000, "old": 5})
        self.assertEqual(code, 1)
        self.assertIn("old: recorded, and not there any more", said)

    def test_where_nothing_may_be_missing_a_record_that_fits_may_not_either(self):
        here = self.HERE | {"target": "aarch64-unknown-linux-gnu"}
        self.assertEqual(self.verdict({"a": 9000}, here, {"a": 1000})[0], 0)
        code, said = self.verdict({"a": 9000}, here, {"a": 1000}, {"CI": "true"})
        self.assertEqual(code, 1)
        self.assertIn("target is aarch64", said)
