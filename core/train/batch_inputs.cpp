// Batches as inputs of a decoder's recording, and what the operating system says of this process.
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

#include "core/adapt/virtual_tokens.hpp"
#include "core/train/trainer.hpp"

namespace graft::core {

std::vector<std::int32_t> row_keys(const Batch& batch, std::int64_t prompt) {
  std::vector<std::int32_t> keys;
  for (std::size_t j = 0; j + 1 < batch.cu_seqlens.size(); ++j) {
    const auto rows =
        static_cast<std::int32_t>(batch.cu_seqlens[j + 1] - batch.cu_seqlens[j] + prompt);
    // A dropout mask belongs to the example's place in the run and the token's in the example.
    const std::int32_t draw =
        batch.draws.empty() ? 0 : static_cast<std::int32_t>(batch.draws.at(j));
    for (std::int32_t i = 0; i < rows; ++i) keys.insert(keys.end(), {draw, i});
  }
  return keys;
}

Batch joined(const std::vector<const Batch*>& batches) {
  Batch all;
  all.cu_seqlens = {0};
  const auto append = [](auto& to, const auto& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  for (const Batch* b : batches) {
    const auto first = static_cast<std::int32_t>(all.rows());
    append(all.ids, b->ids);
    append(all.positions, b->positions);
    append(all.labels, b->labels);
    append(all.example_ids, b->example_ids);
    append(all.draws, b->draws);
    for (std::size_t j = 1; j < b->cu_seqlens.size(); ++j)
      all.cu_seqlens.push_back(first + b->cu_seqlens[j]);
    for (const std::int32_t row : b->supervised_rows) all.supervised_rows.push_back(first + row);
    all.supervised += b->supervised;
  }
  if (all.draws.size() != all.example_ids.size()) all.draws.clear();  // of an evaluation
  return all;
}

Bindings set_batch(Program& p, const Batch& batch, const VirtualTokens& more,
                   const DecoderConfig& config) {
  const auto set = [&](const char* name, const std::vector<std::int32_t>& values) {
    p.set_input(name, values.data(), values.size() * sizeof(std::int32_t));
  };
  const auto prompt = static_cast<std::int32_t>(more.prompt);
  const auto prefix = static_cast<std::int32_t>(more.prefix);
  std::vector<std::int32_t> positions, begin, length, labels, supervised_rows, supervised_keys;
  std::vector<std::int32_t> cu_q = {0}, sequence_of, tables;
  const std::vector<std::int32_t> keys = row_keys(batch, more.prompt);
  for (std::size_t j = 0; j + 1 < batch.cu_seqlens.size(); ++j) {
    const std::int32_t n = batch.cu_seqlens[j + 1] - batch.cu_seqlens[j];
    begin.push_back(cu_q.back() + prefix * static_cast<std::int32_t>(j));
    length.push_back(n + prompt + prefix);
    cu_q.push_back(cu_q.back() + n + prompt);
    sequence_of.insert(sequence_of.end(), static_cast<std::size_t>(n),
                       static_cast<std::int32_t>(j));
    tables.insert(tables.end(), static_cast<std::size_t>(n + prompt),
                  rope_table(config, n + prompt + prefix));
    for (std::int32_t i = 0; i < n + prompt; ++i) positions.push_back(prefix + i);
  }
  for (const std::int32_t row : batch.supervised_rows) {
    const auto at = static_cast<std::size_t>(row);
    const std::int32_t moved = row + prompt * (sequence_of[at] + 1);
    labels.push_back(batch.labels[at]);
    supervised_rows.push_back(moved);
    supervised_keys.push_back(keys[2 * static_cast<std::size_t>(moved)]);
    supervised_keys.push_back(keys[2 * static_cast<std::size_t>(moved) + 1]);
  }
  set("ids", batch.ids);
  set("positions", positions);
  set("rope_table", tables);
  set("cu_q", cu_q);
  set("k_begin", begin);
  set("k_len", length);
  set("supervised_rows", supervised_rows);
  set("labels", labels);
  set("row_keys", keys);
  set("supervised_keys", supervised_keys);
  set_prepend_inputs(p, batch.cu_seqlens);
  Bindings b;
  b[Symbol::kRows] = batch.rows();
  b[Symbol::kSequences] = batch.sequences();
  b[Symbol::kSupervised] = static_cast<std::int64_t>(batch.supervised_rows.size());
  return b;
}

std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t peak_resident_bytes() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace graft::core
