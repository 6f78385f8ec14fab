// Batches as inputs of a decoder's recording, and what the operating system says of this process.
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

#include "core/train/trainer.hpp"

namespace graft::core {

Bindings set_batch(Program& p, const Batch& batch) {
  const auto set = [&](const char* name, const std::vector<std::int32_t>& values) {
    p.set_input(name, values.data(), values.size() * sizeof(std::int32_t));
  };
  set("ids", batch.ids);
  set("positions", batch.positions);
  set("cu_q", batch.cu_seqlens);
  set("supervised_rows", batch.supervised_rows);
  std::vector<std::int32_t> begin, length, labels, keys, supervised_keys;
  for (std::size_t i = 0; i + 1 < batch.cu_seqlens.size(); ++i) {
    begin.push_back(batch.cu_seqlens[i]);
    length.push_back(batch.cu_seqlens[i + 1] - batch.cu_seqlens[i]);
  }
  set("k_begin", begin);
  set("k_len", length);
  for (const std::int32_t row : batch.supervised_rows) {
    labels.push_back(batch.labels[static_cast<std::size_t>(row)]);
  }
  set("labels", labels);
  if (p.has_input("row_keys") || p.has_input("supervised_keys")) {
    // A dropout mask belongs to the example's place in the run and the token's in the example.
    std::size_t sequence = 0;
    for (std::size_t row = 0; row < batch.ids.size(); ++row) {
      while (static_cast<std::int64_t>(row) >= batch.cu_seqlens[sequence + 1]) ++sequence;
      keys.push_back(static_cast<std::int32_t>(batch.draws[sequence]));
      keys.push_back(batch.positions[row]);
    }
    for (const std::int32_t row : batch.supervised_rows) {
      supervised_keys.push_back(keys[2 * static_cast<std::size_t>(row)]);
      supervised_keys.push_back(keys[2 * static_cast<std::size_t>(row) + 1]);
    }
    set("row_keys", keys);
    set("supervised_keys", supervised_keys);
  }
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
