// bench-packed-gemm [THREADS] [ROWS]: what this machine's matrix products reach on the shapes of a
// training step of SmolLM2-135M, through oneDNN with weights in the layout that it likes best,
// packed once. Prints one line of JSON: GFLOP/s by dtype and shape, and "step": the rate of all of
// them in the numbers in which a step has them (forward and backward through frozen weights).
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dnnl.hpp>
#include <string>
#include <utility>
#include <vector>

namespace {

struct Product {
  long long m, n, k;
  int count;  // in a step
};

// hidden 576, key-value width 192, MLP 1536, vocabulary 49152, 30 layers.
std::vector<Product> products(long long rows) {
  std::vector<Product> list;
  const auto both = [&](long long out, long long in, int count) {
    list.push_back({rows, out, in, count});
    list.push_back({rows, in, out, count});
  };
  both(576, 576, 60);   // q, o
  both(192, 576, 60);   // k, v
  both(1536, 576, 60);  // gate, up
  both(576, 1536, 30);  // down
  both(49152, 576, 1);  // head
  return list;
}

using Type = dnnl::memory::data_type;

/// Seconds of the fastest of several runs; 0 if oneDNN has only its reference code for it.
double fastest(const dnnl::engine& engine, dnnl::stream& stream, const Product& p, Type type) {
  const dnnl::memory::desc a({p.m, p.k}, type, dnnl::memory::format_tag::ab);
  const dnnl::memory::desc b({p.k, p.n}, type, dnnl::memory::format_tag::any);
  const dnnl::memory::desc c({p.m, p.n}, type, dnnl::memory::format_tag::ab);
  const dnnl::matmul::primitive_desc made(engine, a, b, c, {}, true);
  if (!made || std::strncmp(made.impl_info_str(), "ref", 3) == 0) return 0;
  const dnnl::memory left(a, engine), right(made.weights_desc(), engine), out(c, engine);
  for (const dnnl::memory& m : {left, right, out})
    std::memset(m.get_data_handle(), 0, m.get_desc().get_size());
  const dnnl::matmul matmul(made);
  double best = 1e9;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 200; ++i) {
    const auto start = std::chrono::steady_clock::now();
    matmul.execute(stream, {{DNNL_ARG_SRC, left}, {DNNL_ARG_WEIGHTS, right}, {DNNL_ARG_DST, out}});
    stream.wait();
    const auto end = std::chrono::steady_clock::now();
    best = std::min(best, std::chrono::duration<double>(end - start).count());
    if (i >= 3 && end - begin > std::chrono::milliseconds(500)) break;
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  omp_set_num_threads(argc > 1 ? std::atoi(argv[1]) : omp_get_num_procs());
  const long long rows = argc > 2 ? std::atoll(argv[2]) : 2048;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  std::printf("{");
  bool first = true;
  for (const auto& [name, type] : {std::pair{"f32", Type::f32}, std::pair{"bf16", Type::bf16}}) {
    double flops = 0, seconds = 0;
    std::string shapes;
    for (const Product& p : products(rows)) {
      const double took = fastest(engine, stream, p, type);
      if (took == 0) break;
      const double work = 2.0 * static_cast<double>(p.m * p.n * p.k);
      char text[100];
      std::snprintf(text, sizeof text, ", \"%lldx%lldx%lld\": %.1f", p.m, p.n, p.k,
                    work / took * 1e-9);
      shapes += text;
      flops += work * p.count;
      seconds += took * p.count;
    }
    if (seconds == 0) continue;  // not on this processor
    std::printf("%s\"%s\": {\"step\": %.1f%s}", first ? "" : ", ", name, flops / seconds * 1e-9,
                shapes.c_str());
    first = false;
  }
  std::printf("}\n");
  return 0;
}
