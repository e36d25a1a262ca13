"""Charts are SVG that says what it was given."""

import unittest
import xml.etree.ElementTree

from lib import svg


class Axes(unittest.TestCase):
    def test_values_go_to_their_share_of_the_page(self):
        axis = svg.Axis([0, 10], 100, 200)
        self.assertEqual([axis.at(value) for value in (0, 5, 10)], [100, 150, 200])
        self.assertEqual(axis.ticks(), [0, 2, 4, 6, 8, 10])

    def test_many_decades_are_logarithmic(self):
        axis = svg.Axis([1, 1000], 0, 300)
        self.assertAlmostEqual(axis.at(10), 100)
        self.assertEqual(axis.ticks(), [1, 10, 100, 1000])

    def test_one_value_is_no_division_by_zero(self):
        for value in (0, 7):
            axis = svg.Axis([value], 0, 100)
            self.assertGreaterEqual(axis.at(value), 0)
            self.assertTrue(axis.ticks())

    def test_numbers_are_short(self):
        self.assertEqual([svg.short(value) for value in (0.25, 512, 2048, 5e6)],
                         ["0.25", "512", "2.048k", "5M"])


class Chart(unittest.TestCase):
    def test_it_is_well_formed_and_names_each_line(self):
        series = {"mesh": [(1, 2, 1, 3), (10, 4, 3, 5)], "a & b": [(1, 9, 9, 9), (10, 9, 8, 9)]}
        root = xml.etree.ElementTree.fromstring(
            svg.chart("Cost <now>", "connections", "us", series, "a note"))
        said = [element.text for element in root.iter() if element.tag.endswith("text")]
        for word in ("Cost <now>", "connections", "us", "mesh", "a & b"):
            self.assertIn(word, said)
        circles = [element for element in root.iter() if element.tag.endswith("circle")]
        self.assertEqual(len(circles), 4)

    def test_without_points_there_is_no_chart(self):
        with self.assertRaises(ValueError):
            svg.chart("empty", "x", "y", {})
