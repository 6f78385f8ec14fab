// graft inspect.
#include <algorithm>

#include "cli/lines.hpp"
#include "cli/terminal.hpp"

namespace cli {
namespace {

std::string shown(const Json& value) {
  return value.is_string() ? value.get<std::string>() : to_text(value);
}

void row(const std::string& name, const std::string& value) {
  std::string text = "  " + name;
  text.resize(std::max<std::size_t>(text.size() + 2, 22), ' ');
  print(text + value + "\n");
}

void row(const std::string& name, const Json& value) {
  row(name, value.is_null() ? std::string("none") : shown(value));
}

/// At most `bytes` of `text`, cut at a character.
std::string beginning(const std::string& text, std::size_t bytes) {
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0) == 0x80) --bytes;
  return text.substr(0, bytes);
}

void print_tensors(const Json& tensors, long long limit) {
  std::size_t shown_tensors = 0, widest = 0;
  for (const Json& t : tensors) widest = std::max(widest, shown(t["name"]).size());
  print("tensors\n");
  for (const Json& t : tensors) {
    if (limit >= 0 && shown_tensors == static_cast<std::size_t>(limit)) break;
    ++shown_tensors;
    std::string name = shown(t["name"]);
    name.resize(widest + 2, ' ');
    print("  " + name + shown(t["dtype"]) + " " + to_text(t["shape"]) + "\n");
  }
  if (shown_tensors < tensors.size()) {
    print("  .. and " + std::to_string(tensors.size() - shown_tensors) + " more\n");
  }
}

void print_tokenizer(const Json& t) {
  row("tokenizer", shown(t["kind"]) + ", " + shown(t["size"]) + " tokens");
  for (const char* name : {"bos", "eos", "pad", "unk"}) {
    if (!t[name].is_null()) row(name, shown(t[name]["piece"]) + " (" + shown(t[name]["id"]) + ")");
  }
  row("template_hash", t["template_hash"]);
}

void print_model(const Json& m) {
  print("model " + shown(m["path"]) + "\n");
  for (const char* name : {"family", "parameters", "bytes", "layers", "hidden", "intermediate",
                           "heads", "kv_heads", "head_dim", "vocab", "context", "tied_head"}) {
    row(name, m[name]);
  }
  std::string types;
  for (const auto& [type, count] : m["dtypes"].items()) {
    types += (types.empty() ? "" : ", ") + type + " (" + to_text(count) + " tensors)";
  }
  row("dtype", types);
  for (const char* name : {"rope", "local_rope"}) {
    if (!m.contains(name) || m[name].is_null()) continue;
    const Json& rope = m[name];
    row(name, shown(rope["type"]) + ", theta " + shown(rope["theta"]) + ", " +
                  shown(rope["rotary_dim"]) + " dimensions");
  }
  const Json& window = m["window"];
  if (std::any_of(window.begin(), window.end(), [](const Json& w) { return w != 0; })) {
    row("window", window);
  }
  if (m["tokenizer"].is_object()) {
    print_tokenizer(m["tokenizer"]);
  } else {
    row("tokenizer", "none: " + shown(m["tokenizer_problem"]));
  }
  row("fingerprint", m["fingerprint"]);
}

void print_adapter(const Json& a, long long limit) {
  print("adapter " + shown(a["path"]) + "\n");
  row("method", a["method"].is_null()
                    ? "no installed plugin reads the peft_type " + shown(a["peft_type"])
                    : shown(a["method"]) + " (PEFT: " + shown(a["peft_type"]) + ")");
  row("base", a["base"]);
  row("parameters", a["parameters"]);
  if (a.contains("notes") && a["notes"].contains("base")) {
    row("base fingerprint", a["notes"]["base"].value("fingerprint", Json()));
  }
  print("options\n");
  for (const auto& [name, value] : a["options"].items()) row(name, value);
  print_tensors(a["tensors"], limit);
}

void print_file(const Json& f, long long limit) {
  print(shown(f["kind"]) + " " + shown(f["path"]) + "\n");
  row("bytes", f["bytes"]);
  row("elements", f["elements"]);
  if (!f["metadata"].empty()) print("metadata\n");
  for (const auto& [name, value] : f["metadata"].items()) {
    std::string text = shown(value);
    if (text.size() > 100) text = beginning(text, 98) + "..";
    std::replace(text.begin(), text.end(), '\n', ' ');
    row(name, text);
  }
  if (f.contains("model") && f["model"].is_object()) print_model(f["model"]);
  if (f.contains("model_problem")) row("as a model", shown(f["model_problem"]));
  print_tensors(f["tensors"], limit);
}

void print_data(const Json& d) {
  print("data " + shown(d["path"]) + "\n");
  for (const char* name :
       {"format", "lines", "examples", "skipped", "cut", "tokens", "supervised"}) {
    row(name, d[name]);
  }
  const Json& length = d["length"];
  row("tokens of a line", "least " + shown(length["least"]) + ", median " +
                              shown(length["median"]) + ", 95 % below " + shown(length["p95"]) +
                              ", most " + shown(length["most"]));
  const bool colours = coloured("", "0") != "";
  for (const Json& example : d["first"]) {
    print(coloured(shown(example["where"]), "1") + ": " +
          std::to_string(example["input_ids"].size()) + " tokens\n");
    for (const Json& span : example["spans"]) {
      const std::string text = shown(span["text"]);
      if (!span["loss"].get<bool>()) {
        print(coloured(text, "2"));
      } else {
        print(colours ? coloured(text, "32") : "[" + text + "]");
      }
    }
    print("\n");
  }
}

}  // namespace

int inspect(const Options& options) {
  Json how = Json::object();
  if (options.has("model")) how["model"] = options.value("model");
  if (options.has("format")) how["format"] = options.value("format");
  if (options.has("max-length")) how["max_length"] = options.integer("max-length", 0);
  if (options.has("limit")) how["limit"] = options.integer("limit", 3);
  const graft::Engine engine = open_engine(options);
  const std::string answer = engine.inspect(options.positional[0], to_text(how));
  if (options.has("json")) {
    print(answer + "\n");
    return kDone;
  }
  const Json json = Json::parse(answer);
  const long long limit = options.integer("limit", -1);
  const std::string kind = json["kind"];
  if (kind == "model") print_model(json);
  if (kind == "adapter") print_adapter(json, limit);
  if (kind == "data") print_data(json);
  if (kind == "safetensors" || kind == "gguf") print_file(json, limit);
  if (kind == "tokenizer") {
    print("tokenizer " + shown(json["path"]) + "\n");
    print_tokenizer(json["tokenizer"]);
  }
  if (kind == "run") {
    print("run " + shown(json["path"]) + "\n");
    for (const Json& adapter : json["adapters"]) print_adapter(adapter, limit);
  }
  return kDone;
}

}  // namespace cli
