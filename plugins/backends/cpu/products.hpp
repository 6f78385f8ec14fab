// Matrix products by oneDNN: one primitive per shape, made when first needed and kept.
#ifndef GRAFT_CPU_PRODUCTS_HPP
#define GRAFT_CPU_PRODUCTS_HPP
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>

#include "plugins/backends/cpu/device.hpp"

namespace graft_cpu {

class Products {
 public:
  using Memory = std::function<void*(std::uint64_t bytes)>;
  using Own = std::function<void(const GemmCall&)>;

  /// native_bf16: the processor multiplies bf16 itself.
  Products(Isa isa, int threads, bool native_bf16);

  /// True if oneDNN can take this product and is the faster way.
  bool takes(const GemmCall& call) const;

  /// Scratch memory that oneDNN wants for it.
  std::uint64_t scratch_bytes(const GemmCall& call);

  /// The largest product that own kernels are given of this one, or of one with fewer rows.
  GemmCall leaves(const GemmCall& call);

  /// Computes it; `own` is given the rest that is not worth a primitive.
  void run(const GemmCall& call, const Memory& scratch, const Own& own);

 private:
  using Key = std::array<std::int64_t, 10>;
  struct Entry {
    dnnl::matmul primitive;  // empty: oneDNN has no fast one
    dnnl::memory::desc a, b, c, bias, scratch;
    std::uint64_t used = 0;
  };

  Entry& entry_of(const GemmCall& call);
  void run_whole(const GemmCall& call, const Memory& scratch, const Own& own);

  Isa isa_;
  int threads_;
  bool native_bf16_;
  dnnl::engine engine_;
  dnnl::stream stream_;
  std::map<Key, Entry> entries_;
  std::uint64_t clock_ = 0;
};

}  // namespace graft_cpu
#endif
