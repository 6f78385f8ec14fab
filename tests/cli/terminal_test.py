"""What only a terminal sees: the progress bar, colours, and the second Ctrl-C."""
import os
import pty
import signal
import subprocess
import unittest

from support import ENVIRONMENT, GRAFT, CommandTest, write_lines


def in_terminal(*arguments, cwd, **environment):
    """Exit status and everything that graft writes to a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([GRAFT, *map(str, arguments)], cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs,
                               env={**ENVIRONMENT, **environment})
    os.close(theirs)
    text = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            piece = b""
        if not piece:
            break
        text += piece
    os.close(ours)
    return process.wait(timeout=60), text.decode()


class Terminal(CommandTest):
    def test_a_progress_bar(self):
        status, text = in_terminal("train", self.run_file(), cwd=self.folder)
        self.assertEqual(status, 0, text)
        self.assertRegex(text, r"\r\x1b\[K12/12  \[#+\]  loss \d+\.\d+  \d+ tokens/s  lr \S+  ETA 0:00")
        self.assertNotIn("step 12/12", text)
        status, text = in_terminal("train", self.run_file(), "--force", "--quiet", cwd=self.folder)
        self.assertEqual((status, text), (0, ""))

    def test_colours(self):
        lines = write_lines(self.folder / "in.jsonl", [{"prompt": "A", "completion": " baker"}])
        _, text = in_terminal("inspect", lines, "--model", self.model, cwd=self.folder)
        self.assertIn("\x1b[32m baker", text)
        _, text = in_terminal("inspect", lines, "--model", self.model, cwd=self.folder, NO_COLOR="1")
        self.assertNotIn("\x1b", text)
        self.assertIn("A[ baker", text)

    def test_the_second_signal_ends_it_at_once(self):
        # A step long enough that it cannot be over before the second signal.
        data = write_lines(self.folder / "long.jsonl", [{"text": "The river rises. " * 12}] * 48)
        run = self.run_file(data={"train": str(data)}, train={"steps": 200, "batch_size": 12, "accumulate": 4},
                            output={"save_every": 0})
        process = self.start("train", run)
        self.wait_for_steps(self.folder / "out", 1, process)
        process.send_signal(signal.SIGINT)
        self.assertIn("stopping after this step", self.read_until(process, "stopping after this step"))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, errors)
        self.assertNotIn("interrupted after step", errors)
        self.assertFalse((self.folder / "out" / "adapter_model.safetensors").exists())

    @staticmethod
    def read_until(process, text):
        seen = ""
        for line in process.stderr:
            seen += line
            if text in line:
                break
        return seen


if __name__ == "__main__":
    unittest.main()
