// A problem is one call of one kernel: operands, attributes, and how far the results may be off.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tensor.hpp"

namespace graft::conform {

/// A quantized matrix and what it stands for.
struct Blocks {
  graft_quant quant{};               // with pointers into the buffers
  std::vector<std::byte> buffer[5];  // data, aux
  Values values;                     // [rows, columns]
};

struct Operand {
  std::uint32_t dtype;
  Shape shape;
  Layout layout;
  Values values;                              // as they read back in dtype
  bool keeps_dtype = false;                   // the oracle gets it in this dtype too (inv_freq)
  std::shared_ptr<const Blocks> blocks = {};  // the kernel gets these in the place of `values`
  bool transposed = false;                    // .. and the transposed matrix
};

struct Result {
  std::uint32_t dtype;
  Shape shape;
  Layout layout;
  std::int32_t in_place = -1;  // the input whose memory it is
  Values before;               // what is there before the call; empty: NaN
};

/// For the check of rows: an axis of an operand that is shortened.
struct Cut {
  bool is_result;
  std::size_t index;
  std::int32_t axis;
  std::int64_t extent;
};

struct Problem;
/// For each result the error scale of each element. NaN: any value is right.
using Scale = std::function<std::vector<Values>(const Problem&, const std::vector<Values>& right)>;

struct Problem {
  std::string what;
  std::vector<Operand> in;
  std::vector<Result> out;
  std::vector<graft_attr> attrs;
  Scale scale;
  /// An error of `tolerance` times the scale is allowed; 0: the default of the result's dtype.
  double tolerance = 0;
  /// Least share of elements that have the bits of the definition computed in T; for the lines of
  /// the contract that say where to round.
  double equal_share = 0;
  std::vector<Cut> fewer_rows;
  /// A further check of the results: the reason why they are wrong, or "".
  std::function<std::string(const Problem&, const std::vector<Values>&)> also;
};

/// Makes the problems of one kernel for one T.
class Maker {
 public:
  Maker(std::string_view kernel, std::uint32_t type);

  std::uint32_t type() const { return type_; }
  /// What stands for F32 in a line of the contract: F64 for T = f64.
  std::uint32_t statistics() const { return type_ == GRAFT_F64 ? GRAFT_F64 : GRAFT_F32; }
  /// T, and F32 where that is another allowed dtype of a result.
  std::vector<std::uint32_t> result_types() const;

  double uniform(double low, double high);
  std::int64_t integer(std::int64_t low, std::int64_t high);  // both included

  /// T with values from low to high; the same values along the broadcast axes of the layout.
  Operand real(const Shape& shape, const Layout& layout = {}, double low = -2, double high = 2);
  Operand real_as(std::uint32_t dtype, const Shape& shape, const Layout& layout = {},
                  double low = -2, double high = 2);
  /// Blocks of random bits with scales of moderate size. `format` may be "nf4:64", "nf4:64:nested".
  Operand quantized(const std::string& format, std::int64_t rows, std::int64_t columns,
                    bool transposed);
  static Operand integers(const std::vector<std::int32_t>& values, const Layout& layout = {});
  Operand random_ids(std::int64_t rows, std::int64_t below, const Layout& layout = {});

  Result result(const Shape& shape, const Layout& layout = {}) const;
  static Result result_as(std::uint32_t dtype, const Shape& shape, const Layout& layout = {});
  /// A result in the memory of input number `input` of `in`.
  static Result in_place(const std::vector<Operand>& in, std::size_t input);

  Problem& add(std::string what, std::vector<Operand> in, std::vector<Result> out,
               std::vector<graft_attr> attrs, Scale scale);
  /// Like the problem that was added last, with "accumulate" set.
  Problem& add_accumulating();

  std::vector<Problem> take() { return std::move(problems_); }

 private:
  std::uint64_t bits();
  std::uint32_t type_;
  std::uint64_t state_;
  std::vector<Problem> problems_;
};

inline graft_attr attr(const char* name, std::int64_t value) {
  return {name, nullptr, value, 0};
}
inline graft_attr attr_real(const char* name, double value) {
  return {name, nullptr, 0, value};
}

/// Memory in reverse order of axes: for a matrix, its transpose.
Layout reversed(std::size_t rank);
/// "3x5" of a shape.
std::string text_of(const Shape& shape);

/// The results' own magnitudes.
std::vector<Values> relative(const Problem& problem, const std::vector<Values>& right);
/// What the kernel gives for the operands' and attributes' magnitudes: for sums of products.
/// Needs the kernel's name, so it is made for it.
Scale magnitudes(std::string kernel);

/// One rounding to `dtype` and a little more.
double one_rounding(std::uint32_t dtype);

/// Whether an operand comes in blocks.
bool quantized(const Problem& problem);

enum class Types { kFloat, kEvery, kF32 };  // T; every type of copy/1; none but F32
struct KernelProblems {
  const char* kernel;
  Types types;
  void (*make)(Maker&);
};
/// All kernels of the contract, in its order.
const std::vector<KernelProblems>& all_kernels();

}  // namespace graft::conform
