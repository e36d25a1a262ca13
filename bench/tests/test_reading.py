"""What programs and the kernel print is read as it is meant."""

import unittest

from lib import measure, procs


class Wrk(unittest.TestCase):
    def test_the_last_line_of_json_counts(self):
        said = 'Running 1s test\n  1 threads\n{"requests":1}\n{"requests":7,"p50_ms":0.25}\n'
        self.assertEqual(measure.json_line(said), {"requests": 7, "p50_ms": 0.25})

    def test_no_figures_are_a_failure(self):
        with self.assertRaisesRegex(procs.Failed, "unable to connect"):
            measure.json_line("unable to connect to 127.0.0.1:1")


class Proc(unittest.TestCase):
    STAT = ("17 (a (b) c) S 1 42 42 0 -1 4194560 5 6 7 8 "
            "100 50 30 20 20 0 1 0 99 1000 200 18446744073709551615")

    def test_names_may_hold_spaces_and_brackets(self):
        self.assertEqual(procs.stat_fields(self.STAT)[:3], ["S", "1", "42"])

    def test_cpu_time_is_that_of_children_too(self):
        self.assertEqual(procs.stat_cpu_seconds(self.STAT), 200 / procs.TICKS)

    def test_memory_is_found_by_the_name_of_its_line(self):
        status = "Name:\tx\nVmHWM:\t    9876 kB\nVmRSS:\t    1234 kB\n"
        self.assertEqual(procs.status_kib(status, "VmRSS"), 1234)
        self.assertEqual(procs.status_kib(status, "VmHWM"), 9876)
        self.assertEqual(procs.status_kib("Name:\tzombie\n", "VmRSS"), 0)


class Strace(unittest.TestCase):
    TABLE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 61.20    0.061200           6     10200           sendto
 38.80    0.038800           3     12000       400 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.100000           4     22200       400 total
"""

    def test_calls_are_counted_with_errors_and_without(self):
        self.assertEqual(measure.strace_counts(self.TABLE), {"sendto": 10200, "recvfrom": 12000})


class Counters(unittest.TestCase):
    PAGE = """\
# HELP mesh_moves_total Moves.
# TYPE mesh_moves_total counter
mesh_moves_total 12
mesh_requests_total{host="a"} 3
mesh_requests_total{host="b"} 4
mesh_moves_total_more 100
"""

    def test_a_counter_is_the_sum_over_its_labels(self):
        self.assertEqual(measure.counted(self.PAGE, "mesh_moves_total"), 12)
        self.assertEqual(measure.counted(self.PAGE, "mesh_requests_total"), 7)


class Growth(unittest.TestCase):
    def test_each_is_what_all_programs_of_the_chain_grew_by(self):
        before = {"rss_kib.a": 1000, "peak_kib.a": 5000, "rss_kib.b": 500, "peak_kib.b": 500}
        after = {"rss_kib.a": 1100, "peak_kib.a": 9000, "rss_kib.b": 600, "peak_kib.b": 600}
        found = measure.growth(before, after, 100)
        self.assertEqual(found["bytes_each.a"], 1024)
        self.assertEqual(found["bytes_each"], 2048)

    def test_a_way_without_programs_has_no_figure(self):
        self.assertEqual(measure.growth({}, {}, 100), {})
