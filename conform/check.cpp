#include "check.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <deque>

#include "oracle.hpp"

namespace graft::conform {
namespace {

// Allowed error in units of the scale. bf16: two roundings; f32: sums in some other order.
double default_tolerance(std::uint32_t dtype) {
  switch (dtype) {
    case GRAFT_BF16:
      return 0x1.4p-7;
    case GRAFT_F16:
      return 0x1.4p-10;
    case GRAFT_F32:
      return 2e-6;
    case GRAFT_F64:
      return 1e-12;
    default:
      return 0;
  }
}

// What is lost where a type has no more exponents.
double smallest(std::uint32_t dtype) {
  switch (dtype) {
    case GRAFT_F64:
      return 1e-300;
    case GRAFT_F16:
      return 0x1.01p-25;
    case GRAFT_I32:
      return 0.25;
    default:
      return 1e-37;
  }
}

std::string number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

std::string place_of(std::size_t index, const Shape& shape) {
  std::string out;
  for (std::size_t d = shape.size(); d-- > 0;) {
    const auto extent = static_cast<std::size_t>(shape[d]);
    out = std::to_string(index % extent) + (out.empty() ? "" : ", ") + out;
    index /= extent;
  }
  return "[" + out + "]";
}

// The problem's tensors in memory, and what the kernel is given.
class Call {
 public:
  Call(const Device& device, const graft_kernel& kernel, const Problem& problem, bool odd_start)
      : device_(device), kernel_(kernel), problem_(problem) {
    for (const Operand& x : problem.in) {
      in_.emplace_back(x.dtype, x.blocks ? Shape{0} : x.shape, x.layout, odd_start);
      if (x.blocks) quants_.push_back(*x.blocks);
    }
    for (const Result& y : problem.out)
      if (y.in_place < 0) own_.emplace_back(y.dtype, y.shape, y.layout, odd_start);
    std::size_t next = 0;
    for (const Result& y : problem.out)
      out_.push_back(y.in_place < 0 ? &own_[next++] : &in_[static_cast<std::size_t>(y.in_place)]);
  }

  const Tensor& out(std::size_t i) const { return *out_[i]; }

  /// Runs the kernel on fresh operands, with the extents that `cuts` say. Returns what went wrong
  /// apart from the numbers.
  std::string run(const std::vector<Cut>& cuts, bool* declined) {
    for (std::size_t i = 0; i < in_.size(); ++i)
      in_[i].reset(problem_.in[i].blocks ? Values() : problem_.in[i].values);
    for (std::size_t i = 0; i < out_.size(); ++i)
      if (problem_.out[i].in_place < 0) out_[i]->reset(problem_.out[i].before);

    before_.clear();
    for (const Tensor& x : in_) before_.emplace_back(x.bytes(), x.bytes() + x.size());

    std::deque<Placed> memory;
    std::vector<graft_view> in = views(in_, memory), own = views(own_, memory), out;
    place_blocks(in, memory);
    std::size_t next = 0;
    for (const Result& y : problem_.out)
      out.push_back(y.in_place < 0 ? own[next++] : in[static_cast<std::size_t>(y.in_place)]);
    for (const Cut& cut : cuts) (cut.is_result ? out : in)[cut.index].shape[cut.axis] = cut.extent;

    // supports() and workspace() see shapes without memory.
    std::vector<graft_view> in_shapes = in, out_shapes = out;
    for (auto* shapes : {&in_shapes, &out_shapes})
      for (graft_view& view : *shapes) view.data = nullptr;
    graft_kernel_args args = {};
    args.struct_size = sizeof args;
    args.n_in = static_cast<std::uint32_t>(in.size());
    args.n_out = static_cast<std::uint32_t>(out.size());
    args.n_attr = static_cast<std::uint32_t>(problem_.attrs.size());
    args.in = in_shapes.data();
    args.out = out_shapes.data();
    args.attr = problem_.attrs.data();
    const bool dense_only = !quants_.empty() && !kernel_.supports;
    if (dense_only || (kernel_.supports && kernel_.supports(device_.handle(), &args) != GRAFT_OK)) {
      *declined = true;
      return "";
    }
    const std::uint64_t bytes = kernel_.workspace ? kernel_.workspace(device_.handle(), &args) : 0;
    Tensor workspace(GRAFT_F32, {static_cast<std::int64_t>((bytes + 3) / 4)}, {}, false);
    workspace.reset({});
    Placed workspace_memory(device_, workspace.bytes(), workspace.size());

    args.in = in.data();
    args.out = out.data();
    args.workspace = workspace.view(workspace_memory.data(), 0).data;
    args.workspace_size = bytes;
    for (Placed& one : memory) one.upload();
    workspace_memory.upload();
    graft_error error = {};
    graft_status status = kernel_.run(device_.stream(), &args, &error);
    if (status == GRAFT_OK) status = device_.api().stream_wait(device_.stream(), &error);
    if (status != GRAFT_OK)
      return "run() gives status " + std::to_string(status) + ", '" + error.message + "'";
    for (Placed& one : memory) one.download();
    workspace_memory.download();
    if (!workspace.surroundings_intact()) return "writes beyond its workspace";
    return check_memory();
  }

 private:
  std::vector<graft_view> views(std::deque<Tensor>& tensors, std::deque<Placed>& memory) const {
    std::vector<graft_view> out;
    for (Tensor& one : tensors) {
      memory.emplace_back(device_, one.bytes(), one.size());
      out.push_back(one.view(memory.back().data(), device_.info().device_type));
    }
    return out;
  }

  /// The views of quantized operands, their buffers where the device's kernels reach them.
  void place_blocks(std::vector<graft_view>& in, std::deque<Placed>& memory) {
    std::size_t next = 0;
    for (std::size_t i = 0; i < in.size(); ++i) {
      const Operand& x = problem_.in[i];
      if (!x.blocks) continue;
      Blocks& blocks = quants_[next++];
      for (std::size_t k = 0; k < 5; ++k) {
        std::vector<std::byte>& buffer = blocks.buffer[k];
        if (buffer.empty()) continue;
        memory.emplace_back(device_, buffer.data(), buffer.size());
        (k == 0 ? blocks.quant.data : blocks.quant.aux[k - 1]) = memory.back().data();
      }
      in[i].data = nullptr;
      in[i].quant = &blocks.quant;
      in[i].dtype = GRAFT_QUANT;
      in[i].ndim = 2;
      for (int d = 0; d < 2; ++d) in[i].shape[d] = x.shape[static_cast<std::size_t>(d)];
      in[i].stride[x.transposed] = blocks.quant.columns;
      in[i].stride[!x.transposed] = 1;
    }
  }

  std::string check_memory() {
    std::size_t next = 0;
    for (const Operand& x : problem_.in) {
      if (!x.blocks) continue;
      const Blocks& blocks = quants_[next++];
      for (std::size_t k = 0; k < 5; ++k)
        if (blocks.buffer[k] != x.blocks->buffer[k]) return "writes to a quantized input";
    }
    for (std::size_t i = 0; i < in_.size(); ++i) {
      const bool shared = std::find(out_.begin(), out_.end(), &in_[i]) != out_.end();
      if (!shared && std::memcmp(in_[i].bytes(), before_[i].data(), in_[i].size()) != 0)
        return "writes to input " + std::to_string(i) + " or around it";
    }
    for (std::size_t i = 0; i < out_.size(); ++i)
      if (!out_[i]->surroundings_intact())
        return "writes outside of the elements of output " + std::to_string(i);
    return "";
  }

  const Device& device_;
  const graft_kernel& kernel_;
  const Problem& problem_;
  std::deque<Tensor> in_, own_;
  std::deque<Blocks> quants_;
  std::vector<Tensor*> out_;
  std::vector<std::vector<std::byte>> before_;  // the inputs' memory before the call
};

// The bytes of the results' elements within `shapes`, in row-major order.
std::vector<std::byte> bits_of(const Call& call, const std::vector<Shape>& shapes) {
  std::vector<std::byte> bits;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const std::size_t size = backend::dtype_bytes(call.out(i).dtype());
    for (const std::size_t at : call.out(i).places(shapes[i]))
      bits.insert(bits.end(), call.out(i).bytes() + at, call.out(i).bytes() + at + size);
  }
  return bits;
}

void judge_numbers(const Problem& problem, const std::vector<Values>& got,
                   const std::vector<Values>& right, Verdict& verdict) {
  const std::vector<Values> scale = problem.scale(problem, right);
  for (std::size_t i = 0; i < got.size(); ++i) {
    const std::uint32_t dtype = problem.out[i].dtype;
    const double tolerance = problem.tolerance > 0 ? problem.tolerance : default_tolerance(dtype);
    for (std::size_t e = 0; e < got[i].size(); ++e) {
      if (std::isnan(scale[i][e])) continue;
      const double allowed = tolerance * scale[i][e] + smallest(dtype);
      const double error = std::fabs(got[i][e] - right[i][e]);
      const double share = error == 0 ? 0 : error / allowed;
      if (!(share <= verdict.worst)) verdict.worst = std::isnan(share) ? INFINITY : share;
      if (share <= 1 || !verdict.failure.empty()) continue;
      verdict.failure = "output " + std::to_string(i) + place_of(e, problem.out[i].shape) + " is " +
                        number(got[i][e]) + ", should be " + number(right[i][e]) + " within " +
                        number(allowed);
    }
  }
}

// The share of elements that are, to the bit, those of the definition computed in T.
void judge_rounding(const graft_kernel& kernel, const Problem& problem,
                    const std::vector<Values>& got, Verdict& verdict) {
  const auto exact = reference(kernel.name, problem, Precision::kAsGiven);
  for (std::size_t i = 0; i < got.size(); ++i) {
    std::size_t equal = 0;
    for (std::size_t e = 0; e < got[i].size(); ++e) equal += got[i][e] == exact[i][e];
    const double share = static_cast<double>(equal) / static_cast<double>(got[i].size());
    if (share < problem.equal_share)
      verdict.failure = "output " + std::to_string(i) + ": only " + number(100 * share) +
                        " % of the elements have the bits of the definition; it rounds elsewhere";
  }
}

}  // namespace

Verdict check(const Device& device, const graft_kernel& kernel, const Problem& problem,
              bool odd_start) {
  Verdict verdict;
  Call call(device, kernel, problem, odd_start);
  verdict.failure = call.run({}, &verdict.declined);
  if (verdict.declined || !verdict.failure.empty()) return verdict;

  std::vector<Values> got;
  std::vector<Shape> shapes;
  for (std::size_t i = 0; i < problem.out.size(); ++i) {
    got.push_back(call.out(i).read());
    shapes.push_back(problem.out[i].shape);
  }
  judge_numbers(problem, got, reference(kernel.name, problem, Precision::kF64), verdict);
  if (verdict.failure.empty() && problem.equal_share > 0)
    judge_rounding(kernel, problem, got, verdict);
  if (verdict.failure.empty() && problem.also) verdict.failure = problem.also(problem, got);
  if (!verdict.failure.empty()) return verdict;

  const std::vector<std::byte> bits = bits_of(call, shapes);
  verdict.failure = call.run({}, &verdict.declined);
  if (verdict.failure.empty() && bits_of(call, shapes) != bits)
    verdict.failure = "the same call gives other bits the second time";
  if (!verdict.failure.empty() || problem.fewer_rows.empty()) return verdict;

  for (const Cut& cut : problem.fewer_rows)
    if (cut.is_result) shapes[cut.index][static_cast<std::size_t>(cut.axis)] = cut.extent;
  const std::vector<std::byte> of_all = bits_of(call, shapes);
  verdict.failure = call.run(problem.fewer_rows, &verdict.declined);
  verdict.rows_matter = verdict.failure.empty() && bits_of(call, shapes) != of_all;
  return verdict;
}

}  // namespace graft::conform
