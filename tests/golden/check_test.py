"""check.py accepts the golden numbers themselves and refuses each small falsification of them."""

import copy
import math
import pathlib
import unittest

import check

CASES = pathlib.Path(__file__).resolve().parent / "data" / "cases"
CASE = CASES / "train-embedding-head"


class Scores(unittest.TestCase):
    def setUp(self):
        self.rows = check.read_jsonl((CASES / "llama-head-dim" / "expected.jsonl").read_text())

    def failures(self, falsify=lambda rows: None):
        rows, report = copy.deepcopy(self.rows), check.Report()
        falsify(rows)
        check.compare_scores(report, "scores", rows, self.rows, 1e-4)
        return report.failures

    def test_accepts_the_numbers_themselves(self):
        self.assertEqual(self.failures(), [])

    def test_refuses_another_log_probability(self):
        self.assertTrue(self.failures(lambda rows: rows[2]["logprobs"].__setitem__(3, rows[2]["logprobs"][3] + 2e-4)))

    def test_refuses_what_is_not_a_number(self):
        self.assertTrue(self.failures(lambda rows: rows[2]["logprobs"].__setitem__(3, math.nan)))
        self.assertTrue(self.failures(lambda rows: rows[2]["logprobs"].__setitem__(3, None)))

    def test_refuses_a_missing_line(self):
        self.assertTrue(self.failures(lambda rows: rows.pop()))

    def test_refuses_another_order_of_next_top(self):
        self.assertTrue(self.failures(lambda rows: rows[0]["next_top"].reverse()))

    def test_refuses_a_loss_of_nothing(self):
        self.assertTrue(self.failures(lambda rows: rows[0].update(loss=0.0)))


class Metrics(unittest.TestCase):
    def setUp(self):
        self.lines = check.read_jsonl((CASES / "train-epochs" / "expected_metrics.jsonl").read_text())

    def failures(self, falsify=lambda lines: None):
        lines, report = copy.deepcopy(self.lines), check.Report()
        falsify(lines)
        check.compare_metrics(report, lines, self.lines, 1e-4)
        return report.failures

    def test_accepts_the_numbers_themselves_and_other_events(self):
        self.assertEqual(self.failures(lambda lines: lines.insert(0, {"event": "start"})), [])

    def test_refuses_another_value(self):
        for field in ("loss", "grad_norm", "lr", "tokens"):
            self.assertTrue(self.failures(lambda lines: lines[4].update({field: lines[4][field] * 1.0003})), field)

    def test_refuses_a_rate_in_the_first_step_of_a_warm_up(self):
        self.assertTrue(self.failures(lambda lines: lines[0].update(lr=1e-9)))

    def test_refuses_a_missing_evaluation(self):
        self.assertTrue(self.failures(lambda lines: lines.remove(next(m for m in lines if "eval_loss" in m))))


class Weights(unittest.TestCase):
    def setUp(self):
        self.tensors = check.read_safetensors(CASE / "adapter_after" / "adapter_model.safetensors")

    def failures(self, falsify=lambda tensors: None):
        tensors, report = copy.deepcopy(self.tensors), check.Report()
        falsify(tensors)
        check.compare_weights(report, tensors, self.tensors, 1e-3)
        return report.failures

    def test_accepts_the_tensors_without_copies_of_the_base(self):
        self.assertEqual(self.failures(), [])
        self.assertEqual(self.failures(lambda t: [t.pop(k) for k in list(t) if ".base_layer." in k]), [])

    def test_refuses_another_value_shape_or_name(self):
        name = "base_model.model.lm_head.lora_B.weight"
        shape, values = self.tensors[name]
        self.assertTrue(self.failures(lambda t: t.update({name: (shape, [1.002 * v for v in values])})))
        self.assertTrue(self.failures(lambda t: t.update({name: (shape[::-1], values)})))
        self.assertTrue(self.failures(lambda t: t.pop(name)))
        self.assertTrue(self.failures(lambda t: t.update({name + "s": (shape, values)})))

    def test_refuses_the_weights_of_the_start(self):
        before = check.read_safetensors(CASE / "adapter_before" / "adapter_model.safetensors")
        report = check.Report()
        check.compare_weights(report, before, self.tensors, 1e-3)
        self.assertEqual(len(report.failures), len([k for k in before if ".base_layer." not in k]))


if __name__ == "__main__":
    unittest.main()
