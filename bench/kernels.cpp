// bench-kernels PLUGIN.so [THREADS] [--cpu-time] [--only TEXT] [--seconds EACH]: the rate of a backend's kernels on
// the shapes of SmolLM2-135M, 4 x 512 tokens, LoRA of rank 16. The best of several runs; beside it
// the share of the plugin's own f32 product of 1024 x 2048 x 2048 in the same run. --cpu-time takes
// the calling thread's time instead of the clock's, for a busy machine; use it with 1 thread.
#include <dlfcn.h>
#include <time.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <graft/backend.hpp>
#include <string>
#include <vector>

namespace {

namespace gb = graft::backend;

constexpr std::int64_t kRows = 2048, kHidden = 576, kWide = 1536, kHeads = 9, kKvHeads = 3,
                       kHeadDim = 64, kVocabulary = 49152, kRank = 16, kHeadRows = 256;

bool cpu_time = false;
double seconds_each = 0.3;

double now() {
  timespec t;
  clock_gettime(cpu_time ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

struct Backend {
  const graft_backend_api* api;
  graft_device* device;
  graft_stream* stream;

  void* memory(std::uint64_t bytes) const {
    void* p = nullptr;
    if (api->alloc(device, bytes, &p, nullptr) != GRAFT_OK) std::abort();
    return p;
  }
  const graft_kernel* kernel(const char* name) const {
    std::uint32_t n = 0;
    const graft_kernel* all = api->kernels(device, &n);
    for (std::uint32_t i = 0; i < n; ++i)
      if (std::strcmp(all[i].name, name) == 0) return &all[i];
    return nullptr;
  }
};

/// A dense tensor of small varied numbers, or of zeros.
graft_view tensor(const Backend& backend, std::uint32_t dtype, std::vector<std::int64_t> shape,
                  bool zero = false) {
  graft_view view = {};
  view.dtype = dtype;
  view.device_type = 1;
  view.ndim = static_cast<std::int32_t>(shape.size());
  std::int64_t n = 1;
  for (std::int32_t d = view.ndim - 1; d >= 0; --d) {
    view.shape[d] = shape[static_cast<std::size_t>(d)];
    view.stride[d] = n;
    n *= view.shape[d];
  }
  view.data = backend.memory(static_cast<std::uint64_t>(n) * gb::dtype_bytes(dtype));
  std::uint32_t state = 1;
  for (std::int64_t i = 0; i < n && !zero; ++i) {
    state = state * 1664525 + 1013904223;
    const float value = static_cast<float>(state >> 8) * 0x1p-23f - 1;
    if (dtype == GRAFT_F32) gb::data<float>(view)[i] = value;
    if (dtype == GRAFT_BF16) gb::data<gb::Bf16>(view)[i] = gb::to_bf16(value);
  }
  return view;
}

graft_view integers(const Backend& backend, const std::vector<std::int32_t>& values) {
  const graft_view view =
      tensor(backend, GRAFT_I32, {static_cast<std::int64_t>(values.size())}, true);
  std::memcpy(view.data, values.data(), values.size() * sizeof values[0]);
  return view;
}

graft_view transposed(graft_view view) {
  std::swap(view.shape[0], view.shape[1]);
  std::swap(view.stride[0], view.stride[1]);
  return view;
}

graft_attr integer(const char* name, std::int64_t value) {
  return {name, nullptr, value, 0};
}
graft_attr real(const char* name, double value) {
  return {name, nullptr, 0, value};
}

class Bench {
 public:
  Bench(const Backend& backend, std::string only) : backend_(backend), only_(std::move(only)) {}

  /// Prints the rate; work is FLOPs, or elements where `elementwise`.
  double run(const std::string& what, const char* name, double work, std::vector<graft_view> in,
             std::vector<graft_view> out, std::vector<graft_attr> attrs, bool elementwise = false) {
    const graft_kernel* kernel = backend_.kernel(name);
    if (!kernel || (peak_ > 0 && what.find(only_) == std::string::npos)) return 0;
    graft_kernel_args args = {};
    args.struct_size = sizeof args;
    args.n_in = static_cast<std::uint32_t>(in.size());
    args.n_out = static_cast<std::uint32_t>(out.size());
    args.n_attr = static_cast<std::uint32_t>(attrs.size());
    args.in = in.data();
    args.out = out.data();
    args.attr = attrs.data();
    args.workspace_size = kernel->workspace ? kernel->workspace(backend_.device, &args) : 0;
    args.workspace = args.workspace_size ? backend_.memory(args.workspace_size) : nullptr;
    double best = INFINITY, spent = 0;
    for (int i = 0; i < 4 || (spent < seconds_each && i < 200); ++i) {
      const double start = now();
      graft_error error = {};
      if (kernel->run(backend_.stream, &args, &error) != GRAFT_OK ||
          backend_.api->stream_wait(backend_.stream, &error) != GRAFT_OK) {
        std::printf("%-44s %s\n", what.c_str(), error.message);
        return 0;
      }
      const double seconds = now() - start;
      spent += seconds;
      if (i > 0 && seconds < best) best = seconds;
    }
    const double rate = work / best * 1e-9;
    if (elementwise)
      std::printf("%-44s %9.3f ms %8.2f G elements/s\n", what.c_str(), best * 1e3, rate);
    else
      std::printf("%-44s %9.3f ms %8.1f GFLOP/s %5.2f\n", what.c_str(), best * 1e3, rate,
                  peak_ > 0 ? rate / peak_ : 1.0);
    if (args.workspace) backend_.api->free(backend_.device, args.workspace);
    return rate;
  }
  void set_peak(double rate) { peak_ = rate; }

 private:
  Backend backend_;
  std::string only_;
  double peak_ = 0;
};

void products(const Backend& backend, Bench& bench, std::uint32_t t, const std::string& type) {
  struct Size {
    const char* what;
    std::int64_t m, k, n;
    bool a_transposed, b_transposed;
    std::uint32_t out;
  };
  const Size sizes[] = {
      {"q, o: x Wt", kRows, kHidden, kHidden, false, true, t},
      {"k, v: x Wt", kRows, kHidden, kKvHeads * kHeadDim, false, true, t},
      {"gate, up: x Wt", kRows, kHidden, kWide, false, true, t},
      {"down: x Wt", kRows, kWide, kHidden, false, true, t},
      {"gate, up: dy W", kRows, kWide, kHidden, false, false, t},
      {"down: dy W", kRows, kHidden, kWide, false, false, t},
      {"q, o: dy W", kRows, kHidden, kHidden, false, false, t},
      {"head: x Wt, 256 rows", kHeadRows, kHidden, kVocabulary, false, true, t},
      {"head: dy W, 256 rows", kHeadRows, kVocabulary, kHidden, false, false, t},
      {"LoRA: x At", kRows, kHidden, kRank, false, true, t},
      {"LoRA: x At, down", kRows, kWide, kRank, false, true, t},
      {"LoRA: h Bt", kRows, kRank, kHidden, false, true, t},
      {"LoRA: h Bt, up", kRows, kRank, kWide, false, true, t},
      {"LoRA: dh A", kRows, kRank, kHidden, false, false, t},
      {"LoRA: dy B, up", kRows, kWide, kRank, false, false, t},
      {"LoRA: dA = dht x", kRank, kRows, kHidden, true, false, GRAFT_F32},
      {"LoRA: dA = dht x, down", kRank, kRows, kWide, true, false, GRAFT_F32},
      {"LoRA: dB = dyt h", kHidden, kRows, kRank, true, false, GRAFT_F32},
      {"LoRA: dB = dyt h, up", kWide, kRows, kRank, true, false, GRAFT_F32},
      {"up: x Wt, 1 row", 1, kHidden, kWide, false, true, t},
      {"head: x Wt, 1 row", 1, kHidden, kVocabulary, false, true, t},
      {"head: x Wt, 8 rows", 8, kHidden, kVocabulary, false, true, t},
      {"up: x Wt, 128 rows", 128, kHidden, kWide, false, true, t},
  };
  for (const Size& s : sizes) {
    const graft_view a = s.a_transposed ? transposed(tensor(backend, t, {s.k, s.m}))
                                        : tensor(backend, t, {s.m, s.k});
    const graft_view b = s.b_transposed ? transposed(tensor(backend, t, {s.n, s.k}))
                                        : tensor(backend, t, {s.k, s.n});
    const graft_view c = tensor(backend, s.out, {s.m, s.n}, true);
    bench.run(type + " " + s.what, "matmul/1", 2.0 * static_cast<double>(s.m * s.n * s.k), {a, b},
              {c}, {real("alpha", 1)});
    for (const graft_view& view : {a, b, c}) backend.api->free(backend.device, view.data);
  }
}

void attention(const Backend& backend, Bench& bench, std::uint32_t t, const std::string& type) {
  for (const std::int64_t length : {128, 512, 2048}) {
    std::vector<std::int32_t> cu_q = {0}, begin, lengths;
    for (std::int64_t row = 0; row < kRows; row += length) {
      begin.push_back(static_cast<std::int32_t>(row));
      lengths.push_back(static_cast<std::int32_t>(length));
      cu_q.push_back(static_cast<std::int32_t>(row + length));
    }
    const graft_view q = tensor(backend, t, {kRows, kHeads, kHeadDim});
    const graft_view k = tensor(backend, t, {kRows, kKvHeads, kHeadDim});
    const graft_view v = tensor(backend, t, {kRows, kKvHeads, kHeadDim});
    const graft_view o = tensor(backend, t, {kRows, kHeads, kHeadDim});
    const graft_view g = tensor(backend, t, {kRows, kHeads, kHeadDim});
    const graft_view lse = tensor(backend, GRAFT_F32, {kRows, kHeads});
    const graft_view a = integers(backend, cu_q), b = integers(backend, begin),
                     c = integers(backend, lengths);
    const std::vector<graft_attr> attrs = {real("scale", 0.125), integer("causal", 1)};
    // Two products of d, half of each causal.
    const double work = 2.0 * static_cast<double>(kRows * length * kHeads * kHeadDim);
    const std::string what = type + " attention, documents of " + std::to_string(length);
    bench.run(what, "attention/1", work, {q, k, v, a, b, c}, {o, lse}, attrs);
    bench.run(what + ", backward", "attention_bwd/1", 2.5 * work, {g, q, k, v, o, lse, a, b, c},
              {tensor(backend, t, {kRows, kHeads, kHeadDim}),
               tensor(backend, t, {kRows, kKvHeads, kHeadDim}),
               tensor(backend, t, {kRows, kKvHeads, kHeadDim})},
              attrs);
  }
}

void rows(const Backend& backend, Bench& bench, std::uint32_t t, const std::string& type) {
  const auto make = [&](std::int64_t n, std::int64_t d) { return tensor(backend, t, {n, d}); };
  const graft_view x = make(kRows, kHidden), y = make(kRows, kHidden), s = make(kRows, kHidden);
  const graft_view weight = tensor(backend, t, {kHidden});
  const graft_view gate = make(kRows, kWide), up = make(kRows, kWide), out = make(kRows, kWide);
  const graft_view dgate = make(kRows, kWide), dup = make(kRows, kWide);
  const double n = static_cast<double>(kRows * kHidden), wide = static_cast<double>(kRows * kWide);
  const std::vector<graft_attr> norm = {integer("kind", GRAFT_NORM_RMS), real("eps", 1e-5)};
  bench.run(type + " norm", "norm/1", n, {x, weight}, {y}, norm, true);
  bench.run(type + " norm_bwd", "norm_bwd/1", n, {s, x, weight}, {y}, norm, true);
  bench.run(type + " add_norm", "add_norm/1", n, {x, x, weight}, {s, y}, norm, true);
  bench.run(type + " add", "add/1", n, {x, s}, {y}, {}, true);
  bench.run(type + " swiglu", "swiglu/1", wide, {gate, up}, {out}, {}, true);
  bench.run(type + " swiglu_bwd", "swiglu_bwd/1", wide, {out, gate, up}, {dgate, dup}, {}, true);
  std::vector<std::int32_t> positions(kRows), labels(kHeadRows), keys(2 * kRows);
  for (std::size_t i = 0; i < positions.size(); ++i) {
    positions[i] = static_cast<std::int32_t>(i % 512);
    keys[2 * i] = static_cast<std::int32_t>(i);
  }
  const graft_view q = tensor(backend, t, {kRows, kHeads, kHeadDim});
  bench.run(type + " rope", "rope/1", n,
            {q, integers(backend, positions), tensor(backend, GRAFT_F32, {kHeadDim / 2})},
            {tensor(backend, t, {kRows, kHeads, kHeadDim})}, {real("scale", 1)}, true);
  graft_view row_keys = integers(backend, keys);
  row_keys.ndim = 2;
  row_keys.shape[0] = kRows;
  row_keys.shape[1] = row_keys.stride[0] = 2;
  row_keys.stride[1] = 1;
  bench.run(type + " dropout", "dropout/1", n, {x, row_keys, integers(backend, {1, 2})}, {y},
            {real("p", 0.1), integer("stream", 3)}, true);
  const graft_view logits = make(kHeadRows, kVocabulary), dlogits = make(kHeadRows, kVocabulary);
  const graft_view loss = tensor(backend, GRAFT_F32, {kHeadRows}),
                   lse = tensor(backend, GRAFT_F32, {kHeadRows}), label = integers(backend, labels);
  const double all = static_cast<double>(kHeadRows * kVocabulary);
  bench.run(type + " cross_entropy", "cross_entropy/1", all, {logits, label}, {loss, lse}, {},
            true);
  bench.run(type + " cross_entropy_bwd", "cross_entropy_bwd/1", all, {logits, label, lse, loss},
            {dlogits}, {}, true);
}

/// Blocks of the head's weights written out dense, in GB/s written, beside what writing alone reaches,
/// and multiplied by one row as they lie.
void expansion(const Backend& backend, Bench& bench, std::uint32_t t, const std::string& type) {
  struct Format {
    const char* name;
    std::int64_t elements, bytes;
  };
  const Format formats[] = {{"nf4", 64, 32},   {"int8", kHidden, kHidden}, {"q8_0", 32, 34},
                            {"q4_0", 32, 18},  {"q4_1", 32, 20},           {"q4_k", 256, 144},
                            {"q6_k", 256, 210}};
  constexpr std::int64_t rows = 49152, columns = 768;  // whole blocks of each format
  const auto n = static_cast<std::uint64_t>(rows * columns);
  const graft_view out = tensor(backend, t, {rows, columns}, true);
  const double size = gb::dtype_bytes(t);
  graft_view words = out;  // the same bytes as F32
  words.dtype = GRAFT_F32;
  words.shape[1] = words.stride[0] = columns * static_cast<std::int64_t>(gb::dtype_bytes(t)) / 4;
  const double fill =
      4 / size *
      bench.run(type + " expands nothing: fill, as f32", "fill/1",
                static_cast<double>(n) * size / 4, {}, {words}, {real("value", 1)}, true);
  for (const Format& f : formats) {
    const bool by_row = std::strcmp(f.name, "int8") == 0;
    const std::int64_t block = by_row ? columns : f.elements;
    graft_quant quant = {};
    quant.format = f.name;
    quant.block_elements = block;
    quant.block_bytes = by_row ? columns : f.bytes;
    quant.rows = rows;
    quant.columns = columns;
    quant.data_bytes =
        n / static_cast<std::uint64_t>(block) * static_cast<std::uint64_t>(quant.block_bytes);
    void* data = backend.memory(quant.data_bytes);
    std::memset(data, 0x35, quant.data_bytes);
    quant.data = data;
    const graft_view scales = tensor(backend, GRAFT_F32, {rows * columns / block});
    const graft_view book = tensor(backend, GRAFT_F32, {16});
    if (by_row || std::strcmp(f.name, "nf4") == 0) {
      quant.aux[0] = scales.data;
      quant.aux_bytes[0] = n / static_cast<std::uint64_t>(block) * sizeof(float);
    }
    if (std::strcmp(f.name, "nf4") == 0) {
      quant.aux[2] = book.data;
      quant.aux_bytes[2] = 16 * sizeof(float);
    }
    graft_view in = out;
    in.dtype = GRAFT_QUANT;
    in.data = data;
    in.quant = &quant;
    const double rate = bench.run(type + " expands " + f.name, "copy/1", static_cast<double>(n),
                                  {in}, {out}, {}, true);
    if (rate > 0) {
      std::printf("%-44s %9.1f GB/s written, %.2f of fill's %.1f\n", "", rate * size, rate / fill,
                  fill * size);
    }
    const graft_view one = tensor(backend, t, {1, columns}),
                     sums = tensor(backend, t, {1, rows}, true);
    const double dots =
        bench.run(type + " times one row, " + f.name, "matmul/1", static_cast<double>(n),
                  {one, transposed(in)}, {sums}, {real("alpha", 1)}, true);
    if (dots > 0) {
      std::printf("%-44s %9.1f GB/s read\n", "",
                  dots * static_cast<double>(quant.data_bytes) / static_cast<double>(n));
    }
    for (void* memory : {one.data, sums.data}) backend.api->free(backend.device, memory);
    for (void* memory : {data, scales.data, book.data}) backend.api->free(backend.device, memory);
  }
  backend.api->free(backend.device, out.data);
}

void optimizer(const Backend& backend, Bench& bench) {
  const std::int64_t n = 4884480;
  const auto vector = [&] { return tensor(backend, GRAFT_F32, {n}); };
  const graft_view grad = vector(), one = tensor(backend, GRAFT_F32, {1});
  bench.run("adam_update", "adam_update/1", static_cast<double>(n), {grad, one, one, one},
            {vector(), vector(), vector()},
            {real("beta1", 0.9), real("beta2", 0.999), real("eps", 1e-8)}, true);
  bench.run("sum_squares", "sum_squares/1", static_cast<double>(n), {grad}, {one}, {}, true);
}

}  // namespace

int main(int argc, char** argv) {
  std::int64_t threads = 0;
  std::string only;
  for (int i = 2; i < argc; ++i) {
    const std::string text = argv[i];
    if (text == "--cpu-time")
      cpu_time = true;
    else if (text == "--seconds" && i + 1 < argc)
      seconds_each = std::atof(argv[++i]);
    else if (text == "--only" && i + 1 < argc)
      only = argv[++i];
    else
      threads = std::atoi(argv[i]);
  }
  void* library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : nullptr;
  if (!library) {
    std::fprintf(stderr,
                 "usage: bench-kernels PLUGIN.so [THREADS] [--cpu-time] [--only TEXT] [--seconds "
                 "EACH]\n%s\n",
                 argc > 1 ? dlerror() : "");
    return 2;
  }
  const auto entry =
      reinterpret_cast<graft_plugin_entry_fn>(dlsym(library, "graft_plugin_entry_v0"));
  Backend backend = {};
  if (entry)
    backend.api =
        static_cast<const graft_backend_api*>(entry()->get_interface(GRAFT_IFACE_BACKEND));
  if (!backend.api) {
    std::fprintf(stderr, "bench-kernels: %s is not a backend plugin\n", argv[1]);
    return 2;
  }
  static std::int64_t asked;
  asked = threads;
  graft_config_api table = {};
  table.struct_size = sizeof table;
  table.get_i64 = [](const graft_config*, const char* path) {
    return std::strcmp(path, "/threads") == 0 ? asked : 0;
  };
  const graft_config config = {&table};
  graft_error error = {};
  if (backend.api->open(nullptr, &config, &backend.device, &error) != GRAFT_OK ||
      backend.api->stream_create(backend.device, &backend.stream, &error) != GRAFT_OK) {
    std::fprintf(stderr, "bench-kernels: %s\n", error.message);
    return 2;
  }
  graft_device_info info = {};
  info.struct_size = sizeof info;
  backend.api->device_info(backend.device, &info, &error);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::printf("%s\n", info.name);

  Bench bench(backend, only);
  const graft_view a = tensor(backend, GRAFT_F32, {1024, 2048});
  const graft_view b = transposed(tensor(backend, GRAFT_F32, {2048, 2048}));
  const graft_view c = tensor(backend, GRAFT_F32, {1024, 2048}, true);
  bench.set_peak(bench.run("f32 1024 x 2048 x 2048, the measure", "matmul/1",
                           2.0 * 1024 * 2048 * 2048, {a, b}, {c}, {real("alpha", 1)}));
  for (const std::uint32_t t : {GRAFT_F32, GRAFT_BF16}) {
    const std::string type = gb::dtype_name(t);
    products(backend, bench, t, type);
    attention(backend, bench, t, type);
    rows(backend, bench, t, type);
    expansion(backend, bench, t, type);
  }
  optimizer(backend, bench);
  backend.api->stream_destroy(backend.stream);
  backend.api->close(backend.device);
  return 0;
}
