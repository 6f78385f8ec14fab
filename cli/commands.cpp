// The table of commands: everything that --help says.
#include "cli/command.hpp"

namespace cli {
namespace {

using List = std::vector<Option>;

List join(List a, const List& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

const List kEverywhere = {
    {"plugin-dir", "DIR", "look for plugins in DIR too; may be repeated"},
    {"quiet", nullptr, "say nothing but errors"},
};
const List kModel = {
    {"adapter", "DIR[=STRENGTH]", "an adapter; repeated: all are active, outermost last"},
    {"backend", "NAME", "the backend plugin to compute with (cpu, ref)"},
    {"dtype", "NAME", "f32, bf16, f16 or auto (the default)"},
    {"quantize", "FORMAT",
     "quantize linear layers while loading: nf4, fp4, int8; or nf4:block=128,double=false; none: "
     "expand"},
    {"threads", "N", "threads; 0, the default: all processors"},
};
const List kRun = {
    {"KEY.PATH", "VALUE", "override a key of RUN.json: --train.lr 1e-4, --methods.0.rank 4"},
    {"backend", "NAME", "the same as --backend.type"},
    {"dtype", "NAME", "the same as --model.dtype"},
    {"quantize", "FORMAT",
     "the same as --model.quantization.format; nf4:block=128,double=false says more"},
    {"threads", "N", "the same as --backend.threads"},
};
const List kSampling = {
    {"max-new-tokens", "N", "at most N tokens (128)"},
    {"greedy", nullptr, "always the most likely token"},
    {"temperature", "T", "softens (above 1) or sharpens (below 1) the choice (1); 0: --greedy"},
    {"top-k", "K", "choose among the K most likely tokens (0: all)"},
    {"top-p", "P", "choose among the most likely tokens that hold P of the probability (1)"},
    {"min-p", "P", "leave out tokens less likely than P times the most likely (0)"},
    {"repetition-penalty", "X", "make tokens that were there already less likely (1)"},
    {"seed", "N", "of the random choice (0)"},
    {"stop", "TEXT", "end before TEXT; may be repeated"},
    {"ignore-eos", nullptr, "go on behind the token that ends a text"},
    {"system", "TEXT", "a system message, for the chat template"},
};
const List kLines = {
    {"input", "IN.jsonl", "read lines from a file; -: standard input"},
    {"output", "OUT.jsonl", "write lines to a file instead of standard output"},
};
const Option kJson = {"json", nullptr, "machine-readable output"};

}  // namespace

const std::vector<Command>& commands() {
  static const std::vector<Command> all = {
      {"train", "RUN.json [--KEY.PATH VALUE ..]", "Fine-tunes and writes the output folder",
       "Relative paths are relative to RUN.json, on the command line to the current folder.\n"
       "The folder of the adapter goes to standard output; with --json the events do, one a line.\n"
       "Ctrl-C finishes the step, saves everything and ends with status 130.",
       "graft train run.json --output.dir runs/second --optimizer.lr 1e-4", 1, 1,
       join({{"resume", nullptr, "go on from the newest whole checkpoint"},
             {"force", nullptr, "overwrite what another run left in the output folder"},
             {"profile", nullptr, "print at the end where the time of a step went"},
             {"dry-run", nullptr, "the same as graft plan"},
             kJson},
            join(kRun, kEverywhere)),
       true, train},
      {"score", "MODEL --input IN.jsonl [--output OUT.jsonl]",
       "Log-probabilities of given text or tokens",
       "Input lines: {\"text\"}, {\"prompt\", \"completion\"}, {\"messages\"} or {\"input_ids\"}.\n"
       "Output lines: {\"input_ids\", \"logprobs\", \"loss\"}, in the same order.",
       "echo '{\"text\": \"The capital of France is Paris.\"}' | graft score models/SmolLM2 "
       "--input -",
       1, 1,
       join(kLines, join({{"top", "K", "add \"next_top\": the K most likely next tokens"}, kJson},
                         join(kModel, kEverywhere))),
       false, score},
      {"generate", "MODEL [--prompt TEXT | --input IN.jsonl]", "Writes text",
       "With --prompt the text appears as it is made. With --input, lines {\"prompt\"}, "
       "{\"messages\"}\n"
       "or {\"input_ids\"}, which may also set the options below (max_new_tokens, ..), become "
       "lines\n"
       "{\"input_ids\", \"output_ids\", \"text\", \"stop\"}.",
       "graft generate models/SmolLM2 --prompt 'What is a weir?' --chat --greedy", 1, 1,
       join({{"prompt", "TEXT", "what to go on from"},
             {"chat", nullptr, "apply the model's chat template to the prompt"},
             kJson},
            join(kLines, join(kSampling, join(kModel, kEverywhere)))),
       false, generate},
      {"chat", "MODEL", "A conversation in the terminal",
       "An empty line or the end of the input ends it; /new begins another.",
       "graft chat models/SmolLM2 --adapter runs/first", 1, 1,
       join(kSampling, join(kModel, kEverywhere)), false, chat},
      {"plan", "RUN.json [--KEY.PATH VALUE ..]", "What a step will cost; nothing is run", "",
       "graft plan run.json --train.batch_size 8", 1, 1, join({kJson}, join(kRun, kEverywhere)),
       true, plan},
      {"merge", "MODEL --adapter DIR --output PATH", "A model with adapters in its weights",
       "Tensors keep their types; computed in f32. What is quantized is quantized again, and "
       "--json\n"
       "tells what that takes from it; --format none writes it unquantized. A PATH that ends in\n"
       ".gguf gets a GGUF file. The path goes to standard output. Methods that are no change of\n"
       "weights (prompts, prefixes) are refused.",
       "graft merge models/SmolLM2 --adapter runs/first --output models/merged", 1, 1,
       join({{"adapter", "DIR[=STRENGTH]", "an adapter; repeated: all together, outermost last"},
             {"output", "PATH", "the folder or .gguf file to write, which must not be there"},
             {"backend", "NAME", "the backend plugin to compute with (cpu, ref)"},
             {"quantize", "FORMAT", "as the base was quantized while the adapter was trained"},
             {"format", "NAME",
              "keep (the default): quantize again what is quantized; none: do not"},
             {"threads", "N", "threads; 0, the default: all processors"},
             kJson},
            kEverywhere),
       false, merge},
      {"quantize", "MODEL --format NAME --output PATH", "A quantized model folder or GGUF file",
       "nf4, fp4 and int8 write a folder as bitsandbytes stores it, from a folder; q4_0, q4_k_m "
       "and\n"
       "q8_0 (f16, bf16 and f32 too) write a GGUF file, from a folder or another one. nf4 has "
       "double\n"
       "quantization and blocks of 64; nf4:block=128,double=false says otherwise. The path goes "
       "to\n"
       "standard output.",
       "graft quantize models/SmolLM2 --format q4_k_m --output models/SmolLM2.Q4_K_M.gguf", 1, 1,
       join({{"format", "NAME", "nf4, fp4, int8, q4_0, q4_k_m, q8_0, f16, bf16, f32"},
             {"output", "PATH", "the folder or .gguf file to write, which must not be there"},
             {"threads", "N", "threads; 0, the default: all processors"},
             kJson},
            kEverywhere),
       false, quantize},
      {"inspect", "MODEL|ADAPTER|DATA|FILE.safetensors|FILE.gguf", "What is in it",
       "For data the first examples are shown with their loss mask: tokens that a loss is taken "
       "on\n"
       "are set in [brackets], or in green on a terminal.",
       "graft inspect train.jsonl --model models/SmolLM2 --limit 2", 1, 1,
       join({{"model", "MODEL", "whose tokenizer and template a data file is read with"},
             {"format", "NAME", "of a data file; found out otherwise"},
             {"max-length", "N", "cut examples as data.max_length does"},
             {"limit", "N", "how many examples or tensors to show (3 examples, all tensors)"},
             kJson},
            kEverywhere),
       false, inspect},
      {"tokenize", "MODEL [TEXT | --input IN.jsonl]", "Token ids and pieces, and back",
       "Lines {\"text\"} become {\"input_ids\", \"offsets\"}; offsets are bytes. With --decode "
       "ids\n"
       "(\"504 3575\", or lines {\"input_ids\"}) become text. MODEL may hold tokenizer files only.",
       "graft tokenize models/SmolLM2 'Hello world'", 1, 2,
       join({{"special", nullptr, "add the tokens that the tokenizer adds by itself"},
             {"decode", nullptr, "ids to text"},
             {"skip-special", nullptr, "with --decode: leave special tokens out"},
             kJson},
            join(kLines, kEverywhere)),
       false, tokenize},
      {"template", "MODEL|FILE.jinja --input IN.jsonl", "Chat templates applied to conversations",
       "Lines {\"messages\", \"tools\", \"add_generation_prompt\", ..} become {\"text\"} or "
       "{\"error\"}.",
       "echo '{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}' | graft template "
       "models/SmolLM2 --input -",
       1, 1, join(kLines, kEverywhere), false, apply_template},
      {"plugins", "[NAME]", "What is installed, from where, with which ABI; NAME: its options", "",
       "graft plugins lora", 0, 1, join({kJson}, kEverywhere), false, plugins},
      {"schema", "", "JSON Schema of RUN.json, for editors and bindings", "",
       "graft schema > graft-run.schema.json", 0, 0,
       join({{"plugin", "NAME", "the options of one plugin only"}}, kEverywhere), false, schema},
      {"version",
       "",
       "The version of graft and of its ABI",
       "",
       "graft version --json",
       0,
       0,
       {kJson},
       false,
       version},
  };
  return all;
}

std::string help() {
  std::string text = "graft: parameter-efficient fine-tuning of language models.\n\nCommands:\n";
  for (const Command& c : commands()) {
    std::string left = "  graft " + std::string(c.name);
    left.resize(18, ' ');
    text += left + c.summary + "\n";
  }
  text +=
      "  graft help      This list\n\n"
      "Not there yet:    adapter\n\n"
      "'graft COMMAND --help' tells its options and shows an example.\n";
  return text;
}

}  // namespace cli
