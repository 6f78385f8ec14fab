"""What the tests of the command share: a tiny model, runs, and ways to start graft.

Needs nothing but Python. GRAFT is the command, GRAFT_HOSTILE the folder of the plugins that break
the rules; CMake sets both.
"""
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import tempfile
import time
import unittest

GRAFT = os.environ.get("GRAFT", "graft")
HOSTILE = pathlib.Path(os.environ.get("GRAFT_HOSTILE", "hostile"))
DATA = pathlib.Path(__file__).resolve().parents[1] / "golden" / "data"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "2", "LC_ALL": "C.UTF-8"}

TEXTS = [
    "The river rises in the hills and runs through the town to the sea.",
    "In spring the water is high and brown.",
    "A baker bakes bread.",
    "A miller mills flour, a farmer farms the land; the mill stands by the river.",
    "What does the wheel turn? The wheel turns the stone.",
    "How far is it?",
    "It is four miles by road and three by boat, and the road is steep.",
    "Three hundred and twenty loaves on market days.",
]


def write_safetensors(path, tensors):
    """tensors: name -> (shape, bytes of f32)"""
    header, offset = {}, 0
    for name, (shape, data) in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, data in tensors.values():
            file.write(data)


def make_model(folder, hidden=32, vocab=512, layers=2, seed=1, tokenizer=True, inner=None):
    """A Llama with random weights and the tiny tokenizer."""
    folder.mkdir(parents=True)
    heads, kv_heads, head_dim, inner = 4, 2, hidden // 4, inner or hidden + 16
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "head_dim": head_dim, "intermediate_size": inner, "vocab_size": vocab, "rms_norm_eps": 1e-5,
        "max_position_embeddings": 256, "rope_theta": 10000.0, "tie_word_embeddings": True,
        "hidden_act": "silu", "torch_dtype": "float32", "bos_token_id": 1, "eos_token_id": 2}
    (folder / "config.json").write_text(json.dumps(config))
    shapes = {"model.embed_tokens.weight": [vocab, hidden]}
    for i in range(layers):
        at = f"model.layers.{i}."
        shapes |= {
            at + "input_layernorm.weight": [hidden], at + "post_attention_layernorm.weight": [hidden],
            at + "self_attn.q_proj.weight": [heads * head_dim, hidden],
            at + "self_attn.k_proj.weight": [kv_heads * head_dim, hidden],
            at + "self_attn.v_proj.weight": [kv_heads * head_dim, hidden],
            at + "self_attn.o_proj.weight": [hidden, heads * head_dim],
            at + "mlp.gate_proj.weight": [inner, hidden], at + "mlp.up_proj.weight": [inner, hidden],
            at + "mlp.down_proj.weight": [hidden, inner]}
    shapes["model.norm.weight"] = [hidden]
    chance = random.Random(seed)
    tensors = {}
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        middle, spread = (1.0, 0.2) if "norm" in name else (0.0, 1.2 / shape[-1] ** 0.5)
        tensors[name] = (shape, struct.pack(f"<{count}f", *(chance.gauss(middle, spread) for _ in range(count))))
    write_safetensors(folder / "model.safetensors", tensors)
    if tokenizer:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(DATA / "tiny-tokenizer" / name, folder / name)
    return folder


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_lines(text):
    return [json.loads(line) for line in text.splitlines() if line]


class CommandTest(unittest.TestCase):
    """A temporary folder with model/ and train.jsonl, made once for a class."""

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="graft-cli-")
        cls.root = pathlib.Path(cls.temporary.name).resolve()
        cls.model = make_model(cls.root / "model")
        cls.train_file = write_lines(cls.root / "train.jsonl", [{"text": t} for t in TEXTS])

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def setUp(self):
        self.folder = self.root / self.id().rsplit(".", 1)[-1]
        self.folder.mkdir()

    def graft(self, *arguments, status=0, **options):
        """Runs graft and holds its exit status to `status`. A crash never passes."""
        command = [GRAFT, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=ENVIRONMENT,
                              cwd=options.pop("cwd", self.folder), **options)
        self.assertEqual(done.returncode, status,
                         f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        return done

    def refused(self, *arguments, status=1, says=(), **options):
        """graft fails with one message, `graft: ..`, that holds every text of `says`."""
        done = self.graft(*arguments, status=status, **options)
        message = done.stderr
        self.assertRegex(message, r"(?m)^graft: ")
        for text in says:
            self.assertIn(text, message)
        return done

    def config(self, **changes):
        """A run of 12 steps; `train={"steps": 3}` changes keys of a section."""
        config = {
            "model": {"path": str(self.model), "dtype": "f32"},
            "methods": [{"type": "lora", "rank": 4, "alpha": 8, "dropout": 0.1, "targets": "all-linear"}],
            "backend": {"type": "ref"},
            "data": {"train": str(self.train_file), "format": "text", "max_length": 64},
            "optimizer": {"type": "adamw", "lr": 0.01},
            "train": {"steps": 12, "batch_size": 2, "seed": 5},
            "output": {"dir": "out", "save_every": 4}}
        for section, keys in changes.items():
            if isinstance(keys, dict):
                config[section] = {k: v for k, v in {**config[section], **keys}.items() if v is not None}
            else:
                config[section] = keys
        return config

    def run_file(self, name="run.json", **changes):
        path = self.folder / name
        path.write_text(json.dumps(self.config(**changes), indent=2))
        return path

    def start(self, *arguments):
        """graft in the background, in a folder of its own time."""
        process = subprocess.Popen([GRAFT, *map(str, arguments)], cwd=self.folder, env=ENVIRONMENT,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def wait_for_steps(self, folder, count, process):
        """Until metrics.jsonl has `count` steps."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if len(self.steps(folder)) >= count:
                return
            self.assertIsNone(process.poll(), "the run ended too early")
            time.sleep(0.002)
        self.fail("no step in time")

    @staticmethod
    def metrics(folder):
        path = folder / "metrics.jsonl"
        whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
        return read_lines(whole)

    @classmethod
    def steps(cls, folder):
        return [line for line in cls.metrics(folder) if "loss" in line]
